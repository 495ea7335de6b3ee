//! Exports spans, log records, profiles and metrics to an OTLP endpoint.
//!
//! Spans, log records and profiles come through a [`RetryQueue`]. Metrics are sent at an interval, and at the end: what did not
//! arrive is in the next request.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::Uri;
use prost::Message;
use tokio::runtime::Runtime;

use super::client::{Client, ClientError};
use super::config::{Endpoint, Temporality};
use super::metrics as own_metrics;
use super::rewrite::{self, Edit};
use super::temporality::Deltas;
use crate::fnv;
use crate::metrics::Snapshot;
use crate::retry::folder::{Folder, FolderError};
use crate::retry::{Answer, HURRY, Impatience, Keep, Parcel, RetryQueue, Transport};
use crate::{Batch, Signal};

/// Several batches go in one request up to this size; receivers refuse more than 4 MiB over gRPC.
const REQUEST_BYTES: usize = 2 << 20;

/// Sends batches.
pub(crate) struct Exporter {
    signal: Signal,
    /// There until this is dropped.
    runtime: Option<Runtime>,
    client: Client,
}

impl Drop for Exporter {
    /// Does not wait for the name of a host that nobody answers for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Exporter {
    /// Connects when there is something to send.
    pub(crate) fn new(signal: Signal, endpoint: Endpoint) -> Result<Self, ClientError> {
        Ok(Self { signal, runtime: Some(runtime()?), client: Client::new(signal, endpoint)? })
    }

    /// Whether somebody answers there: asked with a request that has nothing in it.
    pub(crate) fn answers(&self) -> bool {
        let Some(runtime) = &self.runtime else { return false };
        !matches!(runtime.block_on(self.client.send(Bytes::new())), Answer::Later { after: None, .. })
    }
}

/// Starts to send spans to an endpoint.
pub fn spans(endpoint: Endpoint, keep: Option<Keep>) -> Result<RetryQueue, ClientError> {
    exporter("otlp", Signal::Traces, endpoint, keep)
}

/// Starts to send log records to an endpoint.
pub fn logs(endpoint: Endpoint, keep: Option<Keep>) -> Result<RetryQueue, ClientError> {
    exporter("otlp_logs", Signal::Logs, endpoint, keep)
}

/// Starts to send metrics that others have made to an endpoint.
pub fn metrics(endpoint: Endpoint, keep: Option<Keep>) -> Result<RetryQueue, ClientError> {
    exporter("otlp_metrics", Signal::Metrics, endpoint, keep)
}

/// Starts to send profiles to an endpoint.
pub fn profiles(endpoint: Endpoint, keep: Option<Keep>) -> Result<RetryQueue, ClientError> {
    exporter("otlp_profiles", Signal::Profiles, endpoint, keep)
}

fn exporter(
    name: &'static str,
    signal: Signal,
    endpoint: Endpoint,
    keep: Option<Keep>,
) -> Result<RetryQueue, ClientError> {
    Ok(RetryQueue::start(name, signal, keep, Exporter::new(signal, endpoint)?)?)
}

/// The folder below `root` in which a signal waits for an endpoint. Whatever else is known of the endpoint (headers, certificates)
/// may change while it does.
pub fn folder(root: &Path, signal: Signal, uri: &Uri) -> Result<Folder, FolderError> {
    Folder::open(root, &folder_name(signal, uri))
}

/// What the folder is called; of one of several addresses of the endpoint, this and [`folder::OF`](crate::retry::folder::OF) and the address.
pub(crate) fn folder_name(signal: Signal, uri: &Uri) -> String {
    let hash = fnv::hash(uri.to_string().into_bytes());
    let host: String = uri
        .host()
        .unwrap_or_default()
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() { one } else { '-' })
        .take(40)
        .collect();
    format!("{}-{host}-{hash:016x}", signal.noun().replace(' ', "-"))
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl Transport for Exporter {
    fn send(&mut self, parcels: &[Parcel], impatience: &Impatience) -> Answer {
        // Requests written one after the other are one request.
        let message = match parcels {
            [one] => one.message.clone(),
            _ => {
                let mut joined = BytesMut::with_capacity(parcels.iter().map(|parcel| parcel.message.len()).sum());
                parcels.iter().for_each(|parcel| joined.extend_from_slice(&parcel.message));
                joined.freeze()
            }
        };
        match &self.runtime {
            Some(runtime) => runtime.block_on(or_hurried(self.client.send(message), impatience)),
            None => Answer::Later { after: None, problem: "it has stopped".to_owned() },
        }
    }

    fn preferred_bytes(&self) -> usize {
        // Profiles cannot be joined: each has a dictionary.
        if self.signal == Signal::Profiles { 0 } else { REQUEST_BYTES }
    }

    fn halves(&self, parcel: &Parcel) -> Option<[Parcel; 2]> {
        if self.signal == Signal::Profiles || parcel.records < 2 {
            return None;
        }
        let Parcel { message, records } = parcel;
        let batch = Batch { signal: self.signal, resource: Arc::default(), bytes: message.clone(), records: *records };
        let half = |first: bool| {
            let mut index = 0;
            let half = rewrite::batch(&batch, |_| {
                index += 1;
                if (index <= records / 2) == first { Edit::Keep } else { Edit::Drop }
            });
            half.ok().flatten().map(|half| Parcel { message: half.bytes, records: half.records })
        };
        Some([half(true)?, half(false)?])
    }
}

/// Waits for an answer, but not for long once there is hurry. An attempt that has just begun gets its time.
async fn or_hurried(answer: impl Future<Output = Answer>, impatience: &Impatience) -> Answer {
    let start = Instant::now();
    let hurried = async {
        let mut noticed = None;
        loop {
            if impatience.hurry() {
                let since = *noticed.get_or_insert_with(Instant::now);
                if since.elapsed() > HURRY && start.elapsed() > HURRY || impatience.stop() {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        () = hurried => Answer::Later { after: None, problem: "the receiver does not answer".to_owned() },
    }
}

/// Tries for a short time. An attempt that takes longer is left: whether it arrived nobody knows.
async fn within_hurry(client: &Client, message: Bytes) -> Answer {
    let mut answer = Answer::Later { after: None, problem: "the receiver does not answer".to_owned() };
    let tries = async {
        loop {
            answer = client.send(message.clone()).await;
            let Answer::Later { .. } = answer else { return };
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let _ = tokio::time::timeout(HURRY, tries).await;
    answer
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
                // What was not sent now is in the next one. So it is not tried for long.
                match runtime.block_on(within_hurry(&client, message)) {
                    Answer::Accepted { .. } | Answer::Moved => deltas.arrived(),
                    Answer::Later { problem, .. } | Answer::TooLarge { problem } | Answer::Refused { problem, .. } => {
                        if !std::mem::replace(&mut warned, true) {
                            tracing::warn!("metrics: {problem}");
                        }
                    }
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
