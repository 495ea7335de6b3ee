//! Scenario: the functions that observers put probes on, in programs of every Go since 1.18 and of old and new versions of
//! their modules. Guarantee: `docs/probe-sites.md` says which rules hold for each of them.
//!
//! `TANDEM_GENERATE=1` writes the page's tables instead of comparing them. The columns of other Go versions and of modules
//! need their source: `make probe-sites`.

#[path = "support/go.rs"]
mod go;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use go::Build;
use gobin::{Binary, EndRule, SiteKind, sites};

const STD: &[&str] = &[
    "net/http.serverHandler.ServeHTTP",
    "net/http.(*response).finishRequest",
    "net/http.(*conn).serve",
    "net/http.(*conn).readRequest",
    "net/http.(*http2serverConn).runHandler",
    "net/http.(*http2responseWriter).handlerDone",
    "net/http/internal/http2.(*serverConn).runHandler",
    "net/http/internal/http2.(*responseWriter).handlerDone",
    "net/http.(*Client).do",
    "net/http.(*Client).send",
    "net/http.send",
    "net/http.(*Transport).RoundTrip",
    "net/http.(*Transport).roundTrip",
    "net/http.(*persistConn).roundTrip",
    "net/http.(*http2Transport).RoundTripOpt",
    "net/http.(*http2ClientConn).roundTrip",
    "net/http/internal/http2.(*ClientConn).roundTrip",
    "database/sql.(*DB).QueryContext",
    "database/sql.(*DB).query",
    "database/sql.(*DB).queryDC",
    "database/sql.(*DB).ExecContext",
    "database/sql.(*DB).exec",
    "database/sql.(*DB).execDC",
    "database/sql.(*Rows).close",
    "database/sql.(*Tx).Commit",
    "runtime.newproc1",
    "runtime.gopanic",
    "runtime.goexit1",
];

/// Programs with their modules, those versions of them that other tests fetch as well, and functions.
const MODULES: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "grpc",
        "google.golang.org/grpc",
        &["v1.60.0", "v1.68.1", "v1.85.0"],
        &[
            "google.golang.org/grpc.(*Server).handleStream",
            "google.golang.org/grpc.(*Server).processUnaryRPC",
            "google.golang.org/grpc.(*Server).processStreamingRPC",
            "google.golang.org/grpc/internal/transport.(*http2Server).WriteStatus",
            "google.golang.org/grpc/internal/transport.(*http2Server).writeStatus",
            "google.golang.org/grpc/internal/transport.(*http2Server).finishStream",
            "google.golang.org/grpc.(*ClientConn).Invoke",
            "google.golang.org/grpc.invoke",
            "google.golang.org/grpc.newClientStream",
            "google.golang.org/grpc.newClientStreamWithParams",
            "google.golang.org/grpc.(*clientStream).SendMsg",
            "google.golang.org/grpc.(*clientStream).RecvMsg",
            "google.golang.org/grpc.(*clientStream).finish",
            "google.golang.org/grpc/internal/transport.(*http2Client).NewStream",
            "google.golang.org/grpc/internal/transport.(*loopyWriter).writeHeader",
        ],
    ),
    (
        "redis",
        "github.com/redis/go-redis/v9",
        &["v9.0.2", "v9.23.0"],
        &[
            "github.com/redis/go-redis/v9.(*baseClient).process",
            "github.com/redis/go-redis/v9.(*baseClient)._process",
            "github.com/redis/go-redis/v9.(*baseClient).processPipeline",
            "github.com/redis/go-redis/v9.(*baseClient).generalProcessPipeline",
            "github.com/redis/go-redis/v9.(*baseClient).withConn",
            "github.com/redis/go-redis/v9.(*Client).Process",
            "github.com/redis/go-redis/v9.(*hooksMixin).processHook",
        ],
    ),
    (
        "kafka-go",
        "github.com/segmentio/kafka-go",
        &["v0.4.42", "v0.4.51"],
        &[
            "github.com/segmentio/kafka-go.(*Writer).WriteMessages",
            "github.com/segmentio/kafka-go.(*Writer).produce",
            "github.com/segmentio/kafka-go.(*partitionWriter).writeBatch",
            "github.com/segmentio/kafka-go.(*Reader).FetchMessage",
            "github.com/segmentio/kafka-go.(*Reader).ReadMessage",
        ],
    ),
    (
        "sarama",
        "github.com/IBM/sarama",
        &["v1.40.1", "v1.61.1"],
        &[
            "github.com/IBM/sarama.(*syncProducer).SendMessage",
            "github.com/IBM/sarama.(*asyncProducer).dispatcher",
            "github.com/IBM/sarama.(*asyncProducer).returnSuccesses",
            "github.com/IBM/sarama.(*asyncProducer).returnError",
            "github.com/IBM/sarama.(*partitionConsumer).parseResponse",
        ],
    ),
    (
        "franz-go",
        "github.com/twmb/franz-go",
        &["v1.14.0", "v1.22.3"],
        &[
            "github.com/twmb/franz-go/pkg/kgo.(*Client).Produce",
            "github.com/twmb/franz-go/pkg/kgo.(*Client).produce",
            "github.com/twmb/franz-go/pkg/kgo.(*Client).ProduceSync",
            "github.com/twmb/franz-go/pkg/kgo.(*Client).finishRecordPromise",
            "github.com/twmb/franz-go/pkg/kgo.(*Client).PollRecords",
        ],
    ),
];

