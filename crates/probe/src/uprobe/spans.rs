//! From an event to a record in the layout of woven programs, with the same operations, names and attributes.

use record::layout::{FIRST_DYNAMIC_KEY, RECORD_FLAG_CUT, RECORD_FLAG_REMOTE_PARENT, attribute_key, key, kind, status};
use record::{Descriptor, RecordBuilder, Tables};

use gobin::BuildInformation;
use model::PARENT_SOURCE_ATTRIBUTE;
use protocol::query::{self, Dialect};

use super::event::{Event, Kind, Outcome, Parent};
use super::{grpc, http};

const PARENT_SOURCE_KEY: u16 = FIRST_DYNAMIC_KEY;

const SERVER: u32 = 1;
const CLIENT: u32 = 2;
const SQL_QUERY: u32 = 3;
const SQL_EXEC: u32 = 4;
const GRPC_SERVER: u32 = 5;
const GRPC_UNARY: u32 = 6;
const GRPC_STREAM: u32 = 7;
/// The first of those that send; the others follow.
const KAFKA_GO: u32 = 8;

/// Operations and keys of the records, by number.
pub fn tables() -> Tables {
    const SQL: &str = "{db.query.summary}|{db.operation.name} {db.namespace}|{db.operation.name}|{db.system.name}";
    const GRPC: &str = "tandem/google.golang.org/grpc";
    const CALL: &str = "{rpc.method}|{rpc.system.name}";
    const SEND: &str = "{messaging.operation.name} {messaging.destination.name}|{messaging.operation.name}";
    let operation = Descriptor::new;
    Tables::of(
        vec![
            operation(
                "net/http.server",
                "tandem/net/http",
                kind::SERVER,
                "{http.request.method} {http.route}|{http.request.method}",
            ),
            operation("net/http.client", "tandem/net/http", kind::CLIENT, "{http.request.method}"),
            operation("database/sql.query", "tandem/database/sql", kind::CLIENT, SQL),
            operation("database/sql.exec", "tandem/database/sql", kind::CLIENT, SQL),
            operation("grpc.server", GRPC, kind::SERVER, CALL),
            operation("grpc.client.unary", GRPC, kind::CLIENT, CALL),
            operation("grpc.client.stream", GRPC, kind::CLIENT, CALL),
            operation("kafka-go.send", "tandem/github.com/segmentio/kafka-go", kind::PRODUCER, SEND),
            operation("sarama.send", "tandem/github.com/IBM/sarama", kind::PRODUCER, SEND),
            operation("franz-go.send", "tandem/github.com/twmb/franz-go", kind::PRODUCER, SEND),
        ],
        vec![PARENT_SOURCE_ATTRIBUTE.to_owned()],
    )
}

/// Texts and numbers by their place (`bpf/uprobe.h`).
mod place {
    pub(super) const METHOD: usize = 0;
    pub(super) const HOST: usize = 1;
    pub(super) const PATH: usize = 2;
    pub(super) const QUERY: usize = 3;
    pub(super) const REMOTE: usize = 4;
    pub(super) const PATTERN: usize = 5;
    pub(super) const SCHEME: usize = 6;
    pub(super) const STATUS: usize = 0;
    pub(super) const MAJOR: usize = 1;
    pub(super) const MINOR: usize = 2;
    pub(super) const TLS: usize = 3;
    pub(super) const SEND_LIBRARY: usize = 0;
    pub(super) const SEND_COUNT: usize = 1;
    pub(super) const SEND_TOPIC: usize = 0;
    pub(super) const SQL_TEXT: usize = 0;
    pub(super) const SQL_VARIANT: usize = 0;
    pub(super) const SQL_VARIANT_EXEC: u64 = 1;
}

/// What is known of a program besides what its spans say.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Which database its `database/sql` speaks to.
    system: &'static str,
    dialect: Dialect,
}

