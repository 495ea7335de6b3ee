//! Plugs the kernel half (`probe`) into the agent: `tandem run` and `tandem agent` both load it here.

use agent::{AccountMap, KernelHalf, SpanSystemCalls, SystemCalls};
use record::HeaderFacts;

/// What the detail mode says before it starts.
const PRICE: &str = "--detail costs watched programs 0.1 to 0.3 µs for each system call and up to 0.1 µs for each read of a \
                     socket, arrival of data and page fault, and all other programs of this machine about 0.05 µs for each; \
                     a saturated server needs some 10 % more CPU time";

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
            Ok(probe::AccountMap { fd, slots, lacking, system_calls }) => Some(AccountMap {
                fd,
                slots,
                lacking,
                system_calls: system_calls.map(|kept| Box::new(Calls(kept)) as Box<dyn SpanSystemCalls>),
            }),
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

#[derive(Debug)]
struct Calls(probe::SpanSystemCalls);

impl SpanSystemCalls for Calls {
    fn take(&self, span_id: [u8; 8]) -> Vec<SystemCalls> {
        let calls = self.0.take(span_id).into_iter();
        calls
            .map(|probe::SystemCalls { name, count, time }| SystemCalls { name: name.unwrap_or("other"), count, time })
            .collect()
    }
}
