//! The numbers that programs that run keep themselves, read from their memory.

use std::io::Write;

use record::{Instrument, InstrumentAttribute, InstrumentKind, InstrumentValue};
use serde_json::{Map, Value, json};

use crate::functions::Programs;
use crate::terminal::{BOLD, DIM, Layout, clean};

/// Shows all of these programs' numbers.
pub fn show(out: &mut dyn Write, programs: &Programs, json: bool) -> anyhow::Result<()> {
    for program in programs.find()? {
        let mut instruments = program.functions.map(|memory| memory.instruments()).unwrap_or_default();
        instruments.sort_by_cached_key(|one| (one.name.clone(), one.scope.clone(), title(one)));
        if !json {
            let title = format!("{} (process {})", program.service, program.pid);
            writeln!(out, "{}", Layout::of_stdout().paint(BOLD, clean(&title)))?;
        }
        for instrument in &instruments {
            if json {
                writeln!(out, "{}", object(program.pid, &program.service, instrument))?;
            } else {
                write_line(out, instrument)?;
            }
        }
        if instruments.is_empty() && !json {
            writeln!(out, "  nothing yet: an agent has to be there (`tandem run`, `tandem agent`)")?;
        }
    }
    Ok(())
}

fn write_line(out: &mut dyn Write, instrument: &Instrument) -> std::io::Result<()> {
    let value = match &instrument.value {
        InstrumentValue::Int(value) => value.to_string(),
        InstrumentValue::Float(value) => value.to_string(),
        InstrumentValue::Histogram { counts, sum, .. } => {
            let count = counts.iter().fold(0, |all: u64, &more| all.saturating_add(more));
            let mean = if count == 0 { 0.0 } else { sum / count as f64 };
            format!("{count} values, mean {mean:.6}")
        }
    };
    let title = title(instrument);
    let unit = Layout::of_stdout().paint(DIM, clean(&instrument.unit).into_owned());
    writeln!(out, "  {}  {value} {unit}", clean(&title))
}

/// The metric's name and the series' attributes.
fn title(instrument: &Instrument) -> String {
    let attributes = instrument.attributes.iter().map(|(key, value)| format!(" {key}={value}"));
    instrument.name.clone() + &attributes.collect::<String>()
}

fn attribute(value: &InstrumentAttribute) -> Value {
    match value {
        InstrumentAttribute::Text(text) => json!(text),
        InstrumentAttribute::Int(number) => json!(number),
        InstrumentAttribute::Float(number) => json!(number),
        InstrumentAttribute::Bool(truth) => json!(truth),
        InstrumentAttribute::List(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

fn object(pid: u32, service: &str, instrument: &Instrument) -> Value {
    let kind = match instrument.kind {
        InstrumentKind::Counter => "counter",
        InstrumentKind::UpDown => "updowncounter",
        InstrumentKind::Gauge => "gauge",
        InstrumentKind::Histogram => "histogram",
    };
    let attributes: Map<String, Value> =
        instrument.attributes.iter().map(|(key, value)| (key.clone(), attribute(value))).collect();
    let value = match &instrument.value {
        InstrumentValue::Int(value) => json!(value),
        InstrumentValue::Float(value) => json!(value),
        InstrumentValue::Histogram { bounds, counts, sum } => json!({"bounds": bounds, "counts": counts, "sum": sum}),
    };
    json!({
        "pid": pid,
        "service": service,
        "scope": instrument.scope,
        "name": instrument.name,
        "unit": instrument.unit,
        "kind": kind,
        "attributes": attributes,
        "value": value,
    })
}
