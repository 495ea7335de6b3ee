//! Plugs the sockets' probe (`probe::Sockets`) into the agent: observes programs of any language by what they say.

use agent::{Losses, ObservedProcess, OpenObserver, Seen, Segments, SocketObserver, Transport, Wanted};
use probe::{Bytes, Order, Segment, SegmentReader, Sockets};

/// Loads what sees sockets. Without it, why not is said of each process. No thread is started.
pub fn load() -> Result<Sockets, String> {
    Sockets::load(Bytes::DEFAULT).map_err(|error| explain(&error))
}

/// Sets it to work. `elsewhere` knows the join points that other observers see of a process.
pub fn observer(
    sockets: Result<Sockets, String>,
    elsewhere: impl FnMut(&ObservedProcess) -> Vec<String> + Send + 'static,
) -> OpenObserver {
    Box::new(|| {
        let reader = sockets.and_then(|sockets| sockets.into_reader().map_err(|error| explain(&error)));
        Box::new(SocketObserver::new(Box::new(Source(reader)), Box::new(elsewhere)))
    })
}

/// A line that says what, why and what to do.
fn explain(error: &probe::ProbeError) -> String {
    let why = error.to_string();
    format!("{}; {}", why.lines().next().unwrap_or_default(), error.remedy())
}

struct Source(Result<SegmentReader, String>);

impl Segments for Source {
    fn watch(&mut self, pid: u32) -> Result<(), String> {
        let reader = self.0.as_ref().map_err(Clone::clone)?;
        reader.sockets().watch(pid).map_err(|error| explain(&error))
    }

    fn unwatch(&mut self, pid: u32) {
        if let Ok(reader) = &self.0 {
            reader.sockets().unwatch(pid);
        }
    }

    fn take(&mut self) -> Vec<Seen> {
        self.0.as_ref().map(SegmentReader::take).unwrap_or_default().into_iter().map(seen).collect()
    }

    fn want(&mut self, cookie: u64, wanted: Wanted) {
        let order = match wanted {
            Wanted::Nothing => Order::Quiet,
            Wanted::Everything => Order::Each,
        };
        if let Ok(reader) = &self.0 {
            reader.order(cookie, order);
        }
    }

    fn lost(&mut self) -> Losses {
        let statistics = self.0.as_ref().ok().and_then(|reader| reader.sockets().statistics().ok()).unwrap_or_default();
        [
            ("socket_buffer_full", statistics.ring_full),
            ("socket_no_memory", statistics.map_full),
            ("socket_packet_unread", statistics.unread),
        ]
        .into()
    }
}

fn seen(segment: Segment) -> Seen {
    let Segment { cookie, time, process, thread, sequence, length, out, fin, reset, local, remote, bytes, .. } =
        segment;
    let transport = match segment.transport {
        probe::Transport::Tcp => Transport::Tcp,
        probe::Transport::Udp => Transport::Udp,
    };
    Seen { cookie, time, process, thread, sequence, length, out, fin, reset, transport, local, remote, bytes }
}
