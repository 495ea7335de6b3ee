//! Which process ids are worth a look: a byte for each ending that an id can have, in a program's `.bss`. It is all that is
//! looked at when a thread of a process leaves the CPU that nobody asked for.

use std::collections::HashSet;

use libbpf_rs::{MapCore, MapFlags, MapHandle};

/// Bytes of the array (intf.h, profile.h): its size is the map's, which is checked when it is written.
const TANDEM_FILTER_COUNT: usize = 4096;

/// The array of a probe that has nothing else in its `.bss`.
#[derive(Debug)]
pub(crate) struct Filter {
    map: MapHandle,
    processes: HashSet<u32>,
    is_paused: bool,
}

impl Filter {
    pub(crate) fn of(map: MapHandle) -> Self {
        Self { map, processes: HashSet::new(), is_paused: false }
    }

    pub(crate) fn add(&mut self, pid: u32) -> Result<(), libbpf_rs::Error> {
        self.processes.insert(pid);
        self.write()
    }

    pub(crate) fn remove(&mut self, pid: u32) {
        self.processes.remove(&pid);
        // A byte that stays costs the processes behind it a look into the map.
        let _ = self.write();
    }

    /// For now, or no longer, nobody is worth a look.
    pub(crate) fn pause(&mut self, is_paused: bool) -> Result<(), libbpf_rs::Error> {
        self.is_paused = is_paused;
        self.write()
    }

    fn write(&self) -> Result<(), libbpf_rs::Error> {
        let mut bytes = [0u8; TANDEM_FILTER_COUNT];
        let looked_at = self.processes.iter().filter(|_| !self.is_paused);
        looked_at.for_each(|&pid| bytes[pid as usize % TANDEM_FILTER_COUNT] = 1);
        self.map.update(&0u32.to_ne_bytes(), &bytes, MapFlags::ANY)
    }
}
