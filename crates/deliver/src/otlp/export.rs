//! Exports spans, log records, profiles and metrics to an OTLP endpoint.
//!
//! Spans and log records come through bounded queues ([`QueuedSink`](crate::queue::QueuedSink)); a receiver that does not answer is
//! asked again for a short time, then they are counted as lost. Metrics are sent at an interval, and at the end.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::runtime::Runtime;

use super::client::{Accepted, Client, ClientError, Refusal};
use super::config::{Endpoint, Temporality};
use super::metrics as own_metrics;
use super::temporality::Deltas;
use crate::metrics::Snapshot;
use crate::queue::{Loss, QueuedSink, Worker};
use crate::{Batch, Signal};

/// Bytes that may wait for the receiver.
const QUEUE_BYTES: usize = 64 << 20;
/// A receiver that does not answer is asked again for so long, at growing intervals.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same once somebody waits for the end.
const HURRY: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Several batches go in one request up to this size; receivers refuse more than 4 MiB over gRPC.
const REQUEST_BYTES: usize = 2 << 20;

/// Sends batches.
struct Exporter {
    signal: Signal,
    runtime: Runtime,
    client: Client,
}

/// Starts to send spans to an endpoint.
pub fn spans(endpoint: Endpoint) -> Result<QueuedSink, ClientError> {
    exporter("otlp", Signal::Traces, endpoint)
}

/// Starts to send log records to an endpoint.
pub fn logs(endpoint: Endpoint) -> Result<QueuedSink, ClientError> {
    exporter("otlp_logs", Signal::Logs, endpoint)
}

/// Starts to send metrics that others have made to an endpoint.
pub fn metrics(endpoint: Endpoint) -> Result<QueuedSink, ClientError> {
    exporter("otlp_metrics", Signal::Metrics, endpoint)
}

/// Starts to send profiles to an endpoint.
pub fn profiles(endpoint: Endpoint) -> Result<QueuedSink, ClientError> {
    exporter("otlp_profiles", Signal::Profiles, endpoint)
}

fn exporter(name: &'static str, signal: Signal, endpoint: Endpoint) -> Result<QueuedSink, ClientError> {
    let exporter = Exporter { signal, runtime: runtime()?, client: Client::new(signal, endpoint)? };
    Ok(QueuedSink::start(name, signal, QUEUE_BYTES, exporter)?)
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl Worker for Exporter {
    fn deliver(&mut self, batches: &[Arc<Batch>], hurry: &AtomicBool) -> Result<(), Loss> {
        // Requests written one after the other are one request.
        let message = match batches {
            [batch] => batch.bytes.clone(),
            _ => {
                let mut joined = BytesMut::with_capacity(batches.iter().map(|batch| batch.bytes.len()).sum());
                batches.iter().for_each(|batch| joined.extend_from_slice(&batch.bytes));
                joined.freeze()
            }
        };
        match self.runtime.block_on(send(&self.client, message, hurry)) {
            Ok(Accepted { rejected: 0, message }) if message.is_empty() => Ok(()),
            Ok(Accepted { rejected, message }) => Err(Loss {
                cause: "rejected",
                records: Some(rejected),
                problem: format!("the receiver says: {message}"),
            }),
            Err(refusal) => {
                let cause = if refusal.retry { "unreachable" } else { "refused" };
                Err(Loss { cause, records: None, problem: refusal.problem })
            }
        }
    }

    fn preferred_bytes(&self) -> usize {
        // Profiles cannot be joined: each has a dictionary.
        if self.signal == Signal::Profiles { 0 } else { REQUEST_BYTES }
    }
}

/// Sends until it is accepted, finally refused, or patience ends.
async fn send(client: &Client, message: Bytes, hurry: &AtomicBool) -> Result<Accepted, Refusal> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let refusal = match or_hurried(client.send(message.clone()), start, hurry).await {
            Some(Ok(accepted)) => return Ok(accepted),
            Some(Err(refusal)) => refusal,
            None => {
                return Err(Refusal { retry: true, after: None, problem: "the receiver does not answer".to_owned() });
            }
        };
        let wait = refusal.after.unwrap_or(pause);
        let patience = if hurry.load(Ordering::Relaxed) { HURRY } else { PATIENCE };
        if !refusal.retry || start.elapsed() + wait > patience {
            return Err(refusal);
        }
        if or_hurried(tokio::time::sleep(wait), start, hurry).await.is_none() {
            return Err(refusal);
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits for something, but not for long once there is hurry. An attempt that has just begun gets its time.
async fn or_hurried<T>(something: impl Future<Output = T>, start: Instant, hurry: &AtomicBool) -> Option<T> {
    let hurried = async {
        let mut noticed = None;
        loop {
            if hurry.load(Ordering::Relaxed) {
                let since = *noticed.get_or_insert_with(Instant::now);
                if since.elapsed() > HURRY && start.elapsed() > HURRY {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        biased;
        result = something => Some(result),
        () = hurried => None,
    }
}

/// Sends metrics at an interval. Dropped, it sends once more.
pub struct MetricsExporter {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl MetricsExporter {
    /// Starts to send what `source` says.
    pub fn start(
        endpoint: Endpoint,
        interval: Duration,
        temporality: Temporality,
        source: impl Fn() -> Snapshot + Send + 'static,
    ) -> Result<Self, ClientError> {
        let runtime = runtime()?;
        let client = Client::new(Signal::Metrics, endpoint)?;
        let (stop, stopped) = channel();
        let thread = thread::Builder::new().name("tandem-metrics".to_owned()).spawn(move || {
            let mut warned = false;
            let mut deltas = Deltas::new(temporality);
            loop {
                let last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                let snapshot = source();
                let mut request = own_metrics::request(&snapshot);
                deltas.convert(&mut request, &snapshot);
                let message = Bytes::from(request.encode_to_vec());
                // What was not sent now is in the next one. So there is no hurry to ask again.
                let hurry = AtomicBool::new(true);
                match runtime.block_on(send(&client, message, &hurry)) {
                    Ok(_) => deltas.arrived(),
                    Err(refusal) if !std::mem::replace(&mut warned, true) => {
                        tracing::warn!("metrics: {}", refusal.problem);
                    }
                    Err(_) => {}
                }
                if last {
                    return;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for MetricsExporter {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
