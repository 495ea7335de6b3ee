//! Profiles in OTLP's form (`v1development`), and back again.
//!
//! A request holds the samples of one process of some seconds, one profile a kind, and one dictionary of what they name:
//! texts, functions, places in the program, stacks, spans. The first entry of each of its tables is empty and stands for
//! "none".

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use model::{Frame, Location, ProfileKind, ProfileSample, Resource, SpanId, TraceId};
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, any_value};
use opentelemetry_proto::tonic::profiles::v1development as proto;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use prost::Message;

use super::builder::attributes;
use super::encode::UnixNanos;
use crate::{Batch, Signal};

/// Name of the instrumentation scope.
const SCOPE: &str = "tandem/profile";
/// Attributes of OpenTelemetry's conventions.
const THREAD_ID: &str = "thread.id";
const FRAME_TYPE: &str = "profile.frame.type";

/// The samples of one process, waiting to become a batch.
#[derive(Debug)]
pub struct ProfileBuilder {
    resource: Arc<Resource>,
    executable: String,
    version: String,
    dictionary: Dictionary,
    profiles: [Vec<proto::Sample>; ProfileKind::ALL.len()],
    first: u64,
    last: u64,
    records: u32,
}

/// One sample to add.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// What it stands for.
    pub kind: ProfileKind,
    /// When.
    pub time: UnixNanos,
    /// The time that it stands for, ns.
    pub value_ns: u64,
    /// The trace and the span that the goroutine was in.
    pub span: Option<(TraceId, SpanId)>,
    /// The system's id of the thread.
    pub thread_id: u32,
    /// The innermost first.
    pub stack: &'a [Arc<Location>],
}

impl ProfileBuilder {
    /// For a process: what it is, the path of its executable, and the version of the scope.
    pub fn new(resource: Arc<Resource>, executable: &str, version: &str) -> Self {
        Self {
            resource,
            executable: executable.to_owned(),
            version: version.to_owned(),
            dictionary: Dictionary::new(executable),
            profiles: Default::default(),
            first: u64::MAX,
            last: 0,
            records: 0,
        }
    }

    /// Adds one sample.
    pub fn add(&mut self, sample: Observed<'_>) {
        let dictionary = &mut self.dictionary;
        let attribute_indices = vec![dictionary.number_attribute(THREAD_ID, sample.thread_id.into())];
        self.profiles[sample.kind as usize].push(proto::Sample {
            stack_index: dictionary.stack(sample.stack),
            attribute_indices,
            link_index: sample.span.map_or(0, |span| dictionary.link(span)),
            values: vec![i64::try_from(sample.value_ns).unwrap_or(i64::MAX)],
            timestamps_unix_nano: vec![sample.time.0],
        });
        self.first = self.first.min(sample.time.0);
        self.last = self.last.max(sample.time.0);
        self.records += 1;
    }

    /// Samples so far.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// All samples so far; `period` is the time between two of a processor, ns.
    pub fn take(&mut self, period: u64) -> Option<Batch> {
        if self.records == 0 {
            return None;
        }
        let next = Self::new(Arc::clone(&self.resource), &self.executable, &self.version);
        let Self { resource, version, mut dictionary, profiles, first, last, records, .. } =
            std::mem::replace(self, next);
        let unit = dictionary.text("nanoseconds");
        let mut typed = |kind: ProfileKind| {
            Some(proto::ValueType { type_strindex: dictionary.text(kind.name()), unit_strindex: unit })
        };
        let filled = ProfileKind::ALL.into_iter().zip(profiles).filter(|(_, samples)| !samples.is_empty());
        let profiles = filled.map(|(kind, samples)| proto::Profile {
            sample_type: typed(kind),
            samples,
            time_unix_nano: first,
            duration_nano: last - first + 1,
            period_type: typed(kind),
            period: period as i64,
            ..Default::default()
        });
        let scope_profiles = proto::ScopeProfiles {
            profiles: profiles.collect(),
            scope: Some(InstrumentationScope { name: SCOPE.to_owned(), version, ..Default::default() }),
            ..Default::default()
        };
        let resource_profiles = proto::ResourceProfiles {
            resource: Some(ProtoResource { attributes: attributes(&resource), ..Default::default() }),
            scope_profiles: vec![scope_profiles],
            ..Default::default()
        };
        let request = ExportProfilesServiceRequest {
            resource_profiles: vec![resource_profiles],
            dictionary: Some(dictionary.finish()),
        };
        Some(Batch { signal: Signal::Profiles, resource, bytes: request.encode_to_vec().into(), records })
    }
}

