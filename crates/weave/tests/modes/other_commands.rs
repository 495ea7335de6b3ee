//! Sub-commands that are not woven: as without us, with the same effects, and their children see plain sources.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::common::{Run, Sandbox};
use crate::shop::{GO_MOD, MAIN, shop};

/// Build: Other commands | `bug -h`, `clean`, `doc`, `env`, `fmt`, `help`, `list`, `mod graph`/`verify`/`why`/`edit`/`download`, `telemetry`, `tool`, `version`, no command, an unknown one | plain
#[test]
fn commands_that_only_say() {
    let sandbox = shop();
    let commands: [&[&str]; 24] = [
        &[],
        &["nonsense"],
        &["bug", "-h"],
        &["clean"],
        &["clean", "-n", "-i", "./..."],
        &["doc", "biz.Pay"],
        &["doc", "container/ring.New"],
        &["env", "-json"],
        &["env", "GOROOT", "GOMOD", "GOWORK", "GOTOOLDIR"],
        &["fmt", "-n", "./..."],
        &["help"],
        &["help", "modules"],
        &["list", "-deps", "-f", "{{.ImportPath}} {{.Dir}} {{.GoFiles}}", "./..."],
        &["list", "-m", "-json", "all"],
        &["list", "./nowhere"],
        &["mod", "graph"],
        &["mod", "why", "example.net/dep"],
        &["mod", "verify"],
        &["mod", "edit", "-json"],
        &["mod", "download", "-json"],
        &["telemetry"],
        &["tool"],
        &["tool", "compile", "-V=full"],
        &["version"],
    ];
    let before = sandbox.contents();
    for arguments in commands {
        let without_random = |mut run: Run| {
            // go env names a folder that is made for this one run.
            run.stdout = run.stdout.lines().filter(|line| !line.contains("GOGCCFLAGS")).collect::<Vec<_>>().join("\n");
            run
        };
        let (plain, woven) = (sandbox.plain(arguments), sandbox.woven(arguments));
        assert_eq!(without_random(plain), without_random(woven), "go {arguments:?}");
    }
    assert!(before == sandbox.contents(), "the user's tree has changed");
}

/// The user's files with the sandbox's own place taken out of them.
fn placeless(sandbox: &Sandbox) -> BTreeMap<PathBuf, String> {
    let contents = sandbox.contents();
    let relative = contents.into_iter().map(|(path, text)| {
        let path = path.strip_prefix(sandbox.path()).expect("below it").to_owned();
        (path, String::from_utf8_lossy(&text).replace(&*sandbox.beside("").to_string_lossy(), "BESIDE/"))
    });
    relative.collect()
}

/// Build: Other commands | `fix`, `fmt`, `generate`, `get`, `mod init`/`tidy`/`vendor`/`edit`, `work init`/`use`/`sync`/`vendor` | plain, with the same effects; what `go generate` starts finds plain sources
#[test]
fn commands_that_do() {
    let ugly = MAIN.replace("\tfmt.Println", "  fmt.Println");
    let generator = "//go:generate go run ./gen\n//go:generate go list -deps -f {{.Dir}} container/ring\n";
    let gen_program = "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"os/exec\"\n)\n\nfunc main() {\n\tout, err := exec.Command(\"go\", \"env\", \"GOROOT\", \"GOFLAGS\").CombinedOutput()\n\t_ = os.WriteFile(\"made.txt\", []byte(fmt.Sprint(string(out), err, os.Getenv(\"GOROOT\"))), 0o644)\n}\n";
    let sandboxes = [shop(), shop()];
    for sandbox in &sandboxes {
        sandbox.write("main.go", &ugly.replace("package main\n", &format!("package main\n\n{generator}")));
        sandbox.write("gen/main.go", gen_program);
        sandbox.write("lib/lib.go", "package lib\n\nimport _ \"example.net/dep\"\n");
    }
    let commands: [&[&str]; 17] = [
        &["fmt", "./..."],
        &["generate", "./..."],
        &["get", "example.net/dep@v1.0.0"],
        &["get", "example.net/nowhere"],
        &["get", "-u", "./..."],
        &["mod", "edit", "-require=example.net/fork@v0.3.0"],
        &["mod", "tidy", "-v"],
        &["mod", "vendor"],
        &["fix", "./..."],
        &["mod", "init", "example.com/again"],
        &["-C", "lib"],
        &["mod", "init", "-C", "lib"],
        &["work", "init"],
        &["work", "use", "."],
        &["work", "sync"],
        &["work", "edit", "-json"],
        &["work", "vendor"],
    ];
    for arguments in commands {
        let place = |sandbox: &Sandbox, mut run: Run| {
            let here = sandbox.beside("").to_string_lossy().into_owned();
            (run.stdout, run.stderr) = (run.stdout.replace(&here, "BESIDE/"), run.stderr.replace(&here, "BESIDE/"));
            run
        };
        let plain = place(&sandboxes[0], sandboxes[0].plain(arguments));
        let woven = place(&sandboxes[1], sandboxes[1].woven(arguments));
        assert_eq!(plain, woven, "go {arguments:?}");
        assert_eq!(placeless(&sandboxes[0]), placeless(&sandboxes[1]), "after go {arguments:?}");
    }
    let made = placeless(&sandboxes[1]);
    assert!(made[&PathBuf::from("made.txt")].contains("<nil>"), "{made:?}");
    assert!(made.contains_key(&PathBuf::from("vendor/modules.txt")) && made.contains_key(&PathBuf::from("go.work")));
    assert!(made[&PathBuf::from("vendor/example.net/dep/name.go")].contains("v1."), "{GO_MOD}");
}
