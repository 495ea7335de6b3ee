//! What `tandem run` and `tandem agent` share: the agent, and where its spans, metrics and log records go.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use agent::attributes::settings::rules;
use agent::receive::settings as receiving;
use agent::regulate::objectives::Wanted;
use agent::regulate::settings::wanted;
use agent::{Agent, Config, Observing, Regulating, Sampler, Sampling, Selection, Settings, SettingsError};
use anyhow::Context;
use clap::Args;
use deliver::balance::{Balance, KeepIn};
use deliver::json::JsonLines;
use deliver::otlp::config::{Endpoint, ExportConfig};
use deliver::otlp::export::MetricsExporter;
use deliver::otlp::server;
use deliver::queue::QueuedSink;
use deliver::retry::Keep;
use deliver::{Signal, Sink};
use deliver::{otlp, prometheus};
use probe::Rate;
use probe::uprobe::Headers;
use store::{Limits, LogStore, MetricSampler, ProfileStore, Reader, Store};
use ui::UiError;

use crate::environment;
use crate::kernel;
use crate::page::PageHost;
use crate::privileges::{self, Extra};
use crate::sockets;
use crate::stored_metrics;
use crate::summary::{sampled, summary};
use crate::uprobes;
use crate::warnings;

/// Where the agent of a machine is told what to do.
const SETTINGS: &str = "/etc/tandem/agent.yaml";
/// Bytes of spans that may wait for a slow reader of JSON lines.
const JSON_QUEUE: usize = 64 << 20;
/// How long the end waits for the last spans to be delivered.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long for the store and the file.
const LAST_WRITES: Duration = Duration::from_secs(30);

/// Where spans and metrics go.
#[derive(Args)]
pub struct Destinations {
    /// Folder of the store [default: $TANDEM_STORE, else tandem/store in $XDG_STATE_HOME or ~/.local/state].
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Print spans as JSON lines to standard output, or append them to a file.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Serve Prometheus metrics at this address (port 0: any free one).
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,
    /// Show the traces on a page at this address. `tandem run` does so by default, at 127.0.0.1:8317 or, where that is
    /// taken, at any free port.
    #[arg(long, value_name = "ADDRESS", value_parser = ui::parse_address)]
    ui: Option<SocketAddr>,
    /// Let the page switch functions on that were woven dormant (docs/functions.md); else it only shows.
    #[arg(long)]
    ui_enable: bool,
    /// Do without the page.
    #[arg(long, conflicts_with = "ui")]
    no_ui: bool,
    /// Do without the kernel half.
    #[arg(long)]
    no_kernel: bool,
    /// Tell more parts of the latency anatomy, at a price that is said first (docs/anatomy.md).
    #[arg(long, conflicts_with = "no_kernel")]
    detail: bool,
    /// Sample stacks so many times a second on each processor (49 when no number is given), each with the span it is in;
    /// `tandem profile` shows them (docs/profiles.md).
    #[arg(long, value_name = "HZ", num_args = 0..=1, require_equals = true, default_missing_value = "49", value_parser = rate)]
    profile: Option<Rate>,
    /// Take spans, metrics and log records that others send as OTLP (docs/agent.md): at this address, by gRPC and by HTTP at one
    /// port; without a port, or without an address (127.0.0.1), by gRPC on 4317 and by HTTP on 4318.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1")]
    otlp: Option<String>,
    /// What is done with what passes through the agent (docs/agent.md) [default: $TANDEM_CONFIG, else, for `tandem agent`,
    /// /etc/tandem/agent.yaml where there is one].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell other eBPF tools the spans of threads that are off the CPU, by a pinned map (docs/interoperation.md).
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, conflicts_with = "no_kernel",
          default_missing_value = probe::SHARED_CONTEXTS)]
    share_threads: Option<PathBuf>,
    /// What `agent.yaml` says, once it has been read.
    #[arg(skip)]
    settings: Settings,
    /// Programs that are observed without being woven.
    #[arg(skip)]
    observed: Vec<Selection>,
    /// Whether their requests are to name their trace.
    #[arg(skip = Headers::AsTheyAre)]
    headers: Headers,
}

