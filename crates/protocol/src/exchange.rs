//! What a parser makes of a request and its response.

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that asks.
    Client,
    /// The one that answers.
    Server,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Which end the observed socket is.
pub type Role = Side;

/// What kind of exchange it is; it decides on the span's operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A request of HTTP.
    Http,
    /// A call of gRPC.
    Grpc,
    /// A statement to PostgreSQL.
    Postgresql,
    /// A statement to MySQL or MariaDB.
    Mysql,
    /// A command to Redis or what speaks its protocol.
    Redis,
    /// A command to MongoDB.
    Mongodb,
    /// Records sent to Kafka.
    KafkaSend,
    /// Records fetched from Kafka.
    KafkaPoll,
    /// A question to a name server.
    Dns,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Http,
        Self::Grpc,
        Self::Postgresql,
        Self::Mysql,
        Self::Redis,
        Self::Mongodb,
        Self::KafkaSend,
        Self::KafkaPoll,
        Self::Dns,
    ];
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number.
    Int(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// The span that a request says it was made by: W3C trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its trace.
    pub trace_id: [u8; 16],
    /// Its id.
    pub span_id: [u8; 8],
    /// W3C trace flags.
    pub flags: u8,
}

/// A request and its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its kind.
    pub operation: Operation,
    /// Which end the observed socket is.
    pub role: Role,
    /// When the request's first byte was seen: `CLOCK_MONOTONIC`, ns.
    pub begun: u64,
    /// When the response's last byte was.
    pub ended: u64,
    /// Sequence number of the request's first byte: the same at both ends of a connection.
    pub position: u32,
    /// What was said, by the names of the semantic conventions.
    pub attributes: Vec<(&'static str, Value)>,
    /// It failed: why, in the words of its protocol.
    pub error: Option<String>,
    /// What the response said about that, without data.
    pub message: Option<String>,
    /// Who sent it, if the request says so.
    pub parent: Option<Parent>,
    /// Thread of the process that asked, or that answered, by its role; 0: not known.
    pub thread: u32,
}

/// An exchange whose end has not been seen.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) exchange: Exchange,
}

impl Open {
    pub(crate) fn put(&mut self, name: &'static str, value: impl Into<Value>) {
        self.exchange.attributes.push((name, value.into()));
    }

    pub(crate) fn fail(&mut self, error: impl Into<String>, message: Option<String>) {
        self.exchange.error = Some(error.into());
        self.exchange.message = message;
    }

    pub(crate) fn finish(mut self, time: u64) -> Exchange {
        self.exchange.ended = time.max(self.exchange.begun);
        self.exchange
    }
}
