//! Noise: of many short spans that are alike under one parent the first are delivered, the others are folded: their count and
//! their time stay on the parent (docs/agent.md). Each of them has been measured before.
//!
//! Children are not held back: what is kept of a parent until it ends is a count for each name. Of a span it must be known whether it had
//! children; only short ones can be folded, and what is within a short span is short, so only short spans are looked at.
//!
//! A goroutine that moves between processors leaves its spans in several rings, which are read one after the other. So a parent with
//! many children waits until all rings have been read once more; where it did not, a span of its own stands for what comes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::RandomState;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::settings::values::{Number, Wait};

const MORE_THAN: u64 = 100;
const SHORTER_THAN: Duration = Duration::from_micros(100);
/// So often all rings are read before it is sure that what was written before has been read.
pub const PASSES: u32 = 2;
/// Parents of a program that are waited for, and folded spans that are remembered, as children may come late.
const PARENTS: usize = 8192;
const FOLDED: usize = 8192;
/// Spans that have just ended, and are known by their ids.
const ENDED: usize = 4096;
/// Names of spans under one parent that are told apart; all others are delivered.
const NAMES: usize = 16;

/// Of many short spans that are alike under one parent the first are delivered, the others become numbers on the parent.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Do it [default: true].
    enabled: Option<bool>,
    /// So many of a name are delivered under each parent [default: 100].
    more_than: Option<Number>,
    /// Only those that took less [default: 100us].
    shorter_than: Option<Wait>,
}

/// A span's id.
type Id = [u8; 8];

/// Spans of one name that were folded under one parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The operation that the program knows them by.
    pub operation: u32,
    /// Their name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// How long they took together, ns.
    pub time_ns: u64,
    /// When the first of them began, and the last ended; `CLOCK_MONOTONIC`, ns.
    pub span: (u64, u64),
}

/// What was folded under a parent that was not seen to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The parent.
    pub parent: Id,
    /// What was folded.
    pub folded: Folded,
}

/// A short span below another one of its process.
#[derive(Clone, Copy, Debug)]
pub struct Short<'a> {
    /// Its trace.
    pub trace_id: [u8; 16],
    /// Its id.
    pub span_id: Id,
    /// Its parent's.
    pub parent: Id,
    /// The operation that the program knows it by.
    pub operation: u32,
    /// Its name.
    pub name: &'a str,
    /// Start and end, `CLOCK_MONOTONIC`, ns.
    pub span: (u64, u64),
    /// It says nothing but that it was there.
    pub is_trivial: bool,
}

#[derive(Debug)]
struct Parent {
    trace_id: [u8; 16],
    names: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    operation: u32,
    hash: u64,
    delivered: u64,
    folded: Option<Folded>,
}

/// What is folded of one program.
#[derive(Debug)]
pub struct Folds {
    more_than: u64,
    /// 0: nothing is folded.
    shorter_than: u64,
    parents: HashMap<Id, Parent, RandomState>,
    /// Those of them, and some that have ended, the oldest first.
    order: VecDeque<Id>,
    /// Spans that were folded, with their parents, and the same in their order.
    gone: HashMap<Id, Id, RandomState>,
    gone_order: VecDeque<Id>,
    /// The last spans that have ended, in a circle.
    ended: Vec<Id>,
    last_ended: usize,
    /// Parents that had ended when folding began, and how often all rings have been read since.
    over: Vec<(Id, u32)>,
    left: Vec<Left>,
}

impl Default for Folds {
    /// Nothing is folded.
    fn default() -> Self {
        Self::new(&Fold { enabled: Some(false), ..Fold::default() })
    }
}

