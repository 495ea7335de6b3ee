//! What is known: from the store, from programs that run and their files, from the project.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ::query::{Field, Query, Term};
use advise::{Configuration, Dormant, Facts, KnownOperation, KnownPack, Module, PackState, Program, Sample};
use agent::programs::{self, Choice};
use gobin::Binary;
use model::{Kind, Span, Value};
use record::FunctionNumber;
use store::{ProfileFilter, Reader, TraceFilter};
use weave::pack::{Pack, PackSet, SpanKind};
use weave::{WeaveError, pack_source};

/// Traces that are looked at in one go.
const MOST_TRACES: usize = 3000;
/// Spans, too.
const MOST_SPANS: u64 = 300_000;
/// Samples, too.
const MOST_SAMPLES: usize = 500_000;

/// The project whose `tandem.yaml` is to be changed.
pub struct Project {
    /// The file, whether there is one or not.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
    configuration: Configuration,
    packs: PackSet,
}

impl Project {
    /// The one that a folder is in. Where there is no go command, or no module, there are still the packs of this tandem.
    pub fn read(folder: &Path) -> Result<Self, WeaveError> {
        let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        if weave::go::find_go().is_err() {
            return Ok(Self { file: folder.join("tandem.yaml"), ..Self::unknown()? });
        }
        let (packs, project, configuration) = pack_source::known_in(&folder)?;
        let file = project.root.join("tandem.yaml");
        let text = read(&file).unwrap_or_default();
        let below_root = |dir: &Path| match dir.strip_prefix(&project.root) {
            Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
            Ok(below) => below.display().to_string(),
            Err(_) => dir.display().to_string(),
        };
        let modules = project.own_modules.iter().map(|(path, dir)| (path.clone(), below_root(dir))).collect();
        let disable = configuration.disable.into_iter().collect();
        Ok(Self { file, configuration: Configuration { modules, text: text.clone(), disable }, text, packs })
    }

    /// None: there are the packs of this tandem.
    pub fn unknown() -> Result<Self, WeaveError> {
        let file = PathBuf::from("tandem.yaml");
        Ok(Self { file, text: String::new(), configuration: Configuration::default(), packs: PackSet::load(&[])? })
    }
}

/// The text of a file; none is empty.
pub fn read(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// What was found.
pub struct Gathered {
    pub facts: Facts,
    /// There are more traces.
    pub is_cut: bool,
}

/// Everything since a moment, of a service's traces or of all.
pub fn gather(store: &Path, project: &Project, service: Option<&str>, since: u64) -> anyhow::Result<Gathered> {
    let reader = Reader::open(store)?;
    let filter = TraceFilter {
        query: service.map_or_else(Query::default, |service| Term::equals(Field::Service, service).into()),
        since_unix_nano: Some(since),
        limit: MOST_TRACES,
        ..TraceFilter::default()
    };
    let found = reader.traces(&filter)?;
    let whole = reader.whole(&found, MOST_SPANS)?;
    let is_cut = found.len() == MOST_TRACES || whole.len() < found.len();
    let mut traces: Vec<Vec<Span>> = whole.into_iter().map(|trace| trace.spans).collect();
    let samples = reader.profile(&ProfileFilter {
        service: service.map(str::to_owned),
        since_unix_nano: Some(since),
        limit: MOST_SAMPLES,
        ..ProfileFilter::default()
    })?;
    let mut samples: Vec<Sample> = samples.into_iter().map(Sample::from).collect();

    let edited: BTreeSet<&str> =
        project.packs.packs.iter().flat_map(|pack| &pack.rules).map(|rule| rule.target.as_str()).collect();
    let mut files = Files { edited, known: HashMap::new() };
    let (mut programs, starts) = running(&mut files);
    // What was seen of a former process of a program that runs tells of an older build.
    let is_old = |service: &str, time: u64| starts.get(service).is_some_and(|start| time < *start);
    traces.retain(|spans| !spans.iter().any(|span| is_old(&span.service, span.start_unix_nano)));
    samples.retain(|sample| !is_old(&sample.service, sample.sample.time_unix_nano));
    programs.extend(ended(&mut files, &traces, &programs));

    let mut facts = Facts {
        traces,
        samples,
        programs,
        packs: project.packs.packs.iter().map(known_pack).collect(),
        configuration: project.configuration.clone(),
        now_unix_nano: crate::traces::ago(0),
    };
    facts.bound();
    Ok(Gathered { facts, is_cut })
}

/// Woven programs that run and may be looked at, and when the first of each service started, ns since 1970.
fn running(files: &mut Files<'_>) -> (Vec<Program>, BTreeMap<String, u64>) {
    let mut starts: BTreeMap<String, u64> = BTreeMap::new();
    let mut found = Vec::new();
    let clock = agent::clock::Clock::default();
    for running in programs::find(&Choice::All).unwrap_or_default() {
        let Some(functions) = running.functions else { continue };
        let start = clock.unix(functions.header().start).0;
        let first = starts.entry(running.service.clone()).or_insert(start);
        *first = start.min(*first);
        let on: HashMap<FunctionNumber, u64> =
            functions.active().into_iter().map(|active| (active.number, active.calls)).collect();
        let dormant = functions.all().into_iter().map(|function| Dormant {
            on: on.contains_key(&function.number),
            calls: on.get(&function.number).copied().unwrap_or(0),
            import_path: function.import_path,
            package: function.package,
            name: function.name,
        });
        let operations = functions.operations().into_iter();
        let operations = operations.map(|operation| KnownOperation { id: operation.id, on: operation.on });
        found.push(Program {
            pid: Some(running.pid),
            start_unix_nano: start,
            service: running.service,
            dormant: dormant.collect(),
            operations: operations.collect(),
            ..files.program(Path::new(&format!("/proc/{}/exe", running.pid)))
        });
    }
    (found, starts)
}

/// Programs of other services whose files are still there.
fn ended(files: &mut Files<'_>, traces: &[Vec<Span>], running: &[Program]) -> Vec<Program> {
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for span in traces.iter().flatten() {
        let path = span.resource.attributes.get("process.executable.path");
        if let (Some(Value::String(path)), false) = (path, running.iter().any(|one| one.service == span.service)) {
            seen.insert((span.service.clone(), path.clone()));
        }
    }
    let is_there = |(_, path): &(String, String)| Path::new(path).is_absolute() && Path::new(path).is_file();
    let there = seen.into_iter().filter(is_there);
    there.map(|(service, path)| Program { service, ..files.program(Path::new(&path)) }).collect()
}

/// What files of programs say; each is read once.
struct Files<'a> {
    /// Packages that packs edit.
    edited: BTreeSet<&'a str>,
    known: HashMap<PathBuf, Program>,
}

