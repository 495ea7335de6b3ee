//! For whom clients ask what their sockets tell of: probes on functions know it, at the moment of writing.
//!
//! Both see a connection's bytes with the same numbers. A client that was given a connection for an operation has it for
//! itself until that is done, so whatever begins behind the position that a probe has said, and before the next one, was
//! asked for the same span.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::Parent;

/// Connections of which something is remembered; then all is forgotten.
const CONNECTION_LIMIT: usize = 16384;
/// What is remembered of one.
const ASKED_LIMIT: usize = 256;

/// A client is about to write on a connection.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The connection's ends, as the client has them.
    pub local: SocketAddr,
    /// The same.
    pub remote: SocketAddr,
    /// Number of the next byte, as TCP counts.
    pub position: u32,
    /// The span that it works for, if there is one.
    pub parent: Option<Parent>,
    /// How that was found.
    pub found: &'static str,
}

/// What probes have said, on its way from their thread to that of sockets.
#[derive(Clone, Debug, Default)]
pub struct Askers(Arc<Mutex<Said>>);

type Asked = (u32, Option<(Parent, &'static str)>);

#[derive(Debug, Default)]
struct Said {
    connections: HashMap<(SocketAddr, SocketAddr), VecDeque<Asked>>,
    /// Everything that was said before this has arrived: `CLOCK_MONOTONIC`, ns.
    complete: u64,
}

/// What is known of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It may still be on its way.
    NotYet,
    /// It is for nobody, or nobody has said for whom.
    Nobody,
    For(Parent, &'static str),
}

impl Askers {
    /// Takes what probes have said; all of it that was said before `complete` is among it.
    pub fn add(&self, asked: impl IntoIterator<Item = Asker>, complete: u64) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for asker in asked {
            if said.connections.len() >= CONNECTION_LIMIT {
                said.connections.clear();
            }
            let connection = said.connections.entry((asker.local, asker.remote)).or_default();
            if connection.len() >= ASKED_LIMIT {
                connection.pop_front();
            }
            connection.push_back((asker.position, asker.parent.map(|parent| (parent, asker.found))));
        }
        said.complete = said.complete.max(complete);
    }

    /// For whom a request was that began then, at that position of a connection.
    pub(super) fn find(&self, ends: (SocketAddr, SocketAddr), position: u32, begun: u64) -> Answer {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if begun >= said.complete {
            return Answer::NotYet;
        }
        let connection = said.connections.get(&ends).into_iter().flatten();
        // Numbers begin anew after the highest one.
        let behind = |asked: &&Asked| position.wrapping_sub(asked.0) < 1 << 31;
        let last = connection.filter(behind).min_by_key(|asked| position.wrapping_sub(asked.0));
        last.and_then(|(_, parent)| *parent).map_or(Answer::Nobody, |(parent, found)| Answer::For(parent, found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two operations on a connection whose numbers begin anew between them, one of them for nobody. Guarantees: what
    /// follows a position is for whom was said there, and nothing is said too soon.
    #[test]
    fn requests_are_for_who_was_said_last() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let ends = (address(1), address(2));
        let parent = Parent { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
        let asker = |position, parent| Asker { local: ends.0, remote: ends.1, position, parent, found: "explicit" };
        let askers = Askers::default();
        askers.add([asker(u32::MAX - 9, Some(parent)), asker(90, None)], 1000);
        assert_eq!(askers.find(ends, u32::MAX - 9, 1000), Answer::NotYet);
        for (position, expected) in [
            (u32::MAX - 10, Answer::Nobody),
            (u32::MAX - 9, Answer::For(parent, "explicit")),
            (89, Answer::For(parent, "explicit")),
            (90, Answer::Nobody),
            (200, Answer::Nobody),
        ] {
            assert_eq!(askers.find(ends, position, 999), expected, "{position}");
        }
        assert_eq!(askers.find((ends.1, ends.0), 200, 999), Answer::Nobody);
    }
}
