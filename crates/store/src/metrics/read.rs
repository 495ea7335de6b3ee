//! Metrics by name, service and time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use model::{
    Attributes, MetricFigures, MetricKind, MetricNumber, MetricPoint, MetricSeries, MetricValue, Resource, wildcard,
};
use rusqlite::{Connection, ToSql, params};
use serde::Serialize;

use super::{LATENESS, Value, points};
use crate::{logs, schema, search};

/// Which metrics to show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricFilter {
    /// Of one of these names, in which `*` is any text; none: of all.
    pub names: Vec<String>,
    /// `service.name`, exactly.
    pub service: Option<String>,
    /// Earliest time, ns since 1970.
    pub since_unix_nano: Option<u64>,
    /// Only what came after the sample with this number.
    pub after: Option<i64>,
    /// At most so many series: the first ones by name.
    pub limit: usize,
}

/// A metric in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricName {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: MetricKind,
    /// Unit, as UCUM has it.
    pub unit: String,
    /// What it is.
    pub description: String,
    /// Series.
    pub series: u64,
    /// Services that have it, sorted.
    pub services: BTreeSet<String>,
}

/// Series with what came for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// By name, service and attributes.
    pub series: Vec<MetricSeries>,
    /// What was looked at began then; ns since 1970, 0 where there is nothing.
    pub start_unix_nano: u64,
    /// And ended then.
    pub end_unix_nano: u64,
    /// There are more series than were asked for.
    pub is_cut: bool,
    /// The number of the newest sample, for a filter's `after`.
    pub newest: i64,
}

/// A series with its figures, for scripts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredSeries {
    /// The series.
    #[serde(flatten)]
    pub series: MetricSeries,
    /// What its points are together.
    #[serde(flatten)]
    pub figures: MetricFigures,
}

impl Metrics {
    /// The series with their figures.
    pub fn measured(self) -> Vec<MeasuredSeries> {
        let looked_at = self.looked_at_ns();
        let series = self.series.into_iter();
        series.map(|series| MeasuredSeries { figures: series.figures(looked_at), series }).collect()
    }

    /// How long a time was looked at, ns.
    pub fn looked_at_ns(&self) -> u64 {
        self.end_unix_nano.saturating_sub(self.start_unix_nano)
    }
}

/// A series' row.
struct Row {
    id: i64,
    resource: i64,
    series: MetricSeries,
}

/// Metrics that fit, by name.
pub fn names(connection: &Connection, filter: &MetricFilter) -> rusqlite::Result<Vec<MetricName>> {
    let mut names: Vec<MetricName> = Vec::new();
    for Row { series, .. } in rows(connection, filter)? {
        let is_known =
            |known: &MetricName| (&known.name, known.kind, &known.unit) == (&series.name, series.kind, &series.unit);
        let known = match names.iter_mut().rfind(|known| is_known(known)) {
            Some(known) => known,
            None => {
                let MetricSeries { name, kind, unit, description, .. } = series.clone();
                names.push(MetricName { name, kind, unit, description, series: 0, services: BTreeSet::new() });
                names.last_mut().expect("it was added")
            }
        };
        known.series += 1;
        known.services.insert(series.service);
    }
    Ok(names)
}

/// Series that fit, with their points.
pub fn query(connection: &Connection, filter: &MetricFilter, deadline: Instant) -> rusqlite::Result<Metrics> {
    if !schema::has_metrics(connection)? {
        return Ok(Metrics::default());
    }
    let mut rows = rows(connection, filter)?;
    let mut found = Metrics { is_cut: rows.len() > filter.limit, ..Metrics::default() };
    rows.truncate(filter.limit);
    read_points(connection, filter, &mut rows, &mut found, deadline)?;
    let mut resources: HashMap<i64, Arc<Resource>> = HashMap::new();
    for row in &mut rows {
        let resource = match resources.entry(row.resource) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Arc::new(logs::resource_of(connection, row.resource)?)),
        };
        row.series.resource = Arc::clone(resource);
    }
    found.series = rows.into_iter().map(|row| row.series).filter(|series| !series.points.is_empty()).collect();
    Ok(found)
}

