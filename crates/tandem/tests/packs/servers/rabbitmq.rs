//! RabbitMQ, at `AMQP_URL`, with its user `guest`. Erlang's port mapper, which it needs, is one of its own.

use std::net::TcpStream;

use super::{Folder, NotStarted, Server, find, free_port, says};
use crate::rig::{LIMIT, Running, eventually};

pub fn start() -> Result<Server, NotStarted> {
    let server = find(&["/usr/lib/rabbitmq/*/rabbitmq-server"])?;
    let mapper = find(&["epmd"])?;
    let (folder, port, mapper_port) = (Folder::of_user("rabbitmq")?, free_port(), free_port());
    let in_folder = |name: &str| folder.path().join(name);
    let mut mapper = Running::start(folder.command(mapper).args(["-port", &mapper_port.to_string()]));
    let is_up = || TcpStream::connect(("127.0.0.1", mapper_port)).ok().map(drop).or_else(|| mapper.ended().map(drop));
    let is_up = eventually(LIMIT, is_up);
    if let (Some(()), Some(output)) = (is_up, mapper.ended()) {
        return Err(NotStarted::Ended(output));
    }
    let mut command = folder.command(server);
    command.env("ERL_EPMD_PORT", mapper_port.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command.env("RABBITMQ_NODENAME", format!("pack-{port}@localhost"));
    command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1").env("RABBITMQ_NODE_PORT", port.to_string());
    command.env("RABBITMQ_DIST_PORT", free_port().to_string());
    command.env("RABBITMQ_MNESIA_BASE", in_folder("mnesia")).env("RABBITMQ_LOG_BASE", in_folder("log"));
    command.env("RABBITMQ_CONF_ENV_FILE", "/dev/null").env("RABBITMQ_CONFIG_FILE", in_folder("none"));
    command.env("RABBITMQ_ENABLED_PLUGINS_FILE", in_folder("plugins")).env("RABBITMQ_PID_FILE", in_folder("pid"));
    let server = folder.serve_beside(vec![mapper], &mut command, || says(port, b"AMQP\0\0\x09\x01", b"\x01\0\0"))?;
    Ok(server.found_in("AMQP_URL", format!("amqp://guest:guest@127.0.0.1:{port}/")))
}
