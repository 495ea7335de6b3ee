//! Redis, at `REDIS_ADDR` (`host:port`). No password, nothing is saved.

use super::{Folder, NotStarted, Server, find, free_port, says};

pub fn start() -> Result<Server, NotStarted> {
    let server = find(&["redis-server", "valkey-server"])?;
    let (folder, port) = (Folder::own(), free_port());
    let mut command = folder.command(server);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
    let server = folder.serve(&mut command, || says(port, b"PING\r\n", b"+PONG\r\n"))?;
    Ok(server.found_in("REDIS_ADDR", format!("127.0.0.1:{port}")))
}
