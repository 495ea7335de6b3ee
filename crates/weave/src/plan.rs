//! From a command line to everything that a woven run of the go command needs: the shadow GOROOT, woven modules, the
//! overlay, and the flags that point the go command at them.
//!
//! The plan is written into the cache too; the wrapped tools read it there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::arguments::Arguments;
use crate::cache::{self, Cache, InUse, Key};
use crate::error::{WeaveError, at};
use crate::functions::{DormantFunction, FunctionRule, FunctionRules};
use crate::go::GoEnv;
use crate::goroot::{self, RealGo, ShadowRoot, write_new};
use crate::modfile::{self, Replacement};
use crate::modules::{self, Around, ShadowModule};
use crate::overlay::{Given, Overlay, OverlayFile, OwnSpan, RuleEdits, UserOverlay};
use crate::pack::{self, PackSet, Rule};
use crate::pack_source::Searcher;
use crate::project::{self, Layout, Module, Project};
use crate::reuse::Question;
use crate::trimmed;
use crate::types::{Imported, ImportedModule};
use crate::versioned::{self, ModuleCache};
use crate::weave::{self, Input, Outcome, RuleOf, RuleReport};

/// The environment variable by which the wrapped tools find the plan.
pub const PLAN_VARIABLE: &str = "TANDEM_PLAN";

/// The folder of the cache that holds a mark for each command line that has been built.
const BUILT: &str = "built";

/// What the wrapped tools and the output filter must know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mapping {
    /// The real GOROOT.
    pub real_root: PathBuf,
    /// The shadow GOROOT.
    pub shadow_root: PathBuf,
    /// The cache folder.
    pub cache_root: PathBuf,
    /// Woven modules.
    pub modules: Vec<ShadowModule>,
    /// The module cache in which they lie, where no go.mod leads to them.
    pub module_cache: Option<ModuleCache>,
    /// Overlay files by the path they stand for.
    pub overlay: BTreeMap<PathBuf, OverlayFile>,
    /// Copies of go.mod and go.work, and what they stand for.
    pub manifests: BTreeMap<PathBuf, PathBuf>,
    /// All rules and what became of them.
    pub reports: Vec<RuleReport>,
    /// The user's own spans.
    pub spans: Vec<OwnSpan>,
    /// How many functions are woven dormant, by import path.
    pub dormant: BTreeMap<String, usize>,
}

impl Mapping {
    /// The woven folder that a file of a third-party module lies in, and the real one.
    pub fn module_place(&self, file: &Path) -> Option<(&Path, &Path)> {
        let places =
            self.modules.iter().filter_map(|shadow| Some((shadow.dir.as_deref()?, shadow.module.dir.as_path())));
        let caches = self.module_cache.iter().map(|cache| (cache.dir.as_path(), cache.real.as_path()));
        caches.chain(places).find(|(woven, _)| file.starts_with(woven))
    }
}

/// Everything for one run.
#[derive(Debug)]
pub struct Plan {
    /// Paths and their meaning.
    pub mapping: Mapping,
    /// Where `mapping` is written.
    pub file: PathBuf,
    /// Paths of the user's modules.
    pub own_modules: Vec<String>,
    /// `go1.26.8`.
    pub go_version: String,
    /// Flags that come first after the sub-command.
    pub flags: Vec<OsString>,
    /// `-exec`, with the user's in it.
    pub exec_flag: Option<OsString>,
    /// `GOWORK`, where it is not the user's.
    pub work_file: Option<PathBuf>,
    /// One line each, without `tandem: warning: `.
    pub warnings: Vec<String>,
    /// Files of the shadow GOROOT that are not the real ones', by path below it.
    woven_in_root: BTreeSet<PathBuf>,
    /// Functions that `functions:` means, and what became of them.
    pub functions: Vec<(PathBuf, DormantFunction)>,
    /// Keeps the entries in the cache while the run goes on.
    _in_use: Option<InUse>,
    /// Removed when the run is over: manifests that the go command may write.
    _scratch: Option<tempfile::TempDir>,
    /// The same: what the wrapped tools find out about the plain build.
    reuse: Option<tempfile::TempDir>,
    /// `go env GOMODCACHE`.
    real_module_cache: PathBuf,
    /// The name under which it is kept that this was built, whatever the sources said; none when it is known.
    first_build: Option<String>,
}

