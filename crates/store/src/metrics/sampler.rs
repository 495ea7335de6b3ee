//! Puts all metrics into a store at an interval.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use deliver::metrics::Snapshot;

use super::MetricTotals;
use crate::{Store, StoreError};

/// Puts all metrics into a store at an interval. Dropped, it does so once more.
pub struct MetricSampler {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl MetricSampler {
    /// Starts to ask `source`.
    pub fn start(
        store: Arc<Store>,
        interval: Duration,
        source: impl Fn() -> Snapshot + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (stop, stopped) = channel();
        let sample = move || {
            let mut totals = MetricTotals::default();
            loop {
                let is_last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                store.offer_metrics(totals.sample(&source().with_exemplars(false)));
                if is_last {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("tandem-sampler".into()).spawn(sample).map_err(StoreError::Thread)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for MetricSampler {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
