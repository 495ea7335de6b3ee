//! Kafka, one node that is its own controller, at `KAFKA_ADDR` (`host:port`). Its jars come from Maven, once; topics are made by
//! who needs them.

use std::fs;
use std::path::Path;

use super::{Folder, Missing, NotStarted, Server, find, free_port, made_once, says};
use crate::rig::{BUILD_LIMIT, program, run};

const VERSION: &str = "3.9.1";

pub fn start() -> Result<Server, NotStarted> {
    let java = find(&["java"])?;
    let main = format!("libs/kafka_2.13-{VERSION}.jar");
    let main = made_once("kafka", &main, fetch)?;
    let jars = main.parent().expect("a folder").join("*");
    let (folder, port, controller) = (Folder::own(), free_port(), free_port());
    let settings = folder.path().join("server.properties");
    fs::write(&settings, properties(folder.path(), port, controller)).expect("the folder is ours");
    let java = |folder: &Folder, main: &str| {
        let mut command = folder.command(&java);
        command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(&jars).arg(main);
        command
    };
    let format = ["format", "-t", "dGFuZGVtLXBhY2tzLXRlcw", "-c"];
    folder.prepare(java(&folder, "kafka.tools.StorageTool").args(format).arg(&settings));
    let mut command = java(&folder, "kafka.Kafka");
    command.arg(&settings);
    // ApiVersions, version 0, with correlation id 7: the answer begins with its length and that id.
    let question = b"\0\0\0\x0a\0\x12\0\0\0\0\0\x07\0\0";
    let server = folder.serve(&mut command, || says_id(port, question))?;
    Ok(server.found_in("KAFKA_ADDR", format!("127.0.0.1:{port}")))
}

/// Whether an answer comes to a question; its length does not matter.
fn says_id(port: u16, question: &[u8]) -> bool {
    says(port, question, b"\0\0")
}

fn properties(folder: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
",
        folder.join("data").display()
    )
}

/// Has Maven put Kafka's jars, and those that it needs, into `libs`.
fn fetch(folder: &Path) -> Result<(), Missing> {
    let maven = find(&["mvn"])?;
    let project = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>
<groupId>tandem.example</groupId><artifactId>kafka</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency></dependencies>
</project>"
    );
    fs::write(folder.join("pom.xml"), project).expect("the folder is ours");
    let mut command = program(maven);
    command.args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    let fetched = run(command.arg("-DoutputDirectory=libs").current_dir(folder), BUILD_LIMIT);
    if fetched.code == 0 { Ok(()) } else { Err(Missing(format!("Kafka cannot be fetched: {}", fetched.stdout))) }
}
