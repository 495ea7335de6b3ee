//! The patch of Go's runtime: the rules of `go/rt/runtime/pack.yaml`, and the added file with what depends on the Go
//! version filled in (the class of each wait reason, where a sleep's end stands).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::embedded;
use crate::pack::{Pack, PackError};
use crate::parse::{GoFile, children};
use crate::version::ReleaseVersion;

/// The rule without which nothing can be woven.
pub const SLOT_RULE: &str = "runtime.slot";

/// Class of a wait reason, by its name in `runtime2.go`; others are class 7.
const CLASSES: [(&str, u8); 36] = [
    ("Preempted", 0),
    ("IOWait", 1),
    ("ChanReceiveNilChan", 2),
    ("ChanSendNilChan", 2),
    ("ChanReceive", 2),
    ("ChanSend", 2),
    ("SynctestChanReceive", 2),
    ("SynctestChanSend", 2),
    ("Select", 3),
    ("SelectNoCases", 3),
    ("SynctestSelect", 3),
    ("Semacquire", 4),
    ("SyncCondWait", 4),
    ("SyncMutexLock", 4),
    ("SyncRWMutexRLock", 4),
    ("SyncRWMutexLock", 4),
    ("SyncWaitGroupWait", 4),
    ("SynctestWaitGroupWait", 4),
    ("Sleep", 5),
    // Waits for the collector that a goroutine really parks in.
    ("GCAssistWait", 6),
    ("GCSweepWait", 6),
    ("WaitForGCCycle", 6),
    ("GCWeakToStrongWait", 6),
    ("Coroutine", 8),
    // The goroutine lends its stack to the collector or the tracer, but goes on by itself on the system stack.
    ("StoppingTheWorld", ON_SYSTEM_STACK),
    ("GCMarkTermination", ON_SYSTEM_STACK),
    ("GarbageCollection", ON_SYSTEM_STACK),
    ("GarbageCollectionScan", ON_SYSTEM_STACK),
    ("TraceGoroutineStatus", ON_SYSTEM_STACK),
    ("TraceProcStatus", ON_SYSTEM_STACK),
    ("PageTraceFlush", ON_SYSTEM_STACK),
    ("GCAssistMarking", ON_SYSTEM_STACK),
    ("GCWorkerActive", ON_SYSTEM_STACK),
    ("FlushProcCaches", ON_SYSTEM_STACK),
    ("DebugCall", ON_SYSTEM_STACK),
    ("DumpingHeap", ON_SYSTEM_STACK),
];
const OTHER: u8 = 7;
/// Not a wait at all: class 7, and a mark that `tandem_move` looks for.
const ON_SYSTEM_STACK: u8 = OTHER + 10;
/// Added files that are the same for every Go version.
const AS_THEY_ARE: [&str; 3] = ["tandem_amd64.go", "tandem_amd64.s", "tandem_other.go"];
const CHECKED_REASONS: [&str; 4] = ["IOWait", "Select", "Sleep", "Preempted"];

/// The pack for this Go version; `runtime2` is the text of its `runtime2.go`.
pub fn pack(runtime2: &str, go: &ReleaseVersion) -> Result<Pack, PackError> {
    let text_of = |name: &str| {
        let (_, bytes) =
            embedded::RUNTIME_PATCH_FILES.iter().find(|(path, _)| *path == name).expect("embedded by build.rs");
        String::from_utf8_lossy(bytes)
    };
    let hook = render(&text_of("tandem.go.tmpl"), &wait_reasons(runtime2), go);
    let mut files: BTreeMap<String, String> =
        AS_THEY_ARE.iter().map(|&name| (name.to_owned(), text_of(name).into_owned())).collect();
    files.insert("tandem.go".to_owned(), hook);
    Pack::parse("go/rt/runtime/pack.yaml", &text_of("pack.yaml"), files)
}

fn render(template: &str, reasons: &[String], go: &ReleaseVersion) -> String {
    let mut classes = String::new();
    for reason in reasons {
        let class = CLASSES.iter().find(|(name, _)| name == reason).map_or(OTHER, |(_, class)| *class);
        write!(classes, "\\x{class:02x}").expect("a String");
    }
    let position = |name: &str| reasons.iter().position(|reason| reason == name);
    let checks: Vec<String> =
        CHECKED_REASONS.iter().filter_map(|name| Some(format!("waitReason{name}-{}", position(name)?))).collect();
    let (guard, end) =
        if go.language() >= (1, 23) { ("", "gp.sleepWhen") } else { ("gp.timer != nil && ", "gp.timer.nextwhen") };
    let (import, closure) = if go.language() >= (1, 24) {
        ("\t\"internal/runtime/sys\"\n", "sys.GetClosurePtr")
    } else {
        ("", "getclosureptr")
    };
    template
        .replace("@CLOSURE_IMPORT@", import)
        .replace("@CLOSURE@", closure)
        .replace("@CLASSES@", &classes)
        .replace("@ORDER_CHECK@", &checks.join("|"))
        .replace("@SLEEP_GUARD@", guard)
        .replace("@SLEEP_END@", end)
}

/// The names of the wait reasons in the order of their values, without their common beginning.
fn wait_reasons(runtime2: &str) -> Vec<String> {
    let file = GoFile::parse_leniently(runtime2);
    let declarations = children(file.root()).filter(|node| node.kind() == "const_declaration");
    for declaration in declarations {
        let specifications = children(declaration).filter(|node| node.kind() == "const_spec");
        let names = specifications
            .filter_map(|specification| specification.child_by_field_name("name"))
            .map(|name| file.slice(name));
        let reasons: Vec<String> =
            names.filter_map(|name| name.strip_prefix("waitReason")).map(str::to_owned).collect();
        if reasons.first().is_some_and(|first| first == "Zero") {
            return reasons;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNTIME2: &str = "package runtime\nconst (\n\ta = iota\n)\nconst (\n\twaitReasonZero waitReason = iota // \"\"\n\twaitReasonSelect // \"select\"\n\twaitReasonNew\n\twaitReasonSleep\n)\n";

    #[test]
    fn classes_follow_the_order_of_this_version() {
        assert_eq!(wait_reasons(RUNTIME2), ["Zero", "Select", "New", "Sleep"]);
        let go = ReleaseVersion::parse("go1.22.0").expect("valid");
        let text = render("@CLASSES@ @ORDER_CHECK@ @SLEEP_GUARD@@SLEEP_END@", &wait_reasons(RUNTIME2), &go);
        assert_eq!(text, r"\x07\x03\x07\x05 waitReasonSelect-1|waitReasonSleep-3 gp.timer != nil && gp.timer.nextwhen");
    }
}
