//! The go command's arguments, as far as the weave must know them: everything is passed on, but the values of a few
//! flags (`-C`, `-mod`, `-modfile`, `-overlay`, `-exec`) decide where sources come from.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Flags of build, install, run, test and vet that take a value, which may be the next argument.
const VALUE_FLAGS: [&str; 52] = [
    "C",
    "asmflags",
    "bench",
    "benchtime",
    "blockprofile",
    "blockprofilerate",
    "buildmode",
    "compiler",
    "count",
    "covermode",
    "coverpkg",
    "coverprofile",
    "cpu",
    "cpuprofile",
    "debug-actiongraph",
    "debug-runtime-trace",
    "debug-trace",
    "exec",
    "fixtool",
    "fuzz",
    "fuzzcachedir",
    "fuzzminimizetime",
    "fuzztime",
    "gccgoflags",
    "gcflags",
    "gocoverdir",
    "installsuffix",
    "ldflags",
    "list",
    "memprofile",
    "memprofilerate",
    "mod",
    "modfile",
    "mutexprofile",
    "mutexprofilefraction",
    "o",
    "outputdir",
    "overlay",
    "p",
    "parallel",
    "pgo",
    "pkgdir",
    "run",
    "shuffle",
    "skip",
    "tags",
    "testlogfile",
    "timeout",
    "toolexec",
    "trace",
    "vet",
    "vettool",
];

/// A command line of the go command.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// `build`, `test` …
    pub command: String,
    /// Everything after the sub-command, with the flags that the weave sets itself taken out.
    pub rest: Vec<OsString>,
    /// `-C`.
    pub change_dir: Option<PathBuf>,
    /// `-mod`.
    pub module_mode: Option<String>,
    /// `-modfile`.
    pub module_file: Option<PathBuf>,
    /// `-overlay`.
    pub overlay: Option<PathBuf>,
    /// `-exec`.
    pub exec: Option<String>,
    /// `-json`.
    pub json: bool,
    /// `-trimpath`.
    pub trim_paths: Option<bool>,
    /// Every flag of the go command itself, as it was given: those of `GOFLAGS` first.
    pub flags: Vec<(String, Option<String>)>,
    /// Packages and files, without the arguments of a program that is run.
    pub packages: Vec<String>,
}

impl Arguments {
    /// Reads a command line; flags in `GOFLAGS` come before it. `-C`, `-modfile`, `-overlay` and `-exec` are taken out
    /// of `rest`.
    pub fn read(arguments: &[OsString]) -> Arguments {
        let mut found = Arguments {
            command: text(arguments.first().map_or(OsStr::new(""), OsString::as_os_str)),
            ..Arguments::default()
        };
        let mut at = 1;
        while at < arguments.len() {
            let argument = &arguments[at];
            let word = text(argument);
            let Some(flag) = flag_name(&word) else {
                if found.command != "test" {
                    break; // only go test takes flags behind packages
                }
                found.packages.push(word);
                found.rest.push(argument.clone());
                at += 1;
                continue;
            };
            if flag.is_empty() || (flag == "args" && found.command == "test") {
                break;
            }
            let (name, inline) =
                flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value.to_owned())));
            let takes_next = inline.is_none() && VALUE_FLAGS.contains(&name) && at + 1 < arguments.len();
            let value = inline.or_else(|| takes_next.then(|| text(&arguments[at + 1])));
            let words = &arguments[at..at + 1 + usize::from(takes_next)];
            found.flags.push((name.to_owned(), value.clone()));
            let is_misplaced = name == "C" && at != 1; // the go command says so itself
            if is_misplaced || !found.take(name, value) {
                found.rest.extend_from_slice(words);
            }
            at += words.len();
        }
        let operands = &arguments[at.min(arguments.len())..];
        found.packages.extend(found.packages_among(operands));
        found.rest.extend_from_slice(operands);
        found
    }

    /// What stands behind the flags: packages, with `run` one package or some files and then the program's own arguments.
    fn packages_among(&self, operands: &[OsString]) -> Vec<String> {
        let mut words = operands.iter().map(|word| text(word)).skip_while(|word| word == "--").peekable();
        match self.command.as_str() {
            "test" => Vec::new(), // everything after -args
            "run" if words.peek().is_some_and(|first| !first.ends_with(".go")) => words.take(1).collect(),
            "run" => words.take_while(|word| word.ends_with(".go")).collect(),
            _ => words.collect(),
        }
    }

    /// Keeps what the weave must know; true when the flag is not passed on as it stands.
    fn take(&mut self, name: &str, value: Option<String>) -> bool {
        match (name, value) {
            ("C", Some(value)) => self.change_dir = Some(value.into()),
            ("modfile", Some(value)) => self.module_file = Some(value.into()),
            ("overlay", Some(value)) => self.overlay = Some(value.into()),
            ("exec", Some(value)) if self.command == "run" => self.exec = Some(value),
            ("mod", value) => {
                self.module_mode = value;
                return false;
            }
            ("trimpath", value) => {
                self.trim_paths = Some(value.is_none_or(|value| value != "false"));
                return false;
            }
            ("json", value) => {
                self.json = value.is_none_or(|value| value != "false");
                return false;
            }
            _ => return false,
        }
        true
    }

    /// Adds what `GOFLAGS` says where the command line is silent.
    pub fn add_defaults(&mut self, goflags: &str) {
        let words: Vec<OsString> =
            std::iter::once(self.command.clone()).chain(split_quoted(goflags)).map(OsString::from).collect();
        let defaults = Arguments::read(&words);
        self.module_mode = self.module_mode.take().or(defaults.module_mode);
        self.module_file = self.module_file.take().or(defaults.module_file);
        self.overlay = self.overlay.take().or(defaults.overlay);
        self.exec = self.exec.take().or(defaults.exec);
        self.trim_paths = self.trim_paths.or(defaults.trim_paths);
        self.json |= defaults.json;
        self.flags.splice(0..0, defaults.flags);
    }

    /// The folder in which the go command works.
    pub fn working_dir(&self, current: &Path) -> PathBuf {
        self.change_dir.as_ref().map_or_else(|| current.to_owned(), |dir| current.join(dir))
    }

    /// `go install example.com/cmd@latest`: the module graph is that package's own.
    pub fn is_outside_module(&self) -> bool {
        self.packages.iter().any(|package| package.contains('@') && !Path::new(package).exists())
    }

    /// Go files that are given instead of packages, seen from `dir`.
    pub fn files(&self, dir: &Path) -> Vec<PathBuf> {
        let files = self.packages.iter().filter(|word| word.ends_with(".go"));
        files.map(|file| crate::modfile::clean(&dir.join(file))).collect()
    }

    /// `rest` without the arguments of a program that is run.
    pub fn without_program(&self) -> &[OsString] {
        let last = self.packages.last().and_then(|last| self.rest.iter().position(|word| word == last.as_str()));
        match last {
            Some(last) if self.command == "run" => &self.rest[..=last],
            _ => &self.rest,
        }
    }
}

