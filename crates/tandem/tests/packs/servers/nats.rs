//! NATS with JetStream, at `NATS_URL`: its server is a Go module, which is built once.

use super::{Folder, Missing, NotStarted, Server, free_port, made_once, says};
use crate::golang::go;
use crate::rig::{BUILD_LIMIT, run};

const MODULE: &str = "github.com/nats-io/nats-server/v2@v2.15.3";

pub fn start() -> Result<Server, NotStarted> {
    let server = made_once("nats", "nats-server", |folder| {
        let built = run(go(folder).args(["install", MODULE]).env("GOBIN", folder), BUILD_LIMIT);
        if built.code == 0 { Ok(()) } else { Err(Missing(format!("{MODULE} cannot be built here: {}", built.stderr))) }
    })?;
    let (folder, port) = (Folder::own(), free_port());
    let mut command = folder.command(server);
    command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"]).arg(folder.path());
    let server = folder.serve(&mut command, || says(port, b"", b"INFO "))?;
    Ok(server.found_in("NATS_URL", format!("nats://127.0.0.1:{port}")))
}