/// What samples name, each thing once.
#[derive(Debug)]
struct Dictionary {
    tables: proto::ProfilesDictionary,
    texts: HashMap<String, i32>,
    functions: HashMap<proto::Function, i32>,
    /// By where they are kept; they are kept alive beside it.
    locations: HashMap<usize, i32>,
    kept: Vec<Arc<Location>>,
    stacks: HashMap<Vec<i32>, i32>,
    links: HashMap<(TraceId, SpanId), i32>,
    numbers: HashMap<i64, i32>,
    frame_types: HashMap<&'static str, i32>,
}

impl Dictionary {
    fn new(executable: &str) -> Self {
        let mut dictionary = Self {
            tables: proto::ProfilesDictionary {
                mapping_table: vec![proto::Mapping::default()],
                location_table: vec![proto::Location::default()],
                function_table: vec![proto::Function::default()],
                link_table: vec![proto::Link::default()],
                string_table: vec![String::new()],
                attribute_table: vec![proto::KeyValueAndUnit::default()],
                stack_table: vec![proto::Stack::default()],
            },
            texts: HashMap::from([(String::new(), 0)]),
            functions: HashMap::new(),
            locations: HashMap::new(),
            kept: Vec::new(),
            stacks: HashMap::new(),
            links: HashMap::new(),
            numbers: HashMap::new(),
            frame_types: HashMap::new(),
        };
        let filename_strindex = dictionary.text(executable);
        dictionary.tables.mapping_table.push(proto::Mapping { filename_strindex, ..Default::default() });
        dictionary
    }

    fn finish(self) -> proto::ProfilesDictionary {
        self.tables
    }

    fn text(&mut self, text: &str) -> i32 {
        if let Some(&index) = self.texts.get(text) {
            return index;
        }
        let index = push(&mut self.tables.string_table, text.to_owned());
        self.texts.insert(text.to_owned(), index);
        index
    }

    fn stack(&mut self, stack: &[Arc<Location>]) -> i32 {
        let indices: Vec<i32> = stack.iter().map(|location| self.location(location)).collect();
        if indices.is_empty() {
            return 0;
        }
        let table = &mut self.tables.stack_table;
        found_or(&mut self.stacks, indices, |indices| push(table, proto::Stack { location_indices: indices.clone() }))
    }

    fn location(&mut self, location: &Arc<Location>) -> i32 {
        let key = Arc::as_ptr(location) as usize;
        if let Some(&index) = self.locations.get(&key) {
            return index;
        }
        let lines = location.frames.iter().map(|frame| {
            let function = proto::Function {
                name_strindex: self.text(&frame.function),
                system_name_strindex: 0,
                filename_strindex: self.text(&frame.file),
                start_line: frame.start_line.into(),
            };
            let table = &mut self.tables.function_table;
            let function_index = found_or(&mut self.functions, function, |function| push(table, *function));
            proto::Line { function_index, line: frame.line.into(), column: 0 }
        });
        let lines = lines.collect();
        let function = location.frames.first().map_or("", |frame| frame.function.as_str());
        let frame_type = match function.strip_prefix('[') {
            Some(name) if name.starts_with("kernel") => "kernel",
            Some(_) => "native",
            None => "go",
        };
        let written = proto::Location {
            mapping_index: i32::from(location.address != 0),
            address: location.address,
            lines,
            attribute_indices: vec![self.frame_type(frame_type)],
        };
        let index = push(&mut self.tables.location_table, written);
        self.locations.insert(key, index);
        self.kept.push(Arc::clone(location));
        index
    }

