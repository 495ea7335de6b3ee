//! The loop: programs come and go, rings are drained, spans are assembled, measured and handed to the sinks.
//!
//! One thread does all of this; nothing in it waits for a network or a disk. It sleeps by ring level: waking up costs
//! more than a span does.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use deliver::conventions;
use deliver::metrics::{Metric, OwnMetric, Snapshot, joined};
use deliver::otlp::server::Receiver;
use deliver::sink::{have_room, offer_to, with_those_behind};
use deliver::{Batch, Signal, Sink, SinkReport};
use record::{Hello, Identity, MonotonicNanos, OpenError};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec};

use crate::KernelHalf;
use crate::assemble::OperationWork;
use crate::attributes::{self, Rules};
use crate::clock::{self, Clock};
use crate::correlate::{self, Correlator};
use crate::fold::Fold;
use crate::graph::ServiceGraph;
use crate::measure::{DEFAULT_CARDINALITY_LIMIT, Measure};
use crate::observed::{Observers, Observing};
use crate::profile::{Profiler, Profiling};
use crate::receive::{Latest, Received};
use crate::regulate::cost::ProgramWork;
use crate::regulate::{Order, Regulating, Regulator, Seen, Told};
use crate::session::handshake::{self, Greeting, ListenError, Listener};
use crate::session::{Session, Tools, process};
use crate::statistics::Statistics;

/// How long the loop sleeps while the rings are nearly empty, and how short it may get.
const IDLE: Duration = Duration::from_millis(20);
const BUSY: Duration = Duration::from_millis(1);
/// How often counts of unsampled spans are taken, and running programs are looked for.
const COUNTS_EVERY: Duration = Duration::from_secs(1);
const SCAN_EVERY: Duration = Duration::from_secs(2);
/// A program that has connected says hello within this time.
const HELLO_TIME: Duration = Duration::from_secs(1);
const CONNECTION_LIMIT: usize = 256;
/// Of these, so many of one user who is neither root nor the agent's own: nobody keeps the others out.
const USER_CONNECTION_LIMIT: usize = 64;
/// Programs that are read at once.
const SESSION_LIMIT: usize = 4096;
/// The same for one such user.
const USER_SESSION_LIMIT: usize = 1024;

/// So long, and of so many programs, the last numbers that an ended program kept itself are still shown.
const ENDED_TIME: Duration = Duration::from_secs(90);
const ENDED_LIMIT: usize = 64;

/// A program that is younger (ns) may be about to connect, perhaps to an agent of its own.
const GROWN_UP: u64 = 1_000_000_000;

const LISTENER: u64 = 0;
const WAKE: u64 = 1;
const FIRST_TOKEN: u64 = 2;

/// How an agent is set up.
pub struct Config {
    /// Where programs find it.
    pub socket: PathBuf,
    /// Look for programs that are already running.
    pub scan: bool,
    /// Where spans and log records go.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// What changes of their attributes on the way there.
    pub attributes: Rules,
    /// The newest numbers of received metrics are kept, for who asks for metrics.
    pub shows_received: bool,
    /// The kernel half, where there is one.
    pub kernel: Option<Box<dyn KernelHalf>>,
    /// The profiler, where somebody asked for one.
    pub profiling: Option<Profiling>,
    /// What observes programs that were not woven, where somebody asked for that.
    pub observing: Option<Observing>,
    /// Series that a metric of one service can have; `None`: 2000.
    pub cardinality_limit: Option<usize>,
    /// What is folded.
    pub fold: Fold,
    /// Metrics of who calls whom.
    pub service_graph: ServiceGraph,
    /// Others will send spans, too ([`Agent::receiver`]): spans of the same operation are put together.
    pub correlates: bool,
    /// What observing may cost and requests are to be like, where somebody has said so.
    pub regulating: Option<Regulating>,
}

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Its socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Something of the system.
    #[error("cannot start the agent: {0}")]
    System(#[from] io::Error),
}

/// What an agent has done in its life.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its numbers.
    pub statistics: Statistics,
    /// What became of the spans and log records, by sink.
    pub sinks: BTreeMap<&'static str, SinkReport>,
}

