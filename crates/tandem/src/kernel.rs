//! Plugs the kernel half (`probe`) into the agent: `tandem run` and `tandem agent` both load it here.

use agent::{AccountMap, KernelHalf};
use record::HeaderFacts;

/// What the detail mode says before it starts.
const PRICE: &str = "--detail costs watched programs about 0.1 µs for each read of a socket and for each arrival of data, \
                     and all other programs of this machine at most 0.05 µs";

/// Loads the kernel half. Where it cannot be had, the error is one line that says why and what to do. No thread is started.
pub fn load(detail: bool) -> Result<probe::Kernel, String> {
    if detail {
        eprintln!("tandem: {PRICE}");
    }
    match if detail { probe::Kernel::load_detailed() } else { probe::Kernel::load() } {
        Ok(kernel) => Ok(kernel),
        Err(error) => {
            let why = error.to_string();
            let first = why.lines().next().unwrap_or_default();
            Err(format!("the kernel half is off: {first}; {} (tandem doctor says more)", error.remedy()))
        }
    }
}

/// Sets it to work.
pub fn watcher(kernel: probe::Kernel) -> Box<dyn KernelHalf> {
    kernel.stock_up();
    Box::new(Watcher(kernel))
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
