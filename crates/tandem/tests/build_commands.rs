//! What `tandem inspect`, `diff`, `explain --strict`, `env` and `cache` print and with which code they end.
//!
//! Needs Go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use insta::assert_snapshot;
use tempfile::TempDir;

const GO_MOD: &str = "module example.com/shop\n\ngo 1.22\n";
const MAIN: &str =
    "package main\n\n//tandem:span\nfunc main() { println(\"works\") }\n\nfunc add(a, b int) int { return a + b }\n";
const CONFIGURATION: &str = r#"
packs: [own]
functions:
  - {packages: [./...], names: [add], min_statements: 0, leaves: true}
"#;
/// A rule that matches, one that does not, one for another Go; so that nothing depends on our packs.
const PACK: &str = r#"
pack: own
rules:
  - id: own.main
    target: example.com/shop
    edits:
      - where: {func: main}
        do: {enter: "println(1)"}
  - id: own.later
    target: example.com/shop
    go: ">=1.99"
"#;

struct Shop {
    folder: TempDir,
}

impl Shop {
    fn new() -> Shop {
        let shop = Shop { folder: TempDir::new().expect("a temporary folder") };
        for (path, text) in
            [("go.mod", GO_MOD), ("main.go", MAIN), ("tandem.yaml", CONFIGURATION), ("own/pack.yaml", PACK)]
        {
            shop.write(path, text);
        }
        shop
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it is there").join("shop")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join("shop").join(path);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
        fs::write(path, text).expect("writable");
    }

    fn cache(&self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("weave-cache")
    }

    fn run(&self, program: &str, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.dir()).env("PWD", self.dir()).env("GOFLAGS", "-buildvcs=false -p=2");
        command.env("TANDEM_CACHE", self.cache()).env_remove("TANDEM_PACKS").env("COLUMNS", "100");
        command.output().expect("it starts")
    }

    /// Command, exit code and both outputs, without what differs from machine to machine.
    fn tandem(&self, arguments: &[&str]) -> String {
        let output = self.run(env!("CARGO_BIN_EXE_tandem"), arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let code = output.status.code().expect("an exit code");
        let separator = if stderr.is_empty() { "" } else { "stderr:\n" };
        let all = format!("$ tandem {} → {code}\n{stdout}{separator}{stderr}", arguments.join(" "));
        let version = text(self.run("go", &["env", "GOVERSION"]).stdout);
        let weave = text(self.run(env!("CARGO_BIN_EXE_tandem"), &["version"]).stdout);
        let weave = weave.trim_end().rsplit([' ', ')']).nth(1).expect("its last word").to_owned();
        all.replace(&*self.dir().to_string_lossy(), "[SHOP]")
            .replace(version.trim_end(), "[GO]")
            .replace(version.trim_end().trim_start_matches("go"), "[GO]")
            .replace(&weave, "[WEAVE]")
    }
}

/// Without rules of our own packs.
fn own_lines(text: &str) -> String {
    let (mut lines, mut is_own) = (Vec::new(), true);
    for line in text.lines() {
        is_own = if line.starts_with("    ") {
            is_own
        } else {
            !line.starts_with(['+', ' ', '-', '!']) || line.contains("own.") || line.starts_with("+ span")
        };
        lines.extend(is_own.then_some(line));
    }
    lines.join("\n")
}

