//! Objects of the plain build in place of compilations that would make the same.
//!
//! What weaves a package changes its code, and go compiles every package again that imports it. But of an import the
//! compiler reads the export data alone. Where that is what it is in the plain build, the package's own source is not woven,
//! and its flags are those of every build, the object is the plain one with another build id: it is copied.
//!
//! Where plain objects lie, go itself is asked, at most once in a run, by the first compilation that may need one: `go list
//! -export` for the same command line, on the user's own tree. All tools that it would start refuse (`refuse` below), so that
//! what is not in go's cache is not made: with a cold cache the question costs no more than loading the packages. Nothing is
//! kept for another run, so nothing can be stale.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::arguments::Arguments;
use crate::goroot::Description;
use crate::object::{self, Object};
use crate::plan::Mapping;
use crate::tool;

/// The environment variable that names a run's folder for all of this.
pub const REUSE_VARIABLE: &str = "TANDEM_PLAIN";
/// The tool that refuses, below the root of a shadow tree.
pub const REFUSING_TOOL: &str = "libexec/refuse";

/// Files in a run's folder.
const QUESTION: &str = "question.json";
const ANSWER: &str = "answer";
const LOCK: &str = "lock";
/// The folder, beside an object that was copied, for what its assembler would make.
const ASSEMBLED: &str = "tandem.asm";

/// Between the fields of a record, and between the items of a list in it.
const FIELD: char = '\x01';
const ITEM: char = '\0';
/// What go says of each package.
const FORMAT: &str = "{{.ImportPath}}{{\"\\x01\"}}{{.Export}}{{\"\\x01\"}}{{.Dir}}{{\"\\x01\"}}{{join .CompiledGoFiles \"\\x00\"}}{{\"\\x01\"}}{{join .SFiles \"\\x00\"}}{{\"\\x01\"}}{{join .Imports \"\\x00\"}}";

/// Flags of the go command on which its flags for the compiler depend.
const PASSED_ON: [&str; 11] =
    ["asan", "asmflags", "buildmode", "gcflags", "installsuffix", "mod", "msan", "pgo", "race", "tags", "trimpath"];
/// With these nothing is reused: the person wants everything compiled, or by something else than we know.
const EXCLUDING: [&str; 8] = ["a", "compiler", "gccgoflags", "linkshared", "n", "pkgdir", "fuzz", "toolexec"];
/// The same of the environment: the compiler writes more than its object then.
const EXCLUDING_VARIABLES: [&str; 4] = ["GOCLOBBERDEADHASH", "GOSSAFUNC", "GOSSADIR", "GOCOMPILEDEBUG"];

/// How the plain go command is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    go: PathBuf,
    dir: PathBuf,
    arguments: Vec<String>,
    /// Folders outside of which it is not asked; none is everywhere.
    only_for: Option<Vec<PathBuf>>,
}

impl Question {
    /// The question for a command line; none where nothing may be reused.
    pub fn new(
        go: &Path,
        dir: &Path,
        arguments: &Arguments,
        packages: &[String],
        shadow_root: &Path,
    ) -> Option<Question> {
        let excludes = |(name, value): &(String, Option<String>)| match name.as_str() {
            "mod" => value.as_deref() == Some("mod"), // go may change go.mod
            name => EXCLUDING.contains(&name),
        };
        let is_excluded = arguments.is_outside_module() || arguments.flags.iter().any(excludes);
        let has_variable =
            EXCLUDING_VARIABLES.iter().any(|name| std::env::var_os(name).is_some_and(|set| !set.is_empty()));
        if is_excluded || has_variable {
            return None;
        }
        let refuse = shadow_root.join(REFUSING_TOOL);
        let refuse = refuse.to_str()?;
        let quote = ['\'', '"'].into_iter().find(|quote| !refuse.contains(*quote))?;
        let mut words: Vec<String> = ["list", "-e", "-export", "-compiled", "-deps"].map(str::to_owned).into();
        if matches!(arguments.command.as_str(), "test" | "vet") {
            words.push("-test".into());
        }
        words.extend([
            format!("-toolexec={quote}{refuse}{quote}"),
            "-buildvcs=false".into(),
            "-f".into(),
            FORMAT.into(),
        ]);
        let passed_on = arguments.flags.iter().filter(|(name, _)| PASSED_ON.contains(&name.as_str()));
        words.extend(passed_on.map(|(name, value)| match value {
            Some(value) => format!("-{name}={value}"),
            None => format!("-{name}"),
        }));
        for (name, file) in [("modfile", &arguments.module_file), ("overlay", &arguments.overlay)] {
            if let Some(file) = file {
                words.push(format!("-{name}={}", file.to_str()?));
            }
        }
        words.push("--".into());
        words.extend_from_slice(packages);
        Some(Question { go: go.to_owned(), dir: dir.to_owned(), arguments: words, only_for: None })
    }

