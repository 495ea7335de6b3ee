//! The go command: finding it, asking it for its environment, running it on the shadow tree.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;

use crate::arguments::{Arguments, command_first};
use crate::cache::{INTERRUPTED, check_interrupted};
use crate::env;
use crate::error::{WeaveError, at};
use crate::goroot::{RealGo, WOVEN_GO};
use crate::output::{self, PathFilter};
use crate::plan::{self, PLAN_VARIABLE, Plan};
use crate::reuse::REUSE_VARIABLE;
use crate::tool;
use crate::version::ReleaseVersion;

/// The oldest Go with the runtime and the coverage tool that the weave knows.
const OLDEST_GO: (u64, u64) = (1, 21);

/// Sub-commands that run on woven sources.
const WOVEN_COMMANDS: [&str; 5] = ["build", "install", "run", "test", "vet"];

/// The `go` in PATH that is neither we nor a script that calls us.
pub fn find_go() -> Result<PathBuf, WeaveError> {
    let own = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join("go"))
        .find(|go| is_executable(go) && go.canonicalize().ok() != own && !env::calls_tandem(go))
        .ok_or(WeaveError::NoGo)
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What `go env -json` says of the variables that matter here (all of them would make it run a C compiler).
pub struct GoEnv(BTreeMap<String, String>);

const VARIABLES: [&str; 14] = [
    "GOOS",
    "GOARCH",
    "GOHOSTOS",
    "GOHOSTARCH",
    "GOROOT",
    "GOVERSION",
    "GOTOOLDIR",
    "GOMOD",
    "GOWORK",
    "GOFLAGS",
    "GOMODCACHE",
    "GOPATH",
    "GOEXPERIMENT",
    "GO111MODULE",
];

impl GoEnv {
    /// Asks; a newer toolchain that go.mod wants is found, or downloaded, by this.
    pub fn read(go: &Path, dir: &Path) -> Result<GoEnv, WeaveError> {
        GoEnv::ask(&mut Command::new(go), dir)
    }

    /// Asks the Go in `root` itself.
    pub fn read_in(root: &Path, dir: &Path) -> Result<GoEnv, WeaveError> {
        GoEnv::ask(Command::new(root.join("bin/go")).env("GOROOT", root).env("GOTOOLCHAIN", "local"), dir)
    }

    fn ask(command: &mut Command, dir: &Path) -> Result<GoEnv, WeaveError> {
        let go = PathBuf::from(command.get_program());
        let broken = |problem: String| WeaveError::GoBroken { command: format!("{} env -json", go.display()), problem };
        let output = command.args(["env", "-json"]).args(VARIABLES).current_dir(dir).output();
        let output = output.map_err(|error| broken(error.to_string()))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
            return Err(WeaveError::GoRefused { message, code: output.status.code().unwrap_or(1) as u8 });
        }
        serde_json::from_slice(&output.stdout).map(GoEnv).map_err(|error| broken(error.to_string()))
    }

    /// A variable; empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// All of it, as a text.
    pub fn all(&self) -> String {
        format!("{:?}", self.0)
    }

    /// The installation.
    pub fn real_go(&self) -> Result<RealGo, WeaveError> {
        let root = PathBuf::from(self.get("GOROOT"));
        let version_text = self.get("GOVERSION").to_owned();
        let too_old = || WeaveError::GoTooOld { version: version_text.clone(), goroot: root.clone() };
        let version = ReleaseVersion::parse(&version_text).ok_or_else(too_old)?;
        if version.language() < OLDEST_GO {
            return Err(too_old());
        }
        let platform = format!("{}/{}", self.get("GOOS"), self.get("GOARCH"));
        Ok(RealGo { root, version_text, version, tool_dir: PathBuf::from(self.get("GOTOOLDIR")), platform })
    }

    /// Whether what is built can run here.
    pub fn builds_for_host(&self) -> bool {
        self.get("GOOS") == self.get("GOHOSTOS") && self.get("GOARCH") == self.get("GOHOSTARCH")
    }
}