/// Whether the trace goes on beyond observed programs.
#[derive(Args)]
pub struct Propagation {
    /// Leave the requests that observed programs send as they are; else those of HTTP/1 and calls of grpc, without TLS, that have
    /// no traceparent get one on their way out, so that their trace goes on at the other end.
    #[arg(long)]
    no_propagation: bool,
}

fn rate(text: &str) -> Result<Rate, String> {
    text.parse().ok().and_then(Rate::new).ok_or_else(|| format!("write a number from 1 to {}", Rate::HIGHEST))
}

/// Whose programs an agent serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One program and what it starts.
    Program,
    /// All of this machine, those included that run already.
    Machine,
    /// Those that were not woven and run already.
    Observed,
}

/// An agent with everything around it.
pub struct Observer {
    agent: Agent,
    page: Option<ui::Server>,
    prometheus: Option<prometheus::Server>,
    otlp_metrics: Option<MetricsExporter>,
    stored_metrics: Option<MetricSampler>,
    otlp_receiver: Option<server::Server>,
    sampler: Option<Arc<Sampler>>,
    /// What a person has to type to see this store.
    traces_command: String,
    scope: Scope,
}

impl Destinations {
    /// Gives away what the agent may not do. To be called before anything of it is started.
    pub fn confine(&mut self, scope: Scope) -> anyhow::Result<()> {
        let settings = self.read_settings(scope)?;
        if !self.no_kernel && (settings.budget.is_some() || !settings.objectives.is_empty()) {
            kernel::measure_run_times();
        }
        self.settings = settings;
        privileges::confine(self.extra(scope)?).context("cannot give privileges away")
    }

    /// Observes these programs, too, without their being woven.
    pub fn observing(mut self, programs: Vec<Selection>, propagation: &Propagation) -> Self {
        self.observed = programs;
        self.headers = if propagation.no_propagation { Headers::AsTheyAre } else { Headers::Insert };
        self
    }

    /// Lets a group read what will be stored.
    pub fn share(&self, group: u32) -> anyhow::Result<()> {
        Ok(store::share(&self.store_folder(), group)?)
    }

    /// What `agent.yaml` says, where there is one.
    fn read_settings(&self, scope: Scope) -> Result<Settings, SettingsError> {
        let from_environment = || environment::path("TANDEM_CONFIG");
        let of_machine = || Some(PathBuf::from(SETTINGS)).filter(|path| scope == Scope::Machine && path.exists());
        let file = self.config.clone().or_else(from_environment).or_else(of_machine);
        file.map_or_else(|| Ok(Settings::default()), |file| Settings::read(&file))
    }

    /// Where OTLP is taken, and how; the command line beats the file where both name addresses.
    fn listening(&self, receive: Option<&receiving::Receive>) -> anyhow::Result<Option<server::Listening>> {
        let mut listening = receive.map(receiving::Receive::listening).transpose()?;
        if let Some(given) = &self.otlp {
            let known = listening.map_or_else(|| receiving::Receive::default().listening(), Ok)?;
            listening = Some(server::Listening { addresses: receiving::addresses(given), ..known });
        }
        Ok(listening)
    }

    fn store_folder(&self) -> PathBuf {
        self.store.clone().unwrap_or_else(store::default_folder)
    }

    fn extra(&self, scope: Scope) -> anyhow::Result<Extra> {
        let page = self.ui.map(|address| address.port());
        let metrics = self.metrics.as_ref().and_then(|address| address.rsplit_once(':')?.1.parse().ok());
        let otlp =
            self.listening(self.settings.receive.as_ref())?.into_iter().flat_map(|listening| listening.addresses);
        let otlp = otlp.filter_map(|address| address.rsplit_once(':')?.1.parse().ok());
        let low = |port: u16| (1..1024).contains(&port);
        Ok(Extra {
            run: scope == Scope::Program,
            low_port: page.into_iter().chain(metrics).chain(otlp).any(low),
            observes: !self.observed.is_empty(),
        })
    }

