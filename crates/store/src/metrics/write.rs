//! Samples into their tables, and away when the store has grown too large or they too old.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{LATENESS, Sample, Series, points};

/// Series that a store keeps. Every program that starts has series of its own; those that nothing came for go first.
const MOST_SERIES: i64 = 20_000;
/// So many make room at once.
const ROOM: i64 = 1000;
/// A series that something came for within this time is in use (ns): it is not given up for another one.
const IN_USE: i64 = 2 * LATENESS;

/// Rows that a writer knows.
#[derive(Default)]
pub struct KnownSeries {
    series: HashMap<u128, Known>,
    /// Rows there are; `None`: not counted yet.
    count: Option<i64>,
    /// The time of the sample for which no room could be made: it is not tried again for each of its series.
    full_at: i64,
}

struct Known {
    id: i64,
    /// As it stands in its row.
    last: i64,
}

/// Writes a sample. How many of its points are in series that there is no room for. `resource` tells the number of a resource.
pub fn insert(
    transaction: &Transaction<'_>,
    known: &mut KnownSeries,
    sample: &Sample,
    mut resource: impl FnMut(&[u8]) -> rusqlite::Result<i64>,
) -> rusqlite::Result<u64> {
    let time = i64::try_from(sample.time).unwrap_or(i64::MAX);
    let mut numbered = Vec::with_capacity(sample.points.len());
    let mut refused = 0;
    for (series, value) in &sample.points {
        match known.series(transaction, series, time, &mut resource)? {
            Some(id) => numbered.push((id, value)),
            None => refused += 1,
        }
    }
    numbered.sort_by_key(|(id, _)| *id);
    transaction
        .prepare_cached("INSERT INTO metric_sample (start, time, points) VALUES (?1, ?2, ?3)")?
        .execute(params![i64::try_from(sample.start).unwrap_or(i64::MAX), time, points::encode(&numbered)])?;
    Ok(refused)
}

impl KnownSeries {
    /// The number of a series; `None`: there is no room for it.
    fn series(
        &mut self,
        transaction: &Transaction<'_>,
        series: &Series,
        time: i64,
        resource: impl FnMut(&[u8]) -> rusqlite::Result<i64>,
    ) -> rusqlite::Result<Option<i64>> {
        let known = match self.series.get_mut(&series.identity) {
            Some(known) => known,
            None => {
                let found = match find(transaction, series.identity)? {
                    Some(found) => found,
                    None => match self.add(transaction, series, time, resource)? {
                        Some(added) => added,
                        None => return Ok(None),
                    },
                };
                self.series.entry(series.identity).or_insert(found)
            }
        };
        // A row is changed now and then, not with each of its numbers.
        if time - known.last >= LATENESS {
            transaction
                .prepare_cached("UPDATE metric_series SET last = ?2 WHERE id = ?1")?
                .execute([known.id, time])?;
            known.last = time;
        }
        Ok(Some(known.id))
    }

    fn add(
        &mut self,
        transaction: &Transaction<'_>,
        series: &Series,
        time: i64,
        mut resource: impl FnMut(&[u8]) -> rusqlite::Result<i64>,
    ) -> rusqlite::Result<Option<Known>> {
        if self.full_at == time || !self.make_room(transaction, time)? {
            self.full_at = time;
            return Ok(None);
        }
        let bounds: Vec<u8> = series.bounds.iter().flat_map(|bound| bound.to_le_bytes()).collect();
        let attributes = serde_json::to_string(&series.attributes).unwrap_or_default();
        transaction
            .prepare_cached(
                "INSERT INTO metric_series (identity, name, unit, description, kind, scope, resource, attributes, bounds, last)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                series.identity.to_be_bytes(),
                series.name,
                series.unit,
                series.description,
                series.kind as i64,
                series.scope,
                resource(&series.resource)?,
                attributes,
                bounds,
                time,
            ])?;
        self.count = self.count.map(|count| count + 1);
        Ok(Some(Known { id: transaction.last_insert_rowid(), last: time }))
    }

    /// Whether there is room for one more series.
    fn make_room(&mut self, transaction: &Transaction<'_>, time: i64) -> rusqlite::Result<bool> {
        let count = match self.count {
            Some(count) => count,
            None => transaction.query_row("SELECT count(*) FROM metric_series", [], |row| row.get(0))?,
        };
        self.count = Some(count);
        if count < MOST_SERIES {
            return Ok(true);
        }
        let unused = time - IN_USE;
        let removed = transaction
            .prepare_cached(
                "DELETE FROM metric_series
                 WHERE id IN (SELECT id FROM metric_series WHERE last < ?1 ORDER BY last LIMIT ?2)",
            )?
            .execute([unused, ROOM])?;
        self.series.retain(|_, known| known.last >= unused);
        self.count = Some(count - removed as i64);
        Ok(removed > 0)
    }
}

fn find(transaction: &Transaction<'_>, identity: u128) -> rusqlite::Result<Option<Known>> {
    transaction
        .prepare_cached("SELECT id, last FROM metric_series WHERE identity = ?1")?
        .query_row([identity.to_be_bytes()], |row| Ok(Known { id: row.get(0)?, last: row.get(1)? }))
        .optional()
}

/// Removes series of which no number is there any more.
pub fn forget_unused(connection: &Connection) -> rusqlite::Result<()> {
    let oldest = "SELECT coalesce(min(time), 9223372036854775807) FROM metric_sample";
    let sql = format!("DELETE FROM metric_series WHERE last < ({oldest}) - ?1");
    connection.execute(&sql, [LATENESS]).map(drop)
}