    /// The same, of the packages in these folders alone. What is nobody's own is compiled where something new is woven; the
    /// user's own after every edit, too, when the question would cost more than it brings.
    pub fn only_for(self, folders: Vec<PathBuf>) -> Question {
        Question { only_for: Some(folders), ..self }
    }

    /// Puts it where the tools of a run find it.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        // A path that is not UTF-8 cannot be written down: then nothing is asked.
        fs::write(folder.join(QUESTION), serde_json::to_vec(self)?)
    }

    /// Asks; what go cannot say is an empty answer.
    fn ask(&self) -> Vec<u8> {
        let mut command = Command::new(&self.go);
        tool::as_outside(&mut command);
        command.args(&self.arguments).current_dir(&self.dir).env("PWD", &self.dir);
        command.env("GOPROXY", "off"); // what is not there is no plain build's
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
        output.map(|output| output.stdout).unwrap_or_default()
    }
}

/// The tool that refuses: it says what it is, from which go makes the names of what it made, and does nothing else.
pub fn refuse(arguments: &[OsString]) -> Option<Command> {
    let (program, arguments) = arguments.split_first()?;
    let asks_what_it_is = arguments.iter().any(|word| word == "-V=full" || word == "-###");
    asks_what_it_is.then(|| {
        let mut command = Command::new(program);
        command.args(arguments);
        command
    })
}

/// A package as go describes it.
struct Plain<'a> {
    import_path: &'a str,
    object: &'a Path,
    dir: &'a Path,
    files: Vec<&'a str>,
    assembly: Vec<&'a str>,
    imports: Vec<&'a str>,
}

impl Plain<'_> {
    /// Whether its object is in go's cache.
    fn is_made(&self) -> bool {
        !self.object.as_os_str().is_empty()
    }
}

/// The records of an answer; what is not whole is none.
fn read_answer(text: &str) -> impl Iterator<Item = Plain<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(FIELD);
        let (import_path, object, dir) = (fields.next()?, fields.next()?, fields.next()?);
        let mut list = || Some(fields.next()?.split(ITEM).filter(|item| !item.is_empty()).collect());
        let (files, assembly, imports) = (list()?, list()?, list()?);
        let (object, dir) = (Path::new(object), Path::new(dir));
        Some(Plain { import_path, object, dir, files, assembly, imports })
    })
}

/// A command line of the compiler, as the go command writes it for every build.
pub struct Compilation<'a> {
    /// The object that it writes.
    pub output: &'a Path,
    /// The object's build id.
    pub build_id: &'a str,
    import_config: &'a Path,
    /// Whether assembled parts will follow: it writes a header for them.
    is_assembled: bool,
    /// The package's files, the last of the words.
    pub files: Vec<&'a Path>,
}

impl<'a> Compilation<'a> {
    /// `None` for one with flags that are not known to follow from the package and the command line.
    pub fn read(words: &'a [OsString]) -> Option<Compilation<'a>> {
        let (mut output, mut build_id, mut import_config) = (None, None, None);
        let mut is_assembled = false;
        let mut words = words.iter().map(|word| word.to_str()).peekable();
        while let Some(flag) = words.next_if(|word| word.is_some_and(|word| word.starts_with('-'))).flatten() {
            match flag {
                "-o" => output = Some(Path::new(words.next()??)),
                "-buildid" => build_id = Some(words.next()??),
                "-importcfg" => import_config = Some(Path::new(words.next()??)),
                "-p" | "-trimpath" | "-goversion" | "-symabis" | "-embedcfg" | "-installsuffix" => {
                    words.next()??;
                }
                "-asmhdr" => {
                    words.next()??;
                    is_assembled = true;
                }
                "-std" | "-complete" | "-nolocalimports" | "-pack" => {}
                "-race" | "-msan" | "-asan" | "-shared" | "-dynlink" | "-N" | "-l" => {}
                flag if ["-lang=", "-c=", "-pgoprofile="].iter().any(|known| flag.starts_with(known)) => {}
                _ => return None,
            }
        }
        let files = words.map(|word| word.map(Path::new)).collect::<Option<Vec<&Path>>>()?;
        let (output, build_id, import_config) = (output?, build_id?, import_config?);
        (!files.is_empty()).then_some(Compilation { output, build_id, import_config, is_assembled, files })
    }

    /// go's folder for this package: objects, and source that was generated.
    pub fn work_dir(&self) -> &Path {
        self.output.parent().unwrap_or(Path::new("."))
    }
}

/// A compilation that may be answered by the plain build's object.
pub struct Reuse<'a> {
    /// The run's folder.
    pub folder: &'a Path,
    /// The shadow tree.
    pub root: &'a Path,
    /// What differs in it.
    pub description: &'a Description,
}

