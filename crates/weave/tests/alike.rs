//! Scenario: packages of the standard library, woven. Guarantee: to what imports them they look, to the byte, as the plain ones
//! do, so that nothing but they themselves is compiled again; and what uses them, compiled against the plain ones, works.
//!
//! Needs Go; tests whose names end in `_network` fetch another toolchain from the module proxy when it is not in the cache.

mod common;

use std::path::{Path, PathBuf};

use common::{Run, Sandbox};
use weave::object::same_exports;

const OTHER_GO: &str = "go1.24.10";

/// All that our packs weave, but for database/sql and log/slog: what those keep lies in structures that their importers copy.
const PACKAGES: [&str; 6] = ["context", "log", "net/http", "net/http/httputil", "os/exec", "os/signal"];

const MAIN: &str = r#"package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os/exec"
	"strings"
)

type handler struct{ http.Handler }

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Length", fmt.Sprint(len(body)))
		fmt.Fprint(w, r.Method, " ", r.URL.Path)
	})
	go http.Serve(listener, handler{mux})
	client := http.Client{Transport: &http.Transport{MaxIdleConns: 1}}
	for _, text := range []string{"", "one", "another"} {
		response, err := client.Post("http://"+listener.Addr().String()+"/"+text, "text/plain", strings.NewReader(text))
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(response.Header.Get("Length"), string(body))
	}
	request, _ := http.NewRequest("GET", "http://example.com/dumped", nil)
	dumped, _ := httputil.DumpRequestOut(request, false)
	fmt.Println(strings.Contains(string(dumped), "/dumped"), strings.Contains(string(dumped), "raceparent"))
	output, err := exec.Command("echo", "run").Output()
	fmt.Print(string(output), err, "\n")
}
"#;
const PRINTED: &str = "0 POST /\n3 POST /one\n7 POST /another\ntrue false\nrun\n<nil>\n";

fn packages_look_plain(toolchain: Option<&str>) {
    let mut sandbox = Sandbox::new(&[("go.mod", "module example.com/x\n\ngo 1.21\n"), ("main.go", MAIN)]);
    sandbox.cache = sandbox.beside("weave-cache");
    if let Some(toolchain) = toolchain {
        sandbox.set("GOTOOLCHAIN", toolchain);
    }
    sandbox.woven(&[&["build", "-p=2"], &PACKAGES[..]].concat()).ok();
    let roots: Vec<PathBuf> = std::fs::read_dir(sandbox.cache.join("goroot"))
        .expect("there is a shadow tree")
        .flatten()
        .map(|entry| entry.path().join("libexec/go"))
        .filter(|go| go.is_file())
        .collect();
    let [woven_go] = roots.as_slice() else { panic!("{roots:?}") };
    let object = |go: &Path, package: &str| {
        let arguments = ["list", "-export", "-f", "{{.Export}}", package];
        let output = Run::of(sandbox.command(go, &arguments).output().expect("Go is installed")).ok();
        PathBuf::from(output.stdout.trim())
    };
    // From Go 1.27 on, net/http asks a package of its own, woven too, for the status of a response.
    let is_apart =
        |package: &&str| package.starts_with("net/http") && toolchain.is_some_and(|go| go.starts_with("go1.27"));
    for package in PACKAGES.into_iter().filter(|package| !is_apart(package)) {
        let (plain, woven) = (object(Path::new("go"), package), object(woven_go, package));
        assert!(plain != woven, "{toolchain:?}: {package} was not woven");
        assert!(same_exports(&plain, &woven), "{toolchain:?}: {package} does not look as the plain one");
    }
    sandbox.woven(&["build", "-p=2", "-o", "../woven", "."]).ok();
    assert_eq!(sandbox.run("../woven").ok().stdout, PRINTED);
}

#[test]
fn packages_look_plain_here() {
    packages_look_plain(None);
}

#[test]
fn packages_look_plain_in_another_go_network() {
    let versions = std::env::var("TANDEM_GO_VERSIONS").unwrap_or_else(|_| OTHER_GO.to_owned());
    for version in versions.split_whitespace() {
        packages_look_plain(Some(version));
    }
}