/// A running agent. Dropped, it stops and takes what is left.
#[derive(Debug)]
pub struct Agent {
    shared: Arc<Shared>,
    correlator: Option<Arc<Correlator>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the loop and everybody else look at.
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) changed: Condvar,
    wake: OwnedFd,
    sinks: Vec<Arc<dyn Sink>>,
    latest: Option<Arc<Latest>>,
    measures_late: bool,
    pub(crate) fold: Fold,
    start: Clock,
    started: MonotonicNanos,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) measure: Measure,
    pub(crate) statistics: Statistics,
    /// How the agent keeps within its budget.
    budget: Vec<OwnMetric>,
    /// What programs counted themselves, when somebody last asked for metrics.
    instruments: Vec<Metric>,
    /// The last of them from programs that have ended since, until everybody had time to ask.
    ended: VecDeque<(Instant, Vec<Metric>)>,
    /// The loop shall look at everything at once; raised by who waits, answered in `rounds`.
    hurry: u64,
    rounds: u64,
    stop: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a batch to all sinks of its signal. Whether those took it that decide ([`offer_to`]).
    pub(crate) fn offer(&self, batch: &Arc<Batch>) -> bool {
        offer_to(&self.sinks, batch).is_ok()
    }

    /// Spans that several may tell of are measured when it is known which account stays, not when they come.
    pub(crate) fn measures_late(&self) -> bool {
        self.measures_late
    }

    /// Whether what is received would find room now.
    pub(crate) fn has_room(&self, signal: Signal, batches: usize, bytes: usize) -> bool {
        have_room(&self.sinks, signal, batches, bytes)
    }

    fn wake(&self) {
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Agent {
    /// Starts the loop on a thread of its own.
    pub fn start(config: Config) -> Result<Self, AgentError> {
        let listener = Listener::bind(&config.socket)?;
        let wake =
            rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from)?;
        let mut sinks = config.sinks;
        let latest = config.shows_received.then(Arc::<Latest>::default);
        sinks.extend(latest.clone().map(|latest| latest as Arc<dyn Sink>));
        attributes::Stage::before(&mut sinks, config.attributes);
        let correlator =
            config.correlates.then(|| Correlator::before(&mut sinks, correlate::WITH_SENDERS)).transpose()?;
        let limit = config.cardinality_limit.unwrap_or(DEFAULT_CARDINALITY_LIMIT);
        let mut measure = Measure::new(limit, &config.service_graph);
        if correlator.is_some() {
            measure.graph.comes_late();
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(State { measure, ..State::default() }),
            changed: Condvar::new(),
            wake,
            sinks,
            latest,
            measures_late: correlator.is_some(),
            fold: config.fold,
            start: Clock::default(),
            started: clock::now(),
        });
        if let Some(correlator) = &correlator {
            correlator.is_part_of(&shared);
        }
        let profiler =
            config.profiling.map(|profiling| Profiler::start(profiling, shared.sinks.clone())).transpose()?;
        let observers =
            config.observing.map(|observing| Observers::start(observing, &config.socket, &shared)).transpose()?;
        let mut pipeline = Pipeline::new(listener, config.scan, config.kernel, profiler, Arc::clone(&shared))?;
        pipeline.observers = observers;
        pipeline.regulator = config.regulating.map(Regulator::new);
        let thread = thread::Builder::new().name("tandem-agent".to_owned()).spawn(move || pipeline.run())?;
        Ok(Self { shared, correlator, thread: Some(thread) })
    }

    /// Numbers so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.state().statistics.clone()
    }

    /// Who asks this gets all metrics at that moment.
    pub fn metrics(&self) -> impl Fn() -> Snapshot + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || {
            let sinks = with_those_behind(&shared.sinks);
            let reports = deliver::queue::reports(&sinks);
            let state = look(&shared);
            let (start, now) = (shared.start.unix(shared.started), shared.start.unix(clock::now()));
            let red = state.measure.snapshot();
            let mut metrics = state.instruments.clone();
            metrics.extend(state.measure.anatomies(start, now));
            metrics.extend(state.measure.graph.metrics(start, now));
            let mut own = state.statistics.metrics(&reports);
            own.extend(state.budget.iter().cloned());
            drop(state);
            own.extend(sinks.iter().flat_map(|sink| sink.metrics()));
            metrics.extend(conventions::metrics(&red, start, now));
            let received = shared.latest.as_ref().map_or_else(Vec::new, |latest| latest.shown(Instant::now()));
            Snapshot { host: crate::place::host_name(), start, now, red: joined(&red), metrics, received, own }
        }
    }

    /// Who asks this gets what is wrong at that moment with where telemetry goes, a line each.
    pub fn problems(&self) -> impl Fn() -> Vec<String> + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || {
            let reports = deliver::queue::reports(&with_those_behind(&shared.sinks));
            let problems =
                reports.into_iter().filter_map(|(sink, report)| Some(format!("{sink}: {}", report.problem?)));
            problems.collect()
        }
    }

    /// What takes OTLP from others, for a server.
    pub fn receiver(&self) -> Arc<dyn Receiver> {
        Arc::new(Received::new(Arc::clone(&self.shared), self.correlator.clone()))
    }

    /// Measures what has come and waits for others to tell of it, before metrics are asked for the last time.
    pub fn settle(&self) {
        if let Some(correlator) = &self.correlator {
            correlator.flush(Instant::now());
        }
        look(&self.shared).measure.graph.settle();
    }

    /// Waits until no program is left, at most so long. `true`: none is left.
    pub fn wait_for_programs(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = look(&self.shared);
        while state.statistics.active > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Takes what is left, hands it over, and waits for the sinks: at most so long for those elsewhere, and so long for
    /// those on this machine. Stages hand over what they hold before that.
    pub fn stop(mut self, elsewhere: Duration, here: Duration) -> Outcome {
        self.halt();
        let now = Instant::now();
        let sinks = with_those_behind(&self.shared.sinks);
        let (stages, last): (Vec<_>, Vec<_>) = sinks.iter().partition(|sink| !sink.behind().is_empty());
        stages.iter().for_each(|stage| stage.flush(now));
        let (local, remote): (Vec<_>, Vec<_>) = last.into_iter().partition(|sink| sink.is_local());
        remote.iter().for_each(|sink| sink.flush(now + elsewhere));
        local.iter().for_each(|sink| sink.flush(now + here));
        Outcome { statistics: self.statistics(), sinks: deliver::queue::reports(&sinks) }
    }

    fn halt(&mut self) {
        self.shared.state().stop = true;
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.halt();
    }
}