impl Default for Program {
    /// Of an unknown database all that may be a literal is treated as one.
    fn default() -> Self {
        Self { system: OTHER_SYSTEM, dialect: Dialect::Mysql }
    }
}

const OTHER_SYSTEM: &str = "other_sql";

/// Drivers by their modules.
const DRIVERS: [(&str, &str, Dialect); 13] = [
    ("github.com/lib/pq", "postgresql", Dialect::Postgresql),
    ("github.com/jackc/pgx/v5", "postgresql", Dialect::Postgresql),
    ("github.com/jackc/pgx/v4", "postgresql", Dialect::Postgresql),
    ("github.com/go-sql-driver/mysql", "mysql", Dialect::Mysql),
    ("github.com/mattn/go-sqlite3", "sqlite", Dialect::Postgresql),
    ("modernc.org/sqlite", "sqlite", Dialect::Postgresql),
    ("github.com/glebarez/go-sqlite", "sqlite", Dialect::Postgresql),
    ("github.com/ncruces/go-sqlite3", "sqlite", Dialect::Postgresql),
    ("github.com/microsoft/go-mssqldb", "microsoft.sql_server", Dialect::Postgresql),
    ("github.com/denisenkom/go-mssqldb", "microsoft.sql_server", Dialect::Postgresql),
    ("github.com/sijms/go-ora/v2", "oracle.db", Dialect::Postgresql),
    ("github.com/godror/godror", "oracle.db", Dialect::Postgresql),
    ("github.com/ClickHouse/clickhouse-go/v2", "clickhouse", Dialect::Mysql),
];

impl Program {
    /// By the modules that were built in: where they are drivers of one database, it is that one.
    pub fn of(build: &BuildInformation) -> Self {
        let has = |path: &str| build.dependencies.iter().any(|module| module.path == path);
        let mut drivers = DRIVERS.iter().filter(|(path, ..)| has(path));
        let Some(&(_, system, dialect)) = drivers.next() else { return Self::default() };
        match drivers.all(|(_, other, _)| *other == system) {
            true => Self { system, dialect },
            false => Self::default(),
        }
    }
}

/// The record of a span. `None`: it is of something that woven programs make no span of either.
pub fn record(event: &Event<'_>, program: Program) -> Option<Vec<u8>> {
    if event.kind == Kind::HttpClient && !matches!(event.text(place::SCHEME), b"http" | b"https") {
        return None;
    }
    if event.kind == Kind::HttpClient && protocol::http::is_export(event.text(place::METHOD), event.text(place::PATH)) {
        return None;
    }
    let operation = match event.kind {
        Kind::HttpServer => SERVER,
        Kind::HttpClient => CLIENT,
        Kind::Sql if event.number(place::SQL_VARIANT) & place::SQL_VARIANT_EXEC != 0 => SQL_EXEC,
        Kind::Sql => SQL_QUERY,
        Kind::GrpcServer => GRPC_SERVER,
        Kind::GrpcClient => GRPC_UNARY,
        Kind::GrpcStream => GRPC_STREAM,
        Kind::Asking => return None,
        Kind::Send => KAFKA_GO + sender(event.number(place::SEND_LIBRARY))?,
    };
    let mut record = RecordBuilder::span(event.trace_id, event.span_id, operation)
        .parent(event.parent_id)
        .trace_flags(event.trace_flags)
        .times(event.start, event.end);
    if matches!(event.parent, Parent::Remote | Parent::Connection) {
        record = record.flags(RECORD_FLAG_REMOTE_PARENT);
    }
    if event.is_cut() {
        record = record.flags(RECORD_FLAG_CUT);
    }
    record = match event.kind {
        Kind::HttpServer => server(record, event),
        Kind::HttpClient => client(record, event),
        Kind::Sql => sql(record, event, program),
        Kind::GrpcServer | Kind::GrpcClient | Kind::GrpcStream => grpc::describe(record, event),
        Kind::Asking => record,
        Kind::Send => send(record, event),
    };
    if let Some(how) = event.parent.name() {
        record = record.text(PARENT_SOURCE_KEY, how);
    }
    Some(record.build())
}

