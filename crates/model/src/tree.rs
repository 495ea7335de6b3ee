//! The shape of a trace: its spans as rows in the order in which people read them, parents before children.
//!
//! Always holds, whatever arrived: every span has exactly one row, a parent's row comes before its children's, and
//! children are in order of their start. A parent that never arrived gets a row of its own ([`Node::Missing`]), so that
//! its children stay together; spans whose parents form a circle become roots.

use std::collections::HashMap;

use crate::{Span, SpanId};

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The span at this index of the list that the tree was made from.
    Span(usize),
    /// A span that others name as their parent and that is not in the list.
    Missing(SpanId),
}

/// A line of the drawing of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is in it.
    pub node: Node,
    /// Index of the parent's row.
    pub parent: Option<usize>,
    /// Ancestors above it.
    pub depth: usize,
    /// No sibling follows.
    pub last: bool,
    /// Children directly below it.
    pub children: usize,
    /// Start, ns since 1970; of a missing span, that of its first child.
    pub start_unix_nano: u64,
    /// Duration, ns; of a missing span, up to the end of its last child.
    pub duration_ns: u64,
}

/// A trace in rows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tree {
    /// The rows, parents before children.
    pub rows: Vec<Row>,
    /// First start of any span, ns since 1970.
    pub start_unix_nano: u64,
    /// From the first start to the last end, ns.
    pub duration_ns: u64,
}

/// A node before it has its place.
struct Item {
    node: Node,
    children: Vec<usize>,
    start: u64,
    end: u64,
}

/// What a span's place in its trace follows from. Not all who arrange spans have read them whole.
pub trait Placed {
    /// Its own id.
    fn span_id(&self) -> SpanId;
    /// Its parent's.
    fn parent_span_id(&self) -> Option<SpanId>;
    /// Start, ns since 1970.
    fn start_unix_nano(&self) -> u64;
    /// Duration, ns.
    fn duration_ns(&self) -> u64;

    /// End, ns since 1970.
    fn end_unix_nano(&self) -> u64 {
        self.start_unix_nano().saturating_add(self.duration_ns())
    }
}

impl Placed for Span {
    fn span_id(&self) -> SpanId {
        self.span_id
    }

    fn parent_span_id(&self) -> Option<SpanId> {
        self.parent_span_id
    }

    fn start_unix_nano(&self) -> u64 {
        self.start_unix_nano
    }

    fn duration_ns(&self) -> u64 {
        self.duration_ns
    }
}

impl Tree {
    /// Arranges spans that belong to one trace.
    pub fn new<S: Placed>(spans: &[S]) -> Self {
        let (mut items, parents) = link(spans);
        for index in 0..items.len() {
            let mut children = std::mem::take(&mut items[index].children);
            children.sort_by_key(|&child| (items[child].start, child));
            items[index].children = children;
        }
        let mut roots: Vec<usize> = (0..items.len()).filter(|&index| parents[index].is_none()).collect();
        roots.sort_by_key(|&root| (items[root].start, root));

        let start = items.iter().map(|item| item.start).min().unwrap_or(0);
        let end = items.iter().map(|item| item.end).max().unwrap_or(0);
        Self { rows: walk(&items, roots), start_unix_nano: start, duration_ns: end - start }
    }
}

/// Makes an item of every span and of every missing parent, and tells each item's parent.
fn link<S: Placed>(spans: &[S]) -> (Vec<Item>, Vec<Option<usize>>) {
    let mut by_id = HashMap::with_capacity(spans.len());
    let mut items = Vec::with_capacity(spans.len());
    for (index, span) in spans.iter().enumerate() {
        by_id.entry(span.span_id()).or_insert(index);
        let (start, end) = (span.start_unix_nano(), span.end_unix_nano());
        items.push(Item { node: Node::Span(index), children: Vec::new(), start, end });
    }

    let mut parents = vec![None; items.len()];
    for (index, span) in spans.iter().enumerate() {
        let Some(parent_id) = span.parent_span_id() else { continue };
        let parent = *by_id.entry(parent_id).or_insert_with(|| {
            items.push(Item { node: Node::Missing(parent_id), children: Vec::new(), start: u64::MAX, end: 0 });
            parents.push(None);
            items.len() - 1
        });
        parents[index] = Some(parent);
        items[parent].children.push(index);
        if matches!(items[parent].node, Node::Missing(_)) {
            items[parent].start = items[parent].start.min(items[index].start);
            items[parent].end = items[parent].end.max(items[index].end);
        }
    }
    (items, parents)
}

