//! Scenario: people write packs, name them in tandem.yaml as folders and as Go modules, and check, test and verify them.
//! Guarantee: a new pack is in order at once; a module comes from where the person's own settings say, at the version that
//! is named, and nothing of theirs changes; every mistake has a message that says what to do.
//!
//! Modules come from a folder that serves as their proxy: no network.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use common::{Run, Sandbox};

const GO_MOD: &str = "module example.com/app\n\ngo 1.21\n";
const MAIN: &str = "package main\n\nfunc main() { Work() }\n\nfunc Work() { println(\"work\") }\n";

fn pack(id: &str, word: &str) -> [(String, String); 2] {
    let yaml = format!(
        "pack: {id}\nrules:\n  - id: {id}.work\n    target: example.com/app\n    add_files: [tandem_{id}.go]\n    where: {{func: Work}}\n    do: {{call_before: tandem_{id}}}\n"
    );
    let hook = format!("package main\n\nfunc tandem_{id}() {{ println({word:?}) }}\n");
    [("pack.yaml".into(), yaml), (format!("hooks/tandem_{id}.go"), hook)]
}

/// Puts a version of a module into a folder that the go command takes for a proxy.
fn publish(proxy: &Path, module: &str, version: &str, files: &[(String, String)]) {
    let dir = proxy.join(module).join("@v");
    fs::create_dir_all(&dir).expect("writable");
    let go_mod = format!("module {module}\n\ngo 1.21\n");
    fs::write(dir.join(format!("{version}.info")), format!("{{\"Version\":\"{version}\"}}")).expect("writable");
    fs::write(dir.join(format!("{version}.mod")), &go_mod).expect("writable");
    let mut list = fs::File::options().append(true).create(true).open(dir.join("list")).expect("writable");
    writeln!(list, "{version}").expect("writable");
    let mut all: BTreeMap<String, &str> =
        files.iter().map(|(path, text)| (format!("{module}@{version}/{path}"), text.as_str())).collect();
    all.insert(format!("{module}@{version}/go.mod"), &go_mod);
    fs::write(dir.join(format!("{version}.zip")), zip(&all)).expect("writable");
}

/// A zip archive whose files are stored as they are.
fn zip(files: &BTreeMap<String, &str>) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let (checksum, size, offset) = (crc32(text.as_bytes()), text.len() as u32, archive.len() as u32);
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        [checksum, size, size].into_iter().for_each(|value| common.extend(value.to_le_bytes()));
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        archive.extend(*b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(name.as_bytes());
        archive.extend(text.as_bytes());
        directory.extend(*b"PK\x01\x02\x14\0");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, length, number) = (archive.len() as u32, directory.len() as u32, files.len() as u16);
    archive.extend(directory);
    archive.extend(*b"PK\x05\x06\0\0\0\0");
    archive.extend([number, number].into_iter().flat_map(u16::to_le_bytes));
    archive.extend([length, start].into_iter().flat_map(u32::to_le_bytes));
    archive.extend([0, 0]);
    archive
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// A program, and a proxy and a module cache of its own beside it.
fn program(tandem_yaml: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(&[("go.mod", GO_MOD), ("main.go", MAIN), ("tandem.yaml", tandem_yaml)]);
    let proxy = sandbox.beside("proxy");
    publish(&proxy, "example.com/team/packs", "v1.0.0", &pack("team", "old"));
    let deep: Vec<(String, String)> =
        pack("team", "seen").into_iter().map(|(path, text)| (format!("work/{path}"), text)).collect();
    publish(&proxy, "example.com/team/packs", "v1.2.0", &deep);
    sandbox.set("GOPROXY", format!("file://{}", proxy.display()));
    sandbox.set("GONOSUMDB", "*");
    sandbox.set("GOMODCACHE", sandbox.beside("modules").display().to_string());
    sandbox.set("GOFLAGS", "-modcacherw -buildvcs=false -p=2");
    sandbox
}

/// A command of the test program that is no go command.
fn packs(sandbox: &Sandbox, arguments: &[&str]) -> Run {
    Run::of(sandbox.weave_command(arguments).output().expect("starts"))
}

