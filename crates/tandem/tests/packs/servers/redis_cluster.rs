//! A cluster of two Redis, at `REDIS_CLUSTER_ADDRS` (`host:port,host:port`): the first has slots 0 to 8191, the second the rest.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Folder, NotStarted, START_LIMIT, Server, find, free_port, says};
use crate::rig::{Running, eventually};

pub fn start() -> Result<Server, NotStarted> {
    let server = find(&["redis-server"])?;
    let folder = Folder::own();
    let (first, second) = (free_port(), free_port());
    let mut beside = Running::start(&mut node(&folder, &server, first));
    let is_up = || says(first, b"PING\r\n", b"+PONG\r\n").then_some(()).or_else(|| beside.ended().map(drop));
    let is_up = eventually(START_LIMIT, is_up);
    if let (Some(()), Some(output)) = (is_up, beside.ended()) {
        return Err(NotStarted::Ended(output));
    }
    let mut command = node(&folder, &server, second);
    let server = folder.serve_beside(vec![beside], &mut command, || says(second, b"PING\r\n", b"+PONG\r\n"))?;
    for (port, order) in [
        (first, "CLUSTER ADDSLOTSRANGE 0 8191\r\n".to_owned()),
        (second, "CLUSTER ADDSLOTSRANGE 8192 16383\r\n".to_owned()),
        (first, format!("CLUSTER MEET 127.0.0.1 {second} {}\r\n", bus(second))),
    ] {
        assert!(says(port, order.as_bytes(), b"+OK\r\n"), "{order}");
    }
    let is_one = || [first, second].iter().all(|port| is_whole(*port)).then_some(());
    eventually(START_LIMIT, is_one).expect("the nodes become a cluster");
    Ok(server.found_in("REDIS_CLUSTER_ADDRS", format!("127.0.0.1:{first},127.0.0.1:{second}")))
}

fn node(folder: &Folder, server: &Path, port: u16) -> Command {
    let own = folder.path().join(port.to_string());
    std::fs::create_dir(&own).expect("the folder is ours");
    let mut command = folder.command(server);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
    command.args(["--cluster-enabled", "yes", "--cluster-port", &bus(port).to_string(), "--dir"]).arg(own);
    command
}

/// Where the nodes talk to each other: a port beside the others, which are those that the system gives to whoever asks.
fn bus(port: u16) -> u16 {
    port - 20000
}

/// Whether a node knows of all slots, and of both nodes.
fn is_whole(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(b"CLUSTER INFO\r\nQUIT\r\n")?;
        let mut said = String::new();
        connection.read_to_string(&mut said)?;
        Ok(said)
    };
    ask().is_ok_and(|said| said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:2"))
}