/// What `tandem.yaml` says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Packs: folders, relative to the file, and Go modules.
    #[serde(default)]
    pub packs: Vec<String>,
    /// Rules that are off by default and woven all the same, by themselves or with their pack.
    #[serde(default)]
    pub enable: Vec<String>,
    /// Packs and rules that are left out.
    #[serde(default)]
    pub disable: Vec<String>,
    /// Functions that are woven dormant.
    #[serde(default)]
    functions: Vec<FunctionRule>,
    /// Whether programs can send their spans themselves; absent: those that have net/http can.
    pub standalone: Option<bool>,
}

/// The pack by which programs can send their spans themselves.
pub const STANDALONE_PACK: &str = "standalone";

impl Configuration {
    /// Reads the file in the project's root; none is an empty one.
    pub fn read(root: &Path) -> Result<Configuration, WeaveError> {
        let path = root.join("tandem.yaml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Configuration::default()),
            Err(error) => return Err(at("read", &path)(error)),
        };
        if text.trim().is_empty() {
            return Ok(Configuration::default());
        }
        serde_saphyr::from_str(&text).map_err(|error| WeaveError::configuration(&path, text.clone(), &error))
    }
}

/// Makes the plan for `arguments`, run in `dir`.
pub fn make(go_command: &Path, arguments: &Arguments, env: &GoEnv, dir: &Path) -> Result<Plan, WeaveError> {
    let cache = Cache::open()?;
    let versioned = match arguments.is_outside_module() {
        true => versioned::resolve(go_command, arguments, env, &cache, dir)?,
        false => None,
    };
    let is_newer = |root: &Path| root != Path::new(env.get("GOROOT")) && root.join("bin/go").is_file();
    let newer = versioned.as_ref().filter(|found| is_newer(&found.root));
    let newer = newer.map(|found| GoEnv::read_in(&found.root, dir)).transpose()?;
    let env = newer.as_ref().unwrap_or(env);
    let go = env.real_go()?;
    let project = Project::read(env, arguments, dir);
    let searcher = Searcher { go: go_command, env, cache: &cache, project: &project, dir };
    let configuration = Configuration::read(&project.root)?;
    let set = searcher.packs(&configuration)?;

    let wrapper = std::env::current_exe().map_err(at("find", Path::new("tandem")))?;
    let (own_rules, standard_rules) = rules_without_module(&set, &project);
    let user = match &arguments.overlay {
        Some(file) => UserOverlay::read(file, dir),
        None => Some(UserOverlay::default()),
    };
    let is_broken_overlay = user.is_none();
    let user = user.unwrap_or_default();
    let shadow = ShadowRoot::get(&cache, &go, &standard_rules, &user, &wrapper)?;
    let mut draft = Draft { reports: shadow.description.reports.clone(), ..Draft::default() };

    let functions = FunctionRules::new(configuration.functions, &project.root);
    let packed: BTreeSet<&str> = set.packs.iter().filter_map(|pack| pack.module.as_deref()).collect();
    let types = set.packages_of_types();
    let mentioned = match &versioned {
        _ if functions.is_empty() && types.is_empty() => BTreeSet::new(),
        Some(resolution) => resolution.modules.iter().map(|module| module.path.clone()).collect(),
        None => project.mentioned(),
    };
    let has_type = |module: &str| types.iter().any(|path| is_in_module(path, module));
    let is_asked_for = |module: &&str| !functions.of_module(module).is_empty() || has_type(module);
    let wanted: BTreeSet<&str> =
        packed.iter().copied().chain(mentioned.iter().map(String::as_str).filter(is_asked_for)).collect();
    let mut known: Vec<Module> = match &versioned {
        Some(resolution) => resolution.modules.clone(),
        None => project.modules(go_command, env, &cache, &wanted, dir)?,
    };
    known.retain(|module| wanted.contains(module.path.as_str()));
    let is_vendored = matches!(project.layout, Layout::Vendor(_));
    let imported = imported(&go, &project, &known, is_vendored);
    let is_overlaid = |module: &Module| module.is_local() || is_vendored;
    let has_functions = |module: &Module| !functions.of_module(&module.path).is_empty();
    let overlaid = known.iter().filter(|module| is_overlaid(module) && has_functions(module));
    let overlaid: Vec<_> = overlaid.map(|module| (module.path.clone(), module.dir.clone())).collect();
    let is_woven =
        |module: &Module| packed.contains(module.path.as_str()) || (!is_overlaid(module) && has_functions(module));
    let mut found: Vec<Module> = known.into_iter().filter(is_woven).collect();
    found.extend(project.own_modules_of(&packed));
    modules::in_order_of_need(&set, &mut found);
    let around = Around { set: &set, go: &go.version, imported: &imported, functions: &functions };
    for module in &found {
        draft.add_module(&cache, around, &project, &user, module)?;
    }
    if let Some(resolution) = &versioned {
        let real = Path::new(env.get("GOMODCACHE"));
        draft.module_cache = versioned::module_cache(&cache, real, resolution, &mut draft.shadow_modules)?;
    }
    let takes_from_module_cache = matches!(project.layout, Layout::Module | Layout::Workspace);
    if arguments.trim_paths == Some(true) && takes_from_module_cache {
        let real = Path::new(env.get("GOMODCACHE"));
        draft.module_cache = trimmed::module_cache(&cache, real, &mut draft.shadow_modules)?;
    }
    let missing = packed.iter().filter(|path| !found.iter().any(|module| module.path == **path));
    for of in missing.flat_map(|path| modules::rules_for(&set, path)) {
        let reason = format!("{} is not needed by this program", of.pack.module.as_deref().unwrap_or_default());
        draft.reports.push(weave::report(of, Outcome::NotUsed { reason }));
    }
    draft.pass_on_unused(&set);
    draft.add_own_packages(&cache, around, &project, &user, own_rules)?;

    let mut walked = project.own_folders.clone();
    walked.extend(overlaid.into_iter().filter(|(_, dir)| !project.own_folders.iter().any(|(_, own)| own == dir)));
    let in_cache = draft.shadow_modules.iter().flat_map(|shadow| &shadow.functions);
    let given = Given {
        files: &arguments.files(dir),
        standalone: configuration.standalone == Some(true),
        dependencies: &in_cache.map(|(import_path, ..)| import_path.clone()).collect(),
    };
    let mut overlay = Overlay::build(&cache, &user, &walked, &given, &draft.rule_edits, &functions)?;
    if project::is_garbled(env) {
        let problem = "the path of this module is not UTF-8; only the standard library is woven";
        overlay.warnings.push(format!("{}: {problem}", dir.display()));
    }
    let mut plan = draft.finish(&cache, &go, &project, arguments, user, overlay, shadow)?;
    plan.real_module_cache = PathBuf::from(env.get("GOMODCACHE"));
    if is_broken_overlay {
        // The go command takes the last one, and refuses it in its own words.
        plan.flags.extend(arguments.overlay.as_ref().map(|file| flag("overlay", file)));
    }
    Ok(plan)
}

