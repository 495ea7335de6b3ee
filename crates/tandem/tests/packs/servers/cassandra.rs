//! Cassandra, one node, at `CASSANDRA_ADDR` (`host:port`). Its jars come from Maven, once.

use std::fs;
use std::path::Path;

use rustix::process::Signal;

use super::{Folder, Missing, NotStarted, Server, find, free_port, made_once, says};
use crate::rig::{BUILD_LIMIT, program, run};

const VERSION: &str = "5.0.4";

/// What Cassandra reaches into of Java's own modules: exported to it, and opened.
const EXPORTED: &[&str] = &[
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.perf",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.unsupported/sun.misc",
];
const OPENED: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
];

pub fn start() -> Result<Server, NotStarted> {
    let java = find(&["java"])?;
    let main = made_once("cassandra", &format!("libs/cassandra-all-{VERSION}.jar"), fetch)?;
    let jars = main.parent().expect("a folder").join("*");
    let (folder, port) = (Folder::own(), free_port());
    let settings = folder.path().join("cassandra.yaml");
    fs::write(&settings, properties(folder.path(), port)).expect("the folder is ours");
    fs::write(folder.path().join("logback.xml"), QUIET).expect("the folder is ours");
    let mut command = folder.command(&java);
    command.args(["-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-Djdk.attach.allowAttachSelf=true"]);
    command.arg(format!("-Dcassandra.config=file://{}", settings.display()));
    command.arg(format!("-Dcassandra.storagedir={}", folder.path().display()));
    command.arg(format!("-Dlogback.configurationFile={}", folder.path().join("logback.xml").display()));
    // There is nobody to wait for.
    command.args(["-Dcassandra-foreground=yes", "-Dcassandra.initial_token=0", "-Dcassandra.ring_delay_ms=0"]);
    command.args(["-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.superuser_setup_delay_ms=0"]);
    command.args(EXPORTED.iter().map(|package| format!("--add-exports={package}=ALL-UNNAMED")));
    command.args(OPENED.iter().map(|package| format!("--add-opens={package}=ALL-UNNAMED")));
    command.arg("-cp").arg(&jars).arg("org.apache.cassandra.service.CassandraDaemon");
    // OPTIONS of protocol 4, stream 0; the answer is SUPPORTED.
    let server = folder.serve(&mut command, || says(port, b"\x04\0\0\0\x05\0\0\0\0", b"\x84\0\0\0\x06"))?;
    Ok(server.found_in("CASSANDRA_ADDR", format!("127.0.0.1:{port}")).ended_by(Signal::KILL))
}

/// Without a file of its own it logs every step.
const QUIET: &str = "<configuration><appender name=\"OUT\" class=\"ch.qos.logback.core.ConsoleAppender\">\
<encoder><pattern>%-5level %logger - %msg%n</pattern></encoder></appender>\
<root level=\"WARN\"><appender-ref ref=\"OUT\"/></root></configuration>
";

fn properties(folder: &Path, port: u16) -> String {
    let (storage, encrypted, folder) = (free_port(), free_port(), folder.display());
    format!(
        "cluster_name: packs
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
commitlog_sync: periodic
commitlog_sync_period: 10000ms
data_file_directories: [{folder}/data]
commitlog_directory: {folder}/commitlog
saved_caches_directory: {folder}/saved
hints_directory: {folder}/hints
cdc_raw_directory: {folder}/cdc
endpoint_snitch: SimpleSnitch
listen_address: 127.0.0.1
storage_port: {storage}
ssl_storage_port: {encrypted}
rpc_address: 127.0.0.1
native_transport_port: {port}
start_native_transport: true
auto_snapshot: false
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: \"127.0.0.1:{storage}\"}}]
"
    )
}

/// Has Maven put Cassandra's jars, and those that it needs, into `libs`.
fn fetch(folder: &Path) -> Result<(), Missing> {
    let maven = find(&["mvn"])?;
    let project = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>
<groupId>tandem.example</groupId><artifactId>cassandra</artifactId><version>1</version>
<dependencies><dependency><groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>{VERSION}</version></dependency></dependencies>
</project>"
    );
    fs::write(folder.join("pom.xml"), project).expect("the folder is ours");
    let mut command = program(maven);
    command.args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    let fetched = run(command.arg("-DoutputDirectory=libs").current_dir(folder), BUILD_LIMIT);
    if fetched.code == 0 { Ok(()) } else { Err(Missing(format!("Cassandra cannot be fetched: {}", fetched.stdout))) }
}