    fn link(&mut self, span: (TraceId, SpanId)) -> i32 {
        let table = &mut self.tables.link_table;
        found_or(&mut self.links, span, |(trace, span)| {
            push(table, proto::Link { trace_id: trace.0.to_vec(), span_id: span.0.to_vec() })
        })
    }

    fn number_attribute(&mut self, key: &str, number: i64) -> i32 {
        if let Some(&index) = self.numbers.get(&number) {
            return index;
        }
        let index = self.attribute(key, any_value::Value::IntValue(number));
        self.numbers.insert(number, index);
        index
    }

    fn frame_type(&mut self, frame_type: &'static str) -> i32 {
        if let Some(&index) = self.frame_types.get(frame_type) {
            return index;
        }
        let index = self.attribute(FRAME_TYPE, any_value::Value::StringValue(frame_type.to_owned()));
        self.frame_types.insert(frame_type, index);
        index
    }

    fn attribute(&mut self, key: &str, value: any_value::Value) -> i32 {
        let key_strindex = self.text(key);
        let value = Some(AnyValue { value: Some(value) });
        push(&mut self.tables.attribute_table, proto::KeyValueAndUnit { key_strindex, value, unit_strindex: 0 })
    }
}

/// Adds an entry; where it is.
fn push<T>(table: &mut Vec<T>, entry: T) -> i32 {
    table.push(entry);
    i32::try_from(table.len() - 1).unwrap_or(0)
}

fn found_or<K: Eq + Hash>(known: &mut HashMap<K, i32>, key: K, add: impl FnOnce(&K) -> i32) -> i32 {
    match known.entry(key) {
        Entry::Occupied(found) => *found.get(),
        Entry::Vacant(place) => {
            let index = add(place.key());
            *place.insert(index)
        }
    }
}

/// The samples of one process, read back.
#[derive(Debug)]
pub struct Profiled {
    /// The `Resource` message.
    pub resource: Vec<u8>,
    /// Its samples.
    pub samples: Vec<ProfileSample>,
}

/// Reads a request. Numbers that name nothing name nothing; profiles of other kinds are left out.
pub fn read(bytes: &[u8]) -> Result<Vec<Profiled>, prost::DecodeError> {
    let request = ExportProfilesServiceRequest::decode(bytes)?;
    let dictionary = request.dictionary.unwrap_or_default();
    let mut stacks: HashMap<i32, Arc<Vec<Frame>>> = HashMap::new();
    let mut found = Vec::new();
    for of_resource in request.resource_profiles {
        let mut samples = Vec::new();
        for profile in of_resource.scope_profiles.into_iter().flat_map(|scope| scope.profiles) {
            let kind = profile.sample_type.and_then(|kind| ProfileKind::of_name(text(&dictionary, kind.type_strindex)));
            let Some(kind) = kind else { continue };
            for sample in &profile.samples {
                let stack = stacks.entry(sample.stack_index).or_insert_with(|| Arc::new(frames(&dictionary, sample)));
                samples.extend(observations(&dictionary, kind, sample, stack));
            }
        }
        let resource = of_resource.resource.unwrap_or_default().encode_to_vec();
        found.push(Profiled { resource, samples });
    }
    Ok(found)
}

