//! An audit: the kernel's count of the requests that a process answered, beside the count of those that spans tell of.
//!
//! The first is what was said on the sockets of observed processes ([`sockets`](crate::sockets)), whoever makes spans of it; the second comes
//! from the processes' own records and counts, or from probes. Both count HTTP and gRPC from the moment on at which the sockets
//! were looked at; requests within TLS are in neither. Where the second is smaller, something was not woven, or was lost.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Services that are told apart; what is more is counted as one.
const SERVICES_LIMIT: usize = 1000;
const OTHER_SERVICES: &str = "other";
/// So long what a process did at last may still be told.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// Join points whose spans are requests that a process answers: what the kernel can see on its sockets.
pub(crate) fn is_request(join_point: &str) -> bool {
    matches!(
        join_point,
        "net/http.server" | "fasthttp.server" | "grpc.server" | "socket.http.server" | "socket.grpc.server"
    )
}

/// Requests that a service has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// That the kernel saw.
    pub seen: u64,
    /// That a span or a count tells of.
    pub told: u64,
}

impl Requests {
    /// The share of requests that is told, from 0 to 1; `None`: there were none. What was under way at the beginning may have been
    /// told and not seen.
    pub fn completeness(&self) -> Option<f64> {
        (self.seen > 0).then(|| (self.told as f64 / self.seen as f64).min(1.0))
    }
}

/// The audit of all processes whose sockets are looked at.
#[derive(Clone, Debug, Default)]
pub struct Completeness {
    services: BTreeMap<String, Requests>,
    /// Of processes, by their ids, and since when their sockets are not looked at any more.
    processes: HashMap<u32, (String, Option<Instant>)>,
}

impl Completeness {
    /// From now on the sockets of a process are looked at.
    pub(crate) fn begin(&mut self, pid: u32, service: &str) {
        let is_known = self.services.contains_key(service) || self.services.len() < SERVICES_LIMIT;
        self.processes.retain(|_, (_, ended)| ended.is_none_or(|ended| ended.elapsed() < LAST_WORDS));
        let service = if is_known { service } else { OTHER_SERVICES };
        self.services.entry(service.to_owned()).or_default();
        self.processes.insert(pid, (service.to_owned(), None));
    }

    /// They are no longer. What the process has done until now may still be told.
    pub(crate) fn end(&mut self, pid: u32) {
        if let Some((_, ended)) = self.processes.get_mut(&pid) {
            *ended = Some(Instant::now());
        }
    }

    /// The kernel saw so many requests more.
    pub(crate) fn seen(&mut self, pid: u32, more: u64) {
        self.add(pid, Requests { seen: more, told: 0 });
    }

    /// So many more are told.
    pub(crate) fn told(&mut self, pid: u32, more: u64) {
        self.add(pid, Requests { seen: 0, told: more });
    }

    fn add(&mut self, pid: u32, more: Requests) {
        if more == Requests::default() {
            return;
        }
        let Some((service, _)) = self.processes.get(&pid) else { return };
        let sum = self.services.entry(service.clone()).or_default();
        sum.seen = sum.seen.saturating_add(more.seen);
        sum.told = sum.told.saturating_add(more.told);
    }

    /// By service, what was counted.
    pub fn services(&self) -> impl Iterator<Item = (&str, Requests)> {
        self.services.iter().map(|(service, requests)| (service.as_str(), *requests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_that_are_looked_at_count() {
        let mut audit = Completeness::default();
        audit.told(1, 5);
        audit.begin(1, "shop");
        audit.begin(2, "shop");
        audit.seen(1, 3);
        audit.told(1, 2);
        audit.seen(2, 1);
        audit.end(2);
        audit.told(2, 1); // its last words
        audit.told(3, 1);
        let counted: Vec<_> = audit.services().collect();
        assert_eq!(counted, [("shop", Requests { seen: 4, told: 3 })]);
        assert_eq!(counted[0].1.completeness(), Some(0.75));
        assert_eq!(Requests { seen: 1, told: 2 }.completeness(), Some(1.0));
        assert_eq!(Requests { seen: 0, told: 2 }.completeness(), None);
    }

    #[test]
    fn too_many_services_are_counted_as_one() {
        let mut audit = Completeness::default();
        for pid in 0..2 * SERVICES_LIMIT as u32 {
            audit.begin(pid, &pid.to_string());
            audit.seen(pid, 1);
        }
        assert_eq!(audit.services().count(), SERVICES_LIMIT + 1);
        assert_eq!(audit.services().map(|(_, requests)| requests.seen).sum::<u64>(), 2 * SERVICES_LIMIT as u64);
    }
}