    /// Starts the agent; [`Self::confine`] comes first. Nothing has been started when this fails.
    pub fn start(mut self, socket: PathBuf, scope: Scope) -> anyhow::Result<Observer> {
        warnings::say();
        let extra = self.extra(scope)?;
        let Settings { receive, attributes, fold, service_graph, sampling, balance, budget, objectives } =
            std::mem::take(&mut self.settings);
        let regulating = wanted(budget.as_ref(), &objectives)?.map(|(budget, objectives)| Regulating {
            budget,
            wanted: Arc::new(Wanted::new(&objectives)),
            objectives,
            profile_rate: self.profile.map(Rate::per_second),
            say: Box::new(|line| eprintln!("tandem: {line}")),
        });
        let attributes = rules(&attributes)?;
        let listening = self.listening(receive.as_ref())?;
        let balance = balance.map(|settings| settings.balance()).transpose()?;
        // Before there are threads: each would keep what loading needs.
        // What is not woven has no accounts that it could keep.
        let without = self.no_kernel || scope == Scope::Observed;
        let kernel = if without { None } else { Some(kernel::load(self.detail)) };
        let profiling = self.profile.map(kernel::profiler);
        let shared = self.share_threads.as_deref().map(kernel::shared_contexts);
        let uprobes = (!self.observed.is_empty()).then(|| uprobes::load(self.headers));
        let sockets = (!self.observed.is_empty()).then(|| sockets::load(self.headers));
        privileges::settle(extra).context("cannot give privileges away")?;
        let traces_command = match &self.store {
            Some(folder) => format!("tandem traces --store {}", folder.display()),
            None => "tandem traces".to_owned(),
        };
        let store = self.store_folder();
        let export = ExportConfig::from_environment();
        export.warnings.iter().for_each(|warning| eprintln!("tandem: warning: {warning}"));
        let json = self.json.or(export.console.then(|| PathBuf::from("-")));
        let written = Arc::new(Store::open(&store, Limits::default())?);
        let mut sinks =
            sinks(&written, &store, json.as_deref(), &export, balance, listening.is_some(), self.profile.is_some())?;
        let objectives = regulating.as_ref().filter(|regulating| !regulating.objectives.is_empty());
        let objectives = objectives.map(|regulating| Arc::clone(&regulating.wanted));
        let sampler = sampling.map(|sampling| sampler_before(&mut sinks, &sampling, objectives)).transpose()?;
        let shared = shared.and_then(|loaded| loaded.map_err(|why| eprintln!("tandem: {why}")).ok());
        let kernel = kernel.and_then(|loaded| loaded.map_err(|why| eprintln!("tandem: {why}")).ok());
        let kernel = kernel.map(|kernel| kernel::watcher(kernel, shared));
        let profiling = profiling.and_then(|loaded| loaded.map_err(|why| eprintln!("tandem: {why}")).ok());
        let cardinality_limit = export.cardinality_limit;
        let scan = scope == Scope::Machine;
        let selections = self.observed;
        let observing = uprobes.zip(sockets).map(|(uprobes, sockets)| Observing {
            observers: uprobes::with_sockets(uprobes, sockets),
            selections,
            started_only: scope == Scope::Program,
        });
        let correlates = listening.is_some();
        let shows_received = listening.is_some();
        let agent = Agent::start(Config {
            socket,
            scan,
            sinks,
            attributes,
            shows_received,
            kernel,
            profiling,
            observing,
            cardinality_limit,
            fold,
            service_graph,
            correlates,
            regulating,
        })?;
        let metrics = || {
            let (source, exemplars) = (agent.metrics(), export.exemplars);
            move || source().with_exemplars(exemplars)
        };
        // Everybody on this machine can read the page: for all its programs somebody has to ask for it.
        let page = match (self.ui, self.no_ui, scope) {
            (None, true, _) | (None, _, Scope::Machine) => None,
            (address, ..) => {
                let host = PageHost {
                    store: store.clone(),
                    metrics: Some(Box::new(agent.metrics())),
                    problems: Some(Box::new(agent.problems())),
                    may_enable: self.ui_enable,
                };
                Some(page(&store, host, address)?)
            }
        };
        if let Some(page) = &page {
            eprintln!("tandem: page at {}", page.url());
            if page.is_exposed() {
                eprintln!("tandem: warning: who can reach {} and knows that token can read the traces", page.address());
            }
        }
        let prometheus = match &self.metrics {
            Some(address) => {
                let server = prometheus::Server::start(address, metrics())?;
                eprintln!("tandem: metrics at http://{}/metrics", server.address());
                Some(server)
            }
            None => None,
        };
        let otlp_metrics = match export.metrics {
            Some(endpoint) => {
                Some(MetricsExporter::start(endpoint, export.metrics_interval, export.temporality, metrics())?)
            }
            None => None,
        };
        let stored_metrics = stored_metrics::interval()
            .map(|interval| MetricSampler::start(written, interval, agent.metrics()))
            .transpose()?;
        let otlp_receiver = listening.map(|listening| receive_at(&listening, agent.receiver())).transpose()?;
        Ok(Observer {
            agent,
            page,
            prometheus,
            otlp_metrics,
            stored_metrics,
            otlp_receiver,
            sampler,
            traces_command,
            scope,
        })
    }
}