fn observations(
    dictionary: &proto::ProfilesDictionary,
    kind: ProfileKind,
    sample: &proto::Sample,
    stack: &Arc<Vec<Frame>>,
) -> Vec<ProfileSample> {
    let link = at(&dictionary.link_table, sample.link_index);
    let trace_id = link.and_then(|link| <[u8; 16]>::try_from(link.trace_id.as_slice()).ok()).map(TraceId);
    let span_id = link.and_then(|link| <[u8; 8]>::try_from(link.span_id.as_slice()).ok()).map(SpanId);
    let thread = sample.attribute_indices.iter().filter_map(|&index| at(&dictionary.attribute_table, index));
    let thread_id = thread
        .filter(|attribute| text(dictionary, attribute.key_strindex) == THREAD_ID)
        .find_map(|attribute| match attribute.value.as_ref()?.value {
            Some(any_value::Value::IntValue(number)) => u32::try_from(number).ok(),
            _ => None,
        })
        .unwrap_or(0);
    let observed = sample.timestamps_unix_nano.iter().zip(&sample.values);
    observed
        .map(|(&time_unix_nano, &value)| ProfileSample {
            kind,
            time_unix_nano,
            value_ns: u64::try_from(value).unwrap_or(0),
            trace_id,
            span_id,
            thread_id,
            stack: Arc::clone(stack),
        })
        .collect()
}

fn frames(dictionary: &proto::ProfilesDictionary, sample: &proto::Sample) -> Vec<Frame> {
    let stack = at(&dictionary.stack_table, sample.stack_index);
    let locations = stack.into_iter().flat_map(|stack| &stack.location_indices);
    let mut frames = Vec::new();
    for location in locations.filter_map(|&index| at(&dictionary.location_table, index)) {
        let last = location.lines.len().saturating_sub(1);
        for (index, line) in location.lines.iter().enumerate() {
            let Some(function) = at(&dictionary.function_table, line.function_index) else { continue };
            frames.push(Frame {
                function: text(dictionary, function.name_strindex).to_owned(),
                file: text(dictionary, function.filename_strindex).to_owned(),
                line: u32::try_from(line.line).unwrap_or(0),
                start_line: u32::try_from(function.start_line).unwrap_or(0),
                inlined: index < last,
            });
        }
    }
    frames
}

/// An entry of a table; none for the first, which stands for "none".
fn at<T>(table: &[T], index: i32) -> Option<&T> {
    table.get(usize::try_from(index).ok().filter(|&index| index > 0)?)
}