/// Depth first, without recursion: a trace may be as deep as it likes.
fn walk(items: &[Item], roots: Vec<usize>) -> Vec<Row> {
    let mut rows = Vec::with_capacity(items.len());
    let mut placed = vec![false; items.len()];
    // Every item below a root is reached from it; what is left over is in or below a circle.
    let circular: Vec<usize> = {
        let mut reached = vec![false; items.len()];
        let mut stack = roots.clone();
        while let Some(index) = stack.pop() {
            reached[index] = true;
            stack.extend(&items[index].children);
        }
        let mut left: Vec<usize> = (0..items.len()).filter(|&index| !reached[index]).collect();
        left.sort_by_key(|&index| (items[index].start, index));
        left
    };

    let root_count = roots.len();
    for (position, root) in roots.into_iter().chain(circular.iter().copied()).enumerate() {
        let last = circular.is_empty() && position + 1 == root_count;
        let mut stack = vec![(root, None, 0, last)];
        while let Some((index, parent, depth, last)) = stack.pop() {
            if std::mem::replace(&mut placed[index], true) {
                continue;
            }
            let item = &items[index];
            let row = rows.len();
            let below: Vec<usize> = item.children.iter().copied().filter(|&child| !placed[child]).collect();
            rows.push(Row {
                node: item.node,
                parent,
                depth,
                last,
                children: below.len(),
                start_unix_nano: item.start,
                duration_ns: item.end.saturating_sub(item.start),
            });
            for (place, &child) in below.iter().enumerate().rev() {
                stack.push((child, Some(row), depth + 1, place + 1 == below.len()));
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{Kind, Resource, Source, Status, TraceId};

    fn span(id: u8, parent: u8, start: u64, duration: u64) -> Span {
        Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId([id; 8]),
            parent_span_id: (parent != 0).then_some(SpanId([parent; 8])),
            name: format!("span {id}"),
            kind: Kind::Internal,
            service: String::new(),
            start_unix_nano: start,
            duration_ns: duration,
            status: Status::default(),
            attributes: Default::default(),
            events: Vec::new(),
            links: Vec::new(),
            anatomy: None,
            source: Source::Woven,
            unfinished: false,
            trace_state: String::new(),
            flags: 0,
            scope: String::new(),
            resource: Arc::new(Resource::default()),
        }
    }

    /// The drawing in short: each row as its indent and the span's number, `?` before a missing one.
    fn draw(spans: &[Span]) -> Vec<String> {
        let tree = Tree::new(spans);
        let name = |row: &Row| match row.node {
            Node::Span(index) => spans[index].span_id.0[0].to_string(),
            Node::Missing(id) => format!("?{}", id.0[0]),
        };
        tree.rows.iter().map(|row| format!("{}{}", " ".repeat(row.depth), name(row))).collect()
    }

    #[test]
    fn children_follow_their_parent_in_order_of_start() {
        let spans = [span(3, 1, 30, 5), span(2, 1, 20, 5), span(1, 0, 10, 50), span(4, 2, 21, 1)];
        assert_eq!(draw(&spans), ["1", " 2", "  4", " 3"]);
    }

    #[test]
    fn children_of_a_parent_that_never_came_stay_together_under_it() {
        let spans = [span(1, 0, 10, 50), span(2, 9, 20, 5), span(3, 9, 15, 2)];
        assert_eq!(draw(&spans), ["1", "?9", " 3", " 2"]);
        let tree = Tree::new(&spans);
        assert_eq!((tree.rows[1].start_unix_nano, tree.rows[1].duration_ns), (15, 10));
    }

    #[test]
    fn circles_and_spans_that_are_their_own_parent_are_shown() {
        let spans = [span(1, 2, 10, 1), span(2, 1, 20, 1), span(3, 3, 5, 1), span(4, 2, 30, 1)];
        assert_eq!(draw(&spans), ["3", "1", " 2", "  4"]);
    }

    proptest! {
        /// Whatever the parents: one row a span, parents first, depths that fit.
        #[test]
        fn every_span_has_one_row(parents in prop::collection::vec((0u8..40, 0u64..100, 0u64..100), 0..40)) {
            let spans: Vec<Span> = parents
                .iter()
                .enumerate()
                .map(|(index, &(parent, start, duration))| span(index as u8 % 30 + 1, parent, start, duration))
                .collect();
            let tree = Tree::new(&spans);
            let mut seen = vec![0; spans.len()];
            for (index, row) in tree.rows.iter().enumerate() {
                if let Node::Span(span) = row.node {
                    seen[span] += 1;
                }
                match row.parent {
                    Some(parent) => {
                        prop_assert!(parent < index);
                        prop_assert_eq!(row.depth, tree.rows[parent].depth + 1);
                    }
                    None => prop_assert_eq!(row.depth, 0),
                }
                let below = tree.rows.iter().filter(|other| other.parent == Some(index)).count();
                prop_assert_eq!(below, row.children);
            }
            prop_assert!(seen.iter().all(|&count| count == 1));
        }
    }
}