/// `tandem go <arguments>`; gives back how the go command ended.
pub fn run(arguments: &[OsString]) -> Result<ExitStatus, WeaveError> {
    let go = find_go()?;
    let arguments = &*command_first(arguments);
    let command = arguments.first().map(|first| first.to_string_lossy().into_owned()).unwrap_or_default();
    if !WOVEN_COMMANDS.contains(&command.as_str()) {
        // In our place: whoever waits for us, or sends us a signal, has to do with go itself.
        let error = Command::new(&go).args(arguments).exec();
        return Err(WeaveError::GoBroken { command: go.display().to_string(), problem: error.to_string() });
    }
    let signals = Signals::watch();
    let given = arguments;
    let (mut plan, arguments, dir) = match plan(&go, given) {
        Err(error @ WeaveError::UnknownRuntime { .. }) => {
            eprintln!("tandem: warning: {error}; nothing is woven, this is a plain build");
            return signals.run(Command::new(go).args(given), None);
        }
        planned => planned?,
    };
    for warning in &plan.warnings {
        eprintln!("tandem: warning: {warning}");
    }
    plan.reuse_objects(&go, &dir, &arguments, &arguments.packages);
    let mut woven = woven_go(&plan, &arguments, &arguments.command);
    woven.args(plan.exec_flag.as_ref()).args(&arguments.rest);
    let filter = PathFilter::new(&plan.mapping, &dir, arguments.command == "vet" && arguments.json);
    let streams = match arguments.command.as_str() {
        // The program that `go run` starts owns the output; only the go command's own messages go to standard error.
        "run" => Streams::ErrorOnly,
        _ => Streams::Both,
    };
    let status = signals.run(&mut woven, Some((filter, streams)))?;
    if status.success() {
        plan.note_success();
    }
    Ok(status)
}

/// The go command on the plan's sources, as far as the flags that the weave sets itself.
pub(crate) fn woven_go(plan: &Plan, arguments: &Arguments, command: &str) -> Command {
    let mut woven = Command::new(plan.mapping.shadow_root.join(WOVEN_GO));
    woven.arg(command);
    woven.args(arguments.change_dir.iter().flat_map(|dir| ["-C".into(), dir.clone()])); // must come first
    woven.args(&plan.flags);
    let outside = tool::Outside::now(&plan.mapping.real_root, arguments.command == "run");
    woven.env(tool::OUTSIDE_VARIABLE, outside.text());
    woven.env(PLAN_VARIABLE, &plan.file);
    woven.envs(plan.reuse_folder().map(|folder| (REUSE_VARIABLE, folder)));
    // Tests inherit what is set. Without these, too, this go command takes its own tree, and is the version asked for.
    if command != "test" || std::env::var_os("GOROOT").is_some() {
        woven.env("GOROOT", &plan.mapping.shadow_root).env("GOTOOLCHAIN", "local");
    }
    woven.envs(plan.work_file.iter().map(|file| ("GOWORK", file)));
    woven.envs(plan.mapping.module_cache.iter().map(|cache| ("GOMODCACHE", &cache.dir)));
    woven
}

/// Runs a go command whose messages go through a filter of the caller's.
pub(crate) fn run_filtered(command: &mut Command, messages: output::Pipe) -> Result<ExitStatus, WeaveError> {
    let signals = Signals::watch();
    check_interrupted()?;
    let name = command.get_program().to_string_lossy().into_owned();
    let broken = |error: std::io::Error| WeaveError::GoBroken { command: name.clone(), problem: error.to_string() };
    command.stdout(Stdio::null()).stderr(messages.writer().map_err(broken)?);
    let child = command.spawn().map_err(broken)?;
    command.stderr(Stdio::null()); // our own end of the pipe, or the filter waits for ever
    let status = signals.wait(child).map_err(broken)?;
    messages.finish();
    Ok(status)
}

/// The plan of a command line, the parsed command line, and the folder in which the go command works.
pub fn plan(go: &Path, arguments: &[OsString]) -> Result<(Plan, Arguments, PathBuf), WeaveError> {
    let mut arguments = Arguments::read(arguments);
    let current = current_dir()?;
    let dir = arguments.working_dir(&current);
    if !dir.is_dir() {
        let message = format!("go: chdir {}: no such file or directory", arguments.change_dir.unwrap_or(dir).display());
        return Err(WeaveError::GoRefused { message, code: 1 });
    }
    let env = GoEnv::read(go, &dir)?;
    arguments.add_defaults(env.get("GOFLAGS"));
    let mut plan = plan::make(go, &arguments, &env, &dir)?;
    plan.exec_flag = exec_flag(&arguments, &env);
    Ok((plan, arguments, dir))
}

