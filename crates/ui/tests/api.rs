//! What the HTTP side promises: the API's answers, the page's files, and who is refused.

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;
#[path = "../../store/tests/fixture/metrics.rs"]
mod measured;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use model::{Span, TraceSummary};
use serde_json::{Value, json};
use store::Reader;
use tempfile::TempDir;
use ui::{Server, UiError, parse_address, serve};

struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        assert!(self.headers.contains("content-type: application/json"), "{}", self.headers);
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The head of columns, with the numbers in place of what it says of where they are.
    fn columns(&self) -> Value {
        assert!(self.headers.contains("content-type: application/octet-stream"), "{}", self.headers);
        let (length, rest) = self.body.split_first_chunk().expect("a length");
        let (head, bytes) = rest.split_at(u32::from_le_bytes(*length) as usize);
        let mut head: Value = serde_json::from_slice(head).expect("JSON");
        for place in head["columns"].as_object_mut().expect("columns").values_mut() {
            let (form, begin, count): (String, usize, usize) = serde_json::from_value(place.take()).expect("a place");
            *place = numbers(&form, &bytes[begin..], count);
        }
        head
    }
}

fn numbers(form: &str, bytes: &[u8], count: usize) -> Value {
    macro_rules! read {
        ($form:ident) => {
            bytes
                .chunks_exact(size_of::<$form>())
                .map(|one| json!($form::from_le_bytes(one.try_into().expect("its size"))))
                .take(count)
                .collect()
        };
    }
    match form {
        "u8" => read!(u8),
        "u16" => read!(u16),
        "u32" => read!(u32),
        "i32" => read!(i32),
        "f32" => read!(f32),
        "f64" => read!(f64),
        other => panic!("{other} is no form of numbers"),
    }
}

/// One request, spelled out, so that nothing between it and the server is polite.
fn send(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("headers and body");
    let headers = std::str::from_utf8(&answer[..end]).expect("text");
    let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, headers: headers.to_lowercase(), body: answer[end + 4..].to_vec() }
}

fn request(server: &Server, method: &str, path: &str, host: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    send(server.address(), &request)
}

fn get(server: &Server, path: &str) -> Answer {
    request(server, "GET", path, &server.address().to_string())
}

fn any_port() -> SocketAddr {
    parse_address("0").expect("an address")
}

fn shop() -> (TempDir, Server) {
    let folder = TempDir::new().expect("a temporary folder");
    fixture::write(folder.path(), &fixture::shop());
    let server = serve(Reader::open(folder.path()).expect("the store opens"), any_port()).expect("it serves");
    (folder, server)
}

#[test]
fn metrics_are_listed_and_told_by_name() {
    let folder = TempDir::new().expect("a temporary folder");
    drop(measured::write(folder.path(), fixture::unlimited(), measured::shop()));
    let server = serve(Reader::open(folder.path()).expect("the store opens"), any_port()).expect("it serves");
    let list = get(&server, "/api/metrics?since=9000d&service=shop").json();
    let names: Vec<&str> =
        list["metrics"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["go.goroutine.count", "shop.request.duration", "shop.sold"]);
    let told = get(&server, "/api/metrics?since=9000d&name=shop.sold&limit=1").json();
    let series = &told["series"][0];
    assert_eq!((&series["attributes"]["state"], &series["value"]), (&json!("cart"), &json!(11)));
    assert_eq!(series["points"].as_array().map(Vec::len), Some(2));
    assert_eq!(told["is_cut"], json!(true));
    assert_eq!(get(&server, "/api/metrics?service=shop").json(), json!({"metrics": []}), "an hour is looked at");
    assert_eq!(get(&server, "/api/metrics?since=soon").status, 400);
}