fn method(record: RecordBuilder, event: &Event<'_>) -> RecordBuilder {
    let original = event.text(place::METHOD);
    let method = protocol::http::method(original);
    let record = record.text(key("http.request.method"), method);
    match original.is_empty() || method == original {
        true => record,
        false => record.text(key("http.request.method_original"), original),
    }
}

fn version(record: RecordBuilder, event: &Event<'_>) -> RecordBuilder {
    let version = match (event.number(place::MAJOR), event.number(place::MINOR)) {
        (1, 0) => "1.0",
        (1, 1) => "1.1",
        (2, _) => "2",
        _ => return record,
    };
    record.text(key("network.protocol.version"), version)
}

fn error(record: RecordBuilder, kind: &str) -> RecordBuilder {
    record.status(status::ERROR).text(key("error.type"), kind)
}

fn server(record: RecordBuilder, event: &Event<'_>) -> RecordBuilder {
    let mut record = method(record, event);
    record = record.text(key("url.scheme"), if event.number(place::TLS) != 0 { "https" } else { "http" });
    let pattern = event.lossy(place::PATTERN);
    record = record.text_if_any(key("http.route"), http::route(&pattern));
    let host = event.lossy(place::HOST);
    let (address, port) = protocol::http::split_host(&host);
    record = record.text_if_any(attribute_key("server.address"), address);
    if port != 0 {
        record = record.int(attribute_key("server.port"), port.into());
    }
    record = record.text_if_any(key("client.address"), protocol::http::split_host(&event.lossy(place::REMOTE)).0);
    record = version(record, event);
    record = record.text_if_any(key("url.path"), event.text(place::PATH));
    record = record.text_if_any(key("url.query"), protocol::http::redact(&event.lossy(place::QUERY)).as_ref());
    let status = event.number(place::STATUS);
    match event.outcome {
        Outcome::Panic => error(record, "panic"),
        Outcome::Taken => record,
        Outcome::Done | Outcome::Error => answered(record, if status == 0 { 200 } else { status }, 500),
    }
}

/// Sets the status; from `wrong` on it is an error.
fn answered(record: RecordBuilder, status: u64, wrong: u64) -> RecordBuilder {
    let record = record.int(key("http.response.status_code"), status.cast_signed());
    if status >= wrong { error(record, &status.to_string()) } else { record }
}

fn client(record: RecordBuilder, event: &Event<'_>) -> RecordBuilder {
    let mut record = method(record, event);
    let (host, scheme) = (event.lossy(place::HOST), event.lossy(place::SCHEME));
    let (address, port) = protocol::http::split_host(&host);
    let port = match (port, scheme.as_ref()) {
        (0, "https") => 443,
        (0, _) => 80,
        (port, _) => port,
    };
    record = record.text_if_any(key("server.address"), address).int(key("server.port"), port.into());
    let query = event.lossy(place::QUERY);
    let mark = if query.is_empty() { "" } else { "?" };
    let url = format!("{scheme}://{host}{}{mark}{}", event.lossy(place::PATH), protocol::http::redact(&query));
    record = record.text(key("url.full"), url);
    let status = event.number(place::STATUS);
    match (event.outcome, status) {
        (Outcome::Error, _) => error(record, "_OTHER"),
        (_, 0) => record,
        _ => answered(record, status, 400),
    }
}

/// Which library sends, by the number in `bpf/uprobe.h`.
fn sender(variant: u64) -> Option<u32> {
    Some(match variant {
        0 => 0,
        1 | 2 => 1,
        3 => 2,
        _ => return None,
    })
}

