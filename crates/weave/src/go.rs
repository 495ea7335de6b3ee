//! The go command: finding it, asking it for its environment, running it on the shadow tree.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::cache::Cache;
use crate::error::WeaveError;
use crate::goroot::{RealGo, ShadowRoot};
use crate::pack::PackSet;
use crate::version::ReleaseVersion;
use crate::weave::RuleReport;

/// Sub-commands that run on woven sources.
const WOVEN_COMMANDS: [&str; 5] = ["build", "install", "run", "test", "vet"];

/// The `go` in PATH.
pub fn find_go() -> Result<PathBuf, WeaveError> {
    let own = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join("go"))
        .find(|go| is_executable(go) && go.canonicalize().ok() != own)
        .ok_or(WeaveError::NoGo)
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What `go env -json` says.
pub struct GoEnv(BTreeMap<String, String>);

impl GoEnv {
    /// Asks.
    pub fn read(go: &Path, dir: &Path) -> Result<GoEnv, WeaveError> {
        let broken = |problem: String| WeaveError::GoBroken { command: format!("{} env -json", go.display()), problem };
        let output = Command::new(go).args(["env", "-json"]).current_dir(dir).output().map_err(|error| broken(error.to_string()))?;
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

    /// The installation.
    pub fn real_go(&self) -> Result<RealGo, WeaveError> {
        let root = PathBuf::from(self.get("GOROOT"));
        let version_text = self.get("GOVERSION").to_owned();
        let too_old = || WeaveError::GoTooOld { version: version_text.clone(), goroot: root.clone() };
        let version = ReleaseVersion::parse(&version_text).ok_or_else(too_old)?;
        if version.language() < (1, 21) {
            return Err(too_old());
        }
        Ok(RealGo { root, version_text, version, tool_dir: PathBuf::from(self.get("GOTOOLDIR")) })
    }
}

/// `tandem go <arguments>`.
pub fn run(arguments: &[OsString]) -> Result<ExitStatus, WeaveError> {
    let go = find_go()?;
    let command = arguments.first().map(|first| first.to_string_lossy().into_owned()).unwrap_or_default();
    if !WOVEN_COMMANDS.contains(&command.as_str()) {
        return start(Command::new(go).args(arguments));
    }
    let env = GoEnv::read(&go, Path::new("."))?;
    let real = env.real_go()?;
    let cache = Cache::open()?;
    let folders = std::env::var_os("TANDEM_PACKS").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).filter(|folder| !folder.as_os_str().is_empty()).collect();
    let set = PackSet::load(&folders)?;
    let own = std::env::current_exe().map_err(crate::error::at("find", Path::new("tandem")))?;
    let shadow = ShadowRoot::get(&cache, &real, &set, &own)?;
    for warning in shadow.description.reports.iter().filter_map(RuleReport::warning) {
        eprintln!("tandem: warning: {warning}");
    }
    start(Command::new(shadow.dir.join("bin/go")).args(arguments).env("GOROOT", &shadow.dir).env("GOTOOLCHAIN", "local"))
}

fn start(command: &mut Command) -> Result<ExitStatus, WeaveError> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.status().map_err(|error| WeaveError::GoBroken { command: name, problem: error.to_string() })
}
