//! A program that sends messages to Kafka by three clients; `kafka/` is the program. Each topic bears the number of the request
//! that a message was sent for.

use model::{Kind, Source, Span};

use super::servers::{self, Missing};
use super::support::skip;
use super::{is_skipped, spans_of, text};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/unwoven/kafka");

/// Scenario: requests, many at once, each of which sends a message. Guarantees: each message has one span, that of its client
/// and not also one of its socket, under the request that it was sent for.
#[test]
#[ignore = "starts a broker in Java: make test-unwoven-kafka"]
fn messages_have_their_parents() {
    let test = "unwoven kafka::messages_have_their_parents";
    if is_skipped(test) {
        return;
    }
    let server = match servers::start("kafka") {
        Ok(server) => server,
        Err(Missing(why)) => return skip(test, &why),
    };
    let (_, address) = server.environment.first().expect("it says where it is");
    let spans = spans_of(SOURCE, address, "30");
    let of = |kind| -> Vec<&Span> { spans.iter().filter(|span| span.kind == kind).collect() };
    let (fronts, sent) = (of(Kind::Server), of(Kind::Producer));
    assert_eq!((fronts.len(), sent.len()), (30, 30), "{sent:?}");
    for front in fronts {
        let topic = format!("call{}", text(front, "url.query"));
        let sent: Vec<_> = sent.iter().filter(|span| text(span, "messaging.destination.name") == topic).collect();
        let [sent] = &sent[..] else { panic!("{topic}: {sent:?}") };
        let (scope, how) = match text(front, "url.path") {
            "/kafka-go" => ("tandem/github.com/segmentio/kafka-go", "explicit"),
            "/sarama" => ("tandem/github.com/IBM/sarama", "goroutine"),
            _ => ("tandem/github.com/twmb/franz-go", "explicit"),
        };
        assert_eq!((sent.name.as_str(), sent.scope.as_str()), (format!("send {topic}").as_str(), scope));
        assert_eq!(sent.source, Source::Uprobe);
        assert_eq!((sent.parent_span_id, sent.trace_id), (Some(front.span_id), front.trace_id), "{topic}");
        assert_eq!(text(sent, "tandem.parent.source"), how, "{topic}");
        assert_eq!(text(sent, "error.type"), "", "{topic}");
    }
}
