//! One address: its queue, and whether somebody answers there.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::{BalanceError, NAME, Shared};
use crate::Signal;
use crate::otlp::config::Endpoint;
use crate::otlp::export::Exporter;
use crate::retry::{Answer, Impatience, Keep, Parcel, RetryQueue, Transport};
use crate::sink::Sink;

/// An address of the endpoint's name, now or a while ago.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) address: SocketAddr,
    pub(super) queue: RetryQueue,
    /// The name has it.
    listed: AtomicBool,
    answers: AtomicBool,
}

impl Member {
    pub(super) fn start(shared: &Arc<Shared>, address: SocketAddr, keep: Option<Keep>) -> Result<Self, BalanceError> {
        let exporter = exporter(&shared.endpoint, address)?;
        let transport = Sending { shared: Arc::downgrade(shared), address, exporter, failing: None };
        let queue = RetryQueue::start(NAME, Signal::Traces, keep, transport)?;
        Ok(Self { address, queue, listed: AtomicBool::new(true), answers: AtomicBool::new(true) })
    }

    /// Spans go there. Changed only with the state's lock held.
    pub(super) fn is_in(&self) -> bool {
        self.is_listed() && self.answers.load(Ordering::Relaxed)
    }

    pub(super) fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Relaxed)
    }

    pub(super) fn list(&self, listed: bool) {
        self.listed.store(listed, Ordering::Relaxed);
    }

    /// Somebody answers there, or not; whether that is news.
    pub(super) fn answers(&self, answers: bool) -> bool {
        self.answers.swap(answers, Ordering::Relaxed) != answers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.report().queue.is_some_and(|queue| queue.records == 0)
    }
}

pub(super) fn exporter(endpoint: &Endpoint, address: SocketAddr) -> Result<Exporter, BalanceError> {
    Ok(Exporter::new(Signal::Traces, Endpoint { only: Some(address), ..endpoint.clone() })?)
}

/// Sends to one address as long as it is in.
struct Sending {
    shared: Weak<Shared>,
    address: SocketAddr,
    exporter: Exporter,
    /// Since when nobody answers.
    failing: Option<Instant>,
}

impl Transport for Sending {
    fn send(&mut self, parcels: &[Parcel], impatience: &Impatience) -> Answer {
        let Some(shared) = self.shared.upgrade() else { return self.exporter.send(parcels, impatience) };
        if let Some(answer) = shared.hand_over(Some(self.address), parcels) {
            self.failing = None;
            return answer;
        }
        let answer = self.exporter.send(parcels, impatience);
        if !matches!(answer, Answer::Later { after: None, .. }) {
            self.failing = None;
            return answer;
        }
        // Whoever is in a hurry has not waited for the answer.
        let since = *self.failing.get_or_insert_with(Instant::now);
        if since.elapsed() < shared.balance.away_after || impatience.hurry() {
            return answer;
        }
        self.failing = None;
        if !shared.away(self.address) {
            return answer;
        }
        if let Answer::Later { problem, .. } = &answer {
            tracing::warn!("{NAME}: {problem}: until somebody answers there again, its traces go to the others");
        }
        shared.hand_over(Some(self.address), parcels).unwrap_or(answer)
    }

    fn preferred_bytes(&self) -> usize {
        self.exporter.preferred_bytes()
    }

    fn halves(&self, parcel: &Parcel) -> Option<[Parcel; 2]> {
        self.exporter.halves(parcel)
    }
}

/// Waits until there is an address.
pub(super) struct Waiting {
    shared: Weak<Shared>,
    name: String,
}

impl Waiting {
    pub(super) fn new(shared: Weak<Shared>, endpoint: &Endpoint) -> Self {
        Self { shared, name: endpoint.uri.host().unwrap_or_default().to_owned() }
    }
}

impl Transport for Waiting {
    fn send(&mut self, parcels: &[Parcel], _impatience: &Impatience) -> Answer {
        let answer = self.shared.upgrade().and_then(|shared| shared.hand_over(None, parcels));
        let problem = || format!("the name {} has no address", self.name);
        answer.unwrap_or_else(|| Answer::Later { after: None, problem: problem() })
    }

    fn preferred_bytes(&self) -> usize {
        2 << 20
    }

    fn halves(&self, _parcel: &Parcel) -> Option<[Parcel; 2]> {
        None
    }
}
