//! The manifest of a program: of all that the plan wove, what the linker puts into this program.

use std::collections::BTreeSet;

use gobin::manifest::{Functions, JoinPoint, Left, Manifest, Pack, Span, VERSION};

use crate::plan::Mapping;
use crate::weave::Outcome;

/// For a program that is linked from these packages.
pub fn of_program(mapping: &Mapping, go_version: &str, linked: &BTreeSet<&str>) -> Manifest {
    let mut packs: Vec<Pack> = Vec::new();
    for report in mapping.reports.iter().filter(|report| linked.contains(report.target.as_str())) {
        let known = packs.iter().position(|pack| pack.name == report.pack);
        let at = known.unwrap_or_else(|| {
            packs.push(Pack { name: report.pack.clone(), join_points: Vec::new(), left: Vec::new() });
            packs.len() - 1
        });
        let (id, package) = (report.rule.clone(), report.target.clone());
        match &report.outcome {
            Outcome::Matched { places } => {
                packs[at].join_points.push(JoinPoint { id, package, places: places.clone() });
            }
            Outcome::OutOfRange { reason } | Outcome::NotFound { reason } => {
                packs[at].left.push(Left { id, package, reason: reason.clone() });
            }
            Outcome::NotUsed { .. } => {}
        }
    }
    packs.retain(|pack| !pack.join_points.is_empty() || !pack.left.is_empty());
    let spans = mapping.spans.iter().filter_map(|span| {
        let is_linked = linked.contains(span.package.as_str());
        let file = span.path.file_name()?.to_string_lossy();
        is_linked.then(|| Span { name: span.name.clone(), place: format!("{}/{file}:{}", span.package, span.line) })
    });
    let dormant = mapping.dormant.iter().filter(|(package, _)| linked.contains(package.as_str()));
    Manifest {
        version: VERSION,
        tandem: env!("CARGO_PKG_VERSION").to_owned(),
        weave: crate::weave_version().to_owned(),
        go: go_version.to_owned(),
        spans: spans.collect(),
        functions: dormant.map(|(package, count)| Functions { package: package.clone(), count: *count }).collect(),
        packs,
    }
}
