//! `tandem packs new`: a small pack that works, to be changed into one's own. It instruments a package of its own program,
//! so that `tandem packs check` has something to weave and to run at once.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{WeaveError, at};
use crate::imports::is_identifier;

const PACK: &str = r#"# yaml-language-server: $schema=pack.schema.json
#
# docs/packs.md describes every word. `tandem packs check .` says what is wrong, `tandem packs test .` runs the hooks' tests.
pack: NAME
description: Spans for Greet. # what your pack gives
# module: github.com/you/library # the library's module; without it: Go's own packages, or those of the program that is built
rules:
  - id: NAME.greet
    description: one span for each greeting
    target: example.com/NAME/program/greet # import path of the edited package
    # version: ">=1.4.0, <2.0.0" # of the module
    add_files: [tandem_IDENT.go] # from hooks/
    where: {func: Greet, recv: "*Greeter", last_result: error}
    do:
      call_before: tandemIDENTStart
      args: [$ctx, $1]
      call_after: tandemIDENTEnd
      after_args: [$before, "&$err"]

spans: # what the hooks make: `tandem packs show` says it, and a test can hold it against what is really made
  - scope: tandem/example.com/NAME # as given to NewOp
    kind: internal # server client producer consumer internal
    operations: [NAME.greet] # the ids given to NewOp: the pack's name, a dot, and more
    always: [greet.name]
    sometimes: [error.type]
"#;

const HOOK: &str = r#"package greet

import (
	"context"

	tandem_rt "tandem/rt"
)

// This file is added to the package that the rule names, so it can use what is not exported there. It must never panic,
// and should not allocate: it runs in somebody's program.

var (
	tandemIDENTOp   = tandem_rt.NewOp("NAME.greet", "tandem/example.com/NAME", tandem_rt.KindInternal, "greet")
	tandemIDENTName = tandem_rt.NewKey("greet.name")
)

// tandemIDENTStart begins the span of a greeting.
func tandemIDENTStart(ctx context.Context, name string) *tandem_rt.Span {
	span := tandem_rt.StartFunc(tandemIDENTOp, tandem_rt.FromContext(ctx))
	span.Str(tandemIDENTName, name)
	return span
}

// tandemIDENTEnd ends it.
func tandemIDENTEnd(span *tandem_rt.Span, err *error) {
	span.EndFunc(err)
}
"#;

const HOOK_TEST: &str = r#"package greet

import (
	"context"
	"testing"
)

// A hook must do nothing, rather than fail, where nobody listens.
func TestTandemIDENTWithoutAgent(t *testing.T) {
	var greeter Greeter
	if _, err := greeter.Greet(context.Background(), "gopher"); err != nil {
		t.Fatal(err)
	}
}

// It should not allocate: what Greet itself allocates is one text.
func TestTandemIDENTAllocations(t *testing.T) {
	var greeter Greeter
	ctx := context.Background()
	if allocations := testing.AllocsPerRun(100, func() { greeter.Greet(ctx, "gopher") }); allocations > 1 {
		t.Errorf("%v allocations a call", allocations)
	}
}
"#;

const SETTINGS: &str = r#"# For packs in Tandem's own repository, whose tests read it (docs/packs.md): what the program needs and when it is run.
servers: [] # of those that the tests can start: redis, postgres, …; the program finds them in its environment
set: packs # core, packs
# versions: [v1.4.0, v1.9.2] # of the module: the lowest and the highest that are supported
"#;

const MAIN: &str = r#"// Program uses what the pack instruments.
package main

import (
	"context"
	"fmt"
	"os"

	"example.com/NAME/program/greet"
)

func main() {
	var greeter greet.Greeter
	greeting, err := greeter.Greet(context.Background(), "gopher")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(greeting)
}
"#;

const GREET: &str = r#"// Package greet stands for the library that the pack is for.
package greet

import (
	"context"
	"errors"
)

// Greeter greets.
type Greeter struct{}

// Greet greets somebody.
func (g *Greeter) Greet(_ context.Context, name string) (string, error) {
	if name == "" {
		return "", errors.New("nobody to greet")
	}
	return "hello, " + name, nil
}
"#;

/// Writes the pack into `parent/name`, which must not exist; gives back its files.
pub fn write(parent: &Path, name: &str) -> Result<Vec<PathBuf>, WeaveError> {
    let folder = parent.join(name);
    let ident: String = name.split(|c: char| !c.is_ascii_alphanumeric()).map(capitalized).collect();
    let is_usable = is_identifier(&ident) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !is_usable {
        let reason = std::io::Error::other("a pack's name is made of letters, digits, - and _");
        return Err(at("create a pack named", Path::new(name))(reason));
    }
    fs::create_dir(&folder).map_err(at("create", &folder))?;
    let fill = |text: &str| text.replace("NAME", name).replace("IDENT", &ident);
    let module = format!("module example.com/{name}/program\n\ngo 1.21\n");
    let files = [
        ("pack.yaml".to_owned(), fill(PACK)),
        ("pack.schema.json".to_owned(), crate::pack_text::schema()),
        (format!("hooks/tandem_{ident}.go"), fill(HOOK)),
        (format!("hooks/tandem_{ident}_test.go"), fill(HOOK_TEST)),
        ("program/go.mod".to_owned(), module),
        ("program/test.yaml".to_owned(), SETTINGS.to_owned()),
        ("program/main.go".to_owned(), fill(MAIN)),
        ("program/greet/greet.go".to_owned(), fill(GREET)),
    ];
    let mut written = Vec::new();
    for (path, text) in files {
        let path = folder.join(path);
        let parent = path.parent().expect("below the folder");
        fs::create_dir_all(parent).map_err(at("create", parent))?;
        fs::write(&path, text).map_err(at("write", &path))?;
        written.push(path);
    }
    Ok(written)
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}
