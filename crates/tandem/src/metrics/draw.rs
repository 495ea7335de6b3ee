//! Metrics for people: the list of them, and their series with figures and how they went.

use std::collections::BTreeSet;
use std::io::{self, Write};

use anstyle::Style;
use model::{MetricFigures, MetricKind, MetricSeries, MetricValue, format_duration};
use store::{MetricName, Metrics};

use crate::terminal::{self, BAR, BOLD, DIM, Layout, clean, fit, width, wrap};
use crate::traces::moment;

/// Widest that names get in the list, and units.
const WIDEST_NAME: usize = 44;
const WIDEST_UNIT: usize = 12;
/// Services are not worth fewer columns.
const FEWEST_SERVICES: usize = 8;
/// Columns between two, and before series.
const GAP: usize = 2;
/// Cells of the picture beside the figures.
const CELLS: usize = 24;
/// Before figures and pictures.
const INDENT: usize = 4;

/// A line a metric.
pub fn list(out: &mut dyn Write, names: &[MetricName], layout: Layout) -> io::Result<()> {
    let mut rows = vec![["METRIC", "KIND", "UNIT", "SERIES"].map(str::to_owned)];
    rows.extend(names.iter().map(|metric| {
        let series = metric.series.to_string();
        [clean(&metric.name).into_owned(), kind(metric.kind).to_owned(), clean(&metric.unit).into_owned(), series]
    }));
    let widest = |column: usize, most: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0).min(most);
    let widths = [widest(0, WIDEST_NAME), widest(1, WIDEST_UNIT), widest(2, WIDEST_UNIT), "SERIES".len()];
    let room = layout.columns.saturating_sub(widths.iter().sum::<usize>() + widths.len() * GAP);
    let services =
        names.iter().map(|metric| metric.services.iter().map(|name| clean(name)).collect::<Vec<_>>().join(", "));
    let services = ["SERVICES".to_owned()].into_iter().chain(services);
    for (index, (row, services)) in rows.iter().zip(services).enumerate() {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            let cell = fit(cell, width);
            let blanks = " ".repeat(width - terminal::width(&cell));
            if column == 3 { blanks + &cell } else { cell.into_owned() + &blanks }
        });
        // Names are what people came for.
        let services = if room < FEWEST_SERVICES { "".into() } else { fit(&services, room) };
        let line = cells.chain([services.into_owned()]).collect::<Vec<_>>().join(&" ".repeat(GAP));
        let style = if index == 0 { DIM } else { Style::new() };
        writeln!(out, "{}", layout.paint(style, line.trim_end()))?;
    }
    Ok(())
}

/// In short.
fn kind(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::UpDownCounter => "up-down",
        other => other.name(),
    }
}

/// Each metric with its series, and each of those with its figures.
pub fn series(out: &mut dyn Write, found: &Metrics, layout: Layout) -> io::Result<()> {
    let moments = found.series.iter().flat_map(|series| series.points.iter().map(|point| point.time_unix_nano));
    let moments = moments.collect::<BTreeSet<_>>().len();
    let mut before: Option<(&str, MetricKind, &str)> = None;
    for series in &found.series {
        let metric = (series.name.as_str(), series.kind, series.unit.as_str());
        if before.replace(metric) != Some(metric) {
            let facts = format!("{}, {}", kind(series.kind), clean(&series.unit));
            let facts = facts.trim_end_matches([',', ' ']);
            writeln!(out, "{}  {}", layout.paint(BOLD, clean(&series.name)), layout.paint(DIM, facts))?;
        }
        for line in wrap(&title(series), layout.columns - GAP) {
            writeln!(out, "{}{line}", " ".repeat(GAP))?;
        }
        let figures = figures(series, &series.figures(found.looked_at_ns()));
        // More cells than samples would have holes.
        let cells = layout.columns.saturating_sub(INDENT + width(&figures) + GAP).min(CELLS).min(moments);
        let picture = picture(series, (found.start_unix_nano, found.end_unix_nano), cells);
        let picture = picture.trim_end();
        writeln!(out, "{}{figures}  {}", " ".repeat(INDENT), layout.paint(BAR, picture))?;
    }
    Ok(())
}

