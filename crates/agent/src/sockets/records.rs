//! Makes records of exchanges: operations, keys, and what the two ends of a connection are called.

use std::collections::HashSet;
use std::net::SocketAddr;

use model::PARENT_SOURCE_ATTRIBUTE;
use protocol::{Operation, Role, Value};
use record::layout::{self, FIRST_DYNAMIC_KEY, KEYS, RECORD_FLAG_REMOTE_PARENT, item, key};
use record::{Descriptor, RecordBuilder, Tables};

use super::family::Span;

const SCOPE: &str = "tandem/socket";
/// Bytes of a text in a record.
const TEXT_LIMIT: usize = 1024;

/// Keys that are not among the well-known ones.
const OWN_KEYS: [&str; 3] = [PARENT_SOURCE_ATTRIBUTE, "db.operation.batch.size", "dns.question.name"];

const DATABASE: &str = "{db.query.summary}|{db.operation.name} {db.namespace}|{db.operation.name}|{db.system.name}";

/// What the spans of an operation are called: its id, and the template of their names.
fn called(operation: Operation) -> (&'static str, &'static str) {
    match operation {
        Operation::Http => ("http", "{http.request.method}"),
        Operation::Grpc => ("grpc", "{rpc.method}|{rpc.system.name}"),
        Operation::Postgresql => ("postgresql", DATABASE),
        Operation::Mysql => ("mysql", DATABASE),
        Operation::Redis => ("redis", "{db.operation.name}|{db.system.name}"),
        Operation::Mongodb => ("mongodb", "{db.operation.name} {db.collection.name}|{db.operation.name}"),
        Operation::KafkaSend | Operation::KafkaPoll => (
            if operation == Operation::KafkaSend { "kafka.send" } else { "kafka.poll" },
            "{messaging.operation.name} {messaging.destination.name}|{messaging.operation.name}",
        ),
        Operation::Dns => ("dns", "DNS {dns.question.name}|DNS"),
    }
}