/// The series that fit, those included for which nothing came in the time that is asked for.
fn rows(connection: &Connection, filter: &MetricFilter) -> rusqlite::Result<Vec<Row>> {
    if !schema::has_metrics(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT metric_series.id, name, unit, description, kind, scope, service_of(resource.data), attributes, bounds, resource
         FROM metric_series LEFT JOIN resource ON resource.id = metric_series.resource
         WHERE last >= ?1 ORDER BY name, kind, unit, 7, attributes, metric_series.id",
    )?;
    // A row says how late its series is only so exactly.
    let mut rows = statement.query([since(filter).saturating_sub(LATENESS)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (name, service) = (row.get_ref(1)?.as_str()?, row.get_ref(6)?.as_str()?);
        let is_named = filter.names.is_empty() || filter.names.iter().any(|pattern| wildcard(pattern, name));
        if !is_named || filter.service.as_ref().is_some_and(|wanted| wanted != service) {
            continue;
        }
        let bounds = row.get_ref(8)?.as_blob()?.as_chunks().0;
        let series = MetricSeries {
            name: name.to_owned(),
            unit: row.get(2)?,
            description: row.get(3)?,
            kind: kind(row.get(4)?),
            scope: row.get(5)?,
            service: service.to_owned(),
            attributes: serde_json::from_str::<Attributes>(row.get_ref(7)?.as_str()?).unwrap_or_default(),
            bounds: bounds.iter().map(|bound| f64::from_le_bytes(*bound)).collect(),
            resource: Arc::default(),
            points: Vec::new(),
        };
        found.push(Row { id: row.get(0)?, resource: row.get(9)?, series });
    }
    Ok(found)
}

/// Points of a series that are told. Of a longer time those are put together that came close to each other.
const MOST_POINTS: i64 = 1000;

fn read_points(
    connection: &Connection,
    filter: &MetricFilter,
    rows: &mut [Row],
    found: &mut Metrics,
    deadline: Instant,
) -> rusqlite::Result<()> {
    let places: HashMap<i64, usize> = rows.iter().enumerate().map(|(place, row)| (row.id, place)).collect();
    found.newest = connection.query_row("SELECT coalesce(max(id), 0) FROM metric_sample", [], |row| row.get(0))?;
    // Numbers begin again when the table was emptied.
    let after = filter.after.filter(|&after| after <= found.newest).unwrap_or(0);
    let range = params![since(filter), after];
    let step = step(connection, range)?;
    let mut statement = connection.prepare_cached(
        "SELECT start, time, points FROM metric_sample WHERE time >= ?1 AND id > ?2 ORDER BY time, id",
    )?;
    let mut samples = statement.query(range)?;
    while let Some(sample) = samples.next()? {
        search::check(deadline)?;
        let (start, time) = (sample.get::<_, i64>(0)? as u64, sample.get::<_, i64>(1)? as u64);
        if found.end_unix_nano == 0 {
            found.start_unix_nano = start;
        }
        found.end_unix_nano = time;
        for (series, value) in points::decode(sample.get_ref(2)?.as_blob()?) {
            let Some(place) = places.get(&series) else { continue };
            let series = &mut rows[*place].series;
            let value = said(value, series.bounds.len());
            let point = MetricPoint { start_unix_nano: start, time_unix_nano: time, value };
            let newest = series.points.last().map(|newest| newest.time_unix_nano / step);
            if newest == Some(time / step) { series.merge(point) } else { series.points.push(point) }
        }
    }
    Ok(())
}

/// Points of the same step are put together, ns.
fn step(connection: &Connection, range: &[&dyn ToSql]) -> rusqlite::Result<u64> {
    let (count, longest): (i64, i64) = connection
        .prepare_cached(
            "SELECT count(*), coalesce(max(time) - min(time), 0) FROM metric_sample WHERE time >= ?1 AND id > ?2",
        )?
        .query_row(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(if count > MOST_POINTS { (longest / MOST_POINTS) as u64 + 1 } else { 1 })
}

fn said(value: Value, bounds: usize) -> MetricValue {
    match value {
        Value::Int(number) => MetricValue::Number { value: MetricNumber::Int(number) },
        Value::Float(number) => MetricValue::Number { value: MetricNumber::Float(number) },
        Value::Histogram { mut bucket_counts, sum } => {
            bucket_counts.resize(bounds + 1, 0);
            MetricValue::Histogram { count: bucket_counts.iter().sum(), sum, bucket_counts }
        }
    }
}

fn kind(number: i64) -> MetricKind {
    MetricKind::ALL.into_iter().find(|kind| *kind as i64 == number).unwrap_or(MetricKind::Gauge)
}

fn since(filter: &MetricFilter) -> i64 {
    filter.since_unix_nano.map_or(0, |since| i64::try_from(since).unwrap_or(i64::MAX))
}
