//! memcached, at `MEMCACHED_ADDR` (`host:port`).

use super::{Folder, NotStarted, Server, find, free_port, says};

pub fn start() -> Result<Server, NotStarted> {
    let server = find(&["memcached"])?;
    let (folder, port) = (Folder::of_user("nobody")?, free_port());
    let mut command = folder.command(server);
    command.args(["-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()]);
    let server = folder.serve(&mut command, || says(port, b"version\r\n", b"VERSION "))?;
    Ok(server.found_in("MEMCACHED_ADDR", format!("127.0.0.1:{port}")))
}
