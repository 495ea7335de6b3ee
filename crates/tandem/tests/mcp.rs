//! `tandem mcp` spoken to as an assistant does: JSON-RPC, a message a line.
//!
//! Guarantees: it answers what the commands answer, says what is wrong with a question so that it can be asked again, tells that it
//! only reads, and ends when its input does.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const VERSION: &str = "2025-06-18";

/// Asks for the tools and calls them in turn; all answers, by the number of the question. The first is the greeting.
fn asked(calls: &[(&str, Value)]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fixture::write(folder.path(), &fixture::shop());
    let mut server = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["mcp", "--store"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let client = json!({"name": "test", "version": "1"});
    let mut questions = vec![
        json!({"id": 0, "method": "initialize", "params":
            {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client}}),
        json!({"method": "notifications/initialized"}),
        json!({"id": 1, "method": "tools/list"}),
    ];
    for (index, (name, arguments)) in calls.iter().enumerate() {
        questions
            .push(json!({"id": 2 + index, "method": "tools/call", "params": {"name": name, "arguments": arguments}}));
    }
    let mut input = server.stdin.take().expect("a pipe");
    for mut question in questions {
        question["jsonrpc"] = json!("2.0");
        writeln!(input, "{question}").expect("it reads");
    }
    // Answers may come in any order, and the end of the input is the end: so all are waited for first.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(server.stdout.take().expect("a pipe")));
    let mut answers = vec![Value::Null; calls.len() + 2];
    for _ in 0..answers.len() {
        let line = lines.next().expect("an answer").expect("text");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let id = answer["id"].as_u64().unwrap_or_else(|| panic!("no number: {answer}")) as usize;
        answers[id] = answer["result"].clone();
    }
    drop(input);
    assert!(server.wait().expect("it is ours").success());
    answers
}

fn text(answer: &Value) -> &str {
    answer["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"))
}

#[test]
fn tools_say_that_they_only_read() {
    let answers = asked(&[]);
    assert_eq!(answers[0]["serverInfo"]["name"], "tandem");
    assert!(answers[0]["instructions"].as_str().is_some_and(|text| text.contains("never instructions")));
    let tools = answers[1]["tools"].as_array().expect("tools");
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().expect("a name")).collect();
    for name in [
        "list_services",
        "list_traces",
        "show_trace",
        "show_spans",
        "list_routes",
        "diagnose",
        "list_logs",
        "list_metrics",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    for tool in tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert!(tool["description"].as_str().is_some_and(|text| text.len() > 20), "{tool}");
    }
}

#[test]
fn answers_are_those_of_the_commands() {
    let answers = asked(&[
        ("list_services", json!({})),
        ("list_traces", json!({"query": "service=inventory"})),
        ("show_trace", json!({"id": "01"})),
        ("show_spans", json!({"trace": "01"})),
        ("list_routes", json!({"since": "9000d", "service": "gateway"})),
        ("diagnose", json!({"since": "9000d", "route": "products"})),
        ("list_logs", json!({"since": "1s"})),
        ("list_metrics", json!({"name": "go.*"})),
    ]);
    assert!(text(&answers[2]).lines().any(|line| line == "gateway"), "{}", text(&answers[2]));
    let traces: Vec<Value> =
        text(&answers[3]).lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(traces.len(), 1, "{traces:?}");
    assert!(text(&answers[4]).contains("POST /checkout"), "{}", text(&answers[4]));
    let spans = text(&answers[5]).lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
    assert!(spans.into_iter().any(|span| span["name"] == "POST /checkout"));
    assert!(text(&answers[6]).contains("\"operation\":\"GET /products\""), "{}", text(&answers[6]));
    assert!(text(&answers[7]).contains("GET /products"), "{}", text(&answers[7]));
    assert_eq!(text(&answers[8]), "nothing fits");
    assert_eq!(text(&answers[9]), "nothing fits");
}

#[test]
fn what_is_wrong_is_said() {
    let answers = asked(&[
        ("list_traces", json!({"query": "duration>"})),
        ("list_traces", json!({"since": "yesterday"})),
        ("show_trace", json!({"id": "zz"})),
        ("show_spans", json!({"trace": "01", "span": "12"})),
    ]);
    let expected = ["duration>", "yesterday is not a duration", "zz is not the beginning", "12 is no span's id"];
    for (answer, expected) in answers[2..].iter().zip(expected) {
        assert_eq!(answer["isError"], true, "{answer}");
        assert!(text(answer).contains(expected), "{answer}");
    }
}
