//! One program with net/http, database/sql, log/slog and a span of its own, woven and run with several versions of Go.
//!
//! Guarantee: with each, nothing of the weave is missing, and its spans come out below one another as they must, with the
//! log record inside. Toolchains other than the installed one lie in the read-only module cache, where the go command puts
//! them. `make test` takes the oldest, the installed and the newest; `make test-go-versions` all. `TANDEM_GO_VERSIONS`
//! names others.

use std::fs;

use crate::rig::{BUILD_LIMIT, LIMIT, Rig, program, repository, run};
use crate::spans::{parents, traces};
use crate::support::skip;

/// What `make test` takes beside the installed one.
const OLDEST_AND_NEWEST: &str = "go1.21.0 local go1.27.4";

/// Build: Go versions | Go 1.21 to 1.27, toolchains in the read-only module cache (`GOTOOLCHAIN`) | woven; spans of `net/http`, `database/sql`, your own, ids on log records
#[test]
fn spans_in_every_go_version_network() {
    if crate::support::is_without_go("go_versions spans_in_every_go_version_network") {
        return;
    }
    let versions = std::env::var("TANDEM_GO_VERSIONS").unwrap_or_else(|_| OLDEST_AND_NEWEST.to_owned());
    for version in versions.split_whitespace() {
        let rig = Rig::new();
        let mut go = program("go");
        let answer = run(go.arg("version").env("GOTOOLCHAIN", version).current_dir(rig.path()), BUILD_LIMIT);
        if answer.code != 0 {
            skip(&format!("go_versions {version}"), answer.stderr.lines().last().unwrap_or("it cannot be had"));
            continue;
        }
        let binary = rig.path().join("order");
        let mut build = rig.tandem("go");
        build.args(["build", "-o"]).arg(&binary).arg(".").current_dir(repository().join("tests/go-versions"));
        let built = run(build.env("GOTOOLCHAIN", version), BUILD_LIMIT);
        assert_eq!((built.code, &*built.stderr), (0, ""), "{version}: the weave is not whole\n{built}");
        let text = fs::read(&binary).expect("it was built");
        let said = answer.stdout.split_whitespace().nth(2).expect("go version goX.Y.Z os/arch").to_owned();
        assert!(version == "local" || said == version, "{version}: {answer}");
        assert!(text.windows(said.len()).any(|window| window == said.as_bytes()), "{version} did not build it");

        let finished = run(rig.observe("run").arg("--").arg(&binary), LIMIT);
        assert_eq!(finished.code, 0, "{version}: {finished}");
        let spans = rig.spans();
        let mut found: Vec<String> =
            parents(&spans).into_iter().map(|((span, parent), times)| format!("{span} < {parent} {times}")).collect();
        found.sort();
        let expected = [
            "order client GET < - 1",
            "order client UPDATE stock < order internal price 1",
            "order internal price < order server GET 1",
            "order server GET < order client GET 1",
        ];
        assert_eq!(found, expected, "{version}: {finished}");
        let traces = traces(&spans);
        let trace = traces.keys().next().expect("there is one").to_string();
        let record = finished.stdout.lines().find(|line| line.contains("\"taken\"")).unwrap_or_default();
        assert!(record.contains(&trace), "{version}: the log record has no trace id: {record}");
        assert!(finished.stdout.ends_with("ordered for 3\n"), "{version}: {finished}");
    }
}
