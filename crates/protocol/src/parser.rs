//! What a parser of one protocol is to the connection that drives it.

use crate::exchange::{Exchange, Open, Operation, Role, Side};

/// Open exchanges that one connection may have; one more and it is given up.
pub(crate) const OPEN_LIMIT: usize = 1024;

/// What a parser says to the bytes it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It needs more of them. Not allowed where nothing more will come.
    More,
    /// It is done with so many, which may be more than it was shown: those are left out unseen, and
    /// [`Parser::skipped`] is called after the last.
    Take(u64),
    /// It does not know where the next message begins: everything of this side is left out until the other side has spoken.
    Lost,
    /// It makes no sense of this connection.
    GiveUp,
}

/// Bytes at the border of two messages, as far as they have been seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) bytes: &'a [u8],
    /// What follows them is still to come; else it never will, and the parser has to do with them.
    pub(crate) more: bool,
    /// When the first of them was seen.
    pub(crate) began: u64,
    /// When the last was.
    pub(crate) time: u64,
    /// Sequence number of the first.
    pub(crate) position: u32,
    /// Which end the observed socket is.
    pub(crate) role: Role,
    /// Who sent them; 0: not known.
    pub(crate) thread: u32,
}

impl Input<'_> {
    /// A new exchange whose request this is.
    pub(crate) fn open(&self, operation: Operation) -> Open {
        Open {
            exchange: Exchange {
                operation,
                role: self.role,
                begun: self.began,
                ended: 0,
                position: self.position,
                attributes: Vec::new(),
                error: None,
                message: None,
                parent: None,
                thread: self.thread,
            },
        }
    }
}

/// Where finished exchanges go.
pub(crate) type Finished = Vec<Exchange>;

/// The state of one connection's protocol.
pub(crate) trait Parser: Send {
    /// Looks at the next message of a side.
    fn step(&mut self, from: Side, input: &Input<'_>, out: &mut Finished) -> Step;

    /// All that was to be left out of a side's message has passed.
    fn skipped(&mut self, _from: Side, _time: u64, _out: &mut Finished) {}

    /// A side that was lost speaks anew, or has been silent for long: whatever it was saying ended at this time.
    /// `false`: it cannot go on.
    fn resumed(&mut self, _from: Side, _time: u64, _out: &mut Finished) -> bool {
        true
    }

    /// The connection has ended.
    fn closed(&mut self, _time: u64, _out: &mut Finished) {}

    /// When the oldest request that has no answer yet was begun.
    fn oldest(&self) -> Option<u64> {
        None
    }

    /// Both sides may speak at once, so that the first bytes of every segment count.
    fn both_at_once(&self) -> bool {
        false
    }
}