/// Everything that spans, metrics, log records and profiles go to.
fn sinks(
    written: &Arc<Store>,
    store: &Path,
    json: Option<&Path>,
    export: &ExportConfig,
    balance: Option<Balance>,
    receives: bool,
    profiles: bool,
) -> anyhow::Result<Vec<Arc<dyn Sink>>> {
    let mut sinks: Vec<Arc<dyn Sink>> = vec![
        Arc::clone(written) as _,
        Arc::new(LogStore(Arc::clone(written))),
        Arc::new(ProfileStore(Arc::clone(written))),
    ];
    if let Some(file) = json {
        sinks.push(Arc::new(json_lines(file)?));
    }
    let keep = |signal, endpoint: &Endpoint| keep(store, export.queue_bytes, signal, endpoint);
    match (export.traces.clone(), balance) {
        (Some(endpoint), Some(balance)) => {
            let keep = (export.queue_bytes > 0).then(|| KeepIn { root: queue(store), quota: export.queue_bytes });
            sinks.push(Arc::new(deliver::balance::spans(endpoint, balance, keep)?));
        }
        (Some(endpoint), None) => {
            let keep = keep(Signal::Traces, &endpoint);
            sinks.push(Arc::new(otlp::export::spans(endpoint, keep)?));
        }
        (None, Some(_)) => eprintln!(
            "tandem: warning: balance: spans are sent nowhere (set OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)"
        ),
        (None, None) => {}
    }
    // Those that the agent makes are sent at an interval; those that pass through it as they come.
    if let Some(endpoint) = export.metrics.clone().filter(|_| receives) {
        let keep = keep(Signal::Metrics, &endpoint);
        sinks.push(Arc::new(otlp::export::metrics(endpoint, keep)?));
    }
    if let Some(endpoint) = export.logs.clone() {
        let keep = keep(Signal::Logs, &endpoint);
        sinks.push(Arc::new(otlp::export::logs(endpoint, keep)?));
    }
    if let Some(endpoint) = export.profiles.clone().filter(|_| profiles) {
        let keep = keep(Signal::Profiles, &endpoint);
        sinks.push(Arc::new(otlp::export::profiles(endpoint, keep)?));
    }
    Ok(sinks)
}

/// Puts a sampler before those sinks that are of traces.
fn sampler_before(
    sinks: &mut Vec<Arc<dyn Sink>>,
    sampling: &Sampling,
    objectives: Option<Arc<Wanted>>,
) -> anyhow::Result<Arc<Sampler>> {
    let of_traces = sinks.extract_if(.., |sink| sink.signal() == Signal::Traces).collect();
    let sampler = Arc::new(Sampler::start_with(sampling, objectives, of_traces)?);
    sinks.push(Arc::clone(&sampler) as Arc<dyn Sink>);
    Ok(sampler)
}