impl Folds {
    /// As it is configured.
    pub fn new(settings: &Fold) -> Self {
        let limit = settings.shorter_than.map_or(SHORTER_THAN, |wait| wait.0).as_nanos();
        Self {
            more_than: settings.more_than.map_or(MORE_THAN, |number| number.0),
            shorter_than: if settings.enabled == Some(false) { 0 } else { u64::try_from(limit).unwrap_or(u64::MAX) },
            parents: HashMap::default(),
            order: VecDeque::new(),
            gone: HashMap::default(),
            gone_order: VecDeque::new(),
            ended: Vec::new(),
            last_ended: 0,
            over: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Whether spans of that duration are looked at.
    #[inline]
    pub fn is_short(&self, duration_ns: u64) -> bool {
        duration_ns < self.shorter_than
    }

    /// The parent of a span that was folded: who calls that one its parent gets this one.
    #[inline]
    pub fn instead_of(&self, id: Id) -> Option<Id> {
        if self.gone.is_empty() { None } else { self.gone.get(&id).copied() }
    }

    /// A span has ended: what was folded under it; `None`: it had no short children.
    #[inline]
    pub fn end(&mut self, id: Id) -> Option<Vec<Folded>> {
        if self.shorter_than == 0 {
            return None;
        }
        match self.ended.get_mut(self.last_ended) {
            Some(oldest) => *oldest = id,
            None => self.ended.push(id),
        }
        self.last_ended = (self.last_ended + 1) % ENDED;
        if self.parents.is_empty() {
            return None;
        }
        let parent = self.parents.remove(&id)?;
        Some(parent.names.into_iter().filter_map(|name| name.folded).collect())
    }

    /// Whether a span that has ended has so many children that others of them may be on their way.
    #[inline]
    pub fn must_wait(&self, id: Id) -> bool {
        !self.parents.is_empty()
            && self
                .parents
                .get(&id)
                .is_some_and(|parent| parent.names.iter().any(|name| name.delivered >= self.more_than))
    }

    /// All rings have been read once more.
    pub fn pass(&mut self) {
        if self.over.is_empty() {
            return;
        }
        self.over.iter_mut().for_each(|(_, passes)| *passes += 1);
        let done: Vec<_> = self.over.extract_if(.., |(_, passes)| *passes >= PASSES).collect();
        done.into_iter().for_each(|(id, _)| self.give_up(id));
    }

    /// Whether a span is folded.
    pub fn add(&mut self, short: &Short<'_>) -> bool {
        let Self { parents, more_than, ended, over, .. } = self;
        let Some(parent) = parents.get_mut(&short.parent) else {
            self.begin(short);
            return false;
        };
        if !short.is_trivial {
            return false;
        }
        let Some(name) = parent.name(short) else { return false };
        if name.delivered < *more_than {
            name.delivered += 1;
            return false;
        }
        if name.folded.is_none() && ended.contains(&short.parent) && !over.iter().any(|(id, _)| *id == short.parent) {
            over.push((short.parent, 0));
        }
        let (start, end) = short.span;
        let folded = name.folded.get_or_insert_with(|| Folded {
            operation: short.operation,
            name: short.name.to_owned(),
            count: 0,
            time_ns: 0,
            span: short.span,
        });
        folded.count += 1;
        folded.time_ns = folded.time_ns.saturating_add(end.saturating_sub(start));
        folded.span = (folded.span.0.min(start), folded.span.1.max(end));
        self.forget(short.span_id, short.parent);
        true
    }

    /// The first short span under a parent.
    fn begin(&mut self, short: &Short<'_>) {
        while self.parents.len() >= PARENTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.give_up(oldest);
        }
        if self.order.len() >= 2 * PARENTS {
            let parents = &self.parents;
            self.order.retain(|id| parents.contains_key(id));
        }
        let mut parent = Parent { trace_id: short.trace_id, names: Vec::new() };
        if short.is_trivial
            && let Some(name) = parent.name(short)
        {
            name.delivered = 1;
        }
        self.parents.insert(short.parent, parent);
        self.order.push_back(short.parent);
    }

    fn give_up(&mut self, id: Id) {
        let Some(parent) = self.parents.remove(&id) else { return };
        let trace_id = parent.trace_id;
        let folded = parent.names.into_iter().filter_map(|name| name.folded);
        self.left.extend(folded.map(|folded| Left { trace_id, parent: id, folded }));
    }

    fn forget(&mut self, id: Id, parent: Id) {
        if self.gone_order.len() >= FOLDED
            && let Some(oldest) = self.gone_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
        if self.gone.insert(id, parent).is_none() {
            self.gone_order.push_back(id);
        }
    }

    /// What was folded under parents that were not waited for any longer. `all`: the program has ended, and no parent will.
    pub fn left(&mut self, all: bool) -> Vec<Left> {
        if all {
            while let Some(oldest) = self.order.pop_front() {
                self.give_up(oldest);
            }
        }
        std::mem::take(&mut self.left)
    }
}

impl Parent {
    /// What there is of this name; `None`: there are too many.
    fn name(&mut self, short: &Short<'_>) -> Option<&mut Name> {
        let hash = hash(short.name);
        let is_it = |name: &Name| name.operation == short.operation && name.hash == hash;
        let place = self.names.iter().position(is_it).or_else(|| {
            (self.names.len() < NAMES).then(|| {
                self.names.push(Name { operation: short.operation, hash, delivered: 0, folded: None });
                self.names.len() - 1
            })
        })?;
        self.names.get_mut(place)
    }
}

fn hash(name: &str) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::default().hash_one(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folds(more_than: u64) -> Folds {
        Folds::new(&Fold { more_than: Some(Number(more_than)), ..Fold::default() })
    }

    fn id(number: u64) -> Id {
        number.to_le_bytes()
    }

    fn short(number: u64, parent: u64, name: &str) -> Short<'_> {
        Short {
            trace_id: [1; 16],
            span_id: id(number),
            parent: id(parent),
            operation: 7,
            name,
            span: (number * 10, number * 10 + 5),
            is_trivial: true,
        }
    }

