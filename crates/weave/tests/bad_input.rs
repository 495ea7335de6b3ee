//! Scenario: things that are not as they should be. Guarantee: one clear message that says what to do, the right exit code
//! (go's own where go refuses, 3 where the weave cannot be done), and nothing is left behind.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Run, Sandbox, skip, weave_program};

const MAIN: &str = "package main\n\nfunc main() {}\n";

fn module() -> Sandbox {
    Sandbox::new(&[("go.mod", "module example.com/x\n\ngo 1.22\n"), ("main.go", MAIN)])
}

/// Build: Layouts | no module: packages | refused as plain; files are built, woven
#[test]
fn not_a_module_is_gos_own_message() {
    let sandbox = Sandbox::new(&[("main.go", MAIN)]);
    let (plain, woven) = (sandbox.plain(&["build", "."]), sandbox.woven(&["build", "."]).without_warnings());
    assert_eq!(plain, woven);
    assert_eq!(woven.code, Some(1));
    sandbox.woven(&["run", "main.go"]).ok();
}

#[test]
fn a_broken_manifest_is_gos_own_message() {
    let sandbox = module();
    sandbox.write("go.mod", "modul example.com/x\n");
    assert_eq!(sandbox.plain(&["build", "."]), sandbox.woven(&["build", "."]).without_warnings());
}

#[test]
fn no_go_command() {
    let sandbox = module();
    let mut command = sandbox.weave_command(&["go", "build", "."]);
    let run = Run::of(command.env("PATH", sandbox.path()).output().expect("starts"));
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("no go command in PATH") && run.stderr.contains("go.dev/dl"), "{run:?}");
}

/// Refused: Go versions | Go older than 1.21 | tandem weaves Go 1.21 and newer
#[test]
fn an_old_go_is_refused() {
    let sandbox = module();
    let script = "#!/bin/sh\necho '{\"GOROOT\": \"/old\", \"GOVERSION\": \"go1.20.14\", \"GOTOOLDIR\": \"/old/pkg/tool\", \"GOMOD\": \"\"}'\n";
    fs::write(sandbox.beside("go"), script).expect("writable");
    fs::set_permissions(sandbox.beside("go"), fs::Permissions::from_mode(0o755)).expect("ours");
    let mut command = sandbox.weave_command(&["go", "build", "."]);
    let run = Run::of(
        command.env("PATH", format!("{}:/usr/bin:/bin", sandbox.beside("").display())).output().expect("starts"),
    );
    assert_eq!(run.code, Some(3));
    assert!(
        run.stderr.contains("tandem weaves Go 1.21 and newer")
            && run.stderr.contains("go1.20.14")
            && run.stderr.contains("plain"),
        "{run:?}"
    );
}

#[test]
fn a_broken_pack_shows_its_line() {
    let mut sandbox = module();
    let folder = sandbox.beside("pack");
    fs::create_dir_all(&folder).expect("writable");
    sandbox.set("TANDEM_PACKS", folder.display().to_string());
    let try_pack = |text: &str| {
        fs::write(folder.join("pack.yaml"), text).expect("writable");
        let run = sandbox.woven(&["build", "."]);
        assert_eq!(run.code, Some(3), "{run:?}");
        run.stderr
    };
    let rule = "pack: p\nrules:\n  - id: a\n    target: fmt\n";
    assert!(
        try_pack(&format!("{rule}    edits:\n      - where: {{fnc: x}}\n        do: {{enter: x()}}\n"))
            .contains("unknown field `fnc`")
    );
    assert!(try_pack(&format!("{rule}    version: \">>1\"\n")).contains("no version range"));
    assert!(try_pack(&format!("{rule}    add_files: [gone.go]\n")).contains("there is no hooks/gone.go"));
    let newline = format!("{rule}    edits:\n      - where: {{func: x}}\n        do: {{enter: \"a()\\nb()\"}}\n");
    let message = try_pack(&newline);
    assert!(message.contains("newline") && message.contains("pack.yaml:"), "{message}");
    assert!(try_pack("pack: [").contains("pack.yaml"));
    fs::remove_file(folder.join("pack.yaml")).expect("ours");
    let run = sandbox.woven(&["build", "."]);
    assert!(run.code == Some(3) && run.stderr.contains("cannot read pack"), "{run:?}");
}

#[test]
fn a_broken_configuration_shows_its_line() {
    let sandbox = module();
    sandbox.write("tandem.yaml", "disable: [fmt]\npakcs: [x]\n");
    let run = sandbox.woven(&["build", "."]);
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("unknown field `pakcs`") && run.stderr.contains("tandem.yaml:2"), "{run:?}");
}

#[test]
fn a_rule_that_does_not_fit_is_a_warning() {
    let mut sandbox = module();
    let folder = sandbox.beside("pack");
    fs::create_dir_all(&folder).expect("writable");
    sandbox.set("TANDEM_PACKS", folder.display().to_string());
    let pack = "pack: p\nrules:\n  - id: fmt.gone\n    description: a span a line\n    target: fmt\n    edits:\n      - where: {func: Println}\n        do: {after: \"gone()\", insert: \"; x()\"}\n";
    fs::write(folder.join("pack.yaml"), pack).expect("writable");
    let run = sandbox.woven(&["build", "-o", "../x", "."]).ok();
    let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("fmt.gone")).collect();
    assert_eq!(lines.len(), 1, "{run:?}");
    let start = "tandem: warning: fmt.gone: anchor \"gone()\" not found in func Println in print.go of go";
    assert!(lines[0].starts_with(start) && lines[0].contains("a span a line"), "{run:?}");
}

#[test]
fn an_unusable_cache() {
    let mut sandbox = module();
    sandbox.cache = sandbox.path().join("main.go/cache");
    let run = sandbox.woven(&["build", "."]);
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("main.go/cache") && run.stderr.contains("TANDEM_CACHE"), "{run:?}");
}

#[test]
fn a_full_disk() {
    // Needs the right to mount; without it the test says so and ends.
    let sandbox = module();
    let disk = sandbox.beside("disk");
    fs::create_dir_all(&disk).expect("writable");
    let script = format!(
        "mount -t tmpfs -o size=64k,nr_inodes=200 tandem-test {disk} || exit 99; cd {dir} && TANDEM_CACHE={disk}/cache {weave} go build . ; code=$?; ls {disk}/cache/unfinished | wc -l; exit $code",
        disk = disk.display(),
        dir = sandbox.path().display(),
        weave = weave_program().display(),
    );
    let output =
        std::process::Command::new("unshare").args(["--mount", "--map-root-user", "sh", "-c", &script]).output();
    let Ok(output) = output else { return skip("weave a_full_disk", "there is no unshare command") };
    let run = Run::of(output);
    if run.code != Some(3) && (run.code == Some(99) || run.stderr.contains("unshare")) {
        return skip("weave a_full_disk", run.stderr.lines().last().unwrap_or("nothing can be mounted here"));
    }
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("TANDEM_CACHE") && run.stdout.trim() == "0", "{run:?}");
}

#[test]
fn other_commands_run_plain() {
    let sandbox = module();
    for arguments in [&["env", "GOROOT", "GOFLAGS"][..], &["list", "-f", "{{.Dir}}", "fmt"], &["nonsense"], &[]] {
        assert_eq!(sandbox.plain(arguments), sandbox.woven(arguments), "{arguments:?}");
    }
}
