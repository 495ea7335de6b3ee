//! A server that speaks MongoDB's protocol, at `MONGO_URL`: mongo-java-server, of which Maven has the jars and we write the
//! `main` that takes a port. It speaks what MongoDB 5.0 does, calls itself 4.2, which new drivers refuse, and so is told to say
//! 5.0. It keeps all in memory, and is no replica set: there are no transactions.

use std::fs;
use std::net::TcpStream;
use std::path::Path;

use super::{Folder, Missing, NotStarted, Server, find, free_port, made_once};
use crate::rig::{BUILD_LIMIT, program, run};

const VERSION: &str = "1.47.0";

const MAIN: &str = "import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;
public class Main implements MongoVersion {
    public List<Integer> getVersionArray() { return List.of(5, 0, 0); }
    public int getWireVersion() { return 13; }
    public static void main(String[] port) {
        new MongoServer(new MemoryBackend().version(new Main())).bind(\"127.0.0.1\", Integer.parseInt(port[0]));
    }
}
";

pub fn start() -> Result<Server, NotStarted> {
    let java = find(&["java"])?;
    let main = made_once("mongo", "Main.class", fetch)?;
    let made = main.parent().expect("a folder");
    let (folder, port) = (Folder::own(), free_port());
    let mut command = folder.command(java);
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(format!("{0}/libs/*:{0}", made.display()));
    command.args(["Main", &port.to_string()]);
    let server = folder.serve(&mut command, || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    Ok(server.found_in("MONGO_URL", format!("mongodb://127.0.0.1:{port}/")))
}

/// Has Maven put the server's jars, and those that it needs, into `libs`, and compiles our `main`.
fn fetch(folder: &Path) -> Result<(), Missing> {
    let (maven, compiler) = (find(&["mvn"])?, find(&["javac"])?);
    let project = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>
<groupId>tandem.example</groupId><artifactId>mongo</artifactId><version>1</version>
<dependencies><dependency><groupId>de.bwaldvogel</groupId><artifactId>mongo-java-server</artifactId><version>{VERSION}</version></dependency></dependencies>
</project>"
    );
    fs::write(folder.join("pom.xml"), project).expect("the folder is ours");
    let mut command = program(maven);
    command.args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    let fetched = run(command.arg("-DoutputDirectory=libs").current_dir(folder), BUILD_LIMIT);
    if fetched.code != 0 {
        return Err(Missing(format!("mongo-java-server cannot be fetched: {}", fetched.stdout)));
    }
    fs::write(folder.join("Main.java"), MAIN).expect("the folder is ours");
    let compiled = run(program(compiler).args(["-cp", "libs/*", "Main.java"]).current_dir(folder), BUILD_LIMIT);
    if compiled.code == 0 { Ok(()) } else { Err(Missing(format!("its main cannot be compiled: {}", compiled.stderr))) }
}