impl Reuse<'_> {
    /// The folder of the run that started us; none where nothing is reused.
    pub fn folder() -> Option<PathBuf> {
        std::env::var_os(REUSE_VARIABLE).filter(|folder| !folder.is_empty()).map(PathBuf::from)
    }

    /// Writes what the compiler would write, if the plain build has it; nothing otherwise. `mapping` reads the run's plan,
    /// which the standard library does not need.
    pub fn take(&self, words: &[OsString], mapping: impl FnOnce() -> Option<Mapping>) -> Option<()> {
        let compilation = Compilation::read(words)?;
        let is_generated = |file: &&&Path| file.starts_with(compilation.work_dir());
        let first = compilation.files.iter().find(|file| !is_generated(file))?;
        let question = self.question(first)?;
        let mapping = if first.starts_with(self.root) { None } else { Some(mapping()?) };
        let places = Places { root: self.root, description: self.description, mapping };
        let files: Vec<Source> = compilation
            .files
            .iter()
            .map(|file| match is_generated(&file) {
                true => places.generated(file).map(Source::Generated),
                false => places.plain(file).map(Source::Written),
            })
            .collect::<Option<_>>()?;
        let answer = answer(self.folder, &question).ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let packages: Vec<Plain<'_>> = read_answer(&answer).collect();
        let imports = fs::read_to_string(compilation.import_config).ok()?;
        let mut same = packages.iter().filter(|package| {
            package.is_made() && has_source(package, &files) && has_same_imports(package, &packages, &imports)
        });
        let package = same.next()?;
        let object = Object::read(package.object)?;
        let content = object.with_build_id(compilation.build_id)?;
        for other in same {
            // A package may be there several times: for tests, for programs with profiles. Ours must be like all of them.
            (Object::read(other.object)?.with_build_id(compilation.build_id)? == content).then_some(())?;
        }
        if compilation.is_assembled {
            take_assembled(&object, &package.assembly, compilation.work_dir())?;
        }
        fs::write(compilation.output, content).ok()
    }

    /// What is asked, where that may say something of the package with this file.
    fn question(&self, file: &Path) -> Option<Question> {
        let question: Question = serde_json::from_slice(&fs::read(self.folder.join(QUESTION)).ok()?).ok()?;
        let is_meant =
            question.only_for.as_ref().is_none_or(|folders| folders.iter().any(|folder| file.starts_with(folder)));
        is_meant.then_some(question)
    }

    /// The plain build's object of a woven package, which is made of `files` and sees the same imports; nothing where there
    /// are several that differ.
    pub fn plain_object(&self, compilation: &Compilation<'_>, files: &[PathBuf]) -> Option<Object> {
        let question = self.question(compilation.files.first()?)?;
        let answer = String::from_utf8(answer(self.folder, &question).ok()?).ok()?;
        let packages: Vec<Plain<'_>> = read_answer(&answer).collect();
        let files: Vec<Source> = files.iter().cloned().map(Source::Written).collect();
        let imports = fs::read_to_string(compilation.import_config).ok()?;
        let mut same = packages.iter().filter(|package| {
            package.is_made() && has_source(package, &files) && sees_the_same(package, &packages, &imports)
        });
        let object = Object::read(same.next()?.object)?;
        let content = object.with_build_id(compilation.build_id)?;
        same.all(|other| {
            let other = Object::read(other.object).and_then(|other| other.with_build_id(compilation.build_id));
            other.is_some_and(|other| other == content)
        })
        .then_some(object)
    }
}

/// A source file of a compilation.
enum Source {
    /// By its path in the plain build.
    Written(PathBuf),
    /// By its text in the plain build; it comes from cgo.
    Generated(Vec<u8>),
}

/// Whether a package is made of exactly these files, in this order.
fn has_source(package: &Plain<'_>, files: &[Source]) -> bool {
    let is_same = |name: &str, source: &Source| match source {
        Source::Written(path) => package.dir.join(name) == *path,
        // What go keeps of generated source has another name.
        Source::Generated(text) => Path::new(name).is_absolute() && fs::read(name).is_ok_and(|plain| plain == *text),
    };
    package.files.len() == files.len()
        && files.iter().any(|source| matches!(source, Source::Written(_)))
        && package.files.iter().zip(files).all(|(name, source)| is_same(name, source))
}

