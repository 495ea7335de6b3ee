//! Where a process runs: its container, pod, machine and cloud, as resource attributes of OpenTelemetry's conventions.
//!
//! Only files and environments are read, those of the process and the agent's own; nobody is asked over a network. What
//! is not known for certain is absent: no attribute is a guess. docs/deployment.md lists what comes from where.

mod container;
mod machine;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use container::Container;
use model::{Attributes, Value};

use crate::session::process::{pairs, told};

/// Where the kubelet keeps containers' output: a folder `NAMESPACE_POD_UID` for each pod of this machine.
const POD_LOGS: &str = "/var/log/pods";

/// What says where a process runs.
#[derive(Debug, Default)]
pub(crate) struct Place {
    container: Container,
    /// Namespace and name of its pod, as the kubelet calls the folder of its output.
    pod: Option<(String, String)>,
    /// Of the operating system that its files are of.
    system: Attributes,
}

impl Place {
    pub(crate) fn of(pid: u32) -> Self {
        let container = Container::find(&told(pid, "cgroup"), &told(pid, "mountinfo"));
        let pod = container.pod.as_deref().and_then(|uid| pod_of(uid, Path::new(POD_LOGS)));
        Self { container, pod, system: machine::system(pid) }
    }
}

/// The attributes of a process at a place. `text` has a variable of its environment in each line.
pub(crate) fn attributes(place: &Place, text: &str) -> Attributes {
    let mut all = machine().clone();
    all.extend(place.system.clone());
    let mut put = |key: &str, value: &str| drop(all.insert(key.to_owned(), Value::String(value.to_owned())));
    let variable = |name: &str| variable(text, name);
    for (key, value) in machine::cloud(variable) {
        put(key, &value);
    }
    let container = &place.container;
    if let Some(id) = &container.id {
        put("container.id", id);
    }
    if container.pod.is_some() || variable("KUBERNETES_SERVICE_HOST").is_some() {
        let own = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        for (key, value) in OF_THE_CLUSTER.iter().filter_map(|&(key, name)| Some((key, own(name)?))) {
            put(key, &value);
        }
        for (key, names) in OF_PODS {
            if let Some(value) = names.iter().find_map(|name| variable(name)) {
                put(key, value);
            }
        }
        // What the kubelet says by its folders and mounts is known better.
        if let Some((namespace, name)) = &place.pod {
            put("k8s.namespace.name", namespace);
            put("k8s.pod.name", name);
        }
        for (key, known) in [("k8s.pod.uid", &container.pod), ("k8s.container.name", &container.name)] {
            if let Some(known) = known {
                put(key, known);
            }
        }
    }
    all
}

/// Of the agent's own environment: what holds for all programs of its node.
const OF_THE_CLUSTER: [(&str, &str); 2] =
    [("k8s.node.name", "K8S_NODE_NAME"), ("k8s.cluster.name", "K8S_CLUSTER_NAME")];

/// Variables that people give a pod's own facts in (Kubernetes' downward API), the first that is set. They are read of
/// processes in pods only: elsewhere a `NODE_NAME` may be anything. A woven program hands them over itself (`ofPods` in
/// go/rt/env.go has the same names).
const OF_PODS: [(&str, &[&str]); 6] = [
    ("k8s.pod.name", &["K8S_POD_NAME", "POD_NAME", "OTEL_RESOURCE_ATTRIBUTES_POD_NAME"]),
    ("k8s.pod.uid", &["K8S_POD_UID", "POD_UID", "OTEL_RESOURCE_ATTRIBUTES_POD_UID"]),
    ("k8s.namespace.name", &["K8S_NAMESPACE_NAME", "K8S_NAMESPACE", "K8S_POD_NAMESPACE", "POD_NAMESPACE"]),
    ("k8s.node.name", &["K8S_NODE_NAME", "NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES_NODE_NAME"]),
    ("k8s.container.name", &["K8S_CONTAINER_NAME"]),
    ("k8s.cluster.name", &["K8S_CLUSTER_NAME"]),
];

/// A variable's value; one that is empty counts as not set.
fn variable<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::trim).filter(|value| !value.is_empty())
}

