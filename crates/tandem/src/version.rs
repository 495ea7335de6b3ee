//! `tandem version`: which tandem this is, and what it works with.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use weave::pack::PackSet;

use crate::doctor::{NEWEST_GO, OLDEST_GO};

/// The commit that it was built from, where the build said so (`make build`, `make dist`).
const COMMIT: Option<&str> = option_env!("TANDEM_COMMIT");

/// Print versions.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Version {
    /// One JSON object, with what it works with: versions of Go, of what programs and agents share, of files; packs.
    #[arg(long)]
    json: bool,
}

/// What `--help` shows below the options.
const EXAMPLES: &str = "\
Examples:
  tandem version
  tandem version --json   # which versions of Go, shared memory, manifests, stores and queues it works with";

impl Version {
    pub fn run(self) -> ExitCode {
        if self.json {
            println!("{}", described());
        } else {
            println!("tandem {} (weave {})", env!("CARGO_PKG_VERSION"), weave::weave_version());
        }
        ExitCode::SUCCESS
    }
}

fn described() -> Value {
    // What is embedded was loaded by the tests.
    let packs = PackSet::load(&[]).map(|set| set.packs).unwrap_or_default();
    let packs: Vec<_> = packs.into_iter().map(|pack| pack.name).collect();
    let go = |(major, minor): (u64, u64)| format!("{major}.{minor}");
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": COMMIT.filter(|commit| !commit.is_empty()),
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "weave": weave::weave_version(),
        // A newer Go is woven as far as the packs fit.
        "go": {"oldest": go(OLDEST_GO), "newest": go(NEWEST_GO)},
        "formats": {
            "record": {
                "writes": record::layout::LAYOUT_VERSION,
                "reads": [record::READABLE_VERSIONS.start(), record::READABLE_VERSIONS.end()],
            },
            "manifest": gobin::manifest::VERSION,
            "store": store::SCHEMA_VERSION,
            "queue": deliver::retry::segment::VERSION,
        },
        "features": {
            "kernel_half": cfg!(any(target_arch = "x86_64", target_arch = "aarch64")),
            "static": cfg!(target_feature = "crt-static"),
        },
        "packs": packs,
    })
}
