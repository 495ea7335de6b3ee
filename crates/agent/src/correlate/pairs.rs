//! Who belongs to whom where many are alike: a matching of two sides.
//!
//! The likeliest pairs come first; then those who are left over have others change partners, as long as that makes one pair more.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::window::Place;

/// Two that may be one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge<W> {
    /// How unlikely that is.
    pub weight: W,
    pub told: Place,
    pub seen: Place,
}

/// Pairs, (told, seen), of which each place is in one at most. No other choice of these edges has more pairs.
pub(super) fn of<W: Ord>(mut edges: Vec<Edge<W>>) -> Vec<(Place, Place)> {
    edges.sort_by(|one, other| (&one.weight, one.told, one.seen).cmp(&(&other.weight, other.told, other.seen)));
    let mut matching = Matching::default();
    for edge in &edges {
        matching.seen_by.entry(edge.told).or_default().push(edge.seen);
        if !matching.partner.contains_key(&edge.told) && !matching.partner.contains_key(&edge.seen) {
            matching.pair(edge.told, edge.seen);
        }
    }
    for edge in &edges {
        if !matching.partner.contains_key(&edge.told) {
            matching.make_room(edge.told, &mut Vec::new());
        }
    }
    let is_told = |place: &Place| matching.seen_by.contains_key(place);
    matching.partner.iter().filter(|(place, _)| is_told(place)).map(|(told, seen)| (*told, *seen)).collect()
}

#[derive(Default)]
struct Matching {
    /// Whom each one that was told may be, the likeliest first.
    seen_by: HashMap<Place, Vec<Place>, RandomState>,
    /// In both directions.
    partner: HashMap<Place, Place, RandomState>,
}

impl Matching {
    fn pair(&mut self, told: Place, seen: Place) {
        self.partner.insert(told, seen);
        self.partner.insert(seen, told);
    }

    /// Finds a partner for one who has none; those who have one may take another one, if there is one for them.
    fn make_room(&mut self, told: Place, asked: &mut Vec<Place>) -> bool {
        let candidates = self.seen_by.get(&told).cloned().unwrap_or_default();
        for seen in candidates {
            if asked.contains(&seen) {
                continue;
            }
            asked.push(seen);
            let is_free = match self.partner.get(&seen) {
                None => true,
                Some(&other) => self.make_room(other, asked),
            };
            if is_free {
                self.pair(told, seen);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edges(edges: &[(u32, u32, u32)]) -> Vec<Edge<u32>> {
        edges.iter().map(|&(told, seen, weight)| Edge { weight, told: (0, told), seen: (1, seen) }).collect()
    }

    fn pairs(of_edges: &[(u32, u32, u32)]) -> Vec<(u32, u32)> {
        let mut pairs: Vec<_> = of(edges(of_edges)).into_iter().map(|(told, seen)| (told.1, seen.1)).collect();
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn the_likeliest_come_first() {
        assert_eq!(pairs(&[(1, 1, 5), (1, 2, 1), (2, 1, 1), (2, 2, 5)]), [(1, 2), (2, 1)]);
        assert_eq!(pairs(&[]), []);
    }

    #[test]
    fn nobody_is_left_over_for_whom_others_could_make_room() {
        assert_eq!(pairs(&[(1, 1, 5), (1, 2, 1), (2, 2, 3)]), [(1, 1), (2, 2)]);
        assert_eq!(pairs(&[(1, 1, 9), (1, 2, 1), (2, 2, 9), (2, 3, 1), (3, 3, 2)]), [(1, 1), (2, 2), (3, 3)]);
    }

    proptest! {
        /// As many pairs as the best of all choices, which are tried one by one.
        #[test]
        fn there_are_as_many_pairs_as_there_can_be(all in prop::collection::vec((0..5u32, 0..5u32, 0..9u32), 0..12)) {
            fn most(told: u32, taken: u32, all: &[(u32, u32, u32)]) -> usize {
                if told == 5 {
                    return 0;
                }
                let with = all.iter().filter(|edge| edge.0 == told && taken & 1 << edge.1 == 0);
                let with = with.map(|edge| 1 + most(told + 1, taken | 1 << edge.1, all)).max();
                with.unwrap_or(0).max(most(told + 1, taken, all))
            }
            let found = pairs(&all);
            prop_assert_eq!(found.len(), most(0, 0, &all));
            for pair in &found {
                prop_assert!(all.iter().any(|edge| (edge.0, edge.1) == *pair));
            }
        }
    }
}
