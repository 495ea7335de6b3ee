//! `sampling:` in `agent.yaml`: the words of the Collector's `tail_sampling` processor, as they are written there, and those of
//! the policies that are ours.

use std::time::Duration;

use record::layout::PARTS;
use regex::bytes::RegexSetBuilder;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::history::{Routes, Shapes};
use super::limit::{Bucket, Second};
use super::policy::{Allocated, Part, Policies, Policy, Rule, Values};
use crate::settings::Problem;
use crate::settings::values::{Number, Wait};

/// Bytes that compiled expressions of a policy may take.
const EXPRESSIONS_LIMIT: usize = 4 << 20;
/// Traces of a route that a baseline can wait for: longer ago they count for less.
const MOST_TO_WAIT_FOR: u64 = 8192;
/// Policies in policies.
const DEEPEST: usize = 8;
/// Policies that can be told apart.
const MOST_POLICIES: usize = 1000;

/// Which traces are kept, once they are complete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// How long after its first span a trace is decided on [default: 10s].
    #[serde(default)]
    pub decision_wait: Option<Wait>,
    /// Memory for spans that wait, MiB; when it is full, the oldest traces are decided on at once [default: 64].
    #[serde(default)]
    pub memory_mib: Option<Number>,
    /// Traces that may wait; beyond it the oldest are decided on at once [default: as many as there is memory for].
    #[serde(default)]
    pub num_traces: Option<Number>,
    /// Room that is made for so many traces before the first one comes.
    #[serde(default)]
    pub expected_new_traces_per_sec: Option<Number>,
    /// How many decisions are remembered for spans that come late.
    #[serde(default)]
    pub decision_cache: DecisionCache,
    /// Ask no policy behind the first that keeps a trace.
    #[serde(default)]
    pub sample_on_first_match: bool,
    /// At the end, drop what waits instead of deciding on it.
    #[serde(default)]
    pub drop_pending_traces_on_shutdown: bool,
    /// What traces are kept for.
    #[schemars(with = "Vec<PolicySettings>")]
    pub policies: Spanned<Vec<PolicySettings>>,
}

/// How many decisions are remembered.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionCache {
    /// Traces that were kept [default: 65536].
    #[serde(default)]
    pub sampled_cache_size: Option<Number>,
    /// Traces that were dropped [default: 65536].
    #[serde(default)]
    pub non_sampled_cache_size: Option<Number>,
}

/// A policy: its name, its type, and under the type's own name what it needs to know.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicySettings {
    /// Under which `tandem traces --why` and the metrics know it.
    #[schemars(with = "String")]
    pub name: Spanned<String>,
    /// What it looks at.
    #[serde(rename = "type")]
    #[schemars(with = "PolicyType")]
    pub kind: Spanned<PolicyType>,
    /// The trace's time from its first start to its last end.
    pub latency: Option<Latency>,
    /// A number among the attributes of a span or resource.
    pub numeric_attribute: Option<NumericAttribute>,
    /// A share of all traces.
    pub probabilistic: Option<Probabilistic>,
    /// The status of a span.
    pub status_code: Option<StatusCodes>,
    /// A text among the attributes of a span or resource.
    pub string_attribute: Option<StringAttribute>,
    /// So many spans a second.
    pub rate_limiting: Option<RateLimiting>,
    /// So many bytes a second.
    pub bytes_limiting: Option<BytesLimiting>,
    /// How many spans the trace has.
    pub span_count: Option<SpanCount>,
    /// A member of `tracestate`.
    pub trace_state: Option<TraceState>,
    /// A truth value among the attributes of a span or resource.
    pub boolean_attribute: Option<BooleanAttribute>,
    /// Not supported.
    #[schemars(skip)]
    pub ottl_condition: Option<IgnoredAny>,
    /// All of several policies.
    pub and: Option<And>,
    /// Drops what all of several policies would keep.
    pub drop: Option<Drop>,
    /// What another policy would not keep.
    pub not: Option<Not>,
    /// Several policies in order, each with its share of a rate.
    pub composite: Option<Composite>,
    /// The time of a span in a part of its anatomy.
    pub anatomy: Option<Anatomy>,
    /// The first traces of their shape.
    pub novelty: Option<Novelty>,
    /// Traces that take longer than others that begin alike.
    pub baseline: Option<Baseline>,
}

