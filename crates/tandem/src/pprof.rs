//! Profiles in the form of `go tool pprof`: a gzipped protobuf message, whose numbers are those of pprof's `profile.proto`.

use std::collections::HashMap;
use std::hash::Hash;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use model::{Frame, ProfileKind};
use prost::Message;
use store::StoredSample;

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(int64, tag = "14")]
    default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    text: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
    #[prost(bool, tag = "8")]
    has_filenames: bool,
    #[prost(bool, tag = "9")]
    has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
    #[prost(int64, tag = "5")]
    start_line: i64,
}

/// Values of each sample: how many there were, and the time of each kind.
const VALUES: usize = 1 + ProfileKind::ALL.len();

/// Writes samples as a profile. The kind is what a reader shows who does not say.
pub fn write(out: impl Write, samples: &[StoredSample], shown: ProfileKind) -> io::Result<()> {
    let mut encoder = GzEncoder::new(out, Compression::default());
    encoder.write_all(&profile(samples, shown).encode_to_vec())?;
    encoder.finish()?.flush()
}

fn profile(samples: &[StoredSample], shown: ProfileKind) -> Profile {
    let mut writer = Writer::default();
    writer.text("");
    let mut sums: HashMap<(Vec<u64>, Vec<Label>), usize> = HashMap::new();
    for stored in samples {
        let mapping = writer.mapping(&stored.executable);
        let mut location_id = Vec::new();
        for frames in stored.sample.stack.chunk_by(|one, _| one.inlined) {
            location_id.push(writer.location(mapping, frames));
        }
        let label = writer.labels(stored);
        let index = *sums.entry((location_id.clone(), label.clone())).or_insert_with(|| {
            writer.profile.sample.push(Sample { location_id, value: vec![0; VALUES], label });
            writer.profile.sample.len() - 1
        });
        let value = &mut writer.profile.sample[index].value;
        value[0] += 1;
        value[1 + stored.sample.kind as usize] += i64::try_from(stored.sample.value_ns).unwrap_or(i64::MAX);
    }
    let times = || samples.iter().map(|stored| stored.sample.time_unix_nano);
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let nanoseconds = writer.text("nanoseconds");
    let count = ValueType { kind: writer.text("samples"), unit: writer.text("count") };
    let kinds = ProfileKind::ALL.map(|kind| ValueType { kind: writer.text(kind.name()), unit: nanoseconds });
    let default_sample_type = writer.text(shown.name());
    let sample_type = [count].into_iter().chain(kinds).collect();
    Profile {
        sample_type,
        time_nanos: first as i64,
        duration_nanos: (last - first) as i64,
        default_sample_type,
        ..writer.profile
    }
}

/// The tables of a profile, each thing in them once. Ids begin at 1.
#[derive(Default)]
struct Writer {
    profile: Profile,
    texts: HashMap<String, i64>,
    mappings: HashMap<i64, u64>,
    functions: HashMap<(i64, i64, u32), u64>,
    locations: HashMap<(u64, Vec<Line>), u64>,
}

impl Writer {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(&index) = self.texts.get(text) {
            return index;
        }
        let index = self.profile.string_table.len() as i64;
        self.profile.string_table.push(text.to_owned());
        self.texts.insert(text.to_owned(), index);
        index
    }

    fn mapping(&mut self, executable: &str) -> u64 {
        let filename = self.text(executable);
        let table = &mut self.profile.mapping;
        id_of(&mut self.mappings, filename, |&filename, id| {
            table.push(Mapping {
                id,
                filename,
                has_functions: true,
                has_filenames: true,
                has_line_numbers: true,
                has_inline_frames: true,
            });
        })
    }

    /// The functions at one address.
    fn location(&mut self, mapping_id: u64, frames: &[Frame]) -> u64 {
        let line = frames.iter().map(|frame| Line { function_id: self.function(frame), line: frame.line.into() });
        let line = line.collect();
        let table = &mut self.profile.location;
        id_of(&mut self.locations, (mapping_id, line), |(_, line), id| {
            table.push(Location { id, mapping_id, line: line.clone() });
        })
    }

    fn function(&mut self, frame: &Frame) -> u64 {
        let (name, filename) = (self.text(&frame.function), self.text(&frame.file));
        let table = &mut self.profile.function;
        id_of(&mut self.functions, (name, filename, frame.start_line), |&(name, filename, start_line), id| {
            table.push(Function { id, name, system_name: name, filename, start_line: start_line.into() });
        })
    }

    fn labels(&mut self, stored: &StoredSample) -> Vec<Label> {
        let sample = &stored.sample;
        let labels = [
            ("service", Some(stored.service.to_string())),
            ("trace_id", sample.trace_id.map(|id| id.to_string())),
            ("span_id", sample.span_id.map(|id| id.to_string())),
            ("operation", stored.operation.as_deref().map(str::to_owned)),
            ("route", stored.route.as_deref().map(str::to_owned)),
        ];
        let labels = labels.into_iter().filter_map(|(key, text)| Some((key, text.filter(|text| !text.is_empty())?)));
        labels.map(|(key, text)| Label { key: self.text(key), text: self.text(&text) }).collect()
    }
}

fn id_of<K: Eq + Hash>(known: &mut HashMap<K, u64>, key: K, add: impl FnOnce(&K, u64)) -> u64 {
    if let Some(&id) = known.get(&key) {
        return id;
    }
    let id = known.len() as u64 + 1;
    add(&key, id);
    known.insert(key, id);
    id
}