impl Files<'_> {
    fn program(&mut self, path: &Path) -> Program {
        let real = fs::read_link(path).unwrap_or_else(|_| path.to_owned());
        if let Some(known) = self.known.get(&real) {
            return known.clone();
        }
        let program = self.read(path).unwrap_or_default();
        self.known.insert(real, program.clone());
        program
    }

    fn read(&self, path: &Path) -> Option<Program> {
        let binary = Binary::open(path).ok()?;
        let build = binary.build();
        let manifest = build.manifest().ok().flatten();
        let module =
            |module: &gobin::Module| Module { path: module.path.clone(), version: module.effective().version.clone() };
        let of_pack = |pack: &gobin::manifest::Pack| PackState {
            name: pack.name.clone(),
            woven: pack.join_points.iter().map(|point| point.id.clone()).collect(),
            left: pack.left.iter().map(|left| (left.id.clone(), left.reason.clone())).collect(),
        };
        Some(Program {
            main_package: build.path.clone(),
            main_module: build.main.as_ref().map(|main| main.path.clone()).unwrap_or_default(),
            modules: build.dependencies.iter().map(module).collect(),
            packages: self
                .edited
                .iter()
                .filter(|package| binary.has_package(package))
                .map(|&package| package.to_owned())
                .collect(),
            is_current: manifest.as_ref().is_some_and(|manifest| manifest.weave == weave::weave_version()),
            spans: manifest.iter().flat_map(|manifest| &manifest.spans).map(|span| span.name.clone()).collect(),
            dormant_packages: manifest
                .iter()
                .flat_map(|manifest| &manifest.functions)
                .filter(|functions| functions.count > 0)
                .map(|functions| functions.package.clone())
                .collect(),
            owned: manifest.map(|manifest| manifest.packs.iter().map(of_pack).collect()),
            ..Program::default()
        })
    }
}

fn known_pack(pack: &Pack) -> KnownPack {
    let kind = |kind: SpanKind| match kind {
        SpanKind::Internal => Kind::Internal,
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
        SpanKind::Producer => Kind::Producer,
        SpanKind::Consumer => Kind::Consumer,
    };
    KnownPack {
        name: pack.name.clone(),
        module: pack.module.clone(),
        rules: pack.rules.iter().filter(|rule| !rule.off).map(|rule| (rule.id.clone(), rule.target.clone())).collect(),
        spans: pack
            .spans
            .iter()
            .map(|spans| (spans.scope.clone(), kind(spans.kind), spans.operations.clone()))
            .collect(),
    }
}
