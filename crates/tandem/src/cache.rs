//! `tandem cache`: what the weave keeps on the disk, and how to be rid of it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use weave::cache::{Cache, Usage};

use crate::failure;
use crate::terminal::{self, BOLD, Layout};

/// Say what the cache of woven sources holds, or empty it.
///
/// It lies in $TANDEM_CACHE, else tandem in $XDG_CACHE_HOME or ~/.cache. It may be removed at any time.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = EXAMPLES)]
pub struct CacheCommand {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    size: Size,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem cache          # how much there is, by kind
  tandem cache clean    # removes what no running build uses; later builds make it again";

#[derive(Subcommand)]
enum Action {
    /// Say how much is in the cache, by kind.
    Size(Size),
    /// Remove all that no running build uses. What a later build needs is woven again.
    Clean(Clean),
}

#[derive(Args)]
struct Size {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Clean {
    /// One JSON object instead of a sentence.
    #[arg(long)]
    json: bool,
}

impl CacheCommand {
    pub fn run(self) -> ExitCode {
        let cache = match Cache::open() {
            Ok(cache) => cache,
            Err(error) => return failure::weave(error),
        };
        match self.action {
            None => size(&cache, self.size.json),
            Some(Action::Size(Size { json })) => size(&cache, json),
            Some(Action::Clean(Clean { json })) => clean(cache, json),
        }
    }
}

fn size(cache: &Cache, json: bool) -> ExitCode {
    let usage = cache.usage();
    terminal::report(|out| {
        if json {
            for kind in &usage {
                writeln!(out, "{}", serde_json::to_string(kind)?)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let layout = Layout::of_stdout();
        writeln!(out, "{}", layout.paint(BOLD, cache.root().display()))?;
        for Usage { description, entries, bytes, .. } in &usage {
            writeln!(out, "{:>10}  {entries:>6}  {description}", amount(*bytes))?;
        }
        let total: u64 = usage.iter().map(|kind| kind.bytes).sum();
        let shared: u64 = usage.iter().map(|kind| kind.shared_bytes).sum();
        writeln!(out, "{:>10}          in all", amount(total))?;
        if shared > 0 {
            writeln!(out, "{:>10}          more are second names of files of Go and the module cache", amount(shared))?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn clean(cache: Cache, json: bool) -> ExitCode {
    let root = cache.root().to_owned();
    let cleaned = match cache.clean() {
        Ok(cleaned) => cleaned,
        Err(error) => return failure::weave(error),
    };
    terminal::report(|out| {
        if json {
            writeln!(out, "{}", json!(cleaned))?;
            return Ok(ExitCode::SUCCESS);
        }
        let (freed, removed) = (amount(cleaned.freed_bytes), cleaned.removed);
        let entries = if removed == 1 { "entry" } else { "entries" };
        write!(out, "{freed} freed, {removed} {entries} removed from {}", root.display())?;
        if cleaned.in_use > 0 {
            write!(out, "; {} stay, because a build that is running uses them", cleaned.in_use)?;
        }
        writeln!(out)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// `1.3 MB`.
fn amount(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 999.95 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::amount;

    #[test]
    fn amounts_have_three_or_four_digits() {
        let shown: Vec<String> = [0, 999, 1000, 999_949, 999_950, 1_340_000, 52_000_000_000].map(amount).into();
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "1.3 MB", "52.0 GB"]);
    }
}
