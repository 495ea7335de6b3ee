//! Who gets how much of what is recorded: weighted max-min fairness, as links of networks are shared.
//!
//! Each route may have so many new traces a second, the same for all, or a multiple where more is wanted. Who makes fewer keeps all of them; what
//! is left of their part goes to the others. So the routes that make most traces are shed first, down to where all are alike.

/// So many new traces a second are recorded of any route that has them, whatever the budget: one in ten seconds costs nothing.
pub(super) const TRICKLE: f64 = 0.1;

/// What somebody wants recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Demand {
    /// New traces a second.
    pub rate: f64,
    /// It may have so many times as much as others.
    pub weight: f64,
    /// The share of them that is recorded at least.
    pub least: f64,
}

impl Demand {
    /// The share that is recorded where each may have so many a second.
    fn share(&self, each: f64) -> f64 {
        let share = if self.rate > 0.0 { self.weight * each / self.rate } else { 1.0 };
        share.max(self.least).min(1.0)
    }
}

/// The share of each, so that together it is this share of all; more where what each has at least is more.
pub(super) fn fill(demands: &[Demand], share: f64) -> Vec<f64> {
    let wanted = share * demands.iter().map(|demand| demand.rate).sum::<f64>();
    let recorded = |each| demands.iter().map(|demand| demand.rate * demand.share(each)).sum::<f64>();
    let (mut low, mut high) =
        (TRICKLE, demands.iter().map(|demand| demand.rate / demand.weight).fold(TRICKLE, f64::max));
    // What is recorded only rises with what each may have.
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if recorded(middle) < wanted { low = middle } else { high = middle }
    }
    let each = if recorded(TRICKLE) >= wanted { TRICKLE } else { high };
    demands.iter().map(|demand| demand.share(each)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn demand(rate: f64, weight: f64) -> Demand {
        Demand { rate, weight, least: 0.001 }
    }

    fn rounded(demands: &[Demand], share: f64) -> Vec<f64> {
        fill(demands, share).into_iter().map(|share| (share * 1000.0).round() / 1000.0).collect()
    }

    #[test]
    fn the_busy_give_first_and_the_rare_keep_all() {
        let routes = [demand(90.0, 1.0), demand(9.0, 1.0), demand(1.0, 1.0)];
        assert_eq!(rounded(&routes, 1.0), [1.0, 1.0, 1.0]);
        assert_eq!(rounded(&routes, 0.55), [0.5, 1.0, 1.0]);
        assert_eq!(rounded(&routes, 0.13), [0.067, 0.667, 1.0]);
        // Where more is wanted of one, it may have eight times as much as others.
        let routes = [demand(50.0, 1.0), demand(50.0, 8.0)];
        assert_eq!(rounded(&routes, 0.6), [0.2, 1.0]);
        assert_eq!(rounded(&routes, 0.09), [0.02, 0.16]);
        // What is kept at least is kept, a trickle of each, too.
        let routes =
            [demand(50.0, 1.0), Demand { least: 0.5, ..demand(50.0, 1.0) }, demand(0.1, 1.0), demand(0.8, 8.0)];
        assert_eq!(rounded(&routes, 0.001), [0.002, 0.5, 1.0, 1.0]);
        assert_eq!(rounded(&[demand(0.0, 1.0)], 0.001), [1.0]);
        assert_eq!(rounded(&[], 0.5), [0.0; 0]);
    }

    proptest! {
        /// Together it is what was wanted, or what each has at least; who makes fewer never keeps a smaller share than who makes more.
        #[test]
        fn shares_are_fair(rates in prop::collection::vec((0.0f64..1000.0, any::<bool>()), 1..40), share in 0.001f64..1.0) {
            let demands: Vec<Demand> = rates.iter().map(|(rate, is_wanted)| demand(*rate, if *is_wanted { 8.0 } else { 1.0 })).collect();
            let shares = fill(&demands, share);
            let sum = |of: &dyn Fn(usize) -> f64| (0..demands.len()).map(of).sum::<f64>();
            let wanted = share * sum(&|index| demands[index].rate);
            let least = sum(&|index| demands[index].rate * demands[index].share(TRICKLE));
            let got = sum(&|index| demands[index].rate * shares[index]);
            prop_assert!((got - wanted.max(least)).abs() < 1e-6 * (1.0 + wanted), "{} of {}, at least {}", got, wanted, least);
            for one in 0..demands.len() {
                for other in 0..demands.len() {
                    let is_less = demands[one].rate <= demands[other].rate && demands[one].weight >= demands[other].weight;
                    prop_assert!(!is_less || shares[one] >= shares[other] - 1e-9);
                }
            }
        }
    }
}