/// `go -C dir build …` is `go build -C dir …`.
pub fn command_first(arguments: &[OsString]) -> Vec<OsString> {
    let mut arguments = arguments.to_vec();
    let words = match arguments.first().map(|first| first.as_encoded_bytes()) {
        Some(b"-C" | b"--C") => 2,
        Some(first) if first.starts_with(b"-C=") || first.starts_with(b"--C=") => 1,
        _ => 0,
    };
    if words < arguments.len() {
        arguments[..=words].rotate_right(1);
    }
    arguments
}

fn text(argument: &OsStr) -> String {
    argument.to_string_lossy().into_owned()
}

/// The flag without its dashes.
fn flag_name(word: &str) -> Option<&str> {
    let name = word.strip_prefix('-')?;
    (!name.is_empty()).then(|| name.strip_prefix('-').unwrap_or(name))
}

/// Splits as the go command splits `GOFLAGS`: at white space, with whole fields in single or double quotes.
pub fn split_quoted(text: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (field, after) = match first {
            '\'' | '"' => rest[1..].split_once(first).unwrap_or((&rest[1..], "")),
            _ => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        fields.push(field.to_owned());
        rest = after.trim_start();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        Arguments::read(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn takes_out_only_what_the_weave_sets() {
        let arguments = read("build -C dir -o out -overlay=o.json -mod vendor -tags a,b ./... x");
        assert_eq!(arguments.rest, ["-o", "out", "-mod", "vendor", "-tags", "a,b", "./...", "x"]);
        assert_eq!(arguments.change_dir.as_deref(), Some(Path::new("dir")));
        assert_eq!(arguments.overlay.as_deref(), Some(Path::new("o.json")));
        assert_eq!(arguments.module_mode.as_deref(), Some("vendor"));
        assert_eq!(arguments.packages, ["./...", "x"]);
    }

    #[test]
    fn leaves_the_programs_arguments_alone() {
        let arguments = read("run -race ./cmd -overlay x");
        assert_eq!((arguments.overlay, arguments.rest.len(), arguments.packages.len()), (None, 4, 1));
        let arguments = read("run a.go b.go x.json -mod=mod");
        assert_eq!((arguments.module_mode, arguments.packages.len()), (None, 2));
        assert_eq!(read("run a.go -overlay=x").overlay, None);
        assert_eq!(read("build . -overlay=x").rest, [".", "-overlay=x"]);
        let arguments = read("test ./... -run X -overlay o -args -overlay p -C q");
        assert_eq!(arguments.overlay.as_deref(), Some(Path::new("o")));
        assert_eq!(arguments.change_dir, None);
        assert_eq!(read("build -v -C x").rest, ["-v", "-C", "x"]);
        assert_eq!(arguments.rest, ["./...", "-run", "X", "-args", "-overlay", "p", "-C", "q"]);
    }

    #[test]
    fn the_command_line_beats_goflags() {
        let mut arguments = read("build --modfile=a.mod");
        arguments.add_defaults("-modfile=b.mod '-overlay=my o.json' -mod=mod -exec=e -trimpath");
        assert_eq!(arguments.trim_paths, Some(true));
        assert_eq!(arguments.exec, None, "go build starts nothing");
        assert_eq!(arguments.module_file.as_deref(), Some(Path::new("a.mod")));
        assert_eq!(arguments.overlay.as_deref(), Some(Path::new("my o.json")));
        assert_eq!(arguments.module_mode.as_deref(), Some("mod"));
    }

    #[test]
    fn the_folder_may_stand_before_the_command() {
        let ordered = |line: &str| {
            let words = line.split(' ').map(OsString::from).collect::<Vec<_>>();
            command_first(&words).join(OsStr::new(" ")).into_string().expect("text")
        };
        assert_eq!(ordered("-C dir build -o x"), "build -C dir -o x");
        assert_eq!(ordered("--C=dir build"), "build --C=dir");
        for line in ["build -C dir", "-C dir", "-C", "help"] {
            assert_eq!(ordered(line), line);
        }
    }

    #[test]
    fn versions_leave_the_module() {
        assert!(read("install example.com/a@latest").is_outside_module());
        assert!(!read("install ./...").is_outside_module());
        assert_eq!(read("run -race a.com/x@v1.0.0 -race b@c").without_program(), ["-race", "a.com/x@v1.0.0"]);
    }
}