/// What a policy looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyType {
    /// Keeps every trace.
    AlwaysSample,
    /// See `latency`.
    Latency,
    /// See `numeric_attribute`.
    NumericAttribute,
    /// See `probabilistic`.
    Probabilistic,
    /// See `status_code`.
    StatusCode,
    /// See `string_attribute`.
    StringAttribute,
    /// See `rate_limiting`.
    RateLimiting,
    /// See `bytes_limiting`.
    BytesLimiting,
    /// See `span_count`.
    SpanCount,
    /// See `trace_state`.
    TraceState,
    /// Keeps traces with a span that has the sampled flag.
    TraceFlags,
    /// See `boolean_attribute`.
    BooleanAttribute,
    /// Not supported.
    #[schemars(skip)]
    OttlCondition,
    /// See `and`.
    And,
    /// See `drop`.
    Drop,
    /// See `not`.
    Not,
    /// See `composite`.
    Composite,
    /// See `anatomy`.
    Anatomy,
    /// See `novelty`.
    Novelty,
    /// See `baseline`.
    Baseline,
}

impl PolicyType {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::AlwaysSample => "always_sample",
            Self::Latency => "latency",
            Self::NumericAttribute => "numeric_attribute",
            Self::Probabilistic => "probabilistic",
            Self::StatusCode => "status_code",
            Self::StringAttribute => "string_attribute",
            Self::RateLimiting => "rate_limiting",
            Self::BytesLimiting => "bytes_limiting",
            Self::SpanCount => "span_count",
            Self::TraceState => "trace_state",
            Self::TraceFlags => "trace_flags",
            Self::BooleanAttribute => "boolean_attribute",
            Self::OttlCondition => "ottl_condition",
            Self::And => "and",
            Self::Drop => "drop",
            Self::Not => "not",
            Self::Composite => "composite",
            Self::Anatomy => "anatomy",
            Self::Novelty => "novelty",
            Self::Baseline => "baseline",
        }
    }
}

/// The trace's time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// At least so long, ms; where there is an upper bound, longer.
    pub threshold_ms: Number,
    /// At most so long, ms; 0: no matter how long.
    pub upper_threshold_ms: Option<Number>,
}

/// A number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumericAttribute {
    /// Key of the attribute.
    pub key: String,
    /// At least so much.
    pub min_value: Option<i64>,
    /// At most so much.
    pub max_value: Option<i64>,
    /// Keep what has no such number, and drop what has.
    #[serde(default)]
    pub invert_match: bool,
}

/// A share.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Probabilistic {
    /// Percent of what arrives; 100 and more is all.
    pub sampling_percentage: f64,
    /// Accepted and not needed: the threshold in `tracestate` keeps samplers in a row apart.
    #[serde(default)]
    pub hash_salt: String,
}

/// Status codes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusCodes {
    /// `OK`, `ERROR`, `UNSET`.
    pub status_codes: Vec<StatusCode>,
}

/// A status code.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum StatusCode {
    /// Nobody said anything.
    Unset,
    /// Said to be right.
    Ok,
    /// Failed.
    Error,
}

/// A text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StringAttribute {
    /// Key of the attribute.
    pub key: String,
    /// One of these.
    #[schemars(with = "Vec<String>")]
    pub values: Vec<Spanned<String>>,
    /// They are regular expressions, and fit where they are found in the value.
    #[serde(default)]
    pub enabled_regex_matching: bool,
    /// Accepted and not needed: expressions are matched all at once.
    #[serde(default)]
    pub cache_max_size: i64,
    /// Keep what has no such value, and drop what has.
    #[serde(default)]
    pub invert_match: bool,
}

/// Spans a second.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateLimiting {
    /// So many.
    pub spans_per_second: Number,
    /// So many at once [default: those of two seconds].
    pub burst_capacity: Option<Number>,
}

/// Bytes a second.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BytesLimiting {
    /// So many.
    pub bytes_per_second: Number,
    /// So many at once [default: those of two seconds].
    pub burst_capacity: Option<Number>,
}

/// Number of spans.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpanCount {
    /// At least so many.
    pub min_spans: Option<Number>,
    /// At most so many; 0: any number.
    pub max_spans: Option<Number>,
}