#[test]
fn a_module_is_a_pack_too() {
    let sandbox = program("packs: [example.com/team/packs/work@v1.2.0]\n");
    let before = sandbox.contents();
    assert_eq!(sandbox.woven(&["run", "."]).ok().stderr, "seen\nwork\n");
    let listed = packs(&sandbox, &["packs-list"]).ok().stdout;
    assert!(listed.contains("modules/example.com/team/packs@v1.2.0/work/pack.yaml"), "{listed}");
    assert!(before == sandbox.contents(), "the user's tree has changed");

    // Once fetched, neither proxy nor version list is asked again.
    fs::remove_dir_all(sandbox.beside("proxy")).expect("ours");
    assert_eq!(sandbox.woven(&["run", "."]).ok().stderr, "seen\nwork\n");

    // What go.sum knows must be true.
    sandbox.write("go.sum", "example.com/team/packs v1.2.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    let refused = sandbox.woven(&["build", "."]);
    assert!(refused.code == Some(3) && refused.stderr.contains("checksum mismatch"), "{refused:?}");
}

#[test]
fn a_pack_that_the_project_requires() {
    let sandbox = program("packs: [example.com/team/packs]\n");
    sandbox.write(
        "go.mod",
        &format!("{GO_MOD}\nrequire example.com/team/packs v1.0.0\n\nreplace example.com/team/packs => ./mine\n"),
    );
    sandbox.write("mine/go.mod", "module example.com/team/packs\n\ngo 1.21\n");
    pack("team", "own").iter().for_each(|(path, text)| sandbox.write(&format!("mine/{path}"), text));
    assert_eq!(sandbox.woven(&["run", "."]).ok().stderr, "own\nwork\n");
}

#[test]
fn rules_that_are_off_by_default() {
    let sandbox = program("packs: [one]\n");
    let [(file, yaml), (hook_file, hook)] = pack("same", "one");
    sandbox.write(&format!("one/{file}"), &yaml.replace("same.work\n", "same.work\n    default: off\n"));
    sandbox.write(&format!("one/{hook_file}"), &hook);
    assert_eq!(sandbox.woven(&["run", "."]).ok().stderr, "work\n");
    for name in ["same", "same.work"] {
        sandbox.write("tandem.yaml", &format!("packs: [one]\nenable: [{name}]\n"));
        assert_eq!(sandbox.woven(&["run", "."]).ok().stderr, "one\nwork\n", "{name}");
    }
    sandbox.write("tandem.yaml", "packs: [one]\nenable: [same]\ndisable: [same.work]\n");
    assert_eq!(sandbox.woven(&["run", "."]).ok().stderr, "work\n");
}

#[test]
fn mistakes_in_what_is_named() {
    for (entry, expected) in [
        ("./gone", "cannot read pack"),
        ("example.com/team/packs/work@latest", "latest is not an exact version"),
        ("example.com/team/packs/work@v1", "v1 is not an exact version"),
        ("example.com/team/packs@v1.9.0", "v1.9.0"),
        ("example.com/team/packs@v1.2.0", "there is no pack.yaml in"),
        ("example.com/other", "no module of this project provides"),
    ] {
        let sandbox = program(&format!("packs: ['{entry}']\n"));
        let run = sandbox.woven(&["build", "."]);
        assert!(run.code == Some(3) && run.stderr.contains(expected), "{entry}: {run:?}");
    }
    let sandbox = program("packs: [one, two]\n");
    for folder in ["one", "two"] {
        pack("same", folder).iter().for_each(|(path, text)| sandbox.write(&format!("{folder}/{path}"), text));
    }
    sandbox.write("two/pack.yaml", &pack("same", "two")[0].1.replace("pack: same", "pack: other"));
    let run = sandbox.woven(&["build", "."]);
    assert!(run.code == Some(3) && run.stderr.contains("both have a rule same.work"), "{run:?}");
    sandbox.write("tandem.yaml", "packs: [one, two]\ndisable: [other]\n");
    assert_eq!(sandbox.woven(&["run", "."]).ok().stderr, "one\nwork\n");
}

#[test]
fn a_new_pack_is_in_order() {
    let sandbox = Sandbox::new(&[("x", "")]);
    packs(&sandbox, &["packs-new", "my-lib"]).ok();
    let again = packs(&sandbox, &["packs-new", "my-lib"]);
    assert!(again.code == Some(3) && again.stderr.contains("exists"), "{again:?}");
    let before = sandbox.contents();
    let checked = packs(&sandbox, &["packs-check", "my-lib"]).ok().stdout;
    assert!(checked.lines().count() >= 5 && checked.lines().all(|line| line.starts_with("Good ")), "{checked}");
    let tested = packs(&sandbox, &["packs-test", "my-lib", "-v"]).ok().stdout;
    assert!(tested.contains("--- PASS: TestTandemMyLibWithoutAgent"), "{tested}");
    assert!(before == sandbox.contents(), "the pack has changed");

    // Mistakes are found, each where it is.
    let hook = "my-lib/hooks/tandem_MyLib.go";
    let sound = fs::read_to_string(sandbox.path().join(hook)).expect("just written");
    sandbox.write(hook, &sound.replace("\tspan.EndFunc", "  span.EndFunc"));
    let checked = packs(&sandbox, &["packs-check", "my-lib"]).ok().stdout;
    assert!(checked.contains("Bad gofmt: would change hooks/tandem_MyLib.go"), "{checked}");
    sandbox.write(hook, &sound.replace("name string)", "name []byte)").replace("span.Str(", "_ = name // span.Str("));
    let checked = packs(&sandbox, &["packs-check", "my-lib"]).ok().stdout;
    assert!(checked.contains("Bad compile: ") && checked.contains("program/greet/greet.go:13"), "{checked}");
    sandbox.write(hook, &sound);
    let yaml = fs::read_to_string(sandbox.path().join("my-lib/pack.yaml")).expect("just written");
    sandbox.write("my-lib/pack.yaml", &yaml.replace("func: Greet", "func: Great"));
    let checked = packs(&sandbox, &["packs-check", "my-lib"]).ok().stdout;
    assert!(checked.contains("Bad rule my-lib.greet: ") && checked.contains("not found"), "{checked}");
    sandbox.write("my-lib/pack.yaml", &yaml.replace("my-lib.greet\n", "gin.route\n"));
    sandbox.write("my-lib/hooks/tandem_left.go", "package greet\n");
    let checked = packs(&sandbox, &["packs-check", "my-lib"]).ok().stdout;
    assert!(checked.contains("Bad names: an embedded pack has a rule gin.route already"), "{checked}");
    assert!(checked.contains("Doubtful hooks/tandem_left.go: no rule adds it"), "{checked}");
}

#[test]
fn every_published_version_is_verified() {
    let mut sandbox = program("packs: [lib]\n");
    let proxy = sandbox.beside("proxy");
    for (version, body) in [
        ("v0.9.0", "func Open() {}"),
        ("v1.0.0", "func Open() { connect() }\nfunc connect() {}"),
        ("v1.1.0", "func Open() { connect() }\nfunc connect() {}"),
        ("v1.2.0-rc.1", "func Open() {}"),
        ("v1.2.0", "func Open() { dial() }\nfunc dial() {}"),
    ] {
        publish(&proxy, "example.com/lib", version, &[("lib.go".into(), format!("package lib\n\n{body}\n"))]);
    }
    let yaml = "pack: lib\nmodule: example.com/lib\nrules:\n  - id: lib.open\n    target: example.com/lib\n    version: '>=1.0.0'\n    where: {func: Open}\n    do: {before: 'connect()', insert: 'println(); '}\n";
    sandbox.write("lib/pack.yaml", yaml);
    sandbox.set("TANDEM_CACHE", sandbox.beside("cache").display().to_string());
    let expected = "- v0.9.0 to v0.9.0\n+ v1.0.0 to v1.1.0\n! v1.2.0 to v1.2.0\n";
    assert_eq!(packs(&sandbox, &["packs-verify", "lib", ".."]).ok().stdout, expected);
    assert!(!sandbox.beside("modules").join("example.com/lib@v1.1.0").exists(), "sources are left in the module cache");
    assert_eq!(
        fs::read_dir(sandbox.beside("cache/unfinished")).expect("there").count(),
        0,
        "sources are left in the cache"
    );

    // The second time needs no source.
    fs::remove_file(proxy.join("example.com/lib/@v/v1.1.0.zip")).expect("ours");
    assert_eq!(packs(&sandbox, &["packs-verify", "lib", ".."]).ok().stdout, expected);
    assert_eq!(packs(&sandbox, &["packs-verify", "lib", "1.0..1.1"]).ok().stdout, "+ v1.0.0 to v1.1.0\n");
}

/// Scenario: a rule is added to one of our packs. Guarantee: the table of versions that the pack carries names it.
#[test]
fn our_tables_have_every_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/weave").join("packs");
    for entry in fs::read_dir(root).expect("there").flatten() {
        let pack = weave::pack::Pack::load(&entry.path()).expect("ours are sound");
        let table = fs::read_to_string(entry.path().join("versions.md")).unwrap_or_default();
        for rule in &pack.rules {
            let line = table.lines().find(|line| line.starts_with(&format!("| `{}` |", rule.id)));
            let line =
                line.unwrap_or_else(|| panic!("{} is not in packs/*/versions.md; run make pack-versions", rule.id));
            assert!(line.ends_with(" | - |"), "a version that it is for has lost it: {line}");
        }
    }
}
