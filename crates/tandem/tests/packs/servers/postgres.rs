//! PostgreSQL, at `POSTGRES_DSN` (a URL): an empty database `pack` of a user `pack`, whose password is not looked at.

use rustix::process::Signal;

use super::{Folder, NotStarted, Server, find, free_port};
use crate::rig::{LIMIT, run};

pub fn start() -> Result<Server, NotStarted> {
    let server = find(&["/usr/lib/postgresql/*/bin/postgres", "postgres"])?;
    let server = server.canonicalize().unwrap_or(server);
    let beside = |name: &str| server.with_file_name(name);
    let (folder, port) = (Folder::of_user("postgres")?, free_port().to_string());
    let mut initdb = folder.command(beside("initdb"));
    initdb.args(["--pgdata", "data", "--username", "pack", "--auth", "trust", "--encoding", "UTF8", "--no-sync"]);
    folder.prepare(&mut initdb);
    let mut single = folder.command("/bin/sh");
    single.arg("-c").arg(r#"echo 'CREATE DATABASE pack' | "$0" --single -D data postgres"#).arg(&server);
    folder.prepare(&mut single);

    let mut command = folder.command(&server);
    command.args(["-D", "data", "-p", &port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    command.args(["-c", "fsync=off"]);
    let mut is_ready = folder.command(beside("pg_isready"));
    is_ready.args(["--quiet", "--host", "127.0.0.1", "--port", &port]);
    let server = folder.serve(&mut command, || run(&mut is_ready, LIMIT).code == 0)?;
    // Clients that hold on to their connections do not keep it from ending.
    let server = server.ended_by(Signal::INT);
    Ok(server.found_in("POSTGRES_DSN", format!("postgres://pack@127.0.0.1:{port}/pack?sslmode=disable")))
}
