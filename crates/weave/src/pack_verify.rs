//! `tandem packs verify`: for each published version of a library, or each Go at hand, where a pack's rules match or why
//! they do not. Nothing is compiled: the sources are woven in memory, and what came of it is kept in the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, Key, check_interrupted};
use crate::error::{WeaveError, at};
use crate::functions::FunctionRules;
use crate::go::{self, GoEnv};
use crate::goroot;
use crate::modules::{self, Around};
use crate::pack::{Pack, PackSet, Rule};
use crate::project::Module;
use crate::types::{Imported, ImportedModule};
use crate::version::ReleaseVersion;
use crate::weave::{self, Input, Outcome, PackageSource, RuleOf, RuleReport};

/// Where the cache keeps what came of each version.
const KIND: &str = "verify";
/// How many versions are fetched at a time: their sources are removed again before the next.
const BATCH: usize = 8;

/// Which versions are looked at: `FROM..TO`, both included, either may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionSpan {
    from: Option<ReleaseVersion>,
    to: Option<ReleaseVersion>,
}

impl VersionSpan {
    /// Reads `1.7..1.10`, `v1.9.1..`, `..1.10`, `1.9.1`; `1.10` as an end means all of 1.10.
    pub fn parse(text: &str) -> Result<VersionSpan, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let read = |text: &str| {
            let version = (!text.is_empty()).then(|| ReleaseVersion::parse(text));
            version.map(|version| {
                version.ok_or_else(|| format!("{text:?} is no version; versions are FROM..TO, as 1.7..1.10.2"))
            })
        };
        let is_short = to.matches('.').count() == 1;
        let to = read(to).transpose()?.map(|version| if is_short { version.last_patch() } else { version });
        Ok(VersionSpan { from: read(from).transpose()?, to })
    }

    fn contains(&self, version: &ReleaseVersion) -> bool {
        self.from.as_ref().is_none_or(|from| version >= from) && self.to.as_ref().is_none_or(|to| version <= to)
    }
}

/// One version, and what became of the pack's rules.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verified {
    /// `v1.9.1`, `go1.26.8`.
    pub version: String,
    /// In the order of the rules.
    pub reports: Vec<RuleReport>,
}

/// Looks at the versions in `span`, oldest first; `progress` is told of each that has to be fetched.
pub fn verify(pack: &Pack, span: &VersionSpan, progress: &dyn Fn(&str)) -> Result<Vec<Verified>, WeaveError> {
    let go = go::find_go()?;
    let cache = Cache::open()?;
    let scratch = cache.scratch()?;
    fs::write(scratch.path().join("go.mod"), "module tandem.invalid/verify\n\ngo 1.21\n")
        .map_err(at("write", scratch.path()))?;
    let env = GoEnv::read(&go, scratch.path())?;
    let verifier = Verifier { pack, go: &go, env: &env, cache: &cache, dir: scratch.path() };
    match &pack.module {
        Some(module) => verifier.module_versions(module, span, progress),
        None => verifier.go_versions(span),
    }
}

struct Verifier<'a> {
    pack: &'a Pack,
    go: &'a Path,
    env: &'a GoEnv,
    cache: &'a Cache,
    /// A folder with a go.mod of ours.
    dir: &'a Path,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    version: String,
    dir: Option<PathBuf>,
    error: Option<String>,
}

