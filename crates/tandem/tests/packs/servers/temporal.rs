//! Temporal, as its modules have it for tests (all in one, nothing kept), at `TEMPORAL_ADDR` (`host:port`) with the namespace
//! `TEMPORAL_NAMESPACE`. It is a Go module, which is built once.

use std::fs;

use super::{Folder, Missing, NotStarted, Server, made_once};
use crate::golang::go;
use crate::rig::{BUILD_LIMIT, run};

const PACKAGE: &str = "go.temporal.io/server/temporaltest@v1.32.2";

/// The Go that this version asks for; the go command fetches it.
const GO: &str = "go1.27.4";

/// It chooses its port and namespace itself, and writes them down as soon as it answers.
const MAIN: &str = r#"package main

import (
	"os"

	"go.temporal.io/server/temporaltest"
)

func main() {
	server := temporaltest.NewServer()
	text := server.GetFrontendHostPort() + " " + server.GetDefaultNamespace()
	if err := os.WriteFile("new", []byte(text), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename("new", "address"); err != nil {
		panic(err)
	}
	select {}
}
"#;

pub fn start() -> Result<Server, NotStarted> {
    let main = made_once("temporal", "temporal", |folder| {
        fs::write(folder.join("go.mod"), "module tandem.example/temporal\n\ngo 1.26\n").expect("the folder is ours");
        fs::write(folder.join("main.go"), MAIN).expect("the folder is ours");
        for arguments in [&["get", PACKAGE][..], &["build", "-o", "temporal", "."]] {
            let finished = run(go(folder).args(arguments).env("GOTOOLCHAIN", GO), BUILD_LIMIT);
            if finished.code != 0 {
                return Err(Missing(format!("{PACKAGE} cannot be built here: {}", finished.stderr)));
            }
        }
        Ok(())
    })?;
    let folder = Folder::own();
    let mut command = folder.command(main);
    let address = folder.path().join("address");
    let server = folder.serve(&mut command, || address.exists())?;
    let text = fs::read_to_string(address).expect("it was just written");
    let (address, namespace) = text.split_once(' ').expect("an address and a namespace");
    Ok(server.found_in("TEMPORAL_ADDR", address.to_owned()).found_in("TEMPORAL_NAMESPACE", namespace.to_owned()))
}
