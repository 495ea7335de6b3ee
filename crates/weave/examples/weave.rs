//! The weave without the rest of tandem: `weave go …`, `weave explain …`, `weave warm …`, `weave env`, `weave diff …`,
//! `weave clean`, `weave packs-check FOLDER` … The integration tests run it, so that they need neither the agent nor a BPF compiler.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitCode;

use weave::WeaveError;
use weave::cache::Cache;
use weave::pack_verify::{self, VersionSpan};
use weave::weave::Outcome;

fn main() -> ExitCode {
    if let Some(code) = weave::tool::run_as_tool() {
        return code;
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some((command, arguments)) = arguments.split_first() else { return ExitCode::from(2) };
    let done = match command.to_string_lossy().as_ref() {
        "go" => weave::go::run(arguments).map(|status| {
            if let Some(signal) = status.signal() {
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            ExitCode::from(status.code().unwrap_or(1) as u8)
        }),
        "explain" => weave::explain::explain(arguments).map(|lines| {
            lines.iter().for_each(|line| println!("{}", line.text()));
            ExitCode::SUCCESS
        }),
        "warm" => weave::warm::warm(arguments, |package| println!("{package}")).map(|warmed| {
            println!("{} {:?} {:?}", warmed.go_version, warmed.standard, warmed.others);
            ExitCode::from(warmed.status.code().unwrap_or(1) as u8)
        }),
        "env" => match arguments.first().map(|first| first.to_string_lossy()).as_deref() {
            None => weave::env::shim().map(|shim| weave::env::switch_on(&shim)),
            Some("--off") => weave::env::switch_off(),
            Some(_) => weave::env::goroot(),
        }
        .map(|text| {
            std::io::stdout().write_all(&text).expect("somebody reads it");
            ExitCode::SUCCESS
        }),
        "diff" => weave::diff::diff(arguments).map(|diff| {
            print!("{}", diff.files.concat());
            eprintln!("{:?} {:?}", diff.packages, diff.others);
            ExitCode::SUCCESS
        }),
        "clean" => Cache::open().and_then(Cache::clean).map(|cleaned| {
            println!("{cleaned:?}");
            ExitCode::SUCCESS
        }),
        "packs-new" => {
            weave::pack_new::write(Path::new("."), &arguments[0].to_string_lossy()).map(|_| ExitCode::SUCCESS)
        }
        "packs-check" => weave::pack_check::check(Path::new(&arguments[0])).map(|findings| {
            findings.iter().for_each(|finding| println!("{:?} {}: {}", finding.grade, finding.subject, finding.text));
            ExitCode::SUCCESS
        }),
        "packs-test" => weave::pack_check::test(Path::new(&arguments[0]), &arguments[1..]).map(|done| {
            let passed = !done.is_empty() && done.iter().all(|(_, status)| status.success());
            ExitCode::from(u8::from(!passed))
        }),
        "packs-verify" => verify(&arguments[0].to_string_lossy(), &arguments[1].to_string_lossy()),
        "packs-list" => weave::pack_source::packs_in(Path::new(".")).map(|set| {
            set.packs.iter().for_each(|pack| println!("{} {}", pack.name, pack.source));
            ExitCode::SUCCESS
        }),
        weave::tool::PROGRAM => {
            eprintln!("{}", weave::tool::run_program(arguments));
            Ok(ExitCode::FAILURE)
        }
        _ => Ok(ExitCode::from(2)),
    };
    done.unwrap_or_else(|error| {
        let code = error.exit_code();
        match error {
            WeaveError::GoRefused { message, .. } => eprintln!("{message}"),
            WeaveError::Interrupted => {}
            other => eprintln!("tandem: {:?}", miette::Report::new(other)),
        }
        ExitCode::from(code)
    })
}

fn verify(folder: &str, span: &str) -> Result<ExitCode, WeaveError> {
    let pack = weave::pack::Pack::load(Path::new(folder))?;
    let span = VersionSpan::parse(span).expect("tests give sound ones");
    let verified = pack_verify::verify(&pack, &span, &|_| ())?;
    for rule in &pack.rules {
        for run in pack_verify::runs(&verified, &rule.id) {
            let mark = match run.outcome {
                Outcome::Matched { .. } => '+',
                Outcome::OutOfRange { .. } => '-',
                _ => '!',
            };
            println!("{mark} {} to {}", run.first, run.last);
        }
    }
    Ok(ExitCode::SUCCESS)
}