/// The state after one more round of the loop that takes everything there is.
fn look(shared: &Shared) -> MutexGuard<'_, State> {
    let mut state = shared.state();
    state.hurry = state.rounds + 1;
    shared.wake();
    let deadline = Instant::now() + Duration::from_millis(500);
    while state.rounds < state.hurry && !state.stop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        state = shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    state
}

/// Whether it is neither root nor who runs the agent.
fn is_guest(user: Option<u32>) -> bool {
    user.is_none_or(|user| user != 0 && user != rustix::process::geteuid().as_raw())
}

struct Connection {
    socket: OwnedFd,
    user: Option<u32>,
    since: Instant,
}

struct Pipeline {
    epoll: OwnedFd,
    listener: Listener,
    kernel: Option<Box<dyn KernelHalf>>,
    profiler: Option<Profiler>,
    observers: Option<Observers>,
    regulator: Option<Regulator>,
    regulate_due: Instant,
    /// Parts of the anatomy that spans which began before a moment do not have, since the detail mode was off.
    absent: (u32, MonotonicNanos),
    shared: Arc<Shared>,
    clock: Clock,
    next_token: u64,
    connections: HashMap<u64, Connection>,
    sessions: HashMap<u64, Session>,
    /// Processes whose descriptors have been looked at, when looking for running programs.
    looked_at: HashSet<u32>,
    scan: bool,
    scan_due: Instant,
    counts_due: Instant,
}