fn send(record: RecordBuilder, event: &Event<'_>) -> RecordBuilder {
    let count = event.number(place::SEND_COUNT);
    let mut record = record
        .text(key("messaging.system"), "kafka")
        .text(key("messaging.operation.name"), "send")
        .text(key("messaging.operation.type"), "send")
        .text_if_any(key("messaging.destination.name"), event.text(place::SEND_TOPIC));
    if count != 1 {
        record = record.int(key("messaging.batch.message_count"), count.cast_signed());
    }
    match event.outcome {
        Outcome::Error => error(record, "_OTHER"),
        _ => record,
    }
}

fn sql(record: RecordBuilder, event: &Event<'_>, program: Program) -> RecordBuilder {
    let statement = query::read(&event.lossy(place::SQL_TEXT), program.dialect);
    let record = record
        .text(key("db.system.name"), program.system)
        .text_if_any(key("db.operation.name"), statement.operation)
        .text_if_any(key("db.collection.name"), statement.table)
        .text_if_any(key("db.stored_procedure.name"), statement.procedure)
        .text_if_any(key("db.query.summary"), statement.summary)
        .text_if_any(key("db.query.text"), statement.text.trim_end());
    match event.outcome {
        Outcome::Error => error(record, "_OTHER"),
        _ => record,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uprobe::event::tests::event;
    use record::{Item, SpanRecord, Value, layout};

    /// What a record says, as text.
    fn said(bytes: &[u8], program: Program) -> Option<Vec<String>> {
        let tables = tables();
        let record = record(&Event::parse(bytes).expect("an event"), program)?;
        let record = SpanRecord::parse(&record).expect("a record");
        let mut said = vec![tables.descriptor(record.descriptor()).expect("an operation").id];
        said.extend(record.items().filter_map(|item| {
            let Item::Attribute(key, value) = item else { return None };
            let name = layout::key_name(key).map(str::to_owned).or_else(|| tables.key(key)).expect("a key");
            Some(match value {
                Value::String(text) => format!("{name}={}", String::from_utf8_lossy(text)),
                Value::Int(number) => format!("{name}={number}"),
                other => panic!("{other:?}"),
            })
        }));
        Some(said)
    }

    /// A request served: attributes as the woven half writes them, secrets hidden, a route without its method.
    #[test]
    fn servers_are_described() {
        let texts: [&[u8]; 6] = [b"GET", b"shop:80", b"/items/7", b"a=1&token=x", b"10.0.0.1:55", b"GET /items/{id}"];
        let bytes = event(1, 1, 0, [503, 1, 1, 0], &texts);
        let expected = [
            "net/http.server",
            "http.request.method=GET",
            "url.scheme=http",
            "http.route=/items/{id}",
            "server.address=shop",
            "server.port=80",
            "client.address=10.0.0.1",
            "network.protocol.version=1.1",
            "url.path=/items/7",
            "url.query=a=1&token=REDACTED",
            "http.response.status_code=503",
            "error.type=503",
            "tandem.parent.source=remote",
        ];
        assert_eq!(said(&bytes, Program::default()).expect("a record"), expected);
    }

    /// A request sent; one by a protocol of the program's own is none.
    #[test]
    fn clients_are_described() {
        let texts: [&[u8]; 7] = [b"", b"[::1]", b"/a", b"", b"", b"", b"https"];
        let expected = [
            "net/http.client",
            "http.request.method=GET",
            "server.address=::1",
            "server.port=443",
            "url.full=https://[::1]/a",
            "http.response.status_code=404",
            "error.type=404",
            "tandem.parent.source=ancestor",
        ];
        assert_eq!(said(&event(2, 4, 0, [404, 1, 1, 0], &texts), Program::default()).expect("a record"), expected);
        let file: [&[u8]; 7] = [b"GET", b"", b"/etc", b"", b"", b"", b"file"];
        assert_eq!(said(&event(2, 4, 0, [200, 1, 1, 0], &file), Program::default()), None);
    }

    /// Calls of grpc, served and made: codes by name, what is an error at which end, peers, a method that nobody serves.
    #[test]
    fn calls_are_described() {
        let peer = u64::from_le_bytes([0, 0, 0xff, 0xff, 10, 0, 0, 1]);
        let texts: [&[u8]; 3] = [b"/shop.Cart/Add", b"dns:///shop:80", b"no such item"];
        let common = ["rpc.system.name=grpc", "rpc.method=shop.Cart/Add", "server.address=shop", "server.port=80"];
        let peers = ["network.peer.address=10.0.0.1", "network.peer.port=99", "rpc.response.status_code=NOT_FOUND"];
        let event = |kind, code| event(kind, 2, 1, [code, 99, 0, peer], &texts);
        let mut served = said(&event(4, 5), Program::default()).expect("a record");
        assert_eq!(served.remove(0), "grpc.server");
        served.retain(|said| !said.starts_with("server."));
        let rest = [&common[..2], &peers, &["tandem.parent.source=explicit"]].concat();
        assert_eq!(served, rest);
        for (kind, operation) in [(5, "grpc.client.unary"), (7, "grpc.client.stream")] {
            let (end, rest) =
                (["error.type=NOT_FOUND", "tandem.parent.source=explicit"], [&common[..], &peers].concat());
            let expected = [&[operation], &rest[..], &end].concat();
            assert_eq!(said(&event(kind, 5), Program::default()).expect("a record"), expected);
        }
        let unknown: [&[u8]; 3] = [b"/no.Such/Thing", b"", b"unknown service no.Such"];
        let unknown = crate::uprobe::event::tests::event(4, 0, 1, [12, 0, 0, 0], &unknown);
        let expected = [
            "grpc.server",
            "rpc.system.name=grpc",
            "rpc.method=_OTHER",
            "rpc.method_original=no.Such/Thing",
            "rpc.response.status_code=UNIMPLEMENTED",
            "error.type=UNIMPLEMENTED",
        ];
        assert_eq!(said(&unknown, Program::default()).expect("a record"), expected);
    }

    /// Messages that are sent, by library; a number that no library has makes no record.
    #[test]
    fn messages_are_described() {
        let sent = |library, count| event(9, 3, 0, [library, count, 0, 0], &[b"orders"]);
        let expected = [
            "sarama.send",
            "messaging.system=kafka",
            "messaging.operation.name=send",
            "messaging.operation.type=send",
            "messaging.destination.name=orders",
            "messaging.batch.message_count=3",
            "tandem.parent.source=goroutine",
        ];
        assert_eq!(said(&sent(2, 3), Program::default()).expect("a record"), expected);
        assert_eq!(said(&sent(3, 1), Program::default()).expect("a record")[0], "franz-go.send");
        assert_eq!(said(&sent(4, 1), Program::default()), None);
    }

    /// A query: no literal is shown; which database it is the program's modules tell, where they agree.
    #[test]
    fn queries_are_described() {
        let bytes = event(3, 2, 1, [1, 0, 0, 0], &[b"DELETE FROM items WHERE name = 'ann' AND id = 7"]);
        let expected = [
            "database/sql.exec",
            "db.system.name=postgresql",
            "db.operation.name=DELETE",
            "db.collection.name=items",
            "db.query.summary=DELETE items",
            "db.query.text=DELETE FROM items WHERE name = ? AND id = ?",
            "error.type=_OTHER",
            "tandem.parent.source=explicit",
        ];
        let with = |modules: &str| Program::of(&BuildInformation::parse("go1.26.8", modules));
        let one = with("dep\tgithub.com/lib/pq\tv1.10.9\ndep\tgithub.com/jackc/pgx/v5\tv5.7.0\n");
        assert_eq!(said(&bytes, one).expect("a record"), expected);
        let two = with("dep\tgithub.com/lib/pq\tv1.10.9\ndep\tgithub.com/go-sql-driver/mysql\tv1.8.0\n");
        assert_eq!((two.system, with("").system), (OTHER_SYSTEM, OTHER_SYSTEM));
    }
}