/// What holds for a function: how it begins, and how many sites its end has by each rule.
fn cell(binary: &Binary, name: &str) -> String {
    let Some(function) = binary.function(name) else { return "–".into() };
    let mut begin = None;
    let mut said = String::new();
    for (letter, rule) in [("I", EndRule::Inside), ("C", EndRule::ReturnSites), ("R", EndRule::Return)] {
        let Ok(found) = sites(binary, &function, rule) else { continue };
        begin = Some(found.begin.kind);
        said += &format!(" {letter}{}", found.ends.len());
    }
    let begin = match begin {
        Some(SiteKind::Push) => "push",
        Some(SiteKind::Jcc) => "check",
        Some(_) => "other",
        None => "none",
    };
    format!("{begin}{said}")
}

fn table(functions: &[&str], columns: &[(String, PathBuf)]) -> String {
    let mut rows: Vec<String> = functions.iter().map(|name| format!("| `{name}` |")).collect();
    let (mut head, mut line) = (String::from("| function |"), String::from("|---|"));
    for (title, program) in columns {
        let binary = Binary::open(program).unwrap_or_else(|error| panic!("{error}"));
        head += &format!(" {title} |");
        line += "---|";
        for (row, name) in rows.iter_mut().zip(functions) {
            *row += &format!(" {} |", cell(&binary, name));
        }
    }
    format!("{head}\n{line}\n{}\n", rows.join("\n"))
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/probe-sites.md")
}

/// The text between two marks of the page.
fn part<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("<!-- {name} -->\n")).unwrap_or_else(|| panic!("the page has no {name}"));
    rest.split_once("<!-- end -->").expect("an end").0
}

fn check(name: &str, table: &str) {
    let text = fs::read_to_string(page()).expect("a page");
    let known = part(&text, name);
    if std::env::var_os("TANDEM_GENERATE").is_some() {
        let around = |content: &str| format!("<!-- {name} -->\n{content}<!-- end -->");
        fs::write(page(), text.replace(&around(known), &around(table))).expect("writable");
    } else {
        assert_eq!(known, table, "docs/probe-sites.md is not true any more: make probe-sites GENERATE=1");
    }
}

fn stripped(program: &'static str) -> Build<'static> {
    Build { program, arguments: &["-ldflags=-s -w"], ..Build::default() }
}

#[test]
#[ignore = "builds with many versions of Go: make probe-sites"]
fn every_version_has_the_sites_of_the_page() {
    let versions = std::env::var("TANDEM_GO_VERSIONS").expect("TANDEM_GO_VERSIONS");
    let versions: Vec<&str> = versions.split_whitespace().collect();
    let column = |go: &&str| (go.trim_start_matches("go").to_owned(), Build { go: Some(go), ..stripped("std") }.make());
    check("std", &table(STD, &versions.iter().map(column).collect::<Vec<_>>()));
    for (program, module, versions, functions) in MODULES {
        let column = |version: &&str| {
            let modules = [format!("{module}@{version}")];
            ((*version).to_owned(), Build { modules: &[&modules[0]], ..stripped(program) }.make())
        };
        check(program, &table(functions, &versions.iter().map(column).collect::<Vec<_>>()));
    }
}

/// The page's column of the Go that is installed, where it has one.
#[test]
fn the_installed_go_has_the_sites_of_the_page() {
    let output = Command::new("go").args(["env", "GOVERSION"]).output().expect("go runs");
    let version = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches("go").to_owned();
    let text = fs::read_to_string(page()).expect("a page");
    let known = part(&text, "std");
    let cells = |line: &str| -> Vec<String> { line.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let mut lines = known.lines().map(cells);
    let head = lines.next().expect("a head");
    let Some(column) = head.iter().position(|title| *title == version) else {
        println!("skipped: docs/probe-sites.md has no column for Go {version}");
        return;
    };
    let now = table(STD, &[(version, stripped("std").make())]);
    for (known, now) in lines.zip(now.lines().skip(1).map(cells)).skip(1) {
        assert_eq!((&known[1], &known[column]), (&now[1], &now[2]));
    }
}