impl Verifier<'_> {
    fn rules(&self) -> Vec<RuleOf<'_>> {
        self.pack.rules.iter().map(|rule| RuleOf { pack: self.pack, rule }).collect()
    }

    /// Needs that another pack fulfils count as fulfilled.
    fn needed_elsewhere(&self) -> BTreeSet<String> {
        let own: BTreeSet<&str> = self.pack.rules.iter().map(|rule| rule.id.as_str()).collect();
        let needs = self.pack.rules.iter().flat_map(|rule| &rule.needs);
        needs.filter(|need| !own.contains(need.as_str())).cloned().collect()
    }

    fn module_versions(
        &self,
        module: &str,
        span: &VersionSpan,
        progress: &dyn Fn(&str),
    ) -> Result<Vec<Verified>, WeaveError> {
        let real_go = self.env.real_go()?;
        let mut done: BTreeMap<String, Vec<RuleReport>> = BTreeMap::new();
        let mut missing = Vec::new();
        let versions = self.published(module, span)?;
        for version in &versions {
            let parsed = ReleaseVersion::parse(version).expect("filtered by it");
            let is_meant = |rule: &Rule| rule.version.as_ref().is_none_or(|range| range.contains(&parsed));
            if !self.pack.rules.iter().any(is_meant) {
                // Needs no source: no rule is for it.
                done.insert(version.clone(), self.weave_module(module, version, &real_go.version, Path::new("")));
                continue;
            }
            match self.cache.kept(KIND, &self.name(module, version, &real_go.version_text)) {
                Some(reports) => _ = done.insert(version.clone(), reports),
                None => missing.push(version.clone()),
            }
        }
        for batch in missing.chunks(BATCH) {
            check_interrupted()?;
            progress(&format!("fetching {module} {}", batch.join(" ")));
            let folder = self.cache.scratch()?; // removed with the sources after each batch
            for downloaded in self.download(module, batch, folder.path())? {
                let Some(dir) = downloaded.dir.filter(|_| downloaded.error.is_none()) else {
                    let problem = downloaded.error.unwrap_or_default();
                    return Err(WeaveError::GoRefused { message: format!("tandem: {problem}"), code: 3 });
                };
                let reports = self.weave_module(module, &downloaded.version, &real_go.version, &dir);
                self.cache.keep(KIND, &self.name(module, &downloaded.version, &real_go.version_text), &reports)?;
                done.insert(downloaded.version, reports);
            }
        }
        let reports =
            |version: &String| Some(Verified { version: version.clone(), reports: done.get(version)?.clone() });
        Ok(versions.iter().filter_map(reports).collect())
    }

    /// The name under which what came of one version is kept.
    fn name(&self, source: &str, version: &str, go: &str) -> String {
        weave::rules_state(Key::new("verify").text(source).text(version).text(go), &self.rules()).name()
    }

    /// Releases in the span, oldest first; pre-releases are left out.
    fn published(&self, module: &str, span: &VersionSpan) -> Result<Vec<String>, WeaveError> {
        let output = self.go_command(&["list", "-m", "-versions", "-json", module], None)?;
        let listed: Listed =
            serde_json::from_slice(&output).map_err(|error| self.broken("list -m -versions", error.to_string()))?;
        let is_release = |version: &String| !version.contains('-');
        let is_in = |version: &String| ReleaseVersion::parse(version).is_some_and(|version| span.contains(&version));
        Ok(listed.versions.into_iter().filter(is_release).filter(is_in).collect())
    }

    fn download(&self, module: &str, versions: &[String], folder: &Path) -> Result<Vec<Downloaded>, WeaveError> {
        let modules: Vec<String> = versions.iter().map(|version| format!("{module}@{version}")).collect();
        let mut arguments = vec!["mod", "download", "-json"];
        arguments.extend(modules.iter().map(String::as_str));
        let output = self.go_command(&arguments, Some(folder))?;
        Ok(serde_json::Deserializer::from_slice(&output).into_iter().map_while(Result::ok).collect())
    }

    /// Runs the go command in a folder of ours; what it fetches goes to `module_cache`, else where it always goes.
    fn go_command(&self, arguments: &[&str], module_cache: Option<&Path>) -> Result<Vec<u8>, WeaveError> {
        let mut command = Command::new(self.go);
        command.args(arguments).current_dir(self.dir).env("GOWORK", "off").env("GOFLAGS", "-mod=mod -modcacherw");
        if let Some(folder) = module_cache {
            command.env("GOMODCACHE", folder);
        }
        let output = command.output().map_err(|error| self.broken(arguments[0], error.to_string()))?;
        if output.stdout.is_empty() && !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
            return Err(WeaveError::GoRefused { message, code: output.status.code().unwrap_or(1) as u8 });
        }
        Ok(output.stdout)
    }

    fn broken(&self, what: &str, problem: String) -> WeaveError {
        WeaveError::GoBroken { command: format!("{} {what}", self.go.display()), problem }
    }

    fn weave_module(&self, path: &str, version: &str, go: &ReleaseVersion, dir: &Path) -> Vec<RuleReport> {
        let set = PackSet { packs: vec![self.pack.clone()] };
        let module = Module {
            path: path.to_owned(),
            version: version.to_owned(),
            dir: dir.to_owned(),
            sum: String::new(),
            replacement: None,
        };
        let source = |target: &str| {
            modules::package_dir(&module, target).map(|dir| PackageSource { dir, ..PackageSource::default() })
        };
        let imported =
            Imported { root: PathBuf::from(self.env.get("GOROOT")), modules: vec![ImportedModule::fixed(&module)] };
        let around = Around { set: &set, go, imported: &imported, functions: &FunctionRules::default() };
        modules::weave_module(around, &module, &self.needed_elsewhere(), source).reports
    }

    fn go_versions(&self, span: &VersionSpan) -> Result<Vec<Verified>, WeaveError> {
        let mut found = Vec::new();
        for (version_text, root) in self.installed()? {
            let Some(version) = ReleaseVersion::parse(&version_text).filter(|version| span.contains(version)) else {
                continue;
            };
            let name = self.name(&root.to_string_lossy(), &version_text, &version_text);
            if let Some(reports) = self.cache.kept(KIND, &name) {
                found.push((version, Verified { version: version_text, reports }));
                continue;
            }
            let rules: Vec<RuleOf<'_>> =
                self.rules().into_iter().filter(|of| goroot::is_standard(&of.rule.target)).collect();
            let source = |target: &String| {
                let dir = root.join("src").join(target);
                dir.is_dir().then(|| (target.clone(), PackageSource { dir, ..PackageSource::default() }))
            };
            let input = Input {
                sources: rules.iter().filter_map(|of| source(&of.rule.target)).collect(),
                rules,
                go: &version,
                version_label: version_text.clone(),
                module_version: None,
                matched_elsewhere: self.needed_elsewhere(),
                imported: &Imported { root, modules: Vec::new() },
            };
            let reports = weave::weave(&input).reports;
            self.cache.keep(KIND, &name, &reports)?;
            found.push((version.clone(), Verified { version: version_text, reports }));
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found.into_iter().map(|(_, verified)| verified).collect())
    }

    /// The Go that is used here, and the toolchains that it has fetched, by version.
    fn installed(&self) -> Result<BTreeMap<String, PathBuf>, WeaveError> {
        let go = self.env.real_go()?;
        let mut found = BTreeMap::from([(go.version_text, go.root)]);
        let fetched = Path::new(self.env.get("GOMODCACHE")).join("golang.org");
        for entry in fs::read_dir(fetched).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix("toolchain@v0.0.1-").and_then(|rest| rest.rsplit_once('.'));
            if let Some((version, _)) = version.filter(|_| entry.path().join("src/runtime").is_dir()) {
                found.entry(version.to_owned()).or_insert(entry.path());
            }
        }
        Ok(found)
    }
}