fn text(dictionary: &proto::ProfilesDictionary, index: i32) -> &str {
    at(&dictionary.string_table, index).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Attributes, Value};

    fn location(address: u64, functions: &[&str]) -> Arc<Location> {
        let last = functions.len() - 1;
        let frame = |(index, function): (usize, &&str)| Frame {
            function: (*function).to_owned(),
            file: if function.starts_with('[') { String::new() } else { "/src/a.go".to_owned() },
            line: 10 + index as u32,
            start_line: 3,
            inlined: index < last,
        };
        Arc::new(Location { address, frames: functions.iter().enumerate().map(frame).collect() })
    }

    fn written() -> (Batch, Vec<Arc<Location>>) {
        let service = ("service.name".to_owned(), Value::String("cart".to_owned()));
        let resource = Arc::new(Resource { attributes: Attributes::from([service]) });
        let mut builder = ProfileBuilder::new(resource, "/opt/cart", "1.2.3");
        let places = vec![location(0, &["[kernel: read]"]), location(0x4010, &["a.inner", "a.outer"])];
        let span = (TraceId([7; 16]), SpanId([8; 8]));
        let sample = Observed {
            kind: ProfileKind::Cpu,
            time: UnixNanos(1000),
            value_ns: 20,
            span: Some(span),
            thread_id: 5,
            stack: &places[1..],
        };
        builder.add(sample);
        builder.add(Observed { time: UnixNanos(1500), span: None, ..sample });
        builder.add(Observed { kind: ProfileKind::OffCpu, time: UnixNanos(900), stack: &places, ..sample });
        let batch = builder.take(20).expect("a batch");
        assert!(builder.take(20).is_none());
        (batch, places)
    }

    /// What was written is read again as it was: kinds, times, spans, inlined functions.
    #[test]
    fn samples_survive_the_way() {
        let (batch, _) = written();
        assert_eq!((batch.signal, batch.records), (Signal::Profiles, 3));
        let read = read(&batch.bytes).expect("a request");
        let [profiled] = read.as_slice() else { panic!("{read:?}") };
        let samples = &profiled.samples;
        assert_eq!(samples.len(), 3);
        assert_eq!((samples[0].kind, samples[0].time_unix_nano, samples[0].value_ns), (ProfileKind::Cpu, 1000, 20));
        assert_eq!((samples[0].trace_id, samples[0].span_id), (Some(TraceId([7; 16])), Some(SpanId([8; 8]))));
        assert_eq!((samples[1].trace_id, samples[1].span_id, samples[1].thread_id), (None, None, 5));
        let names: Vec<_> = samples[2].stack.iter().map(|frame| (frame.function.as_str(), frame.inlined)).collect();
        assert_eq!(names, [("[kernel: read]", false), ("a.inner", true), ("a.outer", false)]);
        assert!(
            ProtoResource::decode(profiled.resource.as_slice()).is_ok_and(|resource| resource.attributes.len() == 1)
        );
    }

    /// The rules of the format: a first entry that is empty, nothing twice, times within the profile's.
    #[test]
    fn the_dictionary_keeps_the_rules() {
        let (batch, _) = written();
        let request = ExportProfilesServiceRequest::decode(batch.bytes).expect("a request");
        let dictionary = request.dictionary.expect("a dictionary");
        assert_eq!(dictionary.string_table[0], "");
        assert_eq!(dictionary.mapping_table[0], proto::Mapping::default());
        assert_eq!(dictionary.location_table[0], proto::Location::default());
        assert_eq!(dictionary.function_table[0], proto::Function::default());
        assert_eq!(dictionary.link_table[0], proto::Link::default());
        assert_eq!(dictionary.attribute_table[0], proto::KeyValueAndUnit::default());
        assert_eq!(dictionary.stack_table[0], proto::Stack::default());
        let mut texts = dictionary.string_table.clone();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), dictionary.string_table.len());
        assert_eq!((dictionary.stack_table.len(), dictionary.link_table.len()), (3, 2));
        let profiles = &request.resource_profiles[0].scope_profiles[0].profiles;
        assert_eq!(profiles.len(), 2);
        for profile in profiles {
            let times = profile.samples.iter().flat_map(|sample| &sample.timestamps_unix_nano);
            let range = profile.time_unix_nano..profile.time_unix_nano + profile.duration_nano;
            assert!(times.into_iter().all(|time| range.contains(time)), "{profile:?}");
            assert_eq!(profile.period, 20);
        }
    }

    /// Numbers that point nowhere do no harm.
    #[test]
    fn what_points_nowhere_is_nothing() {
        let sample = proto::Sample {
            stack_index: 9,
            attribute_indices: vec![-1, 99],
            link_index: i32::MIN,
            values: vec![-5, 1],
            timestamps_unix_nano: vec![1],
        };
        let kind = Some(proto::ValueType { type_strindex: 1, unit_strindex: -7 });
        let profile = proto::Profile { sample_type: kind, samples: vec![sample], ..Default::default() };
        let scope_profiles = vec![proto::ScopeProfiles { profiles: vec![profile], ..Default::default() }];
        let resource_profiles = vec![proto::ResourceProfiles { scope_profiles, ..Default::default() }];
        let string_table = vec![String::new(), "cpu".to_owned()];
        let dictionary = Some(proto::ProfilesDictionary { string_table, ..Default::default() });
        let bytes = ExportProfilesServiceRequest { resource_profiles, dictionary }.encode_to_vec();
        let found = read(&bytes).expect("a request");
        assert_eq!(found[0].samples.len(), 1);
        assert_eq!((found[0].samples[0].value_ns, found[0].samples[0].stack.len()), (0, 0));
    }
}
