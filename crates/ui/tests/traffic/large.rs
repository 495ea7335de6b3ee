//! A trace of very many spans, as a batch job makes it: ten below each, with attributes and an anatomy as woven programs have.

use std::collections::BTreeMap;

use model::{Anatomy, Kind, Span};

use crate::fixture::{self, Details};

/// Statements of the job; so many different names are in it.
const STATEMENTS: u64 = 40;

/// The spans, all of the trace `5aab…`.
pub fn spans(count: u64) -> Vec<Span> {
    (0..count).map(|index| one(index, count)).collect()
}

fn one(index: u64, count: u64) -> Span {
    // The end of a span is that of the last one below it.
    let lasts = 10 * count.saturating_sub(index) + 10_000;
    let name = format!("step {}", index % STATEMENTS);
    let mut span = fixture::span(90, 1, 0, "batch", &name, 20_000_000 + index * 10, lasts)
        .with("code.function.name", "shop/batch.(*Job).Step")
        .with("db.query.text", "SELECT id, quantity FROM stock WHERE sku = $1")
        .with("server.address", "stock.internal");
    span.span_id.0[..4].copy_from_slice(&(index as u32 + 1).to_be_bytes());
    span.parent_span_id = (index > 0).then(|| {
        let mut parent = span.span_id;
        parent.0[..4].copy_from_slice(&(((index - 1) / 10) as u32 + 1).to_be_bytes());
        parent
    });
    span.kind = if index.is_multiple_of(3) { Kind::Client } else { Kind::Internal };
    let wall_ns = span.duration_ns;
    let parts = [("on_cpu", 3), ("go_network", 5), ("run_queue", 1), ("go_runnable", 1)];
    let parts_ns: BTreeMap<_, _> =
        parts.into_iter().map(|(part, tenths)| (part.to_owned(), wall_ns * tenths / 10)).collect();
    span.anatomy = Some(Anatomy { wall_ns, parts_ns });
    span
}
