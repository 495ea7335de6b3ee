//! What a configuration would keep, without keeping or dropping anything.

use std::time::Duration;

use super::policy::{Policies, Verdict, Vote};
use super::settings::Sampling;
use super::trace::Trace;
use crate::settings::Problem;

/// What a policy would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyTrial {
    /// Its name.
    pub name: String,
    /// Its type, as it is written.
    pub kind: &'static str,
    /// It drops, instead of keeping.
    pub drops: bool,
    /// Traces that fit.
    pub fits: u64,
    /// Of them, those of which it would be said that it kept (or dropped) them, being the first.
    pub decides: u64,
    /// Of them, those that would not be kept (or dropped) without it.
    pub alone: u64,
}

/// What all of them would do together.
#[derive(Debug)]
pub struct Trial {
    policies: Policies,
    /// Each policy, in order.
    pub by_policy: Vec<PolicyTrial>,
    /// Traces that were looked at.
    pub traces: u64,
    /// Of them, those that would be kept.
    pub kept_traces: u64,
    /// The same for spans…
    pub spans: u64,
    /// …that would be kept.
    pub kept_spans: u64,
    /// And for their bytes…
    pub bytes: u64,
    /// …that would be kept.
    pub kept_bytes: u64,
}

impl Trial {
    /// Of this configuration.
    pub fn new(settings: &Sampling) -> Result<Self, Problem> {
        let policies = settings.policies()?;
        let by_policy = policies
            .all()
            .iter()
            .map(|policy| PolicyTrial { name: policy.name.clone(), kind: policy.kind, ..PolicyTrial::default() })
            .collect();
        Ok(Self { policies, by_policy, traces: 0, kept_traces: 0, spans: 0, kept_spans: 0, bytes: 0, kept_bytes: 0 })
    }

    /// Looks at a trace, decided on at this time; later ones are decided on later.
    pub fn look(&mut self, trace: &Trace<'_>, at: Duration) -> bool {
        let votes = self.policies.votes(trace, at);
        let verdict = Policies::verdict(&votes);
        let (spans, bytes) = (trace.spans.len() as u64, trace.bytes());
        let is_kept = matches!(verdict, Verdict::Keep(..));
        self.traces += 1;
        self.spans += spans;
        self.bytes += bytes;
        if is_kept {
            self.kept_traces += 1;
            self.kept_spans += spans;
            self.kept_bytes += bytes;
        }
        for (index, policy) in self.by_policy.iter_mut().enumerate() {
            let Some(vote) = votes[index].filter(|vote| *vote != Vote::Pass) else { continue };
            policy.drops |= matches!(vote, Vote::Drop | Vote::Refuse);
            policy.fits += 1;
            let without: Vec<_> =
                votes.iter().enumerate().map(|(other, vote)| vote.filter(|_| other != index)).collect();
            let is_kept_without = matches!(Policies::verdict(&without), Verdict::Keep(..));
            policy.alone += u64::from(is_kept_without != is_kept);
            policy.decides += u64::from(matches!(
                verdict,
                Verdict::Keep(first, _) | Verdict::Drop(Some(first)) if first == index
            ));
        }
        is_kept
    }
}
