//! speedscope's file format: a sampled profile for time on the CPU and one for time off it, each function once.

use std::collections::HashMap;
use std::io::Write;

use model::{Frame, ProfileKind};
use serde::Serialize;
use store::StoredSample;

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: String,
    name: &'static str,
    shared: Shared<'a>,
    profiles: Vec<Profile>,
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<SharedFrame<'a>>,
}

#[derive(Serialize)]
struct SharedFrame<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    file: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    line: u32,
}

fn is_zero(line: &u32) -> bool {
    *line == 0
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    r#type: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    /// The outermost function first.
    samples: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

/// Writes samples as one JSON object.
pub fn write(out: &mut dyn Write, samples: &[StoredSample]) -> anyhow::Result<()> {
    let mut frames = Frames::default();
    let profiles = ProfileKind::ALL.into_iter().filter_map(|kind| profile(kind, samples, &mut frames)).collect();
    let file = File {
        schema: "https://www.speedscope.app/file-format-schema.json",
        exporter: format!("tandem {}", env!("CARGO_PKG_VERSION")),
        name: "tandem",
        shared: Shared { frames: frames.frames },
        profiles,
    };
    serde_json::to_writer(&mut *out, &file)?;
    writeln!(out)?;
    Ok(())
}

/// Each function once; the line is that of its beginning, for its samples are of many lines.
#[derive(Default)]
struct Frames<'a> {
    frames: Vec<SharedFrame<'a>>,
    known: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> Frames<'a> {
    fn number(&mut self, frame: &'a Frame) -> usize {
        *self.known.entry((&frame.function, &frame.file)).or_insert_with(|| {
            self.frames.push(SharedFrame { name: &frame.function, file: &frame.file, line: frame.start_line });
            self.frames.len() - 1
        })
    }
}

fn profile<'a>(kind: ProfileKind, samples: &'a [StoredSample], frames: &mut Frames<'a>) -> Option<Profile> {
    let of_kind = samples.iter().map(|stored| &stored.sample).filter(|sample| sample.kind == kind);
    let (samples, weights): (Vec<Vec<usize>>, Vec<u64>) = of_kind
        .map(|sample| (sample.stack.iter().rev().map(|frame| frames.number(frame)).collect(), sample.value_ns))
        .unzip();
    let name = match kind {
        ProfileKind::Cpu => "on CPU",
        ProfileKind::OffCpu => "off CPU",
    };
    let end_value = weights.iter().sum();
    (!weights.is_empty()).then_some(Profile {
        r#type: "sampled",
        name,
        unit: "nanoseconds",
        start_value: 0,
        end_value,
        samples,
        weights,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::ProfileSample;

    use super::*;

    #[test]
    fn a_profile_has_each_function_once_and_the_outermost_first() {
        let frame = |function: &str, line| Frame {
            function: function.to_owned(),
            file: format!("{function}.go"),
            line,
            start_line: 10,
            inlined: false,
        };
        let sample = |kind, value_ns, stack| StoredSample {
            number: 0,
            sample: ProfileSample {
                kind,
                time_unix_nano: 1,
                value_ns,
                trace_id: None,
                span_id: None,
                thread_id: 1,
                stack: Arc::new(stack),
            },
            service: "shop".into(),
            executable: "/shop".into(),
            operation: None,
            route: None,
        };
        let samples = [
            sample(ProfileKind::Cpu, 10, vec![frame("add", 11), frame("main", 20)]),
            sample(ProfileKind::Cpu, 20, vec![frame("add", 12), frame("main", 20)]),
            sample(ProfileKind::OffCpu, 500, vec![frame("main", 21)]),
        ];
        let mut out = Vec::new();
        write(&mut out, &samples).expect("written");
        let file: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        let frames = file["shared"]["frames"].as_array().expect("frames");
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0], serde_json::json!({ "name": "main", "file": "main.go", "line": 10 }));
        let profile = |index: usize| &file["profiles"][index];
        assert_eq!(profile(0)["samples"], serde_json::json!([[0, 1], [0, 1]]));
        assert_eq!((&profile(0)["endValue"], &profile(1)["weights"]), (&30.into(), &serde_json::json!([500])));
    }
}
