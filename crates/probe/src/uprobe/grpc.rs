//! What is particular to google.golang.org/grpc: the types that its probes read, which changed with its versions, and what
//! its spans say.

use std::net::Ipv6Addr;

use gobin::Offsets;
use record::RecordBuilder;
use record::layout::{attribute_key, item, key, status};

use super::event::{Event, Kind};
use super::skeleton::types::tandem_binary;

const TRANSPORT: &str = "google.golang.org/grpc/internal/transport";
/// What streams of both sides have in common. Until grpc 1.68 there was nothing else.
const STREAM: &str = "google.golang.org/grpc/internal/transport.Stream";

/// Finds what is read, and says what is not found.
struct Types<'a>(&'a Offsets);

impl Types<'_> {
    fn unknown(&self, structure: &str, what: &str) -> String {
        let why = self.0.why_not(structure).unwrap_or("there is no such thing in the program");
        format!("{what} of {structure} is not known: {why}")
    }

    fn field(&self, structure: &str, names: &[&str]) -> Result<u32, String> {
        let found = names.iter().find_map(|name| self.0.field(structure, name));
        found.ok_or_else(|| self.unknown(structure, &format!("the place of {}", names.join(" or "))))
    }

    fn number(&self, structure: &str) -> Result<u32, String> {
        self.0.hash(structure).ok_or_else(|| self.unknown(structure, "the type's number"))
    }

    fn pointer_number(&self, structure: &str) -> Result<u32, String> {
        self.0.pointer_hash(structure).ok_or_else(|| self.unknown(structure, "the number of the pointer type"))
    }

    /// Where the stream of a side has what all streams have, and whether that is a pointer, by what follows it.
    fn common(&self, side: &str, next: &str) -> Result<(u32, u32), String> {
        let side = format!("{TRANSPORT}.{side}");
        let Some(place) = self.0.field(&side, "Stream") else { return Ok((0, 0)) };
        let (next, size) = (self.field(&side, &[next])?, self.0.size(STREAM));
        match next.checked_sub(place) {
            Some(8) => Ok((place, 1)),
            Some(distance) if size.is_some_and(|size| size <= distance) => Ok((place, 0)),
            _ => Err(self.unknown(&side, "how Stream is part")),
        }
    }

    /// What both sides read.
    fn statuses(&self, facts: &mut tandem_binary) -> Result<(), String> {
        const STATUS: &str = "google.golang.org/grpc/internal/status.Status";
        const ERROR: &str = "google.golang.org/grpc/internal/status.Error";
        const MESSAGE: &str = "google.golang.org/genproto/googleapis/rpc/status.Status";
        facts.status_message = self.field(STATUS, &["s"])?;
        facts.status_error_status = self.field(ERROR, &["s"])?;
        facts.message_code = self.field(MESSAGE, &["Code"])?;
        facts.message_text = self.field(MESSAGE, &["Message"])?;
        Ok(())
    }
}

/// Texts and interfaces are two of them.
const WORD: u32 = 8;

pub(super) fn server_types(offsets: &Offsets, facts: &mut tandem_binary) -> Result<(), String> {
    let types = Types(offsets);
    let transport = format!("{TRANSPORT}.http2Server");
    types.statuses(facts)?;
    facts.stream_id = types.field(STREAM, &["id"])?;
    facts.stream_method = types.field(STREAM, &["method"])?;
    facts.stream_context = types.field(STREAM, &["ctx"])?;
    facts.stream_size =
        facts.stream_id.max(facts.stream_method + WORD).max(facts.stream_context + WORD) / WORD * WORD + WORD;
    facts.served_transport = types.pointer_number(&transport)?;
    facts.served_transport_connection = types.field(&transport, &["conn"])?;
    (facts.served_stream, facts.served_stream_points) = types.common("ServerStream", "st")?;
    facts.metadata_key = types.number("google.golang.org/grpc/metadata.mdIncomingKey")?;
    Ok(())
}

pub(super) fn client_types(offsets: &Offsets, facts: &mut tandem_binary) -> Result<(), String> {
    let types = Types(offsets);
    let transport = format!("{TRANSPORT}.http2Client");
    types.statuses(facts)?;
    facts.calling_transport_connection = types.field(&transport, &["conn"])?;
    facts.calling_target = types.field("google.golang.org/grpc.ClientConn", &["target"])?;
    facts.status_error = types.pointer_number("google.golang.org/grpc/internal/status.Error")?;
    facts.plain_error = types.pointer_number("errors.errorString")?;
    Ok(())
}

/// Texts and numbers by their place (`bpf/uprobe.h`).
mod place {
    pub(super) const METHOD: usize = 0;
    pub(super) const TARGET: usize = 1;
    pub(super) const MESSAGE: usize = 2;
    pub(super) const CODE: usize = 0;
    pub(super) const PEER_PORT: usize = 1;
    pub(super) const PEER: usize = 2;
}

