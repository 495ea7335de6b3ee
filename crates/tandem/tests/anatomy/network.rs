//! A network of the program's own, in which packets can be lost.

use std::path::PathBuf;
use std::process::Command;

/// Proof that there can be such a network. It goes with the processes in it.
pub struct Network(());

const UP: &str = "ip link set lo up";

impl Network {
    /// Says why there can be none.
    pub fn lossy() -> Result<Self, String> {
        let script = format!("{UP} && tc qdisc replace dev lo root blackhole");
        let output = Command::new("unshare").args(["--net", "sh", "-c", &script]).output();
        match output {
            Ok(output) if output.status.success() => Ok(Self(())),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("unshare: {error}")),
        }
    }

    /// The beginning of a command line that enters one; the program and its arguments follow.
    pub fn entered_by(&self) -> Vec<PathBuf> {
        let script = format!(r#"{UP} && exec "$@""#);
        ["unshare", "--net", "sh", "-c", &script, "sh"].map(PathBuf::from).into()
    }
}
