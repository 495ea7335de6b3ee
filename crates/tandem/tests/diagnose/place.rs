//! Where a fault is that the programs themselves do not have: a control group that bounds a service, a network that loses
//! packets.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a group bounds.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Time on CPUs: so many thousandths of one, by the tenth of a second.
    Cpu(u32),
    /// Writes to the device on which temporary files are: so many a second.
    Writes(u32),
}

/// A control group; it goes when this is dropped, its processes having ended.
pub struct Group(PathBuf);

impl Group {
    /// Makes one, or says why it cannot be made here.
    pub fn bounded(bound: Bound) -> Result<Self, String> {
        let (controller, unified, version_1) = match bound {
            Bound::Cpu(thousandths) => {
                let quota = (thousandths * 100).to_string();
                let of_1 = vec![("cpu.cfs_period_us", "100000".to_owned()), ("cpu.cfs_quota_us", quota.clone())];
                (("cpu", "cpu"), ("cpu.max", format!("{quota} 100000")), of_1)
            }
            Bound::Writes(number) => {
                let device = device_of(&std::env::temp_dir())?;
                let of_1 = vec![("blkio.throttle.write_iops_device", format!("{device} {number}"))];
                (("io", "blkio"), ("io.max", format!("{device} wiops={number}")), of_1)
            }
        };
        let mounts = fs::read_to_string("/proc/mounts").map_err(|error| format!("/proc/mounts: {error}"))?;
        let mut reasons = vec![format!("no control groups for {} are mounted", controller.0)];
        for line in mounts.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let [_, place, kind, options, ..] = words[..] else { continue };
            let place = Path::new(place);
            let made = match kind {
                "cgroup2" => Self::unified(place, controller.0, &unified),
                "cgroup" if options.split(',').any(|option| option == controller.1) => Self::made(place, &version_1),
                _ => continue,
            };
            match made {
                Ok(group) => return Ok(group),
                Err(why) => reasons.push(format!("{}: {why}", place.display())),
            }
        }
        Err(reasons.join("; "))
    }

    fn unified(place: &Path, controller: &str, setting: &(&str, String)) -> Result<Self, String> {
        let all = fs::read_to_string(place.join("cgroup.controllers")).map_err(|error| error.to_string())?;
        if !all.split_whitespace().any(|known| known == controller) {
            return Err(format!("it does not control {controller}"));
        }
        write(&place.join("cgroup.subtree_control"), &format!("+{controller}"))?;
        Self::made(place, std::slice::from_ref(setting))
    }

    fn made(place: &Path, settings: &[(&str, String)]) -> Result<Self, String> {
        let folder = place.join(format!("tandem-diagnose-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let group = Self(folder);
        for (file, text) in settings {
            write(&group.0.join(file), text)?;
        }
        Ok(group)
    }

    /// The file into which a process writes its id to enter the group.
    pub fn entrance(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group that is left behind does nothing; processes leave it a moment after they have ended.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The whole device that a file lies on, as control groups name it.
fn device_of(path: &Path) -> Result<String, String> {
    let number = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.dev();
    let device = |number: u64| format!("{}:{}", libc::major(number), libc::minor(number));
    let known = Path::new("/sys/dev/block").join(device(number));
    let known = known.canonicalize().map_err(|_| format!("{} lies on no block device", path.display()))?;
    let whole = if known.join("partition").exists() { known.parent().unwrap_or(&known) } else { &known };
    fs::read_to_string(whole.join("dev")).map(|text| text.trim().to_owned()).map_err(|error| error.to_string())
}

/// A network of its own in which a share of the packets to one port is lost.
pub struct Network {
    script: String,
}

/// The port to which packets are lost. Nobody else is in the network.
pub const PORT: u16 = 8082;

impl Network {
    /// Loses so many of a hundred packets, or says why that cannot be here.
    pub fn losing(percent: u32) -> Result<Self, String> {
        let network = Self { script: format!("ip link set lo up && {}", lose(percent)) };
        let output = Command::new("unshare").args(["--net", "sh", "-c", &network.script]).output();
        match output {
            Ok(output) if output.status.success() => Ok(network),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(format!("unshare: {error}")),
        }
    }

    /// The beginning of a command line that enters one; the program and its arguments follow.
    pub fn entered_by(&self) -> Vec<String> {
        let script = format!(r#"{} && exec "$@""#, self.script);
        ["unshare", "--net", "sh", "-c", &script, "sh"].map(str::to_owned).into()
    }
}

/// The command that has a BPF program lose packets that come in. It is of the old kind, which needs no compiler.
fn lose(percent: u32) -> String {
    const DROP: u32 = 2;
    let random = u64::from(u32::MAX - 0xfff) + 56;
    let limit = u64::from(u32::MAX) * u64::from(percent) / 100;
    let program = [
        "40 0 0 12".to_owned(),     // the protocol of the frame
        "21 0 7 2048".to_owned(),   // is IPv4,
        "48 0 0 23".to_owned(),     // that of the packet
        "21 0 5 6".to_owned(),      // TCP,
        "40 0 0 36".to_owned(),     // its port
        format!("21 0 3 {PORT}"),   // this one,
        format!("32 0 0 {random}"), // and a random number
        format!("37 1 0 {limit}"),  // is not above this:
        format!("6 0 0 {DROP}"),    // lost;
        "6 0 0 0".to_owned(),       // else passed on.
    ];
    let program = format!("{},{},", program.len(), program.join(","));
    format!("tc qdisc add dev lo clsact && tc filter add dev lo ingress bpf direct-action bytecode '{program}'")
}