    #[test]
    fn the_first_stay_and_the_others_become_numbers() {
        let mut folds = folds(3);
        let kept: Vec<u64> = (10..20).filter(|&number| !folds.add(&short(number, 1, "get"))).collect();
        assert_eq!(kept, [10, 11, 12]);
        assert!(!folds.add(&short(20, 1, "set")), "another name");
        assert!(!folds.add(&short(21, 2, "get")), "another parent");
        assert!(!folds.add(&Short { is_trivial: false, ..short(22, 1, "get") }));
        let folded = folds.end(id(1)).expect("it has children");
        let expected = Folded { operation: 7, name: "get".to_owned(), count: 7, time_ns: 35, span: (130, 195) };
        assert_eq!(folded, [expected]);
        assert_eq!(folds.end(id(2)), Some(Vec::new()));
        assert_eq!(folds.end(id(2)), None);
        assert_eq!((folds.instead_of(id(13)), folds.instead_of(id(12))), (Some(id(1)), None));
        assert_eq!(folds.left(true), []);
    }

    #[test]
    fn what_is_not_waited_for_is_left() {
        let mut folds = folds(0);
        folds.add(&short(1, 1_000_000, "get"));
        assert!(folds.add(&short(2, 1_000_000, "get")));
        for parent in 0..PARENTS as u64 {
            folds.add(&short(3, parent, "get"));
        }
        let left = folds.left(false);
        assert_eq!((left.len(), left[0].parent, left[0].folded.count), (1, id(1_000_000), 1));
        assert!(folds.add(&short(4, 5, "get")));
        assert_eq!(folds.left(false), []);
        assert_eq!(folds.left(true).len(), 1);
    }

    #[test]
    fn a_parent_with_many_children_waits_and_one_that_did_not_is_stood_for() {
        let mut folds = folds(2);
        folds.add(&short(1, 9, "get"));
        assert!(!folds.must_wait(id(9)));
        folds.add(&short(2, 9, "get"));
        assert!(folds.must_wait(id(9)) && !folds.must_wait(id(8)));
        folds.end(id(9));
        assert_eq!((3..8).filter(|&number| folds.add(&short(number, 9, "get"))).count(), 3);
        folds.pass();
        assert_eq!(folds.left(false), []);
        folds.pass();
        assert_eq!(folds.left(false).iter().map(|left| left.folded.count).collect::<Vec<_>>(), [3]);
        assert!(folds.over.is_empty() && folds.parents.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut folds = folds(0);
        for number in 0..5 * PARENTS as u64 {
            folds.add(&short(number, number, "get"));
            folds.add(&short(number, number, "get"));
            folds.end(id(number));
        }
        assert!(
            folds.parents.is_empty()
                && folds.order.len() <= 2 * PARENTS
                && folds.gone.len() <= FOLDED
                && folds.ended.len() <= ENDED
        );
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(names.iter().filter(|name| folds.add(&short(1, 1, name))).count(), NAMES - 1);
        assert_eq!(folds.parents[&id(1)].names.len(), NAMES);
    }

    #[test]
    fn nothing_is_folded_unless_it_is_short() {
        let folds = folds(3);
        assert!(folds.is_short(99_999) && !folds.is_short(100_000));
        assert!(!Folds::default().is_short(0));
    }
}
