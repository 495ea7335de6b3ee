//! Plugs the kernel half (`probe`) into the agent: `tandem run` and `tandem agent` both load it here.

use agent::{AccountMap, KernelHalf};
use record::HeaderFacts;

/// Loads the kernel half. Where it cannot be had, the error is one line that says why and what to do.
pub fn load() -> Result<Box<dyn KernelHalf>, String> {
    match probe::Kernel::load() {
        Ok(kernel) => Ok(Box::new(Watcher(kernel))),
        Err(error) => {
            let why = error.to_string();
            let first = why.lines().next().unwrap_or_default();
            Err(format!("the kernel half is off: {first}; {} (tandem doctor says more)", error.remedy()))
        }
    }
}

/// Reports what cannot be watched, and goes on without: those spans lack the kernel's parts.
struct Watcher(probe::Kernel);

impl KernelHalf for Watcher {
    fn watch(&mut self, pid: u32, facts: &HeaderFacts) -> Option<AccountMap> {
        match self.0.watch(pid, facts) {
            Ok(probe::AccountMap { fd, slots, lacking }) => Some(AccountMap { fd, slots, lacking }),
            Err(error) => {
                eprintln!("tandem: warning: {error}; {}", error.remedy());
                None
            }
        }
    }

    fn unwatch(&mut self, pid: u32) {
        self.0.unwatch(pid);
    }
}