/// Rules of packs without `module:` — for the user's own packages, and for the standard library.
fn rules_without_module<'a>(set: &'a PackSet, project: &Project) -> (Vec<RuleOf<'a>>, Vec<RuleOf<'a>>) {
    let packs = set.packs.iter().filter(|pack| pack.module.is_none());
    let rules = packs.flat_map(|pack| pack.rules.iter().map(move |rule| RuleOf { pack, rule }));
    let is_own = |target: &str| own_package_dir(project, pack::below(target).unwrap_or(target)).is_some();
    rules.partition(|of| is_own(&of.rule.target) || !goroot::is_standard(&of.rule.target))
}

/// Whether an import path is one of the module's.
fn is_in_module(import_path: &str, module: &str) -> bool {
    import_path.strip_prefix(module).is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

/// Where the packages lie that woven ones may import.
fn imported(go: &RealGo, project: &Project, known: &[Module], is_vendored: bool) -> Imported {
    let own = project.own_folders.iter();
    let own = own.map(|(path, dir)| ImportedModule { path: path.clone(), dir: dir.clone(), is_fixed: false });
    let known = known
        .iter()
        .map(|module| ImportedModule { is_fixed: !module.is_local() && !is_vendored, ..ImportedModule::fixed(module) });
    Imported { root: go.root.clone(), modules: own.chain(known).collect() }
}

fn own_package_dir(project: &Project, import_path: &str) -> Option<PathBuf> {
    project.own_folders.iter().find_map(|(module, dir)| {
        let below = import_path.strip_prefix(module.as_str())?;
        (below.is_empty() || below.starts_with('/')).then(|| dir.join(below.trim_start_matches('/')))
    })
}

/// What is collected before the flags are known.
#[derive(Default)]
struct Draft {
    reports: Vec<RuleReport>,
    shadow_modules: Vec<ShadowModule>,
    module_cache: Option<ModuleCache>,
    rule_edits: RuleEdits,
}

impl Draft {
    fn matched(&self) -> BTreeSet<String> {
        let is_matched = |report: &&RuleReport| matches!(report.outcome, Outcome::Matched { .. });
        self.reports.iter().filter(is_matched).map(|report| report.rule.clone()).collect()
    }

    /// What needs a rule of a module that the program has no use for is of no use to it either: nothing is lost.
    fn pass_on_unused(&mut self, set: &PackSet) {
        let is_unused = |report: &&RuleReport| matches!(report.outcome, Outcome::NotUsed { .. });
        let unused: BTreeSet<String> =
            self.reports.iter().filter(is_unused).map(|report| report.rule.clone()).collect();
        let rules: BTreeMap<&str, &Rule> =
            set.packs.iter().flat_map(|pack| &pack.rules).map(|rule| (rule.id.as_str(), rule)).collect();
        for report in &mut self.reports {
            let needs = rules.get(report.rule.as_str()).map(|rule| rule.needs.as_slice()).unwrap_or_default();
            let need = needs.iter().find(|need| unused.contains(*need));
            if let (Outcome::NotFound { .. }, Some(need)) = (&report.outcome, need) {
                report.outcome =
                    Outcome::NotUsed { reason: format!("needs {need}, which this program has no use for") };
            }
        }
    }

    fn add_module(
        &mut self,
        cache: &Cache,
        around: Around<'_>,
        project: &Project,
        user: &UserOverlay,
        module: &Module,
    ) -> Result<(), WeaveError> {
        let Around { set, go, imported, .. } = around;
        let matched = self.matched();
        if !module.is_local() && !matches!(project.layout, Layout::Vendor(_)) {
            let shadow = ShadowModule::get(cache, around, module, &matched)?;
            self.reports.extend(shadow.reports.iter().cloned());
            self.shadow_modules.push(shadow);
            return Ok(());
        }
        let rules = modules::rules_for(set, &module.path);
        let source = |target: &str| modules::package_dir(module, target).map(|dir| user.package(&dir));
        let targets = modules::targets(&rules, &[(module.path.clone(), module.dir.clone())]);
        let sources = targets.iter().filter_map(|target| Some((target.clone(), source(target)?))).collect();
        let key =
            Key::new("overlaid module").text(format!("{module:?}")).text(go.to_string()).text(format!("{matched:?}"));
        let key = imported.state(weave::rules_state(key, &rules), &rules);
        let make = || modules::weave_module(around, module, &matched, source);
        self.reports.extend(self.rule_edits.add(cache, key, &sources, make)?);
        Ok(())
    }

    fn add_own_packages(
        &mut self,
        cache: &Cache,
        around: Around<'_>,
        project: &Project,
        user: &UserOverlay,
        rules: Vec<RuleOf<'_>>,
    ) -> Result<(), WeaveError> {
        if rules.is_empty() {
            return Ok(());
        }
        let Around { go, imported, .. } = around;
        let source =
            |target: &str| own_package_dir(project, target).filter(|dir| dir.is_dir()).map(|dir| user.package(&dir));
        let targets = modules::targets(&rules, &project.own_folders);
        let sources: BTreeMap<_, _> =
            targets.iter().filter_map(|target| Some((target.clone(), source(target)?))).collect();
        let matched_elsewhere = self.matched();
        let key = Key::new("own packages").text(go.to_string()).text(format!("{matched_elsewhere:?}"));
        let key = imported.state(weave::rules_state(key, &rules), &rules);
        let input = Input {
            rules,
            sources: sources.clone(),
            go,
            version_label: "this module".into(),
            module_version: None,
            matched_elsewhere,
            imported,
        };
        self.reports.extend(self.rule_edits.add(cache, key, &sources, || weave::weave(&input))?);
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the end of the pipeline: every earlier result goes in once")]
    fn finish(
        self,
        cache: &Cache,
        go: &RealGo,
        project: &Project,
        arguments: &Arguments,
        user: UserOverlay,
        overlay: Overlay,
        shadow: ShadowRoot,
    ) -> Result<Plan, WeaveError> {
        let mut warnings: Vec<String> = self.reports.iter().filter_map(RuleReport::warning).collect();
        warnings.extend(overlay.warnings);
        if !go.is_known() {
            let (major, minor) = goroot::NEWEST_KNOWN_GO;
            warnings.push(format!(
                "{} is newer than go{major}.{minor}, the newest that this tandem was tested with",
                go.version_text
            ));
        }
        let mut dormant = overlay.dormant;
        let mut functions = overlay.functions;
        for shadow in &self.shadow_modules {
            for (import_path, below, function) in &shadow.functions {
                if function.left_out.is_none() {
                    *dormant.entry(import_path.clone()).or_default() += 1;
                }
                functions.push((shadow.module.dir.join(below), function.clone()));
            }
        }
        let mut plan = Plan {
            mapping: Mapping {
                real_root: go.root.clone(),
                shadow_root: shadow.dir,
                cache_root: cache.root().to_owned(),
                modules: self.shadow_modules,
                module_cache: self.module_cache,
                overlay: overlay.files,
                manifests: BTreeMap::new(),
                reports: self.reports,
                spans: overlay.spans,
                dormant,
            },
            file: PathBuf::new(),
            own_modules: project.own_modules.iter().map(|(path, _)| path.clone()).collect(),
            go_version: go.version_text.clone(),
            flags: Vec::new(),
            exec_flag: None,
            work_file: None,
            warnings,
            woven_in_root: shadow.description.files.into_keys().collect(),
            functions,
            _in_use: None,
            _scratch: None,
            reuse: Some(cache.scratch()?),
            real_module_cache: PathBuf::new(),
            first_build: None,
        };
        plan.point_at_modules(cache, project, arguments)?;
        plan.point_at_overlay(cache, arguments, user)?;
        let text = serde_json::to_vec(&plan.mapping).expect("plain data");
        let key = Key::new("plan").bytes(&text);
        plan.file =
            cache.entry("plan", &key.name(), |work| write_new(&work.join("plan.json"), &text))?.join("plan.json");
        plan._in_use = Some(cache.hold()?);
        Ok(plan)
    }
}

impl Plan {
    /// Lets the compiler's wrapper ask for objects of the plain build of `packages`.
    pub fn reuse_objects(&mut self, go: &Path, dir: &Path, arguments: &Arguments, packages: &[String]) {
        let key = Key::new("built").text(&self.mapping.shadow_root).text(dir);
        let name = key.text(format!("{} {:?} {packages:?}", arguments.command, arguments.flags)).name();
        let is_known = Cache::open().is_ok_and(|cache| cache.kept::<bool>(BUILT, &name).is_some());
        self.first_build = (!is_known).then_some(name);
        // Who vets reads what compiler and vet say of the same package in the order in which they come to it.
        let is_vet = arguments.command == "vet";
        let foreign =
            vec![self.mapping.shadow_root.clone(), self.mapping.cache_root.clone(), self.real_module_cache.clone()];
        let question = Question::new(go, dir, arguments, packages, &self.mapping.shadow_root)
            .map(|question| if is_known || is_vet { question.only_for(foreign) } else { question });
        let is_written =
            |folder: &tempfile::TempDir| question.is_some_and(|question| question.write(folder.path()).is_ok());
        self.reuse = self.reuse.take().filter(is_written);
    }

    /// The folder of that, if there is one.
    pub fn reuse_folder(&self) -> Option<&Path> {
        self.reuse.as_ref().map(tempfile::TempDir::path)
    }

    /// Notes that the run has ended well.
    pub fn note_success(&self) {
        if let Some(name) = &self.first_build {
            // Where it cannot be noted, later runs are slower.
            let _ = Cache::open().and_then(|cache| cache.keep(BUILT, name, &true));
        }
    }

    /// A go.mod or go.work that replaces the woven modules.
    fn point_at_modules(&mut self, cache: &Cache, project: &Project, arguments: &Arguments) -> Result<(), WeaveError> {
        // What is unpacked into a module cache of ours must be as easy to remove as all of our cache.
        self.flags.extend(self.mapping.module_cache.as_ref().map(|_| "-modcacherw".into()));
        let woven = self.mapping.modules.iter().filter_map(|shadow| Some((shadow, shadow.dir.clone()?)));
        let is_in_place =
            |dir: &Path| self.mapping.module_cache.as_ref().is_some_and(|cache| dir.starts_with(&cache.dir));
        let woven = woven.filter(|(_, dir)| !is_in_place(dir));
        let replacements: Vec<Replacement> =
            woven.map(|(shadow, dir)| (shadow.module.path.clone(), shadow.module.version.clone(), dir)).collect();
        let users_file = arguments.module_file.as_ref().map(|_| project.module_file.clone());
        if replacements.is_empty() && arguments.module_mode.as_deref() != Some("mod") {
            self.flags.extend(users_file.map(|file| flag("modfile", &file)));
            return Ok(());
        }
        let write = |dir: &Path| match &project.layout {
            Layout::Workspace => modfile::copy_work_file(
                project.work_file.as_deref().unwrap_or(Path::new("go.work")),
                &dir.join("go.work"),
                &replacements,
            ),
            _ => modfile::copy_module_file(&project.module_file, dir, &replacements),
        };
        let dir = match &project.layout {
            Layout::NoModule | Layout::Vendor(_) => {
                self.flags.extend(users_file.map(|file| flag("modfile", &file)));
                return Ok(());
            }
            // With -mod=mod the go command writes what it finds out: into a copy that nobody else sees.
            Layout::Module if arguments.module_mode.as_deref() == Some("mod") => {
                let scratch = cache.scratch()?;
                write(scratch.path())?;
                let dir = scratch.path().to_owned();
                self._scratch = Some(scratch);
                dir
            }
            _ => {
                let mut files = vec![project.module_file.clone(), project.module_file.with_extension("sum")];
                files.extend(project.work_file.iter().flat_map(|file| [file.clone(), file.with_extension("work.sum")]));
                let key = files.iter().fold(Key::new("manifest").text(format!("{replacements:?}")), |key, file| {
                    key.text(file).bytes(&fs::read(file).unwrap_or_default())
                });
                cache.entry(cache::MANIFEST, &key.name(), write)?
            }
        };
        if project.layout == Layout::Workspace {
            let file = dir.join("go.work");
            self.mapping.manifests.insert(file.clone(), project.work_file.clone().unwrap_or_default());
            self.work_file = Some(file);
            self.flags.extend(users_file.map(|file| flag("modfile", &file))); // for the go command to refuse
        } else {
            self.mapping.manifests.insert(dir.join("go.mod"), project.module_file.clone());
            self.mapping.manifests.insert(dir.join("go.sum"), project.module_file.with_extension("sum"));
            self.flags.push(flag("modfile", &dir.join("go.mod")));
        }
        Ok(())
    }

    /// The user's overlay and ours in one.
    fn point_at_overlay(
        &mut self,
        cache: &Cache,
        arguments: &Arguments,
        mut user: UserOverlay,
    ) -> Result<(), WeaveError> {
        let in_shadow = user.moved(&self.mapping.real_root, &self.mapping.shadow_root, &self.woven_in_root);
        if self.mapping.overlay.is_empty() && in_shadow.is_empty() {
            self.flags.extend(arguments.overlay.as_ref().map(|file| flag("overlay", file)));
            return Ok(());
        }
        user.replace.extend(in_shadow);
        user.replace.extend(self.mapping.overlay.iter().map(|(plain, file)| (plain.clone(), file.woven.clone())));
        let text = serde_json::to_vec(&user).expect("plain data");
        let key = Key::new("overlay").bytes(&text);
        let dir = cache.entry("overlay", &key.name(), |work| write_new(&work.join("overlay.json"), &text))?;
        self.flags.push(flag("overlay", &dir.join("overlay.json")));
        Ok(())
    }
}

fn flag(name: &str, value: &Path) -> OsString {
    let mut flag = OsString::from(format!("-{name}="));
    flag.push(value);
    flag
}
