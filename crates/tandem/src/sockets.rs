//! Plugs the sockets' probe (`probe::Sockets`) into the agent: observes programs of any language by what they say.

use agent::{Askers, Known, Losses, ObservedProcess, OpenObserver, Segments, SocketObserver};
use probe::uprobe::Headers;
use probe::{Bytes, SegmentReader, Sockets};
use protocol::{Fate, Given, Seen};

use crate::kernel::explain;

/// Loads what sees sockets. Without it, why not is said of each process. No thread is started.
pub fn load(headers: Headers) -> Result<Sockets, String> {
    Sockets::load(Bytes::DEFAULT, headers).map_err(|error| explain(&error))
}

/// Sets it to work. `elsewhere` knows what other observers see of a process, `askers` what they say of it.
pub fn observer(
    sockets: Result<Sockets, String>,
    elsewhere: impl FnMut(&ObservedProcess) -> Known + Send + 'static,
    askers: Askers,
) -> OpenObserver {
    Box::new(move || {
        let reader = sockets.and_then(|sockets| sockets.into_reader().map_err(|error| explain(&error)));
        Box::new(SocketObserver::new(Box::new(Source(reader)), Box::new(elsewhere), askers))
    })
}

struct Source(Result<SegmentReader, String>);

impl Segments for Source {
    fn watch(&mut self, pid: u32, serves_by_thread: bool) -> Result<(), String> {
        let reader = self.0.as_ref().map_err(Clone::clone)?;
        reader.sockets().watch(pid, serves_by_thread).map_err(|error| explain(&error))
    }

    fn unwatch(&mut self, pid: u32) {
        if let Ok(reader) = &self.0 {
            reader.sockets().unwatch(pid);
        }
    }

    fn take(&mut self) -> Vec<Seen> {
        self.0.as_ref().map(SegmentReader::take).unwrap_or_default()
    }

    fn given(&mut self) -> Vec<Given> {
        self.0.as_ref().map(SegmentReader::given).unwrap_or_default()
    }

    fn order(&mut self, cookie: u64, fate: Fate) {
        if let Ok(reader) = &self.0 {
            reader.order(cookie, fate);
        }
    }

    fn lost(&mut self) -> Losses {
        let statistics = self.0.as_ref().ok().and_then(|reader| reader.sockets().statistics().ok()).unwrap_or_default();
        [
            ("socket_buffer_full", statistics.ring_full),
            ("socket_no_memory", statistics.map_full),
            ("socket_packet_unread", statistics.unread),
            ("socket_header_not_inserted", statistics.not_inserted),
        ]
        .into()
    }
}