/// Starts to take OTLP, and says where.
fn receive_at(listening: &server::Listening, receiver: Arc<dyn server::Receiver>) -> anyhow::Result<server::Server> {
    let server = server::Server::start(listening, receiver)?;
    let scheme = if listening.tls.is_some() { "https" } else { "http" };
    for address in server.addresses() {
        eprintln!("tandem: OTLP at {scheme}://{address}");
        if !address.ip().is_loopback() && listening.tls.as_ref().is_none_or(|tls| tls.client_ca.is_none()) {
            eprintln!("tandem: warning: everybody who can reach {address} can send telemetry to this agent");
        }
    }
    Ok(server)
}

/// Says what went wrong, with the causes that the message does not name itself.
pub fn complain(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    eprintln!("tandem: {text}");
}

/// The page. Where nobody has chosen its place, a port that is taken is no reason to fail.
fn page(store: &Path, host: PageHost, address: Option<SocketAddr>) -> anyhow::Result<ui::Server> {
    let host: Arc<dyn ui::Host> = Arc::new(host);
    let reader = || Reader::open(store);
    let any_port = SocketAddr::new(ui::DEFAULT_ADDRESS.ip(), 0);
    match address {
        Some(address) => Ok(ui::serve_with(reader()?, host, address)?),
        None => match ui::serve_with(reader()?, Arc::clone(&host), ui::DEFAULT_ADDRESS) {
            Err(UiError::Listen { .. }) => Ok(ui::serve_with(reader()?, host, any_port)?),
            served => Ok(served?),
        },
    }
}

/// Folder of what cannot be sent yet: `$TANDEM_QUEUE`, else one in that of the store.
fn queue(store: &Path) -> PathBuf {
    environment::path("TANDEM_QUEUE").unwrap_or_else(|| store.join("queue"))
}

/// Where it waits for one endpoint. Without a place it waits in memory.
fn keep(store: &Path, quota: u64, signal: Signal, endpoint: &Endpoint) -> Option<Keep> {
    if quota == 0 {
        return None;
    }
    match otlp::export::folder(&queue(store), signal, &endpoint.uri) {
        Ok(folder) => Some(Keep { folder, quota }),
        Err(why) => {
            eprintln!("tandem: warning: {why}; what cannot be sent at once waits in memory only");
            None
        }
    }
}

fn json_lines(file: &Path) -> anyhow::Result<QueuedSink> {
    let queued = if file == Path::new("-") {
        QueuedSink::start("json", Signal::Traces, JSON_QUEUE, JsonLines::new(io::stdout()))
    } else {
        let out = File::options().create(true).append(true).mode(0o600).open(file);
        let out = out.with_context(|| format!("cannot write spans to {}", file.display()))?;
        QueuedSink::start("json", Signal::Traces, JSON_QUEUE, JsonLines::new(out))
    };
    queued.context("cannot start a thread")
}

impl Observer {
    /// The agent itself.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Takes and delivers what is left, and says what there was.
    pub fn finish(self) {
        drop(self.otlp_receiver); // answers what has begun
        if self.otlp_metrics.is_some() || self.stored_metrics.is_some() {
            self.agent.settle();
        }
        drop(self.otlp_metrics); // sends them once more
        drop(self.stored_metrics); // stores them once more
        drop(self.prometheus);
        drop(self.page);
        let (done, waiting) = mpsc::channel::<()>();
        let patience = thread::spawn(move || {
            if waiting.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("tandem: delivering what is left");
            }
        });
        let outcome = self.agent.stop(LAST_WORDS, LAST_WRITES);
        drop(done);
        let _ = patience.join();
        for line in summary(&outcome, &self.traces_command, self.scope) {
            eprintln!("tandem: {line}");
        }
        if let Some(sampler) = &self.sampler {
            eprintln!("tandem: {}", sampled(&sampler.counts(), &sampler.policies(), &self.traces_command));
        }
    }
}
