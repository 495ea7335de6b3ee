//! What the slow requests have in common that the others have not: attributes, versions, machines, errors.

use std::collections::{BTreeMap, BTreeSet};

use model::{Span, StatusCode};
use serde::{Deserialize, Serialize};

/// An attribute that far more of the slow requests have than of the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Common {
    /// Its key; of a service that the request passed through, followed by the service in brackets.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Share of the slow requests that have it, 0 to 1.
    pub slow: f64,
    /// Share of the normal ones.
    pub normal: f64,
}

/// Attributes of programs that are looked at.
const OF_PROGRAMS: [&str; 8] = [
    "service.version",
    "service.instance.id",
    "deployment.environment.name",
    "host.name",
    "process.pid",
    "container.id",
    "k8s.pod.name",
    "k8s.node.name",
];
/// Longer values are unlikely to come twice.
const LONGEST: usize = 200;
/// So much larger the share must be among the slow ones.
const LEAST_DIFFERENCE: f64 = 0.3;
/// So many standard errors the difference must have.
const LEAST_DEVIATION: f64 = 3.5;
/// So many slow requests must have it.
const FEWEST: usize = 3;
/// More are not told.
const MOST: usize = 8;

type Facts = BTreeSet<(String, String)>;

/// What there is to know of a request besides its time. `spans` are all of its trace, `request` first or anywhere.
pub fn facts<'a>(request: &Span, spans: impl Iterator<Item = &'a Span>) -> Facts {
    let mut facts = Facts::new();
    for (key, value) in &request.attributes {
        let value = value.to_string();
        if !key.starts_with("tandem.") && value.len() <= LONGEST {
            facts.insert((key.clone(), value));
        }
    }
    if request.status.code == StatusCode::Error {
        facts.insert(("status".to_owned(), "error".to_owned()));
    }
    let mut seen = BTreeSet::new();
    for span in spans.filter(|span| seen.insert(std::sync::Arc::as_ptr(&span.resource))) {
        for key in OF_PROGRAMS {
            let Some(value) = span.resource.attributes.get(key) else { continue };
            facts.insert((format!("{key} ({})", span.service), value.to_string()));
        }
    }
    facts
}

/// Compares.
pub fn compare(slow: &[Facts], normal: &[Facts]) -> Vec<Common> {
    let count = |all: &[Facts]| {
        let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
        all.iter().flatten().for_each(|fact| *counts.entry(fact.clone()).or_default() += 1);
        counts
    };
    let (of_slow, of_normal) = (count(slow), count(normal));
    let (slow_total, normal_total) = (slow.len() as f64, normal.len() as f64);
    let mut found: Vec<Common> = Vec::new();
    for ((key, value), count) in of_slow {
        let others = of_normal.get(&(key.clone(), value.clone())).copied().unwrap_or(0) as f64;
        let (in_slow, in_normal) = (count as f64 / slow_total, others / normal_total);
        let pooled = (count as f64 + others) / (slow_total + normal_total);
        let error = (pooled * (1.0 - pooled) * (1.0 / slow_total + 1.0 / normal_total)).sqrt();
        let difference = in_slow - in_normal;
        if count >= FEWEST && difference >= LEAST_DIFFERENCE && difference >= LEAST_DEVIATION * error {
            found.push(Common { key, value, slow: in_slow, normal: in_normal });
        }
    }
    found.sort_by(|a, b| (b.slow - b.normal).total_cmp(&(a.slow - a.normal)).then_with(|| a.key.cmp(&b.key)));
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: &str, id: usize) -> Facts {
        let fact = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        [fact("service.version (shop)", version), fact("id", &id.to_string()), fact("method", "GET")].into()
    }

    /// A version that all slow requests have and few others is told; what all have, or each has for itself, is not.
    #[test]
    fn what_the_slow_ones_have_in_common_is_told() {
        let slow: Vec<_> = (0..20).map(|id| request("2", id)).collect();
        let normal: Vec<_> = (20..200).map(|id| request(if id % 10 == 0 { "2" } else { "1" }, id)).collect();
        let found = compare(&slow, &normal);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].key.as_str(), found[0].value.as_str(), found[0].slow),
            ("service.version (shop)", "2", 1.0)
        );
    }

    /// Few requests prove nothing.
    #[test]
    fn chance_is_not_told() {
        let slow: Vec<_> = (0..4).map(|id| request(if id < 3 { "2" } else { "1" }, id)).collect();
        let normal: Vec<_> = (4..12).map(|id| request(if id % 2 == 0 { "2" } else { "1" }, id)).collect();
        assert_eq!(compare(&slow, &normal), []);
    }
}
