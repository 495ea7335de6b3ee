//! A trace in outline says of every span what the whole trace says.

mod fixture;

use std::collections::BTreeMap;

use model::StatusCode;
use store::Reader;
use tempfile::TempDir;

/// Scenario: traces of a shop, with an error, a missing parent, an unfinished span, events, links and names in any script.
/// Guarantees: what the outline holds of them is what the whole spans hold.
#[test]
fn an_outline_agrees_with_the_whole_trace() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut spans = fixture::shop();
    for span in spans.iter_mut().filter(|span| span.service == "worker") {
        span.source = model::Source::Socket;
        span.attributes.insert("tandem.parent.source".to_owned(), model::Value::String("connection".to_owned()));
    }
    fixture::write(folder.path(), &spans);
    let reader = Reader::open(folder.path()).expect("the store opens");
    let mut looked_at = 0;
    for trace_id in spans.iter().map(|span| span.trace_id).collect::<std::collections::BTreeSet<_>>() {
        let whole = reader.trace(trace_id).expect("a query").expect("the trace");
        let outline = reader.outline(trace_id).expect("a query").expect("the trace");
        assert_eq!(outline.summary, whole.summary);
        assert_eq!(outline.spans.len(), whole.spans.len());
        for (outlined, span) in outline.spans.iter().zip(&whole.spans) {
            looked_at += 1;
            assert_eq!((outlined.span_id, outlined.parent_span_id), (span.span_id, span.parent_span_id));
            assert_eq!((outlined.start_unix_nano, outlined.duration_ns), (span.start_unix_nano, span.duration_ns));
            assert_eq!(outline.names[outlined.name as usize], span.name);
            assert_eq!(outline.services[outlined.service as usize], span.service);
            assert_eq!(outline.scopes[outlined.scope as usize], span.scope);
            assert_eq!(
                (outlined.kind, outlined.source, outlined.unfinished),
                (span.kind, span.source, span.unfinished)
            );
            assert_eq!(outlined.failed, span.status.code == StatusCode::Error);
            assert_eq!((outlined.events as usize, outlined.links as usize), (span.events.len(), span.links.len()));
            let found = outlined.parent_source.map(|source| outline.parent_sources[source as usize].clone());
            assert_eq!(found, span.attributes.get("tandem.parent.source").map(ToString::to_string));
            let range = outlined.anatomy.start as usize..outlined.anatomy.end as usize;
            let parts: BTreeMap<String, u64> = outline.anatomies[range]
                .iter()
                .map(|&(part, nanos)| (outline.parts[part as usize].clone(), nanos))
                .collect();
            assert_eq!(parts, span.anatomy.as_ref().map(|anatomy| anatomy.parts_ns.clone()).unwrap_or_default());
        }
    }
    assert_eq!(looked_at, spans.len());
    assert_eq!(reader.outline(model::TraceId([7; 16])).expect("a query"), None);
}