impl Pipeline {
    fn new(
        listener: Listener,
        scan: bool,
        kernel: Option<Box<dyn KernelHalf>>,
        profiler: Option<Profiler>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, listener.as_fd(), EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, &shared.wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        let now = Instant::now();
        Ok(Self {
            epoll,
            listener,
            kernel,
            profiler,
            observers: None,
            regulator: None,
            regulate_due: now + COUNTS_EVERY,
            absent: (0, MonotonicNanos(0)),
            shared,
            clock: Clock::default(),
            next_token: FIRST_TOKEN,
            connections: HashMap::new(),
            sessions: HashMap::new(),
            looked_at: HashSet::new(),
            scan,
            scan_due: now,
            counts_due: now + COUNTS_EVERY,
        })
    }

    fn run(&mut self) {
        // Where allowed: on a saturated machine the rings would be full before it is this thread's turn.
        let _ = rustix::process::nice(-5);
        let mut pause = IDLE;
        loop {
            let (stop, hurry) = {
                let state = self.shared.state();
                (state.stop, state.hurry > state.rounds)
            };
            if stop {
                return self.finish();
            }
            self.wait(if hurry { Duration::ZERO } else { self.pause(pause) });
            if self.scan && self.scan_due <= Instant::now() {
                self.find_running();
                self.scan_due = Instant::now() + SCAN_EVERY;
            }
            let fullest = self.round(hurry);
            if self.regulator.is_some() && self.regulate_due <= Instant::now() {
                self.regulate_due = Instant::now() + COUNTS_EVERY;
                self.regulate();
            }
            // A ring that passed an eighth would have been full in eight times this pause, had nobody looked.
            pause = if fullest > 0 { (pause / 2).max(BUSY) } else { (pause * 2).min(IDLE) };
        }
    }

    /// How long to sleep when nothing happens.
    fn pause(&self, pause: Duration) -> Duration {
        if !self.sessions.is_empty() || !self.connections.is_empty() {
            pause
        } else if self.regulator.is_some() {
            pause.max(COUNTS_EVERY)
        } else if self.scan {
            self.scan_due.saturating_duration_since(Instant::now())
        } else {
            Duration::from_secs(60)
        }
    }