/// As the go command sees it: by the name in `PWD` when that is right.
fn current_dir() -> Result<PathBuf, WeaveError> {
    let real = std::env::current_dir().map_err(at("find", Path::new(".")))?;
    let named = std::env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    let is_same = |path: &PathBuf| path.canonicalize().is_ok_and(|path| Some(path) == real.canonicalize().ok());
    Ok(named.filter(is_same).unwrap_or(real))
}

/// `go run` starts the program through `tandem program`, which gives it the person's own environment and terminal. Not so
/// `go test`: with `-exec` it remembers no results.
fn exec_flag(arguments: &Arguments, env: &GoEnv) -> Option<OsString> {
    let foreign = (!env.builds_for_host()).then(|| format!("go_{}_{}_exec", env.get("GOOS"), env.get("GOARCH")));
    let users = match (&arguments.exec, foreign) {
        (Some(users), _) => users.clone(),
        (None, None) => String::new(),
        // As the go command would look for it; without one, it says best why a foreign program does not run.
        (None, Some(name)) => format!("'{}'", find_in_path(&name)?.display()),
    };
    let own = std::env::current_exe().ok().filter(|_| arguments.command == "run")?;
    Some(format!("-exec='{}' {} {users}", own.display(), tool::PROGRAM).into())
}

fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// Which streams of the go command are filtered; standard input never is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Streams {
    Both,
    ErrorOnly,
}

/// Ctrl-C and its like. At a terminal the go command gets them by itself; those sent to us alone are handed on.
struct Signals {
    child: Arc<Mutex<Option<Pid>>>,
}

impl Signals {
    fn watch() -> Signals {
        let child: Arc<Mutex<Option<Pid>>> = Arc::default();
        let watched = child.clone();
        if let Ok(mut signals) = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT]) {
            std::thread::spawn(move || {
                for origin in &mut signals {
                    INTERRUPTED.store(true, Ordering::Relaxed);
                    let from_terminal = origin.process.is_none();
                    let child = *watched.lock().unwrap_or_else(PoisonError::into_inner);
                    let signal = rustix::process::Signal::from_named_raw(origin.signal);
                    if let (Some(pid), Some(signal), false) = (child, signal, from_terminal) {
                        // The child may just have ended; then there is nobody to tell.
                        let _ = rustix::process::kill_process(pid, signal);
                    }
                }
            });
        }
        Signals { child }
    }

    fn set_child(&self, pid: Option<Pid>) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }

    fn run(&self, command: &mut Command, filter: Option<(PathFilter, Streams)>) -> Result<ExitStatus, WeaveError> {
        check_interrupted()?;
        let name = command.get_program().to_string_lossy().into_owned();
        let broken = |error: std::io::Error| WeaveError::GoBroken { command: name.clone(), problem: error.to_string() };
        let status = match filter {
            None => self.wait(command.spawn().map_err(broken)?).map_err(broken)?,
            Some((filter, streams)) => {
                let error_pipe = filter.pipe(std::io::stderr()).map_err(broken)?;
                command.stderr(error_pipe.writer().map_err(broken)?);
                let mut pipes = vec![error_pipe];
                let same_file = output::same_file(std::io::stdout(), std::io::stderr());
                let share_a_pipe = same_file && !tool::can_be_opened_again(std::io::stderr());
                if streams == Streams::Both || share_a_pipe {
                    if same_file {
                        // One pipe for both keeps the order of their lines.
                        command.stdout(pipes[0].writer().map_err(broken)?);
                    } else {
                        let pipe = filter.pipe(std::io::stdout()).map_err(broken)?;
                        command.stdout(pipe.writer().map_err(broken)?);
                        pipes.push(pipe);
                    }
                }
                let child = command.spawn().map_err(broken)?;
                // The command's own ends of the pipes must be closed, or the filters wait for ever.
                command.stdout(Stdio::null()).stderr(Stdio::null());
                let status = self.wait(child).map_err(broken)?;
                pipes.into_iter().for_each(output::Pipe::finish);
                status
            }
        };
        Ok(status)
    }

    fn wait(&self, mut child: Child) -> std::io::Result<ExitStatus> {
        self.set_child(Pid::from_raw(child.id().cast_signed()));
        let status = child.wait();
        self.set_child(None);
        status
    }
}
