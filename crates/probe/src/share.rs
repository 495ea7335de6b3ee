//! The map by which OpenTelemetry's eBPF tools tell each other the span of a thread: `traces_ctx_v1`, pinned.
//!
//! Whoever comes first makes it; who finds it uses it. One that was made here goes away with us; from somebody else's only
//! our entries do. What is in it, and why so little: `bpf/share.bpf.c`.

use std::cell::RefCell;
use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle};
use record::HeaderFacts;

use crate::error::ProbeError;
use crate::features;
use crate::filter::Filter;
use crate::kernel::{bytes_of, loading};
use crate::profile_skeleton::types::tandem_profiled;
use crate::share_skeleton::ShareSkelBuilder;

/// Where readers look for the map.
pub const SHARED_CONTEXTS: &str = "/sys/fs/bpf/otel/traces_ctx_v1";

/// The step that fails where the place is not one for the map.
const PINNING: &str = "pinning the map";

/// The map while it is written. Dropping it detaches the program and takes away what it has made.
#[derive(Debug)]
pub struct SharedContexts {
    link: Option<Link>,
    processes: MapHandle,
    filter: RefCell<Filter>,
    contexts: MapHandle,
    /// Where it is pinned, when we have made it.
    made: Option<PathBuf>,
}

impl SharedContexts {
    /// Loads and attaches what writes the map that is pinned there, or will be; it looks at nobody yet.
    pub fn load(path: &Path) -> Result<Self, ProbeError> {
        features::require_anatomy()?;
        loading("map of spans by thread", || Self::load_at(path)).map_err(|error| match error {
            ProbeError::Refused { step: PINNING, source, .. } => ProbeError::Unshared { path: path.to_owned(), source },
            other => other,
        })
    }

    fn load_at(path: &Path) -> Result<Self, (&'static str, libbpf_rs::Error)> {
        let mut storage = MaybeUninit::uninit();
        let mut open = ShareSkelBuilder::default().open(&mut storage).map_err(|error| ("opening it", error))?;
        let there = path.exists();
        if there {
            // Refused where it has another form.
            open.maps.traces_ctx_v1.reuse_pinned_map(path).map_err(|error| (PINNING, error))?;
        }
        let mut loaded = open.load().map_err(|error| ("loading it", error))?;
        let mut made = None;
        if !there {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(|error| (PINNING, error.into()))?;
            }
            loaded.maps.traces_ctx_v1.pin(path).map_err(|error| {
                let _ = path.parent().map(fs::remove_dir); // fails when there is something in it
                (PINNING, error)
            })?;
            made = Some(path.to_owned());
        }
        let handle = |map| MapHandle::try_from(map).map_err(|error| ("opening its maps", error));
        let mut shared = Self {
            processes: handle(&loaded.maps.shared_processes)?,
            filter: RefCell::new(Filter::of(handle(&loaded.maps.bss)?)),
            contexts: handle(&loaded.maps.traces_ctx_v1)?,
            link: None,
            made,
        };
        shared.link = Some(loaded.progs.on_share.attach().map_err(|error| ("attaching it", error))?);
        Ok(shared)
    }

    /// Begins to write the spans of a process, named by its id in the initial pid namespace.
    pub fn watch(&self, pid: u32, facts: &HeaderFacts) -> Result<(), ProbeError> {
        self.take_out(pid); // what an agent that was killed has left
        self.processes
            .update(&pid.to_ne_bytes(), bytes_of(&tandem_profiled::from(facts)), MapFlags::ANY)
            .and_then(|()| self.filter.borrow_mut().add(pid))
            .map_err(|source| ProbeError::Full { what: "share the spans of", pid, source })
    }

    /// Ends it, and takes its threads out of the map.
    pub fn unwatch(&self, pid: u32) {
        let _ = self.processes.delete(&pid.to_ne_bytes());
        self.filter.borrow_mut().remove(pid);
        self.take_out(pid);
    }

    fn take_out(&self, pid: u32) {
        let own: Vec<Vec<u8>> = self.contexts.keys().filter(|key| key.get(4..8) == Some(&pid.to_ne_bytes())).collect();
        for key in own {
            let _ = self.contexts.delete(&key);
        }
    }
}

impl Drop for SharedContexts {
    fn drop(&mut self) {
        self.link = None;
        match &self.made {
            Some(path) => {
                let _ = fs::remove_file(path);
                // Fails when somebody else has something there.
                let _ = path.parent().map(fs::remove_dir);
            }
            None => {
                let watched: Vec<Vec<u8>> = self.processes.keys().collect();
                let pids = watched.iter().filter_map(|key| Some(u32::from_ne_bytes(key.as_slice().try_into().ok()?)));
                pids.for_each(|pid| self.unwatch(pid));
            }
        }
    }
}
