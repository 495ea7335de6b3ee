//! What programs are told of what they record: rules of operations and of all new traces, and a table of routes.

use record::layout::RULE_COUNT;
use record::layout::kind::{CONSUMER, SERVER};
use record::{Route, Rule};

use super::controller::{Kind, STEPS_A_HALF};
use super::objectives::Watched;
use super::{COUNTED, COUNTED_STEPS, MORE_HALVINGS, Regulator, threshold};

/// What a program is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Of its operations, and of whatever is not named.
    pub(crate) rules: Vec<Rule>,
    /// Of new traces by what they ask for.
    pub(crate) routes: Vec<Route>,
}

impl Regulator {
    /// What a program is to be told that has room for so many routes: of each of its operations that is recorded otherwise than they all are,
    /// and of routes.
    pub(crate) fn tell(&self, service: &str, operations: &[(u32, String, u8)], room: usize) -> Told {
        if room == 0 {
            let of_all = self.controller.level(Kind::HeadSampling);
            let of_requests = self.level_of_requests(service, of_all);
            let all = of_requests == 0 && self.objectives_about(service).any(Watched::wants_more);
            return Told { rules: self.rules(operations, of_all, of_requests, all), routes: Vec::new() };
        }
        let (level, all) = self.traffic.rest_of(service);
        Told { rules: self.rules(operations, level, level, all), routes: self.traffic.table(service, room) }
    }

    fn rules(&self, operations: &[(u32, String, u8)], of_all: u32, of_requests: u32, all: bool) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (number, id, kind) in operations {
            let counted = self.counted_share(id);
            let is_request = matches!(*kind, SERVER | CONSUMER);
            let (level, all) = if is_request { (of_requests, all) } else { (of_all, false) };
            if counted > 0 || all || threshold(level) != threshold(of_all) {
                rules.push(Rule { operation: Some(*number), threshold: threshold(level), counted, all });
            }
        }
        rules.truncate(RULE_COUNT - 1);
        if of_all > 0 {
            rules.push(Rule { threshold: threshold(of_all), ..Rule::default() });
        }
        rules
    }

    /// In how many of 256 traces a join point is only counted; all but the one that came last are so in all.
    pub(super) fn counted_share(&self, id: &str) -> u8 {
        let Some(place) = self.counted.iter().position(|counted| counted == id) else { return 0 };
        let level = self.controller.level(Kind::JoinPoints).saturating_sub(place as u32 * COUNTED_STEPS);
        level.min(COUNTED_STEPS).checked_sub(1).map_or(0, |index| COUNTED[index as usize])
    }

    /// The level of head sampling for what is asked of a service: lower where an objective is missed, or asks for slow traces.
    fn level_of_requests(&self, service: &str, level: u32) -> u32 {
        self.objectives_about(service).fold(level, |lowest, watched| {
            let missed = if watched.wants_more() { level.saturating_sub(MORE_HALVINGS * STEPS_A_HALF) } else { level };
            let kept =
                watched.objective.slow_kept.map_or(level, |kept| (-kept.log2() * f64::from(STEPS_A_HALF)) as u32);
            lowest.min(missed).min(kept)
        })
    }

    fn objectives_about(&self, service: &str) -> impl Iterator<Item = &Watched> {
        self.objectives.iter().filter(move |watched| watched.objective.is_about(service))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::regulate::controller::Look;
    use crate::regulate::settings::{Budget, Objective};
    use crate::regulate::tests::regulator;

    /// Programs that know no routes are told of operations: where an objective is missed, more is recorded than of others; where slow traces are wanted, all.
    #[test]
    fn objectives_say_where_more_is_recorded() {
        let objective = Objective {
            name: "shop".to_owned(),
            service: Some("shop".to_owned()),
            route: None,
            p99: Some(1),
            error_rate: None,
            slow_kept: None,
            overhead: None,
            window: Duration::from_secs(60),
        };
        let kept = Objective {
            name: "bank".to_owned(),
            service: Some("bank".to_owned()),
            slow_kept: Some(1.0),
            ..objective.clone()
        };
        let (mut regulator, _) = regulator(Budget::default(), vec![objective, kept]);
        let rules = |regulator: &Regulator, service| {
            let told = regulator.tell(service, &[(7, "net/http.server".to_owned(), 2)], 0);
            assert_eq!(told.routes, []);
            told.rules
        };
        assert_eq!(rules(&regulator, "shop"), []);
        regulator.objectives[0].standing.missed = true;
        regulator.objectives[0].standing.p99_left = Some(-1.0);
        let all = Rule { operation: Some(7), all: true, ..Rule::default() };
        assert_eq!(rules(&regulator, "shop"), [all]);
        let look =
            Look { now: Duration::ZERO, costs: Vec::new(), work: 0.0, highest: [0, 0, 0, 100], lowest: [0, 0, 0, 32] };
        regulator.controller.look(look).expect("a step");
        let of_all = Rule { threshold: threshold(32), ..Rule::default() };
        let more = Rule { operation: Some(7), threshold: threshold(8), ..Rule::default() };
        assert_eq!(rules(&regulator, "shop"), [more, of_all]);
        assert_eq!(rules(&regulator, "bank"), [Rule { operation: Some(7), ..Rule::default() }, of_all]);
        assert_eq!(rules(&regulator, "else"), [of_all]);
        assert_eq!((threshold(0), threshold(8)), (0, 0x8000));
    }
}