/// A line for each series that something came for.
pub fn news(out: &mut dyn Write, found: &Metrics, layout: Layout) -> io::Result<()> {
    for series in &found.series {
        let Some(newest) = series.points.last() else { continue };
        let time = moment(newest.time_unix_nano, "%H:%M:%S");
        let figures = figures(series, &series.figures(found.looked_at_ns()));
        let name = clean(&series.name);
        let room = layout.columns.saturating_sub(width(&time) + width(&name) + width(&figures) + 6);
        writeln!(
            out,
            "{}  {}  {figures}  {}",
            layout.paint(DIM, time),
            layout.paint(BOLD, name),
            layout.paint(DIM, fit(&title(series), room)),
        )?;
    }
    Ok(())
}

/// The service and what tells the series from the metric's others.
fn title(series: &MetricSeries) -> String {
    let attributes = series.attributes.iter().map(|(key, value)| format!(" {key}={value}"));
    clean(&(series.service.clone() + &attributes.collect::<String>())).into_owned()
}

fn figures(series: &MetricSeries, figures: &MetricFigures) -> String {
    let rate = figures.per_second.map(|rate| format!("{}/s", short(rate)));
    let value = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| with_unit(value, &series.unit));
    match series.kind {
        MetricKind::Histogram => {
            let quantiles = [("p50", figures.p50), ("p95", figures.p95), ("p99", figures.p99)];
            let quantiles = quantiles.map(|(name, at)| format!("{name} {}", value(at))).join("  ");
            format!("{}  {quantiles}", rate.unwrap_or_default())
        }
        MetricKind::Counter => {
            let added = figures.value.map_or(0.0, model::MetricNumber::as_f64);
            format!("{}  +{}", rate.unwrap_or_default(), with_unit(added, &series.unit))
        }
        MetricKind::UpDownCounter | MetricKind::Gauge => value(figures.value.map(model::MetricNumber::as_f64)),
    }
}

/// A number with its unit, as people write it. What is counted in braces has none.
fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "s" if value >= 0.0 => format_duration((value * 1e9) as u64),
        "ms" if value >= 0.0 => format_duration((value * 1e6) as u64),
        "By" => bytes(value),
        "" | "1" => short(value),
        _ if unit.starts_with('{') => short(value),
        _ => format!("{} {}", short(value), clean(unit)),
    }
}

fn bytes(value: f64) -> String {
    const UNITS: [(&str, f64); 4] =
        [("GiB", (1u64 << 30) as f64), ("MiB", (1u64 << 20) as f64), ("KiB", 1024.0), ("B", 1.0)];
    let (unit, size) = UNITS.into_iter().find(|(_, size)| value.abs() >= *size).unwrap_or(("B", 1.0));
    format!("{} {unit}", short(value / size))
}

/// Whole numbers as they are, others with three digits.
fn short(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let before_point = value.abs().log10().floor() as i32 + 1;
    let decimals = (3 - before_point).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

/// How a series went, from left to right: of what is added the amount, of what is so the newest number in each cell.
fn picture(series: &MetricSeries, (start, end): (u64, u64), cells: usize) -> String {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let is_added = series.kind.is_added();
    let mut values: Vec<Option<f64>> = vec![None; cells];
    for point in &series.points {
        let offset = u128::from(point.time_unix_nano.saturating_sub(start).saturating_sub(1));
        let cell = (offset * cells as u128 / u128::from(end.saturating_sub(start).max(1))) as usize;
        let Some(cell) = values.get_mut(cell) else { continue };
        let value = match &point.value {
            MetricValue::Number { value } => value.as_f64(),
            MetricValue::Histogram { count, .. } => *count as f64,
        };
        *cell = Some(if is_added { cell.unwrap_or(0.0) + value } else { value });
    }
    let known = || values.iter().flatten().copied();
    let largest = known().fold(f64::NEG_INFINITY, f64::max);
    let smallest = if is_added { 0.0 } else { known().fold(f64::INFINITY, f64::min) };
    let step = |value: f64| {
        let share = if largest > smallest { (value - smallest) / (largest - smallest) } else { 0.5 };
        STEPS[((share * STEPS.len() as f64) as usize).min(STEPS.len() - 1)]
    };
    values.iter().map(|value| value.map_or(' ', step)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_their_unit() {
        let written = [(0.0123, "s"), (1536.0, "By"), (3.0, "{goroutine}"), (0.25, "1"), (12.345, "%"), (0.0, "By")];
        let shown = ["12.3 ms", "1.50 KiB", "3", "0.250", "12.3 %", "0 B"];
        assert_eq!(written.map(|(value, unit)| with_unit(value, unit)), shown);
    }
}
