//! The machine that all its programs run on, its operating system, and whose cloud it is in.

use std::fs::{self, File};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use model::{Attributes, Value};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};

/// More of a file that describes something is not read.
const MOST: u64 = 1 << 16;
/// How long one may take: far more than a file needs, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many may wait for one at a time.
const MOST_WAITING: usize = 8;

/// What holds for every program of this machine.
pub(super) fn attributes() -> Attributes {
    let mut all = Attributes::new();
    let mut put = |key: &str, value: &str| drop(all.insert(key.to_owned(), Value::String(value.to_owned())));
    put("host.name", &rustix::system::uname().nodename().to_string_lossy());
    put("host.arch", architecture(std::env::consts::ARCH));
    put("os.type", "linux");
    if let Some(id) = fs::read_to_string("/etc/machine-id").ok().as_deref().and_then(machine_id) {
        put("host.id", id);
    }
    let firmware = |name: &str| fs::read_to_string(format!("/sys/class/dmi/id/{name}")).unwrap_or_default();
    for (key, value) in cloud_of(firmware) {
        put(key, &value);
    }
    all
}

/// The conventions' words for processors.
fn architecture(name: &'static str) -> &'static str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// As systemd writes it; a machine that has not started for the first time yet has none.
fn machine_id(text: &str) -> Option<&str> {
    let id = text.trim();
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
}

type Found = Vec<(&'static str, String)>;

/// By what a cloud has its virtual machines' firmware say.
fn cloud_of(firmware: impl Fn(&str) -> String) -> Found {
    let says = |name: &str, what: &str| firmware(name).trim() == what;
    let cloud = |provider: &str, platform: &str| {
        vec![("cloud.provider", provider.to_owned()), ("cloud.platform", platform.to_owned())]
    };
    if says("sys_vendor", "Amazon EC2") {
        let mut found = cloud("aws", "aws_ec2");
        let instance = firmware("board_asset_tag");
        found.extend(instance.trim().starts_with("i-").then(|| ("host.id", instance.trim().to_owned())));
        return found;
    }
    if says("product_name", "Google Compute Engine") {
        return cloud("gcp", "gcp_compute_engine");
    }
    if says("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77") {
        return cloud("azure", "azure.vm"); // the number is Azure's, the same for all of its machines
    }
    Found::new()
}

/// By the variables that a cloud itself sets. Those that people set as well (`AWS_REGION` on a laptop) count only beside
/// one that they do not.
pub(super) fn cloud<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Found {
    let environment = variable("AWS_EXECUTION_ENV").unwrap_or_default();
    let token = variable("AWS_WEB_IDENTITY_TOKEN_FILE").unwrap_or_default();
    let (provider, platform, more): (_, _, &[(&'static str, &str)]) = if environment.starts_with("AWS_Lambda_") {
        ("aws", "aws_lambda", &[("cloud.region", "AWS_REGION")])
    } else if environment.starts_with("AWS_ECS_") {
        ("aws", "aws_ecs", &[("cloud.region", "AWS_REGION")])
    } else if token.contains("/eks.amazonaws.com/") {
        ("aws", "aws_eks", &[("cloud.region", "AWS_REGION")])
    } else if variable("CLOUD_RUN_JOB").is_some() {
        ("gcp", "gcp_cloud_run", &[]) // a service has only variables of Knative, which runs on any cloud
    } else if variable("WEBSITE_SITE_NAME").and(variable("WEBSITE_INSTANCE_ID")).is_some() {
        ("azure", "azure.app_service", &[("cloud.region", "REGION_NAME")])
    } else {
        return Found::new();
    };
    let mut found = vec![("cloud.provider", provider.to_owned()), ("cloud.platform", platform.to_owned())];
    found.extend(more.iter().filter_map(|&(key, name)| Some((key, variable(name)?.to_owned()))));
    found
}

/// Name and version of the operating system whose files a process sees: its image's, in a container.
pub(super) fn system(pid: u32) -> Attributes {
    static WAITING: AtomicUsize = AtomicUsize::new(0);
    let look = move || ["etc/os-release", "usr/lib/os-release"].iter().find_map(|path| read_in_root(pid, path));
    in_time(&WAITING, PATIENCE, look).flatten().map(|text| release(&text)).unwrap_or_default()
}

/// What a file system says that a container may have brought along: one that never answers must not hold up whoever asks.
/// `waiting` counts those threads that still wait; when there are too many nobody asks any more.
fn in_time<T: Send + 'static>(
    waiting: &'static AtomicUsize,
    patience: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
        waiting.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    let (tell, told) = mpsc::channel();
    let asking = thread::Builder::new().name("tandem-place".to_owned()).spawn(move || {
        let found = look();
        waiting.fetch_sub(1, Ordering::Relaxed);
        let _ = tell.send(found); // nobody may wait any more
    });
    if asking.is_err() {
        waiting.fetch_sub(1, Ordering::Relaxed);
        return None;
    }
    told.recv_timeout(patience).ok()
}

/// Lines of `NAME=value`, quoted as a shell would.
fn release(text: &str) -> Attributes {
    const LONGEST: usize = 128;
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let unquoted = |value: &str| value.trim().trim_matches(['"', '\'']).replace('\\', "");
    let known = [("os.name", "NAME"), ("os.version", "VERSION_ID")];
    let found = known.into_iter().filter_map(|(key, name)| Some((key, unquoted(line(name)?))));
    let fit = found.filter(|(_, value)| (1..=LONGEST).contains(&value.len()) && !value.contains(char::is_control));
    fit.map(|(key, value)| (key.to_owned(), Value::String(value))).collect()
}

/// A file as the process sees it. What lies there is the process's choice: no link leads out of its root, nothing that is
/// mounted below it is asked, and no pipe waited for.
fn read_in_root(pid: u32, path: &str) -> Option<String> {
    let root = rustix::fs::openat(
        CWD,
        format!("/proc/{pid}/root"),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let file = rustix::fs::openat2(root.ok()?, path, flags, Mode::empty(), within).ok()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
    if kind != FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    File::from(file).take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_are_told_by_what_only_they_say() {
        let by = |variables: &'static [(&str, &str)]| {
            cloud(|name| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| *value))
        };
        let lambda = by(&[("AWS_EXECUTION_ENV", "AWS_Lambda_go"), ("AWS_REGION", "eu-north-1")]);
        let found = |provider: &str, platform: &str| {
            vec![("cloud.provider", provider.to_owned()), ("cloud.platform", platform.to_owned())]
        };
        let region = ("cloud.region", "eu-north-1".to_owned());
        assert_eq!(lambda, [found("aws", "aws_lambda"), vec![region]].concat());
        assert_eq!(by(&[("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE")]), found("aws", "aws_ecs"));
        assert_eq!(by(&[("CLOUD_RUN_JOB", "nightly")]), found("gcp", "gcp_cloud_run"));
        let site = by(&[("WEBSITE_SITE_NAME", "shop"), ("WEBSITE_INSTANCE_ID", "7")]);
        assert_eq!(site, found("azure", "azure.app_service"));
        for nothing in
            [by(&[]), by(&[("AWS_REGION", "eu-north-1")]), by(&[("K_SERVICE", "a"), ("K_CONFIGURATION", "b")])]
        {
            assert_eq!(nothing, []);
        }
        let firmware = |known: &'static [(&str, &str)]| {
            cloud_of(|name| {
                known.iter().find(|(own, _)| *own == name).map_or(String::new(), |(_, value)| format!("{value}\n"))
            })
        };
        let ec2 = firmware(&[("sys_vendor", "Amazon EC2"), ("board_asset_tag", "i-0abc")]);
        assert_eq!(ec2, [found("aws", "aws_ec2"), vec![("host.id", "i-0abc".to_owned())]].concat());
        assert_eq!(firmware(&[("product_name", "Google Compute Engine")]), found("gcp", "gcp_compute_engine"));
        let azure = firmware(&[("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77")]);
        assert_eq!(azure, found("azure", "azure.vm"));
        assert_eq!(firmware(&[("sys_vendor", "Somebody")]), []);
    }

    /// Quoted or not; what is too long or is no text is left out.
    #[test]
    fn a_system_says_its_name_and_version() {
        let text = |key: &str, from: &str| release(from).get(key).map(ToString::to_string);
        let debian = "PRETTY_NAME=\"x\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\n";
        assert_eq!(text("os.name", debian).as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(text("os.version", debian).as_deref(), Some("12"));
        assert_eq!(text("os.name", "NAME=Alpine\r\n").as_deref(), Some("Alpine"));
        assert_eq!(text("os.version", debian.replace("12", &"1".repeat(200)).as_str()), None);
        assert_eq!(text("os.name", "NAME=\"a\u{1}b\""), None);
        assert_eq!(release("NAME\n=\nNAME=\n"), Attributes::new());
    }

    /// Files that never come cost a bounded time, whoever has them, and no more than so many threads.
    #[test]
    fn nobody_waits_for_a_file_that_never_comes() {
        static WAITING: AtomicUsize = AtomicUsize::new(0);
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Arc::new(std::sync::Mutex::new(held));
        let ask = |patience| {
            let held = std::sync::Arc::clone(&held);
            in_time(&WAITING, patience, move || drop(held.lock().map(|held| held.recv())))
        };
        for _ in 0..MOST_WAITING {
            assert_eq!(ask(Duration::from_millis(1)), None);
        }
        assert_eq!(ask(Duration::from_secs(1 << 20)), None, "at once");
        drop(release);
        while WAITING.load(Ordering::Relaxed) != 0 {
            thread::yield_now();
        }
        assert_eq!(ask(Duration::from_secs(1 << 20)), Some(()));
    }

    /// No link leads out of a process's root: here our own, whose files are what they are.
    #[test]
    fn files_are_read_as_the_process_sees_them() {
        let own = std::process::id();
        let folder = tempfile::tempdir_in("/tmp").expect("a folder");
        let inside = |name: &str| folder.path().join(name).to_str().expect("a name").trim_start_matches('/').to_owned();
        fs::write(folder.path().join("plain"), "text").expect("a file");
        std::os::unix::fs::symlink("/proc/self/status", folder.path().join("elsewhere")).expect("a link");
        assert!(
            std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().expect("mkfifo").success()
        );
        // Where /tmp is mounted nothing below it is read, either.
        if let Some(text) = read_in_root(own, &inside("plain")) {
            assert_eq!(text, "text");
        }
        assert_eq!(read_in_root(own, &inside("elsewhere")), None, "in another file system");
        assert_eq!(read_in_root(own, &inside("pipe")), None, "nothing that could be waited for");
        assert_eq!(read_in_root(own, "../../proc/self/status"), None);
        assert_eq!(read_in_root(u32::MAX, "etc/os-release"), None);
    }

    #[test]
    fn a_machine_has_its_id_and_processor() {
        assert_eq!(machine_id("3d1219c7c4c5404aaa1f6d2a48adfda4\n"), Some("3d1219c7c4c5404aaa1f6d2a48adfda4"));
        assert_eq!(machine_id("uninitialized\n"), None);
        assert_eq!(machine_id(""), None);
        assert_eq!(
            (architecture("x86_64"), architecture("aarch64"), architecture("s390x")),
            ("amd64", "arm64", "s390x")
        );
        assert_eq!(attributes().get("os.type"), Some(&Value::String("linux".to_owned())));
    }
}