    /// Sleeps until something happens, and lets it happen.
    fn wait(&mut self, pause: Duration) {
        let pause = Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: pause.subsec_nanos().into() };
        let mut events: Vec<Event> = Vec::with_capacity(64);
        // Interrupted or failed: the next round comes anyway.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&pause));
        for event in events {
            match event.data.u64() {
                LISTENER => self.accept(),
                WAKE => {
                    let _ = rustix::io::read(&self.shared.wake, &mut [0; 8]);
                }
                token if self.connections.contains_key(&token) => self.greet(token),
                token => self.end(token),
            }
        }
        self.connections.retain(|_, connection| connection.since.elapsed() < HELLO_TIME);
    }

    /// One look at all programs. How full the fullest ring was, in eighths.
    fn round(&mut self, hurry: bool) -> usize {
        self.clock.refresh();
        let now = clock::now();
        let counts = hurry || self.counts_due <= Instant::now();
        if counts {
            self.counts_due = Instant::now() + COUNTS_EVERY;
        }
        let mut fullest = 0;
        let mut state = self.shared.state();
        let State { measure, statistics, .. } = &mut *state;
        measure.graph.tick(Instant::now());
        let mut tools = Tools { clock: &self.clock, measure, statistics };
        for session in self.sessions.values_mut() {
            session.beat(now);
            fullest = fullest.max(session.drain(&mut tools));
            if hurry {
                session.hurry(&mut tools);
            }
            if counts {
                session.take_counts(&mut tools);
            }
            for batch in [session.due(hurry), session.logs_due(hurry)].into_iter().flatten() {
                self.shared.offer(&batch);
            }
        }
        state.statistics.active = self.sessions.len() as u64;
        if counts && let Some(profiler) = &self.profiler {
            state.statistics.profile = profiler.counts();
        }
        if hurry {
            state.measure.graph.tick(Instant::now()); // what has come since
            let offset = self.clock.offset();
            state.ended.retain(|(since, _)| since.elapsed() < ENDED_TIME);
            let ended = state.ended.iter().flat_map(|(_, last)| last).cloned();
            let running = self.sessions.values().flat_map(|session| session.instruments(offset));
            state.instruments = ended.chain(running).collect();
            state.rounds = state.hurry;
        }
        drop(state);
        if hurry {
            self.shared.changed.notify_all();
        }
        fullest
    }

    /// Looks at what all of this costs, and does something about it.
    fn regulate(&mut self) {
        let Some(regulator) = &mut self.regulator else { return };
        let mut state = self.shared.state();
        let State { measure, statistics, .. } = &mut *state;
        for session in self.sessions.values_mut() {
            session.take_counts(&mut Tools { clock: &self.clock, measure, statistics });
        }
        let done: Vec<Vec<OperationWork>> = self.sessions.values_mut().map(Session::take_work).collect();
        let work: Vec<ProgramWork<'_>> = self
            .sessions
            .values()
            .zip(done)
            .map(|(session, operations)| ProgramWork {
                pid: session.pid(),
                service: session.service(),
                room: session.route_count(),
                operations,
            })
            .collect();
        let seen = Seen {
            now: Duration::from_nanos(clock::now().0.saturating_sub(self.shared.started.0)),
            kernel: self.kernel.as_ref().and_then(|kernel| kernel.run_time()),
            profiler: self.profiler.as_ref().and_then(|profiler| profiler.counts().run_time),
            has_detail: self.kernel.as_ref().is_some_and(|kernel| kernel.has_detail()),
            work: &work,
        };
        let order = regulator.look(&seen, measure);
        drop(work);
        state.budget = regulator.metrics();
        drop(state);
        match order {
            Some(Order::ProfileRate(rate)) => self.profiler.iter().for_each(|profiler| profiler.set_rate(rate)),
            Some(Order::KernelDetail(on)) => {
                let parts = self.kernel.as_mut().map_or(0, |kernel| kernel.set_detail(on));
                self.absent = (parts, if on { clock::now() } else { MonotonicNanos(u64::MAX) });
            }
            None => {}
        }
        for session in self.sessions.values_mut() {
            session.leave_out_before(self.absent.0, self.absent.1);
            let told = regulator.tell(session.service(), session.operations(), session.route_count());
            session.tell(told);
        }
    }

    fn accept(&mut self) {
        while let Some(socket) = self.listener.accept() {
            let user = handshake::peer_user(socket.as_fd());
            let of_user = self.connections.values().filter(|connection| connection.user == user).count();
            if self.connections.len() >= CONNECTION_LIMIT || is_guest(user) && of_user >= USER_CONNECTION_LIMIT {
                self.fault("too_many_connections");
                continue;
            }
            let token = self.token();
            if epoll::add(&self.epoll, &socket, EventData::new_u64(token), EventFlags::IN).is_ok() {
                self.connections.insert(token, Connection { socket, user, since: Instant::now() });
                self.greet(token);
            }
        }
    }

    /// Reads what a connection has to say, if anything yet.
    fn greet(&mut self, token: u64) {
        let Some(connection) = self.connections.get(&token) else { return };
        match handshake::receive(connection.socket.as_fd()) {
            Greeting::Waiting => {}
            Greeting::Question => {
                let Some(connection) = self.connections.remove(&token) else { return };
                if is_guest(connection.user) {
                    return self.fault("foreign_question");
                }
                let text = self.regulator.as_ref().map_or_else(|| "null".to_owned(), Regulator::text);
                handshake::answer(connection.socket.as_fd(), &text);
            }
            Greeting::Over(cause) => {
                self.connections.remove(&token);
                self.fault(cause);
            }
            Greeting::Silence => drop(self.connections.remove(&token)),
            Greeting::Without(errno, said) => {
                let peer = handshake::peer(connection.socket.as_fd());
                self.connections.remove(&token);
                match peer {
                    Some(pid) if process::may_be(pid, said.pid) => self.refuse(pid, &OpenError::Absent(errno.into())),
                    Some(_) => self.fault("foreign_process"),
                    None => self.fault("foreign_pid_namespace"),
                }
            }
            Greeting::Hello(memory, said) => {
                if let Some(connection) = self.connections.remove(&token) {
                    self.hello(&connection.socket, &memory, said);
                }
            }
        }
    }

    /// Nobody speaks for another process: the kernel says who has connected, and the message and the memory agree.
    fn hello(&mut self, connection: &OwnedFd, memory: &OwnedFd, said: Hello) {
        let Some(pid) = handshake::peer(connection.as_fd()) else { return self.fault("foreign_pid_namespace") };
        if !process::may_be(pid, said.pid) {
            return self.fault("foreign_process");
        }
        self.end_replaced(pid);
        let known = Identity::of(memory.as_fd()).ok().and_then(|identity| self.session_of(identity));
        let token = match known {
            // Who has somebody else's memory, and as it may be his process id, too, still does not get his accounts.
            Some(token) if self.sessions.get(&token).is_some_and(|session| session.pid() != pid) => {
                return self.fault("foreign_memory");
            }
            Some(token) => token,
            None => match self.open(pid, Some((&said, handshake::peer_process(connection.as_fd()))), memory) {
                Some(token) => token,
                None => return,
            },
        };
        let Some(session) = self.sessions.get_mut(&token) else { return };
        if let Some(kernel) = &mut self.kernel {
            session.watch(kernel.as_mut());
        }
        session.beat(clock::now());
        handshake::welcome(connection.as_fd(), session.accounts.as_ref());
    }

    /// Ends what a process did before it became another program (exec): its memory is closed, its process lives on.
    fn end_replaced(&mut self, pid: u32) {
        let earlier = self.sessions.iter().filter(|(_, session)| session.pid() == pid);
        let earlier: Vec<(u64, Identity)> = earlier.map(|(token, session)| (*token, session.identity())).collect();
        if earlier.is_empty() {
            return;
        }
        let held = process::memories(pid);
        for (token, identity) in earlier {
            if !held.contains(&identity) {
                self.end(token);
            }
        }
    }

    fn session_of(&self, identity: Identity) -> Option<u64> {
        self.sessions.iter().find(|(_, session)| session.identity() == identity).map(|(token, _)| *token)
    }

    /// Begins a session: with a program that has connected, or with one that was found.
    fn open(&mut self, pid: u32, connected: Option<(&Hello, Option<OwnedFd>)>, memory: &impl AsFd) -> Option<u64> {
        let user = process::user(pid);
        let of_user = self.sessions.values().filter(|session| session.user == user).count();
        if self.sessions.len() >= SESSION_LIMIT || is_guest(user) && of_user >= USER_SESSION_LIMIT {
            self.fault("too_many_programs");
            return None;
        }
        let (says, process) = connected.map(|(hello, process)| (Some(hello.pid), process)).unwrap_or_default();
        let opened = process
            .map_or_else(|| process::watch(pid), |process| Ok(Some(process)))
            .map_err(|error| OpenError::System("watch its process", error))
            .and_then(|pidfd| Session::open(pid, pidfd, memory.as_fd(), &self.shared.fold));
        let session = match opened {
            Ok(session) => session,
            Err(OpenError::Busy) => return None,
            Err(error) => {
                self.refuse(pid, &error);
                return None;
            }
        };
        if says.is_some_and(|says| says != session.owner()) {
            self.fault("foreign_memory");
            return None;
        }
        let token = self.token();
        let ended = session.pidfd().is_none();
        if let Some(pidfd) = session.pidfd()
            && let Err(errno) = epoll::add(&self.epoll, pidfd, EventData::new_u64(token), EventFlags::IN)
        {
            self.refuse(pid, &OpenError::System("watch its process", errno.into()));
            return None;
        }
        tracing::debug!(pid, "program connected");
        if let Some(profiler) = &self.profiler
            && let Some(program) = session.profiled()
        {
            profiler.watch(program);
        }
        self.sessions.insert(token, session);
        let mut state = self.shared.state();
        state.statistics.sessions += 1;
        state.statistics.active = self.sessions.len() as u64;
        drop(state);
        if ended {
            self.end(token); // it did not wait for the answer
            return None;
        }
        Some(token)
    }

    fn refuse(&mut self, pid: u32, error: &OpenError) {
        let mut state = self.shared.state();
        state.statistics.fault("refused_programs", 1);
        if state.statistics.refused.len() < 1000 && state.statistics.refused.insert(pid, error.to_string()).is_none() {
            tracing::warn!("the memory of process {pid} is not read: {error}");
        }
    }

    /// A program has ended.
    fn end(&mut self, token: u64) {
        let Some(mut session) = self.sessions.remove(&token) else { return };
        let now = clock::now();
        self.clock.refresh();
        let mut state = self.shared.state();
        let State { measure, statistics, .. } = &mut *state;
        session.end(now, &mut Tools { clock: &self.clock, measure, statistics });
        let last = session.instruments(self.clock.offset());
        if state.ended.len() >= ENDED_LIMIT {
            state.ended.pop_front();
        }
        state.ended.push_back((Instant::now(), last));
        for batch in [session.due(true), session.logs_due(true)].into_iter().flatten() {
            self.shared.offer(&batch);
        }
        state.statistics.active = self.sessions.len() as u64;
        drop(state);
        self.shared.changed.notify_all();
        self.looked_at.remove(&session.pid());
        if let Some(profiler) = &self.profiler {
            profiler.end(session.pid());
        }
        self.unwatch(&session);
    }

    fn unwatch(&mut self, session: &Session) {
        if let Some(kernel) = &mut self.kernel
            && session.watched
        {
            kernel.unwatch(session.pid());
        }
    }

    /// Looks through `/proc` for programs that do not know about this agent.
    fn find_running(&mut self) {
        let processes = process::all();
        let own: HashSet<u32> = self.sessions.values().map(Session::pid).collect();
        for &pid in processes.iter().filter(|pid| !own.contains(pid)) {
            let Some(memory) = process::find_memory(pid, self.looked_at.insert(pid)) else { continue };
            if !process::owner(memory.as_fd()).is_some_and(|owner| process::may_be(pid, owner)) {
                continue; // another process's, which this one was given or has inherited
            }
            let age = process::started(&memory).map_or(0, |start| clock::now().0.saturating_sub(start.0));
            if age < GROWN_UP {
                self.looked_at.remove(&pid);
                continue;
            }
            if Identity::of(memory.as_fd()).is_ok_and(|identity| self.session_of(identity).is_some()) {
                continue; // inherited by a child of the program
            }
            if !self.listener.is_for(pid) {
                continue; // it has, or waits for, an agent of its own
            }
            if let Some(token) = self.open(pid, None, &memory)
                && let Some(session) = self.sessions.get(&token)
            {
                session.call();
            }
        }
        let alive: HashSet<u32> = processes.into_iter().collect();
        self.looked_at.retain(|pid| alive.contains(pid));
    }

    /// The agent stops: whoever has connected is heard, everything is taken, programs run on by themselves.
    fn finish(&mut self) {
        self.wait(Duration::ZERO);
        self.accept();
        let tokens: Vec<u64> = self.connections.keys().copied().collect();
        tokens.into_iter().for_each(|token| self.greet(token));
        self.wait(Duration::ZERO); // those that have ended
        self.round(true);
        for mut session in std::mem::take(&mut self.sessions).into_values() {
            let mut state = self.shared.state();
            let State { measure, statistics, .. } = &mut *state;
            session.end_folding(&mut Tools { clock: &self.clock, measure, statistics });
            if let Some(batch) = session.due(true) {
                self.shared.offer(&batch);
            }
            drop(state);
            session.tell(Told::default());
            session.beat(MonotonicNanos(0));
            self.unwatch(&session);
        }
        if let Some(mut observers) = self.observers.take() {
            observers.finish();
        }
        if let Some(mut profiler) = self.profiler.take() {
            profiler.finish();
            self.shared.state().statistics.profile = profiler.counts();
        }
        self.shared.state().statistics.active = 0;
        self.shared.changed.notify_all();
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    fn fault(&mut self, cause: &'static str) {
        self.shared.state().statistics.fault(cause, 1);
    }
}