/// The machine's attributes; what whoever runs the agent says of it (`OTEL_RESOURCE_ATTRIBUTES` there) wins.
fn machine() -> &'static Attributes {
    static MACHINE: OnceLock<Attributes> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let mut all = machine::attributes();
        let said = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        all.extend(pairs(&said).filter(|(key, _)| holds_for_all(key)).map(|(key, value)| (key, Value::String(value))));
        all
    })
}

/// Whether what an agent's own environment says holds for every program of its machine.
fn holds_for_all(key: &str) -> bool {
    const PREFIXES: [&str; 6] = ["host.", "os.", "cloud.", "k8s.node.", "k8s.cluster.", "deployment.environment"];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// What this machine is called.
pub(crate) fn host_name() -> String {
    machine().get("host.name").map(ToString::to_string).unwrap_or_default()
}

/// Namespace and name of a pod of this machine.
fn pod_of(uid: &str, logs: &Path) -> Option<(String, String)> {
    let entries = fs::read_dir(logs).ok()?;
    let mut names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.find_map(|name| {
        // None of the three may hold an underscore.
        let mut parts = name.split('_');
        let (namespace, pod, own) = (parts.next()?, parts.next()?, parts.next()?);
        (own == uid && parts.next().is_none()).then(|| (namespace.to_owned(), pod.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0b7a5b4e-6a32-4f43-9a0c-1d5f0a1b2c3d";

    fn text<'a>(attributes: &'a Attributes, key: &str) -> Option<&'a str> {
        attributes.get(key).map(|value| match value {
            Value::String(text) => text.as_str(),
            other => panic!("{other:?}"),
        })
    }

    fn in_pod() -> Place {
        Place { container: Container { pod: Some(UID.to_owned()), ..Container::default() }, ..Place::default() }
    }

    /// A pod's facts come from what its manifest puts into the environment, by several names; only of pods.
    #[test]
    fn the_environment_of_a_pod_says_which_it_is() {
        let environment = "POD_NAME=cart-1\nK8S_POD_NAME=cart-0\nPOD_NAMESPACE=shop\nNODE_NAME= n7 \nK8S_CLUSTER_NAME=";
        let found = attributes(&in_pod(), environment);
        assert_eq!(text(&found, "k8s.pod.name"), Some("cart-0"));
        assert_eq!(text(&found, "k8s.namespace.name"), Some("shop"));
        assert_eq!(text(&found, "k8s.node.name"), Some("n7"));
        assert_eq!(text(&found, "k8s.pod.uid"), Some(UID));
        assert_eq!(text(&found, "k8s.cluster.name"), None);

        let elsewhere = attributes(&Place::default(), environment);
        assert_eq!(elsewhere.keys().find(|key| key.starts_with("k8s.")), None);
        let unseen = format!("{environment}\nKUBERNETES_SERVICE_HOST=10.0.0.1");
        assert_eq!(text(&attributes(&Place::default(), &unseen), "k8s.pod.name"), Some("cart-0"));
    }

    /// The kubelet's folder says what the environment does not, and is believed more.
    #[test]
    fn the_kubelets_folder_names_the_pod() {
        let logs = tempfile::tempdir().expect("a folder");
        for name in [format!("shop_cart-2_{UID}"), "a_b_c_d".to_owned(), "plain".to_owned(), format!("x_{UID}")] {
            fs::create_dir(logs.path().join(name)).expect("a folder");
        }
        let pod = pod_of(UID, logs.path());
        assert_eq!(pod, Some(("shop".to_owned(), "cart-2".to_owned())));
        assert_eq!(pod_of("0b7a5b4e-0000-4f43-9a0c-1d5f0a1b2c3d", logs.path()), None);
        let found = attributes(&Place { pod, ..in_pod() }, "POD_NAME=other");
        assert_eq!(text(&found, "k8s.pod.name"), Some("cart-2"));
        assert_eq!(text(&found, "k8s.namespace.name"), Some("shop"));
    }

    #[test]
    fn what_a_machine_is_holds_for_all_its_programs() {
        for key in ["host.name", "cloud.region", "k8s.cluster.name", "deployment.environment.name"] {
            assert!(holds_for_all(key), "{key}");
        }
        for key in ["service.name", "k8s.pod.name", "container.id", "hostile", ""] {
            assert!(!holds_for_all(key), "{key}");
        }
        assert_eq!(host_name(), rustix::system::uname().nodename().to_string_lossy());
    }
}