/// A member of `tracestate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TraceState {
    /// Its key.
    pub key: String,
    /// One of these values.
    pub values: Vec<String>,
}

/// A truth value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BooleanAttribute {
    /// Key of the attribute.
    pub key: String,
    /// Its value.
    pub value: bool,
    /// Keep what has no such value, and drop what has.
    #[serde(default)]
    pub invert_match: bool,
}

/// All of several policies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct And {
    /// These.
    pub and_sub_policy: Vec<PolicySettings>,
}

/// What is dropped.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    /// Where all of these fit.
    pub drop_sub_policy: Vec<PolicySettings>,
}

/// The opposite.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Not {
    /// Of this.
    pub not_sub_policy: Box<PolicySettings>,
}

/// Several policies, each with its share of a rate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Composite {
    /// Spans a second, all together.
    pub max_total_spans_per_second: Number,
    /// Names of the policies in their order [default: that of `composite_sub_policy`].
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub policy_order: Vec<Spanned<String>>,
    /// The policies.
    pub composite_sub_policy: Vec<PolicySettings>,
    /// Their shares; those that are not named have what is left, in equal parts.
    #[serde(default)]
    pub rate_allocation: Vec<RateAllocation>,
}

/// A policy's share of a composite's rate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateAllocation {
    /// Its name.
    #[schemars(with = "String")]
    pub policy: Spanned<String>,
    /// Percent; 0: an equal part.
    pub percent: Number,
}

/// The time of a span in a part of its anatomy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Anatomy {
    /// A part, or `unexplained`: time on a CPU that no child span covers, and time that was not measured.
    #[schemars(with = "String")]
    pub part: Spanned<String>,
    /// At least so long, ms.
    pub threshold_ms: Option<Number>,
    /// At least this share of the trace's time, from 0 to 1.
    pub share: Option<f64>,
}

/// The first traces of their shape: which operations of which services called which, and how each ended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Novelty {
    /// So many of each [default: 1].
    pub traces: Option<Number>,
    /// Within this time; then they count as new again [default: 1h].
    pub window: Option<Wait>,
    /// So many shapes are known; then those that were not seen for longest are forgotten [default: 10000].
    pub max_shapes: Option<Number>,
}

/// Traces that take longer than others that begin with the same operation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Than this quantile of them [default: 0.99].
    pub quantile: Option<f64>,
    /// Times this [default: 1].
    pub factor: Option<f64>,
    /// Once there were so many [default: 100].
    pub min_count: Option<Number>,
    /// So many operations are known; then those that were not seen for longest are forgotten [default: 1000].
    pub max_routes: Option<Number>,
}

impl Sampling {
    /// The policies that it describes.
    pub fn policies(&self) -> Result<Policies, Problem> {
        let settings = &self.policies.value;
        if settings.is_empty() {
            return Err(Problem::at(&self.policies, "there is no policy: nothing would be kept"));
        }
        if settings.len() > MOST_POLICIES {
            return Err(Problem::at(&self.policies, format!("there are more than {MOST_POLICIES} policies")));
        }
        different_names(settings)?;
        let policies = settings.iter().map(|policy| {
            let (name, kind) = (policy.name.value.clone(), policy.kind.value.word());
            Ok(Policy { name, kind, rule: policy.rule(0)? })
        });
        Ok(Policies::new(policies.collect::<Result<_, Problem>>()?, self.sample_on_first_match))
    }
}

fn different_names(policies: &[PolicySettings]) -> Result<(), Problem> {
    for (index, policy) in policies.iter().enumerate() {
        if policy.name.value.is_empty() {
            return Err(Problem::at(&policy.name, "a policy needs a name"));
        }
        if policies[..index].iter().any(|other| other.name.value == policy.name.value) {
            return Err(Problem::at(&policy.name, format!("there is another policy {:?}", policy.name.value)));
        }
    }
    Ok(())
}