/// Whether all that a compilation may import looks as it does to the plain build's.
fn has_same_imports(package: &Plain<'_>, packages: &[Plain<'_>], config: &str) -> bool {
    let made = packages.iter().filter(|package| package.is_made());
    let objects: BTreeMap<&str, &Path> = made.map(|package| (package.import_path, package.object)).collect();
    // `path [for a test]` is what a package that is made for a test imports under the plain name.
    let imports = package.imports.iter().filter_map(|import| {
        let name = import.split_once(" [").map_or(*import, |(name, _)| name);
        Some((name, *objects.get(import)?))
    });
    let imports: BTreeMap<&str, &Path> = imports.collect();
    config
        .lines()
        .filter_map(|line| line.strip_prefix("packagefile ")?.split_once('='))
        .all(|(import, file)| imports.get(import).is_some_and(|plain| object::same_exports(plain, Path::new(file))))
}

/// Whether all that the plain package imports looks as in its build.
fn sees_the_same(package: &Plain<'_>, packages: &[Plain<'_>], config: &str) -> bool {
    let lines = config.lines().filter_map(|line| line.strip_prefix("packagefile ")?.split_once('='));
    let ours: BTreeMap<&str, &str> = lines.collect();
    package.imports.iter().filter(|import| !matches!(**import, "unsafe" | "C")).all(|import| {
        let plain = packages.iter().find(|package| package.import_path == *import && package.is_made());
        let name = import.split_once(" [").map_or(*import, |(name, _)| name);
        matches!((plain, ours.get(name)), (Some(plain), Some(ours)) if object::same_exports(plain.object, Path::new(ours)))
    })
}

/// Puts aside what the assembler would make of the package; it needs the compiler's header for that, which an object does
/// not hold. All or nothing.
fn take_assembled(object: &Object, files: &[&str], work_dir: &Path) -> Option<()> {
    let folder = work_dir.join(ASSEMBLED);
    fs::create_dir(&folder).ok()?;
    let mut is_whole = !files.is_empty();
    for file in files {
        let name = format!("{}.o", file.strip_suffix(".s").unwrap_or(file));
        let part = object.assembled(&name);
        is_whole &= part.is_some_and(|part| fs::write(folder.join(&name), part).is_ok());
    }
    if !is_whole {
        fs::remove_dir_all(&folder).ok()?;
    }
    is_whole.then_some(())
}

/// What the assembler would write to `output`, of a package whose object was copied.
pub fn assembled(output: &Path) -> Option<PathBuf> {
    let aside = output.parent()?.join(ASSEMBLED).join(output.file_name()?);
    aside.is_file().then_some(aside)
}

/// go's answer; asked for by whoever comes first.
fn answer(folder: &Path, question: &Question) -> io::Result<Vec<u8>> {
    let place = folder.join(ANSWER);
    if let Ok(answer) = fs::read(&place) {
        return Ok(answer);
    }
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if let Ok(answer) = fs::read(&place) {
        return Ok(answer);
    }
    let answer = question.ask();
    let unfinished = folder.join("unfinished");
    fs::write(&unfinished, &answer)?;
    fs::rename(unfinished, place)?;
    Ok(answer)
}

/// Where files of the shadow tree and of woven modules lie in the plain build.
struct Places<'a> {
    root: &'a Path,
    description: &'a Description,
    mapping: Option<Mapping>,
}

impl Places<'_> {
    /// What cgo would write for the plain package: the lines that it names are those of its tree.
    fn generated(&self, file: &Path) -> Option<Vec<u8>> {
        let text = fs::read(file).ok()?;
        let (shadow, real) = (self.root.to_str()?, self.description.real_root.to_str()?);
        match String::from_utf8(text) {
            Ok(text) => Some(text.replace(&format!("//line {shadow}/"), &format!("//line {real}/")).into_bytes()),
            Err(error) => Some(error.into_bytes()),
        }
    }

    /// The plain file; `None` in a package with anything woven or added.
    fn plain(&self, file: &Path) -> Option<PathBuf> {
        if let Ok(below) = file.strip_prefix(self.root) {
            let is_plain = !is_changed(below.parent()?, self.description.files.keys());
            return is_plain.then(|| self.description.real_root.join(below));
        }
        let mapping = self.mapping.as_ref()?;
        let in_module_cache =
            mapping.module_cache.as_ref().and_then(|cache| Some(cache.real.join(file.strip_prefix(&cache.dir).ok()?)));
        for shadow in &mapping.modules {
            let Some(below) = shadow.dir.as_ref().and_then(|dir| file.strip_prefix(dir).ok()) else { continue };
            // In the place of a `replace` line even what is not woven comes out otherwise: its folder is another.
            return in_module_cache.filter(|_| !is_changed(below.parent().unwrap_or(below), shadow.files.keys()));
        }
        // Anything else in the cache stands for some other file.
        in_module_cache.or_else(|| (!file.starts_with(&mapping.cache_root)).then(|| file.to_owned()))
    }
}

fn is_changed<'a>(folder: &Path, mut changed: impl Iterator<Item = &'a PathBuf>) -> bool {
    changed.any(|file| file.parent() == Some(folder))
}
