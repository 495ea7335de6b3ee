//! MariaDB, at `MYSQL_DSN` (in the form of go-sql-driver): an empty database `pack` of a user `pack` without a password.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use super::{Folder, NotStarted, Server, find, free_port};

const DATABASE: &str = "CREATE DATABASE pack;
CREATE USER 'pack'@'127.0.0.1';
GRANT ALL ON *.* TO 'pack'@'127.0.0.1';
";

pub fn start() -> Result<Server, NotStarted> {
    let (install, server) = (find(&["mariadb-install-db"])?, find(&["mariadbd"])?);
    let (folder, port) = (Folder::of_user("mysql")?, free_port());
    let first = folder.path().join("first.sql");
    fs::write(&first, DATABASE).expect("the folder can be written");
    let data = format!("--datadir={}", folder.path().join("data").display());
    let mut prepare = folder.command(install);
    prepare.args(["--no-defaults", &data, "--skip-test-db", "--auth-root-authentication-method=normal"]);
    folder.prepare(&mut prepare);

    let mut command = folder.command(server);
    command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--pid-file=pid", &data]);
    command.arg(format!("--socket={}", folder.path().join("socket").display()));
    command.arg(format!("--init-file={}", first.display())).arg(format!("--port={port}"));
    let server = folder.serve(&mut command, || greets(port))?;
    Ok(server.found_in("MYSQL_DSN", format!("pack@tcp(127.0.0.1:{port})/pack")))
}

/// It speaks first: the length of its greeting, a number, then the protocol's version.
fn greets(port: u16) -> bool {
    let listen = || -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut greeting = [0; 5];
        connection.read_exact(&mut greeting)?;
        Ok(greeting[4] == 10)
    };
    listen().unwrap_or(false)
}