impl PolicySettings {
    fn rule(&self, depth: usize) -> Result<Rule, Problem> {
        if depth > DEEPEST {
            return Err(Problem::at(&self.name, format!("policies are nested deeper than {DEEPEST}")));
        }
        let kind = self.kind.value;
        if depth > 0 && kind == PolicyType::Drop {
            return Err(Problem::at(&self.kind, "drop stands by itself: inside of another policy write not"));
        }
        if let Some(other) = self.sections().find(|other| *other != kind) {
            let text = format!("the type is {}, but there is {}: …", kind.word(), other.word());
            return Err(Problem::at(&self.kind, text));
        }
        Ok(match kind {
            PolicyType::AlwaysSample => Rule::Always,
            PolicyType::TraceFlags => Rule::Sampled,
            PolicyType::OttlCondition => {
                let text = "ottl_condition is not supported; string_attribute, numeric_attribute, boolean_attribute, \
                            status_code, latency, and, not say most of what it is used for";
                return Err(Problem::at(&self.kind, text));
            }
            PolicyType::Latency => self.needed(&self.latency, "threshold_ms: 500")?.rule(),
            PolicyType::NumericAttribute => {
                self.needed(&self.numeric_attribute, "key: K, min_value: 1")?.rule().map_err(self.wrong())?
            }
            PolicyType::Probabilistic => {
                self.needed(&self.probabilistic, "sampling_percentage: 10")?.rule().map_err(self.wrong())?
            }
            PolicyType::StatusCode => {
                self.needed(&self.status_code, "status_codes: [ERROR]")?.rule().map_err(self.wrong())?
            }
            PolicyType::StringAttribute => {
                self.needed(&self.string_attribute, "key: K, values: [V]")?.rule().map_err(self.wrong())?
            }
            PolicyType::RateLimiting => {
                let limit = self.needed(&self.rate_limiting, "spans_per_second: 100")?;
                Rule::Spans(bucket(limit.spans_per_second, limit.burst_capacity))
            }
            PolicyType::BytesLimiting => {
                let limit = self.needed(&self.bytes_limiting, "bytes_per_second: 100000")?;
                Rule::Bytes(bucket(limit.bytes_per_second, limit.burst_capacity))
            }
            PolicyType::SpanCount => self.needed(&self.span_count, "min_spans: 2")?.rule().map_err(self.wrong())?,
            PolicyType::TraceState => {
                let state = self.needed(&self.trace_state, "key: K, values: [V]")?;
                Rule::State { key: state.key.clone(), values: bytes(&state.values).collect() }
            }
            PolicyType::BooleanAttribute => {
                let boolean = self.needed(&self.boolean_attribute, "key: K, value: true")?;
                let values = Values::Bool(boolean.value);
                Rule::Attribute { key: boolean.key.clone(), values, invert: boolean.invert_match }
            }
            PolicyType::And => {
                let and = self.needed(&self.and, "and_sub_policy: […]")?;
                Rule::And(self.rules(&and.and_sub_policy, depth)?)
            }
            PolicyType::Drop => {
                let drop = self.needed(&self.drop, "drop_sub_policy: […]")?;
                Rule::Drop(self.rules(&drop.drop_sub_policy, depth)?)
            }
            PolicyType::Not => {
                let not = self.needed(&self.not, "not_sub_policy: {…}")?;
                Rule::Not(Box::new(not.not_sub_policy.rule(depth + 1)?))
            }
            PolicyType::Composite => {
                self.composite_rule(self.needed(&self.composite, "max_total_spans_per_second: 100, …")?, depth)?
            }
            PolicyType::Anatomy => {
                let anatomy = self.needed(&self.anatomy, "part: run_queue, threshold_ms: 50")?;
                anatomy
                    .rule()?
                    .ok_or_else(|| self.wrong()("it needs threshold_ms or share (from 0 to 1)".to_owned()))?
            }
            PolicyType::Novelty => self.novelty.as_ref().unwrap_or(&NEW).rule(),
            PolicyType::Baseline => self.baseline.as_ref().unwrap_or(&USUAL).rule().map_err(self.wrong())?,
        })
    }

