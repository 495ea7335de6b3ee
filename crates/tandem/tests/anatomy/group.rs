//! A control group that may use half of a CPU.

use std::fs;
use std::path::{Path, PathBuf};

/// The group; it goes when this is dropped, its processes having ended.
pub struct Group(PathBuf);

impl Group {
    /// Makes one, or says why it cannot be made here.
    pub fn limited() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/mounts").map_err(|error| format!("/proc/mounts: {error}"))?;
        let mut reasons = vec!["no control groups for CPU time are mounted".to_owned()];
        for line in mounts.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let [_, place, kind, options, ..] = words[..] else { continue };
            let made = match kind {
                "cgroup2" => Self::unified(Path::new(place)),
                "cgroup" if options.split(',').any(|option| option == "cpu") => Self::of_version_1(Path::new(place)),
                _ => continue,
            };
            match made {
                Ok(group) => return Ok(group),
                Err(why) => reasons.push(format!("{place}: {why}")),
            }
        }
        Err(reasons.join("; "))
    }

    fn unified(place: &Path) -> Result<Self, String> {
        let controllers = fs::read_to_string(place.join("cgroup.controllers")).map_err(|error| error.to_string())?;
        if !controllers.split_whitespace().any(|controller| controller == "cpu") {
            return Err("it does not control CPU time".to_owned());
        }
        write(&place.join("cgroup.subtree_control"), "+cpu")?;
        let group = Self::new(place)?;
        write(&group.0.join("cpu.max"), "10000 20000")?;
        Ok(group)
    }

    fn of_version_1(place: &Path) -> Result<Self, String> {
        let group = Self::new(place)?;
        write(&group.0.join("cpu.cfs_period_us"), "20000")?;
        write(&group.0.join("cpu.cfs_quota_us"), "10000")?;
        Ok(group)
    }

    fn new(place: &Path) -> Result<Self, String> {
        let folder = place.join(format!("tandem-anatomy-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Its folder, where the kernel says how long it has been throttled.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The beginning of a command line that enters it; the program and its arguments follow.
    pub fn entered_by(&self) -> Vec<PathBuf> {
        let script = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
        vec!["sh".into(), "-c".into(), script.into(), self.0.clone()]
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group that is left behind does nothing, and the next one has another name.
        let _ = fs::remove_dir(&self.0);
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
