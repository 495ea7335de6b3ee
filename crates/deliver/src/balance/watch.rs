//! The thread that resolves the name, and asks where nobody has answered.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::member::exporter;
use super::{NAME, Shared};

/// Where nobody answers, somebody asks after so long, and twice as long each further time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Who is away again within this time of having been asked is asked as late as the next time would have been.
const STEADY: Duration = Duration::from_secs(120);

/// Dropped, it ends. Nobody waits for it: it may be waiting for a server of names.
#[derive(Debug)]
pub(super) struct Watch {
    _stop: Sender<()>,
}

impl Watch {
    /// The first answer is waited for, for a while: there would be nowhere to go.
    pub(super) fn start(
        shared: &Arc<Shared>,
        names: impl Fn() -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (done, first) = channel();
        let (shared, pause) = (Arc::downgrade(shared), shared.balance.resolve);
        thread::Builder::new().name("tandem-names".to_owned()).spawn(move || {
            let mut watcher = Watcher { shared, asked: BTreeMap::new(), said: false };
            loop {
                let next = watcher.look(names());
                let _ = done.send(());
                let Some(next) = next else { return };
                if stopped.recv_timeout(next.min(pause)) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        let _ = first.recv_timeout(Duration::from_secs(1));
        Ok(Self { _stop: stop })
    }
}

struct Watcher {
    shared: Weak<Shared>,
    asked: BTreeMap<SocketAddr, Asked>,
    /// That the name cannot be resolved has been said.
    said: bool,
}

/// Of an address that is out, or was a while ago.
struct Asked {
    is_out: bool,
    next: Instant,
    pause: Duration,
}

impl Watcher {
    /// Looks once. When to look again at the latest; `None`: it is over.
    fn look(&mut self, found: io::Result<Vec<SocketAddr>>) -> Option<Duration> {
        let shared = self.shared.upgrade()?;
        match found {
            Ok(addresses) => {
                self.said = false;
                if let Err(error) = shared.resolved(&addresses) {
                    tracing::warn!("{NAME}: {error}");
                }
            }
            // Who was there is likely to be there still.
            Err(error) if !std::mem::replace(&mut self.said, true) => {
                tracing::warn!(
                    "{NAME}: cannot find the addresses of {}: {error}; those known are used",
                    shared.endpoint.uri.host().unwrap_or_default()
                );
            }
            Err(_) => {}
        }
        shared.reap();
        self.ask(&shared);
        let out = self.asked.values().filter(|asked| asked.is_out);
        let next = out.map(|asked| asked.next.saturating_duration_since(Instant::now())).min();
        Some(next.unwrap_or(Duration::MAX).max(Duration::from_millis(100)))
    }

    /// Asks those that are listed and have not answered.
    fn ask(&mut self, shared: &Arc<Shared>) {
        let out: Vec<SocketAddr> = {
            let state = shared.state();
            let out = state.members.values().filter(|member| member.is_listed() && !member.is_in());
            out.map(|member| member.address).collect()
        };
        let now = Instant::now();
        self.asked.iter_mut().for_each(|(address, asked)| asked.is_out &= out.contains(address));
        self.asked.retain(|_, asked| asked.is_out || now.duration_since(asked.next) < STEADY);
        for address in out {
            let new = Asked { is_out: false, next: now, pause: FIRST_PAUSE };
            let asked = self.asked.entry(address).or_insert(new);
            if !std::mem::replace(&mut asked.is_out, true) {
                asked.next = now + asked.pause;
            }
            if asked.next > now {
                continue;
            }
            asked.pause = (asked.pause * 2).min(LONGEST_PAUSE);
            asked.next = now + asked.pause;
            if exporter(&shared.endpoint, address).is_ok_and(|exporter| exporter.answers()) {
                shared.back(address);
            }
        }
    }
}