/// What a call says of itself, as the woven half writes it (packs/grpc).
pub(super) fn describe(mut record: RecordBuilder, event: &Event<'_>) -> RecordBuilder {
    let is_server = event.kind == Kind::GrpcServer;
    let method = event.lossy(place::METHOD);
    let method = method.strip_prefix('/').unwrap_or(&method);
    let target = event.lossy(place::TARGET);
    let (code, message) = (event.number(place::CODE), event.lossy(place::MESSAGE));
    record = record.text(key("rpc.system.name"), "grpc");
    record = match is_server && is_unknown(code, &message) {
        // Anybody can ask for any method: its name is no label, and no name of a span.
        true => record
            .item(0, item::NAME, b"grpc")
            .text(key("rpc.method"), "_OTHER")
            .text(key("rpc.method_original"), method),
        false => record.text(key("rpc.method"), method),
    };
    record = if is_server { called(record, &target) } else { calls(record, &target) };
    let port = event.number(place::PEER_PORT);
    if port != 0 {
        let halves = [event.number(place::PEER), event.number(place::PEER + 1)];
        let mut address = [0; 16];
        address[..8].copy_from_slice(&halves[0].to_le_bytes());
        address[8..].copy_from_slice(&halves[1].to_le_bytes());
        let address = Ipv6Addr::from(address).to_canonical().to_string();
        record = record.text(key("network.peer.address"), address).int(key("network.peer.port"), port.cast_signed());
    }
    let name = protocol::grpc::code(code);
    record = record.text(key("rpc.response.status_code"), name.as_ref());
    let failed = if is_server { protocol::grpc::is_server_fault(&name) } else { code != 0 };
    if !failed {
        return record;
    }
    record = record.status(status::ERROR).text(key("error.type"), name.as_ref());
    match is_server || message.is_empty() {
        true => record,
        false => record.item(0, item::STATUS_MESSAGE, message.as_bytes()),
    }
}

/// The server has no such method: grpc says so itself, in one of these ways.
fn is_unknown(code: u64, message: &str) -> bool {
    const UNIMPLEMENTED: u64 = 12;
    let said = ["unknown service ", "unknown method ", "malformed method name: "];
    code == UNIMPLEMENTED && said.iter().any(|said| message.starts_with(said))
}

/// What the caller calls this server.
fn called(record: RecordBuilder, authority: &str) -> RecordBuilder {
    let (address, port) = protocol::http::split_host(authority);
    let record = record.text_if_any(attribute_key("server.address"), address);
    if port == 0 { record } else { record.int(attribute_key("server.port"), port.into()) }
}

fn calls(record: RecordBuilder, target: &str) -> RecordBuilder {
    let (address, port) = server_of(target);
    let record = record.text(key("server.address"), address);
    match port {
        Some(port) => record.int(key("server.port"), port.into()),
        None => record,
    }
}

/// Takes apart a target: `[dns|passthrough:[//authority]/]host[:port]`, `unix:path`, `unix-abstract:name`. Any other scheme's
/// target stands for itself.
fn server_of(target: &str) -> (&str, Option<u16>) {
    let endpoint = match target.split_once(':') {
        Some(("dns" | "passthrough", endpoint)) => {
            let endpoint = match endpoint.strip_prefix("//") {
                Some(rest) => rest.split_once('/').map_or("", |(_, endpoint)| endpoint),
                None => endpoint,
            };
            endpoint.strip_prefix('/').unwrap_or(endpoint)
        }
        Some(("unix" | "unix-abstract", path)) => return (path.strip_prefix("//").unwrap_or(path), None),
        _ if target.contains("://") => return (target, None),
        _ => target,
    };
    match protocol::http::split_host(endpoint) {
        (address, 0) if address == endpoint && endpoint.contains(':') && !endpoint.starts_with('[') => (target, None),
        (address, 0) => (address, None),
        (address, port) => (address, Some(port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        for (target, expected) in [
            ("shop:80", ("shop", Some(80))),
            ("dns:///shop:80", ("shop", Some(80))),
            ("dns:shop", ("shop", None)),
            ("dns://8.8.8.8/shop:81", ("shop", Some(81))),
            ("passthrough:///[::1]:5", ("::1", Some(5))),
            ("unix:///run/a", ("/run/a", None)),
            ("unix-abstract:a", ("a", None)),
            ("xds:///shop", ("xds:///shop", None)),
            ("one:1,two:2", ("one:1,two:2", None)),
        ] {
            assert_eq!(server_of(target), expected, "{target}");
        }
    }

    #[test]
    fn methods_that_nobody_serves_are_known_by_the_message() {
        assert!(is_unknown(12, "unknown service a.B") && is_unknown(12, "unknown method C for service a.B"));
        assert!(!is_unknown(12, "method C not implemented") && !is_unknown(5, "unknown service a.B"));
    }
}