    fn wrong(&self) -> impl Fn(String) -> Problem + '_ {
        |text| Problem::at(&self.kind, format!("{}: {text}", self.kind.value.word()))
    }

    fn needed<'a, T>(&self, section: &'a Option<T>, example: &str) -> Result<&'a T, Problem> {
        let word = self.kind.value.word();
        section.as_ref().ok_or_else(|| {
            Problem::at(&self.kind, format!("a policy of this type needs {word}: {{{example}}} beside it"))
        })
    }

    fn rules(&self, policies: &[Self], depth: usize) -> Result<Vec<Rule>, Problem> {
        if policies.is_empty() {
            return Err(self.wrong()("there is no policy in it".to_owned()));
        }
        policies.iter().map(|policy| policy.rule(depth + 1)).collect()
    }

    /// The types of which something is said.
    fn sections(&self) -> impl Iterator<Item = PolicyType> {
        [
            (self.latency.is_some(), PolicyType::Latency),
            (self.numeric_attribute.is_some(), PolicyType::NumericAttribute),
            (self.probabilistic.is_some(), PolicyType::Probabilistic),
            (self.status_code.is_some(), PolicyType::StatusCode),
            (self.string_attribute.is_some(), PolicyType::StringAttribute),
            (self.rate_limiting.is_some(), PolicyType::RateLimiting),
            (self.bytes_limiting.is_some(), PolicyType::BytesLimiting),
            (self.span_count.is_some(), PolicyType::SpanCount),
            (self.trace_state.is_some(), PolicyType::TraceState),
            (self.boolean_attribute.is_some(), PolicyType::BooleanAttribute),
            (self.ottl_condition.is_some(), PolicyType::OttlCondition),
            (self.and.is_some(), PolicyType::And),
            (self.drop.is_some(), PolicyType::Drop),
            (self.not.is_some(), PolicyType::Not),
            (self.composite.is_some(), PolicyType::Composite),
            (self.anatomy.is_some(), PolicyType::Anatomy),
            (self.novelty.is_some(), PolicyType::Novelty),
            (self.baseline.is_some(), PolicyType::Baseline),
        ]
        .into_iter()
        .filter_map(|(is_there, kind)| is_there.then_some(kind))
    }

    fn composite_rule(&self, composite: &Composite, depth: usize) -> Result<Rule, Problem> {
        let policies = &composite.composite_sub_policy;
        if policies.is_empty() {
            return Err(self.wrong()("there is no policy in it".to_owned()));
        }
        different_names(policies)?;
        let find = |name: &Spanned<String>| {
            let unknown = || Problem::at(name, format!("composite_sub_policy has no policy {:?}", name.value));
            policies.iter().position(|policy| policy.name.value == name.value).ok_or_else(unknown)
        };
        let most = composite.max_total_spans_per_second.0;
        let mut percents: Vec<Option<f64>> = vec![None; policies.len()];
        for allocation in &composite.rate_allocation {
            let percent = match allocation.percent.0 {
                0 => 100.0 / policies.len() as f64,
                percent => percent as f64,
            };
            percents[find(&allocation.policy)?] = Some(percent);
        }
        let unnamed = percents.iter().filter(|percent| percent.is_none()).count().max(1);
        let left = (100.0 - percents.iter().flatten().sum::<f64>()).max(0.0) / unnamed as f64;
        let mut order = composite.policy_order.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        order.extend((0..policies.len()).filter(|index| !order.contains(index)).collect::<Vec<_>>());
        let mut parts = Vec::new();
        for index in order {
            let share = percents[index].unwrap_or(left) / 100.0;
            let rule = policies[index].rule(depth + 1)?;
            parts.push(Allocated { rule, most: (most as f64 * share) as u64, second: Second::default() });
        }
        Ok(Rule::Composite { most, parts })
    }
}

fn bucket(a_second: Number, at_once: Option<Number>) -> Bucket {
    Bucket::new(a_second.0, at_once.map_or(a_second.0.saturating_mul(2), |at_once| at_once.0))
}

fn bytes(texts: &[String]) -> impl Iterator<Item = Vec<u8>> {
    texts.iter().filter(|text| !text.is_empty()).map(|text| text.clone().into_bytes())
}

impl Latency {
    fn rule(&self) -> Rule {
        Rule::Latency { from_ms: self.threshold_ms.0, to_ms: self.upper_threshold_ms.map_or(0, |most| most.0) }
    }
}

impl NumericAttribute {
    fn rule(&self) -> Result<Rule, String> {
        let (least, most) = (self.min_value.unwrap_or(i64::MIN), self.max_value.unwrap_or(i64::MAX));
        if self.min_value.is_none() && self.max_value.is_none() {
            return Err("it needs min_value, max_value or both".to_owned());
        }
        if least > most {
            return Err("min_value is larger than max_value".to_owned());
        }
        let values = Values::Range(least, most);
        Ok(Rule::Attribute { key: self.key.clone(), values, invert: self.invert_match })
    }
}

