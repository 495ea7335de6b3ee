//! Rows that came in order and have a time go in that order: log records, samples of stacks, metrics.

use rusqlite::Transaction;

/// Rows that one transaction removes at most.
const PRUNED_ROWS: i64 = 65_536;

/// Tables whose rows go by age, beside traces.
pub const TABLES: [&str; 3] = ["log", "profile_sample", "metric_sample"];

/// Removes a table's rows from before a moment. How many they were.
pub fn remove_before(transaction: &Transaction<'_>, table: &str, unix_nano: i64) -> rusqlite::Result<usize> {
    let sql = format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE time < ?1 LIMIT ?2)");
    transaction.prepare_cached(&sql)?.execute([unix_nano, PRUNED_ROWS])
}

/// Removes so much of a table, the rows that came first. How many they were.
pub fn remove_oldest(transaction: &Transaction<'_>, table: &str, share: f64) -> rusqlite::Result<usize> {
    let ends = format!("SELECT (SELECT min(id) FROM {table}), (SELECT max(id) FROM {table})");
    let (first, last): (Option<i64>, Option<i64>) =
        transaction.query_row(&ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(0) };
    let count = (((last - first) as f64 * share) as i64).clamp(1, PRUNED_ROWS);
    transaction.prepare_cached(&format!("DELETE FROM {table} WHERE id < ?1"))?.execute([first + count])
}