/// Versions that follow each other with the same outcome for a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run<'a> {
    /// The first version.
    pub first: &'a str,
    /// The last one.
    pub last: &'a str,
    /// How many they are.
    pub count: usize,
    /// The outcome of the last one.
    pub outcome: &'a Outcome,
}

/// The runs of one rule; outcomes are the same when only places and versions differ.
pub fn runs<'a>(verified: &'a [Verified], rule: &str) -> Vec<Run<'a>> {
    let mut found: Vec<Run<'a>> = Vec::new();
    for version in verified {
        let Some(report) = version.reports.iter().find(|report| report.rule == rule) else { continue };
        let name = version.version.as_str();
        match found.last_mut().filter(|run| is_same(run, &report.outcome, name)) {
            Some(run) => {
                run.count += 1;
                (run.last, run.outcome) = (name, &report.outcome);
            }
            None => found.push(Run { first: name, last: name, count: 1, outcome: &report.outcome }),
        }
    }
    found
}

fn is_same(run: &Run<'_>, outcome: &Outcome, version: &str) -> bool {
    let without = |reason: &str, version: &str| reason.replace(version, "");
    match (run.outcome, outcome) {
        (Outcome::Matched { .. }, Outcome::Matched { .. })
        | (Outcome::OutOfRange { .. }, Outcome::OutOfRange { .. }) => true,
        (Outcome::NotFound { reason: a }, Outcome::NotFound { reason: b }) => {
            without(a, run.last) == without(b, version)
        }
        _ => false,
    }
}

/// `v1.5.0 to v1.10.1`, or one version.
pub fn span_text(run: &Run<'_>) -> String {
    if run.count == 1 { run.first.to_owned() } else { format!("{} to {}", run.first, run.last) }
}

/// The table that a pack carries: for each rule the versions where it holds, and those where it does not though it should.
pub fn markdown(pack: &Pack, verified: &[Verified]) -> String {
    let (first, last) = (verified.first(), verified.last());
    let between = match (first, last, &pack.module) {
        // Of Go only what was at hand was looked at: which versions those were is said.
        (Some(_), Some(_), None) => {
            verified.iter().map(|version| version.version.as_str()).collect::<Vec<_>>().join(", ")
        }
        (Some(first), Some(last), _) => format!("{} releases, {} to {}", verified.len(), first.version, last.version),
        _ => "no releases".to_owned(),
    };
    let what = pack.module.as_deref().unwrap_or("Go");
    let mut text = format!(
        "# {}: where each hook holds\n\nMade by `tandem packs verify` from the sources of {what}: {between}.\n\n",
        pack.name
    );
    text += "| rule | what it gives | holds | not meant for | does not match |\n|---|---|---|---|---|\n";
    for rule in &pack.rules {
        let runs = runs(verified, &rule.id);
        let cell = |wanted: &dyn Fn(&Outcome) -> bool| {
            let spans: Vec<String> = runs.iter().filter(|run| wanted(run.outcome)).map(span_text).collect();
            if spans.is_empty() { "-".to_owned() } else { spans.join(", ") }
        };
        let holds = cell(&|outcome| matches!(outcome, Outcome::Matched { .. }));
        let outside = cell(&|outcome| matches!(outcome, Outcome::OutOfRange { .. }));
        let missing = cell(&|outcome| matches!(outcome, Outcome::NotFound { .. } | Outcome::NotUsed { .. }));
        text += &format!(
            "| `{}` | {} | {holds} | {outside} | {missing} |\n",
            rule.id,
            rule.description.replace('|', "\\|")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let contains = |span: &str, version: &str| {
            VersionSpan::parse(span).expect("valid").contains(&ReleaseVersion::parse(version).expect("valid"))
        };
        assert!(contains("1.7..1.10", "v1.10.1") && contains("v1.9.1", "v1.9.1") && contains("1.21..", "go1.27.0"));
        assert!(!contains("1.7..1.10.0", "v1.10.1") && !contains("..1.6", "v1.7.0") && !contains("v1.9.1", "v1.9.2"));
        assert!(VersionSpan::parse("a..b").is_err());
    }
}