impl Probabilistic {
    fn rule(&self) -> Result<Rule, String> {
        if self.sampling_percentage.is_nan() || self.sampling_percentage < 0.0 {
            return Err("sampling_percentage is a number from 0 to 100".to_owned());
        }
        Ok(Rule::Share((self.sampling_percentage / 100.0).min(1.0)))
    }
}

impl StatusCodes {
    fn rule(&self) -> Result<Rule, String> {
        if self.status_codes.is_empty() {
            return Err("status_codes is empty: write OK, ERROR, UNSET".to_owned());
        }
        Ok(Rule::Status(self.status_codes.iter().fold(0, |codes, &code| codes | 1 << code as u8)))
    }
}

impl StringAttribute {
    fn rule(&self) -> Result<Rule, String> {
        let texts: Vec<String> = self.values.iter().map(|value| value.value.clone()).collect();
        let values = if self.enabled_regex_matching {
            let set = RegexSetBuilder::new(&texts).size_limit(EXPRESSIONS_LIMIT).build();
            Values::Expressions(set.map_err(|error| one_line(&error.to_string()))?)
        } else {
            Values::Texts(bytes(&texts).collect())
        };
        Ok(Rule::Attribute { key: self.key.clone(), values, invert: self.invert_match })
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl SpanCount {
    fn rule(&self) -> Result<Rule, String> {
        let (least, most) = (self.min_spans.map_or(0, |least| least.0), self.max_spans.map_or(0, |most| most.0));
        match (least, most) {
            (0, 0) => Err("it needs min_spans, max_spans or both".to_owned()),
            (least, most) if most > 0 && least > most => Err("min_spans is larger than max_spans".to_owned()),
            (least, most) => Ok(Rule::Count { least, most }),
        }
    }
}

impl Anatomy {
    /// `None`: neither a time nor a share that makes sense.
    fn rule(&self) -> Result<Option<Rule>, Problem> {
        let part = match self.part.value.as_str() {
            "unexplained" => Part::Unexplained,
            name if PARTS.contains(&name) => Part::Named(name.to_owned()),
            name => {
                let text = format!("{name:?} is no part: write unexplained, {}", PARTS.join(", "));
                return Err(Problem::at(&self.part, text));
            }
        };
        let share = self.share.unwrap_or(0.0);
        let least_ns = self.threshold_ms.map_or(0, |least| least.0.saturating_mul(1_000_000));
        let makes_sense = (0.0..=1.0).contains(&share) && (share > 0.0 || least_ns > 0);
        Ok(makes_sense.then_some(Rule::Anatomy { part, least_ns, share }))
    }
}

const NEW: Novelty = Novelty { traces: None, window: None, max_shapes: None };

impl Novelty {
    fn rule(&self) -> Rule {
        const WINDOW: Duration = Duration::from_secs(3600);
        let limit = self.max_shapes.map_or(10_000, |most| most.0.min(1_000_000) as usize);
        let shapes = Shapes::new(self.window.map_or(WINDOW, |window| window.0), limit);
        Rule::Novelty { traces: self.traces.map_or(1, |traces| traces.0), shapes }
    }
}

const USUAL: Baseline = Baseline { quantile: None, factor: None, min_count: None, max_routes: None };

impl Baseline {
    fn rule(&self) -> Result<Rule, String> {
        let (quantile, factor) = (self.quantile.unwrap_or(0.99), self.factor.unwrap_or(1.0));
        if !(0.0..=1.0).contains(&quantile) {
            return Err("quantile is a number from 0 to 1".to_owned());
        }
        if factor.is_nan() || factor <= 0.0 {
            return Err("factor is a number above 0".to_owned());
        }
        let least = self.min_count.map_or(100, |least| least.0);
        if !(1..=MOST_TO_WAIT_FOR).contains(&least) {
            return Err(format!("min_count is a number from 1 to {MOST_TO_WAIT_FOR}"));
        }
        let least = least as u32;
        let routes = Routes::new(self.max_routes.map_or(1000, |most| most.0.min(100_000) as usize));
        Ok(Rule::Baseline { quantile, factor, least, routes })
    }
}