#[test]
fn inspect_shows_what_was_woven() {
    let shop = Shop::new();
    shop.run(env!("CARGO_BIN_EXE_tandem"), &["go", "build", "-ldflags=-s -w", "-o", "woven", "."]);
    shop.run("go", &["build", "-o", "plain", "."]);
    let text = shop.tandem(&["inspect", "woven"]);
    // Which rules there are for the runtime is not for this test to say.
    let text: String = text.split("\n\n").filter(|part| !part.starts_with("runtime ")).collect::<Vec<_>>().join("\n\n");
    assert_snapshot!(text);
    assert_snapshot!(shop.tandem(&["inspect", "plain"]));
    assert_snapshot!(shop.tandem(&["inspect", "nowhere"]));
    assert_snapshot!(shop.tandem(&["inspect", "main.go"]));
    let program = fs::read(shop.dir().join("woven")).expect("it was built");
    fs::write(shop.dir().join("cut"), &program[..program.len() / 3]).expect("writable");
    assert_snapshot!(shop.tandem(&["inspect", "cut"]));
    // A manifest of a later form, and a damaged one.
    let place = program.windows(12).position(|bytes| bytes == b"{\"version\":1").expect("it is there");
    let with = |text: &[u8]| {
        let mut bytes = program.clone();
        for at in 0..bytes.len() - 12 {
            if bytes[at..at + 12] == program[place..place + 12] {
                bytes[at..at + 12].copy_from_slice(text);
            }
        }
        fs::write(shop.dir().join("changed"), bytes).expect("writable");
        shop.tandem(&["inspect", "changed"])
    };
    assert_snapshot!(with(b"{\"version\":9"));
    assert_snapshot!(with(b"{\"version\":x"));
    let output = shop.run(env!("CARGO_BIN_EXE_tandem"), &["inspect", "--json", "woven"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    let own = json["packs"].as_array().expect("a list").iter().find(|pack| pack["name"] == "own").expect("our pack");
    assert_eq!(
        (&json["woven"], &own["owner"], &own["join_points"][0]["id"]),
        (&true.into(), &"program".into(), &"own.main".into())
    );
    assert_eq!(own["join_points"][0]["places"][0], "example.com/shop/main.go:4");
}

#[test]
fn diff_shows_text_that_patch_takes() {
    let shop = Shop::new();
    let diff = shop.tandem(&["diff"]);
    assert_snapshot!(diff);
    assert_snapshot!(shop.tandem(&["diff", "unicode/utf8"]));
    assert_snapshot!(shop.tandem(&["diff", "example.com/nowhere"]));
    let standard = shop.tandem(&["diff", "runtime"]);
    assert!(standard.contains("\n--- a/runtime/proc.go\n+++ b/runtime/proc.go\n@@ -"), "{standard}");
    assert!(standard.contains("\n--- /dev/null\n+++ b/runtime/"), "{standard}");
    fs::write(shop.dir().join("../diff"), shop.run(env!("CARGO_BIN_EXE_tandem"), &["diff"]).stdout).expect("writable");
    let patched = Command::new("git")
        .args(["apply", "-p1", "../diff"])
        .current_dir(shop.dir())
        .output()
        .expect("git is installed");
    assert!(patched.status.success(), "{patched:?}");
    let text = fs::read_to_string(shop.dir().join("main.go")).expect("readable");
    assert!(text.contains("println(1)") && text.contains("tandem"), "{text}");
}

#[test]
fn strict_tells_lost_hooks_from_others() {
    let shop = Shop::new();
    fs::write(
        shop.dir().join("hooks.json"),
        shop.run(env!("CARGO_BIN_EXE_tandem"), &["explain", "--json", "."]).stdout,
    )
    .expect("writable");
    let strict = ["explain", "--strict", "--baseline", "hooks.json", "."];
    assert_snapshot!(own_lines(&shop.tandem(&strict)));
    // The code is not as the rule knows it.
    shop.write("own/pack.yaml", &PACK.replace("func: main", "func: gone"));
    assert_snapshot!(own_lines(&shop.tandem(&["explain", "--strict", "."])));
    // It matched in the baseline.
    shop.write("own/pack.yaml", &PACK.replacen("    target", "    go: \"<1.2\"\n    target", 1));
    assert_snapshot!(own_lines(&shop.tandem(&strict)));
    shop.write("own/pack.yaml", &PACK.replace("own.main", "own.other"));
    assert_snapshot!(own_lines(&shop.tandem(&strict)));
    shop.write("hooks.json", "{\"kind\":\"rule\"}\n");
    assert_snapshot!(own_lines(&shop.tandem(&strict)));
    assert_snapshot!(shop.tandem(&["explain", "--baseline", "hooks.json"]));
}

#[test]
fn env_and_cache_answer_scripts() {
    let shop = Shop::new();
    let line = shop.tandem(&["env"]);
    assert!(
        line.contains("→ 0\nexport PATH='/") && line.ends_with("/env/") | line.trim_end().ends_with(":\"$PATH\""),
        "{line}"
    );
    let folder = shop.tandem(&["env", "--goroot"]);
    assert!(folder.contains("/weave-cache/goroot/"), "{folder}");
    let output = shop.run(env!("CARGO_BIN_EXE_tandem"), &["cache", "size", "--json"]);
    let lines = String::from_utf8(output.stdout).expect("text");
    let kinds: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let root = kinds.iter().find(|kind| kind["kind"] == "goroot").expect("a woven standard library");
    assert!(root["entries"].as_u64() >= Some(1) && root["bytes"].as_u64() > Some(0), "{root}");
    let table = shop.tandem(&["cache"]);
    assert!(table.contains("woven standard libraries\n") && table.contains("in all\n"), "{table}");
    assert_snapshot!(shop.tandem(&["cache", "nonsense"]));
}
