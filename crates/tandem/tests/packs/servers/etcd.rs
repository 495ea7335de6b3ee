//! etcd, one member, at `ETCD_ADDR` (`host:port`): its server is a Go module, which is built once.

use std::fs;

use super::{Folder, Missing, NotStarted, Server, free_port, made_once, says};
use crate::golang::go;
use crate::rig::{BUILD_LIMIT, run};

const MODULE: &str = "go.etcd.io/etcd/server/v3@v3.7.3";

/// The module's own program cannot be installed by its version, since its go.mod replaces modules; this one is the same.
const MAIN: &str = "package main

import \"go.etcd.io/etcd/server/v3/etcdmain\"

func main() { etcdmain.Main([]string{\"etcd\"}) }
";

pub fn start() -> Result<Server, NotStarted> {
    let main = made_once("etcd", "etcd", |folder| {
        fs::write(folder.join("go.mod"), "module tandem.example/etcd\n\ngo 1.26\n").expect("the folder is ours");
        fs::write(folder.join("main.go"), MAIN).expect("the folder is ours");
        for arguments in [&["get", MODULE][..], &["build", "-o", "etcd", "."]] {
            let finished = run(go(folder).args(arguments), BUILD_LIMIT);
            if finished.code != 0 {
                return Err(Missing(format!("{MODULE} cannot be built here: {}", finished.stderr)));
            }
        }
        Ok(())
    })?;
    let (folder, port, peers) = (Folder::own(), free_port(), free_port());
    let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
    let mut command = folder.command(main);
    // It takes its settings from the environment.
    command.env("ETCD_DATA_DIR", folder.path().join("data")).env("ETCD_NAME", "one");
    command.env("ETCD_LISTEN_CLIENT_URLS", &clients).env("ETCD_ADVERTISE_CLIENT_URLS", &clients);
    command.env("ETCD_LISTEN_PEER_URLS", &peers).env("ETCD_INITIAL_ADVERTISE_PEER_URLS", &peers);
    command.env("ETCD_INITIAL_CLUSTER", format!("one={peers}")).env("ETCD_UNSAFE_NO_FSYNC", "true");
    // It answers so as soon as it has a leader.
    let question = b"GET /health HTTP/1.0\r\n\r\n";
    let server = folder.serve(&mut command, || says(port, question, b"HTTP/1.0 200 OK"))?;
    Ok(server.found_in("ETCD_ADDR", format!("127.0.0.1:{port}")))
}