#[test]
fn traces_are_listed_by_the_filters_of_the_query() {
    let (_folder, server) = shop();
    let list = |query: &str| -> Vec<TraceSummary> {
        let answer = get(&server, &format!("/api/traces{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        serde_json::from_value(answer.json()["traces"].clone()).expect("summaries")
    };
    assert_eq!(list("").len(), 36);
    assert_eq!(list("?limit=3").len(), 3);
    assert_eq!(list("?service=&route=").len(), 36, "empty filters are none");
    assert_eq!(list("?service=inventory")[0].span_count, 9);
    assert_eq!(list("?route=%2Fcheckout&errors=1")[0].error_count, 1);
    assert_eq!(list("?min_duration=100ms&max_duration=1s").len(), 1);
    assert_eq!(list("?attribute=http.response.status_code%3D402&attribute=host.name%3Dkiosk").len(), 1);
    assert_eq!(list("?until=9000d").len(), 0);
    assert_eq!(list("?q=http.response.status_code%3E%3D400+root%3D*checkout").len(), 1);
    assert_eq!(list("?q=service%3Dlager+or+service%3Dinventory").len(), 2);
    assert_eq!(list("?q=service%3Dlager+or+service%3Dinventory&errors=1").len(), 0, "filters narrow the query");
}

#[test]
fn what_is_wrong_with_a_query_has_its_place() {
    let (_folder, server) = shop();
    let answer = get(&server, "/api/traces?q=gr%C3%B6%C3%9Fe%3D1+duration%3E200");
    let error = "the unit is missing: write 200ms, 200us or 200s";
    assert_eq!((answer.status, answer.json()), (400, json!({ "error": error, "column": 18, "length": 3 })));
}

#[test]
fn queries_are_completed_where_the_cursor_stands() {
    let (_folder, server) = shop();
    let completions = |query: &str| get(&server, &format!("/api/complete?{query}")).json()["completions"].clone();
    let value = |text: &str| json!({ "kind": "value", "text": text, "from": 8, "to": 9, "meaning": "" });
    assert_eq!(
        completions("q=service%3Do+status%3Dok&at=9"),
        json!([value("orders"), value("inventory"), value("worker")])
    );
    let first =
        json!({ "kind": "key", "text": "service", "from": 0, "to": 0, "meaning": "service.name of the program" });
    assert_eq!(completions("")[0], first);
    assert_eq!(completions("q=status&at=3")[0]["text"], "status");
    assert_eq!(completions("q=duration+&at=9")[0]["kind"], "operator");
}

#[test]
fn a_trace_comes_whole_for_scripts() {
    let (_folder, server) = shop();
    let trace = get(&server, "/api/traces/01").json();
    let spans: Vec<Span> = serde_json::from_value(trace["spans"].clone()).expect("spans");
    assert_eq!((spans.len(), &trace["summary"]["root"]), (9, &json!("POST /checkout")));
    assert_eq!(trace["resources"]["inventory"]["service.name"], "inventory");
    assert_eq!(
        get(&server, "/api/traces/last").json()["summary"]["trace_id"],
        get(&server, "/api/traces?limit=1").json()["traces"][0]["trace_id"]
    );
    assert_eq!(
        get(&server, "/api/services").json(),
        json!({ "services": ["gateway", "inventory", "lager", "orders", "worker"] })
    );
}

/// A row's values stand at the same place of every column; what is on the critical path is told with its time.
#[test]
fn a_trace_is_drawn_in_columns() {
    let (_folder, server) = shop();
    let drawing = get(&server, "/api/traces/01/drawing").columns();
    let columns = &drawing["columns"];
    let all =
        |column: &str| columns[column].as_array().expect("numbers").iter().map(|one| one.as_f64().expect("a number"));
    let of = |column: &str, row: usize| all(column).nth(row).expect("a row");
    let named = |list: &str, number: f64| drawing[list][number as usize].as_str().expect("a name");
    assert_eq!(named("names", of("name", 5)), "SELECT stock");
    assert_eq!(named("services", of("service", 5)), "inventory");
    assert_eq!(named("kinds", of("kind", 5)), "client");
    assert_eq!(named("sources", of("source", 5)), "woven");
    assert_eq!(named("scopes", of("scope", 5)), "tandem/database/sql");
    assert_eq!((of("depth", 5), of("parent", 5), of("children", 5)), (5.0, 4.0, 0.0));
    assert_eq!((of("offset_ns", 5), of("duration_ns", 5)), (66e6, 33.5e6));
    assert_eq!((of("marks", 5), of("links", 8), of("events", 0)), (8.0, 1.0, 1.0));
    let parts = of("anatomy_begin", 5) as usize..of("anatomy_begin", 6) as usize;
    let parts: Vec<_> = parts.map(|at| (named("parts", of("anatomy_part", at)), of("anatomy_ns", at))).collect();
    assert_eq!(parts, [("blocked_file", 3.9e6), ("major_fault", 1.1e6), ("on_cpu", 28.5e6)]);
    for (name, column) in columns.as_object().expect("columns") {
        let count = column.as_array().map(Vec::len);
        assert!(name.starts_with("anatomy") || name.starts_with("critical") || matches!(count, Some(9 | 72)), "{name}");
    }
    let time: f64 = all("critical_to").sum::<f64>() - all("critical_from").sum::<f64>();
    assert_eq!(time, 182.4e6, "the critical path is as long as the request");
    let path: std::collections::BTreeSet<_> =
        all("critical_row").map(|row| named("names", of("name", row as usize))).collect();
    assert!(path.contains("INSERT orders"), "{path:?}");

    let orphans = get(&server, "/api/traces/04/drawing").columns();
    let id: Vec<_> = orphans["columns"]["span_id"].as_array().expect("bytes").iter().take(8).collect();
    assert_eq!((json!(id), &orphans["columns"]["marks"][0]), (json!([0x5a, 0, 0, 0, 0, 0, 4, 9]), &json!(2)));
    let span = get(&server, "/api/traces/01/spans/5a00000000000106").json();
    assert_eq!(span["span"]["attributes"]["db.system.name"], "sqlite");
    assert_eq!(span["resource"]["host.name"], "kiosk");
    let id = drawing["summary"]["trace_id"].as_str().expect("an id");
    assert_eq!(get(&server, &format!("/api/traces/{id}/logs")).json(), json!({ "logs": [] }));
}

/// The same filters choose what is listed and what is counted.
#[test]
fn a_list_is_told_as_a_whole() {
    let (_folder, server) = shop();
    let overview = get(&server, "/api/overview").json();
    assert_eq!((&overview["traces"], &overview["errors"], &overview["more"]), (&json!(36), &json!(1), &json!(false)));
    assert_eq!(overview["facets"]["services"][0], json!(["gateway", 33]));
    assert_eq!(overview["facets"]["roots"][0], json!(["GET /products", 30]));
    let status = overview["facets"]["attributes"].as_array().and_then(|facets| {
        facets.iter().find(|facet| facet["key"] == "http.response.status_code").map(|facet| &facet["values"])
    });
    assert_eq!(status, Some(&json!([["200", 1], ["202", 1], ["402", 1]])), "{overview}");
    let from = overview["series"]["from_ms"].as_u64().expect("a moment") + 7000;
    let narrowed = get(&server, &format!("/api/overview?from={from}&to={}", from + 60_000)).json();
    assert_eq!(narrowed["traces"], 30);
    assert_eq!(get(&server, "/api/overview?from=yesterday").status, 400);
}

#[test]
fn what_is_computed_of_traces_is_told() {
    let (_folder, server) = shop();
    let routes = get(&server, "/api/routes").json();
    let checkout = routes["routes"]
        .as_array()
        .and_then(|routes| routes.iter().find(|route| route["operation"] == "POST /checkout"))
        .expect("the route");
    assert_eq!((&checkout["requests"], &checkout["quantiles"][2]["at"]), (&json!(2), &json!(0.99)));
    let pieces = checkout["quantiles"][2]["pieces"].as_array().expect("pieces");
    let time: u64 = pieces.iter().filter_map(|piece| piece["time_ns"].as_u64()).sum();
    assert!(time.abs_diff(182_400_000) < 1000, "the pieces add up to the request: {time}");

    let map = get(&server, "/api/map").json();
    let edge = |from: &str, to: &str| {
        let edges = map["edges"].as_array().expect("edges");
        edges.iter().any(|edge| edge["from"] == from && edge["to"] == to)
    };
    assert!(edge("gateway", "orders") && edge("orders", "inventory") && edge("inventory", "sqlite"), "{map}");
    assert!(!edge("inventory", "gateway"));
    let diagnosis = get(&server, "/api/diagnosis?route=/products").json();
    assert_eq!(diagnosis["diagnoses"][0]["requests"], 30);
    assert_eq!(get(&server, "/api/diagnosis?baseline=long").status, 400);
    assert_eq!(get(&server, "/api/flame?kind=off_cpu").json()["samples"], 0);
    assert_eq!(get(&server, "/api/flame?kind=heap").status, 400);
    let health = get(&server, "/api/health").json();
    assert_eq!(health["agent"], Value::Null);
    let store = &health["store"];
    assert_eq!((&store["oldest_unix_nano"], &store["is_full"]), (&json!(fixture::START), &json!(false)));
}

/// Scenario: a service in three versions, of which the first one comes back. Guarantee: the one that was started last is the first.
#[test]
fn versions_are_told_by_their_services() {
    let folder = TempDir::new().expect("a temporary folder");
    for (id, service, version) in [(1, "cart", "1.0"), (2, "shop", "1.0"), (3, "shop", "1.1"), (4, "shop", "1.0")] {
        let mut span = fixture::span(id, 1, 0, service, "GET /", id.into(), 1);
        let mut resource = (*span.resource).clone();
        resource.attributes.insert("service.version".into(), model::Value::String(version.to_owned()));
        resource.attributes.insert("process.pid".into(), model::Value::Int(id.into()));
        span.resource = resource.into();
        fixture::write(folder.path(), &[span]);
    }
    let server = serve(Reader::open(folder.path()).expect("the store opens"), any_port()).expect("it serves");
    let builds = [("cart", vec!["1.0"]), ("shop", vec!["1.0", "1.1"])];
    let builds = builds.map(|(service, versions)| json!({"service": service, "versions": versions}));
    assert_eq!(get(&server, "/api/builds").json(), json!({ "builds": builds }));
}

#[test]
fn what_is_wrong_is_said() {
    let (folder, server) = shop();
    let error = |path: &str| {
        let answer = get(&server, path);
        (answer.status, answer.json()["error"].as_str().expect("a message").to_owned())
    };
    assert_eq!(error("/api/traces?min_duration=soon").0, 400);
    assert!(error("/api/traces?min_duration=soon").1.starts_with("min_duration: soon is not a duration"));
    assert_eq!(error("/api/traces?attribute=route").1, "attribute: route lacks a value: write key=value");
    assert_eq!(error("/api/traces?sort=up").1, "sort is not a filter");
    assert_eq!(error("/api/traces/ff"), (404, "no trace begins with ff".into()));
    assert_eq!(error("/api/traces/0").0, 400);
    assert_eq!(error("/api/traces/%3Cscript%3E").0, 400);
    assert_eq!(error("/api/nothing").0, 404);
    assert_eq!(error("/api/traces/01/spans/5a").0, 400);
    assert_eq!(error("/api/traces/01/spans/ffffffffffffffff").0, 404);
    assert_eq!(get(&server, "/nowhere").status, 404);
    assert_eq!(get(&server, "/../Cargo.toml").status, 404);

    std::fs::remove_file(folder.path().join("spans.sqlite3")).expect("the file goes");
    std::fs::write(folder.path().join("spans.sqlite3"), "no store ".repeat(100)).expect("written");
    let fresh = serve(Reader::open(&folder.path().join("none")).expect("absent is empty"), any_port()).expect("serves");
    assert_eq!(get(&fresh, "/api/traces").json(), json!({ "traces": [] }));
}

#[test]
fn every_answer_carries_the_headers_that_keep_others_out() {
    let (_folder, server) = shop();
    for path in ["/", "/trace/01", "/routes", "/api/traces", "/api/map", "/api/traces/ff", "/nowhere", "/icon.svg"] {
        let headers = get(&server, path).headers;
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self';",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "cache-control: ",
        ] {
            assert!(headers.contains(header), "{path} lacks {header}:\n{headers}");
        }
        assert!(!headers.contains("unsafe-inline") && !headers.contains("access-control-allow"), "{headers}");
    }
}

#[test]
fn foreign_names_and_writes_are_refused() {
    let (_folder, server) = shop();
    let port = server.address().port();
    for host in ["evil.example", &format!("evil.example:{port}"), ""] {
        let answer = request(&server, "GET", "/api/traces", host);
        assert_eq!(answer.status, 421, "{host}");
        assert!(!answer.text().contains("trace_id"));
    }
    let none = send(server.address(), "GET /api/traces HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(none.status, 421);
    assert_eq!(request(&server, "GET", "/api/traces", &format!("localhost:{port}")).status, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        assert_eq!(request(&server, method, "/api/traces", "localhost").status, 405, "{method}");
    }
    assert_eq!(request(&server, "HEAD", "/", "localhost").text(), "");
}

/// A host that allows changes, or does not.
struct Switchboard {
    may_enable: bool,
}

impl ui::Host for Switchboard {
    fn own_numbers(&self) -> Option<Vec<deliver::metrics::OwnMetric>> {
        None
    }

    fn problems(&self) -> Vec<String> {
        vec!["store: its disk is full".to_owned()]
    }

    fn store_limit(&self) -> Option<u64> {
        Some(1 << 20)
    }

    fn in_flight(&self) -> Result<Vec<ui::UnderWay>, String> {
        Err("it cannot be seen".to_owned())
    }

    fn advice(&self) -> Result<Vec<ui::Advice>, String> {
        Ok(Vec::new())
    }

    fn may_enable(&self) -> bool {
        self.may_enable
    }

    fn enable(&self, function: &ui::Function) -> Result<String, String> {
        match function.function.as_str() {
            "shop.Render" => Ok("it is on".to_owned()),
            other => Err(format!("there is no {other}")),
        }
    }
}

/// Functions are switched on only where that was allowed, and only by the page itself.
#[test]
fn only_what_was_allowed_is_changed() {
    let served = |may_enable| {
        let reader = Reader::open(std::path::Path::new("/nonexistent/store")).expect("absent is empty");
        ui::serve_with(reader, std::sync::Arc::new(Switchboard { may_enable }), any_port()).expect("it serves")
    };
    let enable = |server: &Server, function: &str, header: &str| {
        let body = json!({ "function": function, "service": "shop" }).to_string();
        let request = format!(
            "POST /api/enable HTTP/1.1\r\nHost: {}\r\n{header}Content-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            server.address(),
            body.len()
        );
        send(server.address(), &request)
    };
    const FROM_PAGE: &str = "X-Tandem-Page: 1\r\n";
    let (open, closed) = (served(true), served(false));
    assert_eq!(enable(&open, "shop.Render", FROM_PAGE).json(), json!({ "done": "it is on" }));
    assert_eq!(enable(&open, "shop.Other", FROM_PAGE).json(), json!({ "error": "there is no shop.Other" }));
    assert_eq!(enable(&open, "shop.Render", "").status, 403, "another site cannot send the header");
    assert_eq!(enable(&closed, "shop.Render", FROM_PAGE).status, 403);
    assert_eq!(get(&open, "/api/advice").json(), json!({ "advice": [], "may_enable": true }));
    assert_eq!(get(&open, "/api/in-flight").json(), json!({ "error": "it cannot be seen" }));
    let (_folder, plain) = shop();
    assert_eq!(get(&plain, "/api/in-flight").json(), json!({ "spans": null }));
    assert_eq!(enable(&plain, "shop.Render", FROM_PAGE).status, 403);
    assert_eq!(get(&plain, "/api/advice").json(), json!({ "advice": null, "may_enable": false }));
}

/// At an address that others reach, nothing is answered to who does not know the token; who does gets a cookie with it.
#[test]
fn others_must_know_the_token() {
    let folder = TempDir::new().expect("a temporary folder");
    let reader = Reader::open(folder.path()).expect("absent is empty");
    let server = serve(reader, "0.0.0.0:0".parse().expect("an address")).expect("it serves");
    assert!(server.is_exposed());
    let port = server.address().port();
    let url = server.url();
    let token = url.split_once("?token=").expect("the token is in the address").1;
    let ask = |path: &str, header: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{header}Connection: close\r\n\r\n");
        send(SocketAddr::from(([127, 0, 0, 1], port)), &request)
    };
    for (path, header) in [
        ("/", ""),
        ("/api/traces", ""),
        ("/?token=", ""),
        ("/api/traces?token=0123456789abcdef0123456789abcdef", ""),
        ("/api/traces", "Authorization: Bearer nothing\r\n"),
        ("/api/traces", "Cookie: tandem-1=nothing; other=1\r\n"),
    ] {
        assert_eq!(ask(path, header).status, 401, "{path} {header}");
    }
    let opened = ask(&format!("//evil.example/?token={token}&since=1h"), "");
    assert_eq!(opened.status, 303);
    assert!(opened.headers.contains("location: /evil.example/?since=1h\r\n"), "{}", opened.headers);
    let cookie = format!("tandem-{port}={token}");
    assert!(opened.headers.contains(&format!("set-cookie: {cookie}; path=/; httponly; samesite=strict")));
    assert_eq!(ask("/api/traces", &format!("Cookie: other=1; {cookie}\r\n")).status, 200);
    assert_eq!(ask("/api/traces", &format!("Authorization: Bearer {token}\r\n")).status, 200);
}

#[test]
fn the_page_and_its_files_are_embedded() {
    let (_folder, server) = shop();
    let page = get(&server, "/");
    assert_eq!(page.status, 200);
    assert!(page.headers.contains("content-type: text/html; charset=utf-8"));
    assert_eq!(page.text(), get(&server, "/trace/01ab").text(), "the page reads its address itself");
    assert!(!page.headers.contains("\nlink:"), "{}", page.headers);
    let trace = get(&server, "/trace/01ab").headers;
    assert!(trace.contains("\nlink: </api/traces/01ab/drawing>; rel=preload"), "{trace}");
    assert!(!get(&server, "/trace/01ab%3E").headers.contains("\nlink:"), "only ids are asked for beforehand");
    let script = page.text().split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a script");
    let answer = get(&server, script);
    assert_eq!(answer.status, 200);
    assert!(answer.headers.contains("content-type: text/javascript"));
    assert!(answer.headers.contains("immutable"));
    assert!(!page.text().contains("<style") && !page.text().contains("<script>"), "nothing inline");
}

#[test]
fn a_port_in_use_is_an_error_that_says_so_and_stopping_frees_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let reader = || Reader::open(std::path::Path::new("/nonexistent/store")).expect("absent is empty");
    let error = serve(reader(), address).expect_err("the port is taken");
    assert!(matches!(error, UiError::Listen { .. }));
    assert!(error.to_string().contains(&format!("cannot show the page at {address}")), "{error}");
    drop(taken);

    let server = serve(reader(), address).expect("the port is free");
    assert!(!server.is_exposed());
    assert_eq!(server.url(), format!("http://{address}/"));
    drop(server);
    drop(serve(reader(), address).expect("the port is free again"));
}