fn kind(operation: Operation, role: Role) -> u8 {
    match role {
        Role::Server => layout::kind::SERVER,
        Role::Client if operation == Operation::KafkaSend => layout::kind::PRODUCER,
        Role::Client => layout::kind::CLIENT,
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
    }
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// Number of an operation's descriptor; 0 is none.
fn descriptor(operation: Operation, role: Role) -> u32 {
    let place = Operation::ALL.iter().position(|other| *other == operation).unwrap_or_default();
    (2 * place + usize::from(role == Role::Server)) as u32 + 1
}

/// All operations and keys that records of ours name.
pub(super) fn tables() -> Tables {
    let operations = Operation::ALL.iter().flat_map(|&operation| {
        ROLES.map(|role| {
            let (name, template) = called(operation);
            let id = format!("socket.{name}.{}", role_name(role));
            Descriptor::new(&id, SCOPE, kind(operation, role), template)
        })
    });
    Tables::of(operations.collect(), OWN_KEYS.iter().map(|&key| key.to_owned()).collect())
}

/// The number of a key; of a server's address the one that is no dimension, since it is whatever the caller says.
fn number(name: &str, role: Role) -> Option<u16> {
    if role == Role::Server && matches!(name, "server.address" | "server.port") {
        return KEYS.iter().rev().find(|key| key.name == name).map(|key| key.id);
    }
    let known = KEYS.iter().find(|key| key.name == name).map(|key| key.id);
    known.or_else(|| {
        let own = OWN_KEYS.iter().position(|key| *key == name)?;
        Some(FIRST_DYNAMIC_KEY + own as u16)
    })
}

/// The join points that tell of an operation, by their ids in `packs/`.
const JOIN_POINTS: [(Operation, Role, &[&str]); 10] = [
    (Operation::Http, Role::Server, &["net/http.server", "fasthttp.server"]),
    (Operation::Http, Role::Client, &["net/http.client", "fasthttp.client"]),
    (Operation::Grpc, Role::Server, &["grpc.server", "connect.server"]),
    (Operation::Grpc, Role::Client, &["grpc.client.unary", "grpc.client.stream", "connect.client"]),
    (
        Operation::Postgresql,
        Role::Client,
        &["database/sql.query", "database/sql.exec", "pgx.query", "pgx.exec", "pgx-v4.query", "pgx-v4.exec"],
    ),
    (Operation::Mysql, Role::Client, &["database/sql.query", "database/sql.exec"]),
    (
        Operation::Redis,
        Role::Client,
        &["go-redis.command", "go-redis-v8.command", "redigo.command", "rueidis.command", "valkey-go.command"],
    ),
    (Operation::Mongodb, Role::Client, &["mongo-driver.command", "mongo-driver-v1.command"]),
    (Operation::KafkaSend, Role::Client, &["sarama.send", "franz-go.send", "kafka-go.send"]),
    (Operation::KafkaPoll, Role::Client, &["sarama.receive", "franz-go.receive", "kafka-go.receive"]),
];

/// What somebody else tells of a process, who `owns` join points: it is not told again.
pub(super) fn owned(owns: impl Fn(&str) -> bool) -> HashSet<(Operation, Role)> {
    let owned = JOIN_POINTS.iter().filter(|(_, _, join_points)| join_points.iter().any(|join_point| owns(join_point)));
    owned.map(|(operation, role, _)| (*operation, *role)).collect()
}

/// The span's record.
pub(super) fn record(span: &Span) -> Vec<u8> {
    let exchange = &span.exchange;
    let role = exchange.role;
    let mut record = RecordBuilder::span(span.trace_id, span.span_id, descriptor(exchange.operation, role))
        .times(exchange.begun, exchange.ended.max(exchange.begun + 1))
        .parent(span.parent_id);
    if span.remote {
        record = record.flags(RECORD_FLAG_REMOTE_PARENT);
    }
    let mut named = HashSet::new();
    for (name, value) in &exchange.attributes {
        let Some(key) = number(name, role).filter(|_| named.insert(*name)) else { continue };
        record = match value {
            Value::Text(text) => record.text(key, cut(text)),
            Value::Int(number) => record.int(key, *number),
        };
    }
    record = peers(record, span, &named);
    if let Some(found) = span.found
        && let Some(key) = number(PARENT_SOURCE_ATTRIBUTE, role)
    {
        record = record.text(key, found);
    }
    if let Some(error) = &exchange.error {
        record = record.status(layout::status::ERROR).text(const { key("error.type") }, cut(error));
        if let Some(message) = exchange.message.as_ref().filter(|message| !message.is_empty()) {
            record = record.item(0, item::STATUS_MESSAGE, cut(message).as_bytes());
        }
    }
    record.build()
}

/// Who is at the other end, where nobody has said so.
fn peers(record: RecordBuilder, span: &Span, named: &HashSet<&str>) -> RecordBuilder {
    let remote: SocketAddr = span.ends.remote;
    let (operation, role) = (span.exchange.operation, span.exchange.role);
    let put = |record: RecordBuilder, name: &str, value: Value| match number(name, role) {
        Some(_) if named.contains(name) => record,
        Some(key) => match value {
            Value::Text(text) => record.text(key, &text),
            Value::Int(number) => record.int(key, number),
        },
        None => record,
    };
    match role {
        Role::Client => {
            let record = put(record, "server.address", remote.ip().to_string().into());
            put(record, "server.port", i64::from(remote.port()).into())
        }
        Role::Server if operation == Operation::Grpc => {
            let record = put(record, "network.peer.address", remote.ip().to_string().into());
            put(record, "network.peer.port", i64::from(remote.port()).into())
        }
        Role::Server => put(record, "client.address", remote.ip().to_string().into()),
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_LIMIT.min(text.len()))]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation has a descriptor of its own, with a template that refers to keys that there are, and what a span's
    /// attributes are called is known.
    #[test]
    fn operations_and_keys_are_known() {
        let tables = tables();
        let mut ids = HashSet::new();
        for operation in Operation::ALL {
            for role in ROLES {
                let descriptor = tables.descriptor(descriptor(operation, role)).expect("one for each");
                assert!(ids.insert(descriptor.id.clone()), "{} twice", descriptor.id);
                assert_eq!(descriptor.kind, kind(operation, role));
                for key in descriptor.name.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                    assert!(number(key, role).is_some(), "{key} of {}", descriptor.id);
                }
            }
        }
        assert_ne!(number("server.address", Role::Server), number("server.address", Role::Client));
        assert_eq!(number("no.such.key", Role::Client), None);
    }

    /// A join point that no pack has owns nothing, and its operations would be told twice.
    #[test]
    fn join_points_are_those_of_packs() {
        let packs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
        let packs = std::fs::read_dir(packs).expect("the packs").flatten();
        let texts: Vec<String> =
            packs.filter_map(|pack| std::fs::read_to_string(pack.path().join("pack.yaml")).ok()).collect();
        let there = |id: &str| texts.iter().any(|text| text.lines().any(|line| line.trim() == format!("- id: {id}")));
        for id in JOIN_POINTS.iter().flat_map(|(_, _, join_points)| *join_points) {
            assert!(there(id), "no pack has a rule {id}");
        }
    }

    /// What a join point of the program tells is not told again; what others do not tell is.
    #[test]
    fn what_is_owned_is_left_alone() {
        let owned = owned(|join_point| matches!(join_point, "net/http.server" | "go-redis.command"));
        assert_eq!(owned, [(Operation::Http, Role::Server), (Operation::Redis, Role::Client)].into());
    }
}
