//! A program that asks a Redis by go-redis, v8 and v9, of which its sockets tell; `redis/` is the program. Each command bears the number
//! of the request that it was made for.

use std::collections::BTreeMap;

use model::{Kind, Source, Span};

use super::servers::{self, Missing};
use super::support::skip;
use super::{is_skipped, spans_of, text};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/unwoven/redis");
const PATHS: [&str; 6] = ["v9-direct", "v8-direct", "v9-pool", "v8-pool", "v9-pipeline", "v8-pipeline"];

/// Scenario: requests, many at once over few connections, each of which asks the database by one of the versions: on its own
/// goroutine without a context, on a pool's with one, and in a pipeline. Guarantees: each command has one span, under the request that it was made
/// for; one that was made for none is a root.
#[test]
fn commands_have_their_parents() {
    let test = "unwoven redis::commands_have_their_parents";
    if is_skipped(test) {
        return;
    }
    let server = match servers::start("redis") {
        Ok(server) => server,
        Err(Missing(why)) => return skip(test, &why),
    };
    let (_, address) = server.environment.first().expect("it says where it is");
    let at = address.find("127.0.0.1:").expect("an address");
    let address = address[at..].split(['/', ' ', ',']).next().expect("a part");
    let spans = spans_of(SOURCE, address, &format!("600 40 {}", PATHS.join(",")));
    let mut asked: BTreeMap<String, Vec<&Span>> = BTreeMap::new();
    for span in spans.iter().filter(|span| text(span, "db.system.name") == "redis") {
        asked.entry(text(span, "db.operation.name").to_owned()).or_default().push(span);
    }
    let nobody = asked.remove("nobody").expect("it was asked");
    assert_eq!(nobody.iter().map(|span| span.parent_span_id).collect::<Vec<_>>(), [None, None]);
    let fronts: Vec<&Span> =
        spans.iter().filter(|span| span.kind == Kind::Server && span.scope == "tandem/net/http").collect();
    assert_eq!(fronts.len(), 600);
    let mut wrong: BTreeMap<String, usize> = BTreeMap::new();
    for front in fronts {
        let (n, path) = (text(front, "url.query"), text(front, "url.path").trim_start_matches('/'));
        let asked = asked.remove(&format!("call{n}")).unwrap_or_default();
        assert_eq!(asked.len(), if path.ends_with("pipeline") { 3 } else { 1 }, "request {n} by {path}");
        let how = if path.ends_with("direct") { "goroutine" } else { "explicit" };
        for span in asked {
            assert_eq!(span.source, Source::Socket);
            let own = (span.parent_span_id, span.trace_id) == (Some(front.span_id), front.trace_id);
            let found = text(span, "tandem.parent.source");
            if !own || found != how {
                *wrong.entry(format!("{path}, own parent: {own}, by {found:?}")).or_default() += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What connections begin with.
    asked.retain(|name, _| !["hello", "client"].contains(&name.as_str()));
    assert!(asked.is_empty(), "{asked:?}");
}
