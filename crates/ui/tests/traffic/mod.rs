//! A quarter of an hour of a shop's traffic, for looking at: seven services, of which five are woven, one is observed by probes and
//! one by its sockets; a lock that makes some checkouts slow, a bank that declines cards for some minutes. The same
//! every time, but for the moment at which it ends.
#![allow(dead_code, reason = "each target that includes this file uses a part of it")]

pub mod large;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use deliver::otlp::builder::any_value;
use deliver::otlp::encode::UnixNanos;
use deliver::otlp::profiles::{Observed, ProfileBuilder};
use deliver::{Batch, Signal, Sink};
use model::{
    Anatomy, Attributes, Event, Frame, Kind, Link, Location, ProfileKind, Resource, Source, Span, SpanId, Status,
    StatusCode, TraceId, Value,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1 as proto;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use prost::Message;
use store::{LogStore, ProfileStore, Store};

use crate::fixture;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
/// How long the traffic lasts.
const LASTS: u64 = 15 * 60 * 1000 * MS;

/// Numbers that look like chance and are the same every time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from).max(1)
    }

    fn percent(&mut self, share: u64) -> bool {
        self.next() % 100 < share
    }

    /// About so much: most of it near, some of it far above, as durations are.
    fn about(&mut self, usual: u64) -> u64 {
        let far = if self.percent(6) { self.within(100, 240) } else { 100 };
        usual * self.within(70, 150) / 100 * far / 100
    }
}

/// A log record before it is written.
struct Logged {
    span: usize,
    time: u64,
    severity: u8,
    text: String,
}

/// Traffic that is being made up.
pub struct Traffic {
    chance: Chance,
    resources: BTreeMap<&'static str, Arc<Resource>>,
    spans: Vec<Span>,
    logs: Vec<Logged>,
    trace: TraceId,
    next_span: u64,
}

/// What a span is.
struct Made<'a> {
    service: &'static str,
    kind: Kind,
    scope: &'a str,
    name: &'a str,
    attributes: &'a [(&'a str, &'a str)],
}

impl Traffic {
    /// So many requests, the last of which has just ended.
    pub fn of(requests: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
        let resources = [
            ("gateway", "go", "1.8.2"),
            ("orders", "go", "2.4.0"),
            ("inventory", "go", "3.1.1"),
            ("worker", "go", "1.0.9"),
            ("mail", "go", "0.7.3"),
            ("pricing", "go", "5.2.0"),
            ("payments", "java", "11.3"),
        ];
        let resources = resources.map(|(name, language, version)| (name, resource(name, language, version)));
        let mut traffic = Self {
            chance: Chance(0x1234_5678_9abc_def1),
            resources: resources.into(),
            spans: Vec::new(),
            logs: Vec::new(),
            trace: TraceId::default(),
            next_span: 1,
        };
        for index in 0..requests {
            if index == requests * 2 / 3 {
                traffic.resources.insert("gateway", resource("gateway", "go", "1.9.0"));
            }
            let at = now - LASTS + LASTS / requests * index + traffic.chance.within(0, LASTS / requests);
            traffic.request(at - 2_000 * MS, (index * 100 / requests) as u32);
        }
        traffic
    }

    fn request(&mut self, at: u64, percent: u32) {
        let high = self.chance.next();
        self.trace = TraceId((u128::from(high) << 64 | u128::from(self.chance.next())).to_be_bytes());
        match self.chance.within(0, 100) {
            0..45 => self.products(at),
            45..70 => self.product(at),
            70..90 => self.checkout(at, percent),
            90..97 => self.order(at),
            _ => self.health(at),
        }
    }

    /// Opens a span; how long it took is said when it is closed.
    fn open(&mut self, made: &Made<'_>, parent: Option<usize>, at: u64) -> usize {
        self.next_span += 1;
        let resource = Arc::clone(&self.resources[made.service]);
        let text = |(key, value): &(&str, &str)| {
            let number = value.parse().map(Value::Int);
            ((*key).to_owned(), number.unwrap_or_else(|_| Value::String((*value).to_owned())))
        };
        let (source, parent_source) = match made.service {
            "pricing" => (Source::Uprobe, Some("goroutine")),
            "payments" => (Source::Socket, Some("connection")),
            _ => (Source::Woven, None),
        };
        let mut attributes: Attributes = made.attributes.iter().map(text).collect();
        if let Some(how) = parent_source.filter(|_| parent.is_some()) {
            attributes.insert("tandem.parent.source".to_owned(), Value::String(how.to_owned()));
        }
        self.spans.push(Span {
            trace_id: self.trace,
            span_id: SpanId((0x5a00_0000_0000_0000 | self.next_span).to_be_bytes()),
            parent_span_id: parent.map(|parent| self.spans[parent].span_id),
            name: made.name.to_owned(),
            kind: made.kind,
            service: made.service.to_owned(),
            start_unix_nano: at,
            duration_ns: 0,
            status: Status::default(),
            attributes,
            events: Vec::new(),
            links: Vec::new(),
            anatomy: None,
            source,
            unfinished: false,
            trace_state: String::new(),
            flags: 0,
            scope: made.scope.to_owned(),
            resource,
        });
        self.spans.len() - 1
    }

    /// Closes it at a moment, which is returned. `parts` are shares of its time, in thousandths; the rest was on a CPU.
    fn close(&mut self, span: usize, at: u64, parts: &[(&str, u64)]) -> u64 {
        let chance = self.chance.within(80, 120);
        let span = &mut self.spans[span];
        span.duration_ns = at - span.start_unix_nano;
        if span.source == Source::Woven {
            let wall = span.duration_ns;
            let mut parts_ns: BTreeMap<String, u64> =
                parts.iter().map(|(part, share)| ((*part).to_owned(), wall * share / 1000)).collect();
            parts_ns.entry("run_queue".to_owned()).or_insert(wall * chance / 8000);
            let sum: u64 = parts_ns.values().sum();
            parts_ns.insert("on_cpu".to_owned(), wall.saturating_sub(sum));
            span.anatomy = Some(Anatomy { wall_ns: wall, parts_ns });
        }
        at
    }

    fn fail(&mut self, span: usize, message: &str) {
        self.spans[span].status = Status { code: StatusCode::Error, message: message.to_owned() };
    }

    fn log(&mut self, span: usize, time: u64, severity: u8, text: &str) {
        self.logs.push(Logged { span, time, severity, text: text.to_owned() });
    }

    /// A span without children.
    fn leaf(&mut self, made: &Made<'_>, parent: usize, at: u64, usual: u64, parts: &[(&str, u64)]) -> u64 {
        let span = self.open(made, Some(parent), at);
        let took = self.chance.about(usual);
        self.close(span, at + took, parts)
    }

    fn query(&mut self, service: &'static str, parent: usize, at: u64, name: &str, text: &str, usual: u64) -> u64 {
        let attributes = [
            ("db.system.name", "postgresql"),
            ("db.namespace", "shop"),
            ("db.query.text", text),
            ("server.address", "db.internal"),
            ("server.port", "5432"),
        ];
        let made = Made { service, kind: Kind::Client, scope: "tandem/database/sql", name, attributes: &attributes };
        self.leaf(&made, parent, at, usual, &[("go_network", 830), ("go_runnable", 30)])
    }

    fn cache(&mut self, service: &'static str, parent: usize, at: u64, name: &str) -> u64 {
        let attributes = [("db.system.name", "redis"), ("server.address", "cache.internal"), ("server.port", "6379")];
        let made = Made { service, kind: Kind::Client, scope: "tandem/go-redis", name, attributes: &attributes };
        self.leaf(&made, parent, at, 450 * US, &[("go_network", 780), ("go_runnable", 60)])
    }

    fn http_server(
        &mut self,
        service: &'static str,
        parent: Option<usize>,
        at: u64,
        method: &str,
        route: &str,
    ) -> usize {
        let name = format!("{method} {route}");
        let attributes = [
            ("http.request.method", method),
            ("http.route", route),
            ("http.response.status_code", "200"),
            ("url.scheme", "http"),
            ("url.path", route),
            ("server.address", "shop.example"),
            ("network.protocol.version", "1.1"),
        ];
        let scope = if service == "gateway" { "tandem/gin" } else { "tandem/net/http" };
        self.open(&Made { service, kind: Kind::Server, scope, name: &name, attributes: &attributes }, parent, at)
    }

    fn http_client(&mut self, service: &'static str, parent: usize, at: u64, method: &str, host: &str) -> usize {
        let attributes =
            [("http.request.method", method), ("server.address", host), ("http.response.status_code", "200")];
        let made =
            Made { service, kind: Kind::Client, scope: "tandem/net/http", name: method, attributes: &attributes };
        self.open(&made, Some(parent), at)
    }

    fn health(&mut self, at: u64) {
        let root = self.http_server("gateway", None, at, "GET", "/healthz");
        let took = self.chance.about(90 * US);
        self.close(root, at + took, &[]);
    }

    fn products(&mut self, at: u64) {
        let root = self.http_server("gateway", None, at, "GET", "/products");
        let mut now = self.cache("gateway", root, at + 180 * US, "GET");
        if self.chance.percent(35) {
            now = self.price(root, now + 90 * US);
            now = self.query(
                "gateway",
                root,
                now + 60 * US,
                "SELECT products",
                "SELECT sku, title, price FROM products ORDER BY rank LIMIT $1",
                2_600 * US,
            );
            now = self.cache("gateway", root, now + 200 * US, "SET");
        }
        let render = self.chance.about(600 * US);
        self.close(root, now + render, &[("go_network", 520), ("go_gc", 12), ("go_runnable", 24)]);
    }

    fn price(&mut self, parent: usize, at: u64) -> u64 {
        let client = self.http_client("gateway", parent, at, "GET", "pricing.internal");
        let server = self.http_server("pricing", Some(client), at + 300 * US, "GET", "/prices");
        let took = self.chance.about(1_900 * US);
        let end = self.close(server, at + 300 * US + took, &[]);
        self.close(client, end + 250 * US, &[("go_select", 900), ("go_runnable", 20)])
    }

    fn product(&mut self, at: u64) {
        let root = self.http_server("gateway", None, at, "GET", "/products/{id}");
        let now = self.price(root, at + 150 * US);
        let mut now = self.query(
            "gateway",
            root,
            now + 80 * US,
            "SELECT products",
            "SELECT * FROM products WHERE sku = $1",
            1_400 * US,
        );
        let reviews = if self.chance.percent(8) { 14 } else { 1 };
        for _ in 0..reviews {
            now = self.query(
                "gateway",
                root,
                now + 40 * US,
                "SELECT reviews",
                "SELECT stars, text FROM reviews WHERE sku = $1",
                1_100 * US,
            );
        }
        if self.chance.percent(3) {
            self.spans[root].attributes.insert("http.response.status_code".to_owned(), Value::Int(404));
        }
        let render = self.chance.about(900 * US);
        self.close(root, now + render, &[("go_network", 640), ("go_runnable", 18)]);
    }

    fn order(&mut self, at: u64) {
        let root = self.http_server("gateway", None, at, "GET", "/orders/{id}");
        let call = self.grpc("gateway", Kind::Client, root, at + 140 * US, "shop.Orders/Get");
        let server = self.grpc("orders", Kind::Server, call, at + 500 * US, "shop.Orders/Get");
        let now = self.query(
            "orders",
            server,
            at + 700 * US,
            "SELECT orders",
            "SELECT * FROM orders WHERE id = $1",
            3_000 * US,
        );
        let end = self.close(server, now + 200 * US, &[("go_network", 760)]);
        let end = self.close(call, end + 300 * US, &[("go_select", 930)]);
        self.close(root, end + 400 * US, &[("go_select", 880)]);
    }

    fn grpc(&mut self, service: &'static str, kind: Kind, parent: usize, at: u64, method: &str) -> usize {
        let attributes = [("rpc.system.name", "grpc"), ("rpc.method", method)];
        self.open(
            &Made { service, kind, scope: "tandem/grpc", name: method, attributes: &attributes },
            Some(parent),
            at,
        )
    }

    /// Through six services; the lock of `inventory` makes one of twelve slow.
    fn checkout(&mut self, at: u64, percent: u32) {
        let root = self.http_server("gateway", None, at, "POST", "/checkout");
        self.spans[root]
            .attributes
            .insert("enduser.plan".to_owned(), Value::String(["free", "gold"][(at % 2) as usize].to_owned()));
        self.log(root, at + 300 * US, 9, "checkout begins, 3 items in the cart");
        let now = self.cache("gateway", root, at + 400 * US, "GET");
        let call = self.grpc("gateway", Kind::Client, root, now + 200 * US, "shop.Orders/Place");
        let server = self.grpc("orders", Kind::Server, call, now + 700 * US, "shop.Orders/Place");
        self.spans[server].events.push(Event {
            name: "cart loaded".to_owned(),
            time_unix_nano: now + 900 * US,
            attributes: [("items".to_owned(), Value::Int(3))].into(),
        });
        let reserved = self.reserve(server, now + 1_200 * US);
        let (paid, declined) = self.pay(server, reserved + 300 * US, (55..68).contains(&percent));
        if declined {
            let message = "card ending in 0000 was declined by the bank: insufficient funds";
            self.fail(server, message);
            self.log(server, paid + 50 * US, 17, message);
            self.spans[server]
                .attributes
                .insert("error.type".to_owned(), Value::String("*orders.DeclinedError".to_owned()));
            self.spans[root].attributes.insert("http.response.status_code".to_owned(), Value::Int(402));
            let end = self.close(server, paid + 300 * US, &[("go_network", 700), ("go_sync", 20)]);
            let end = self.close(call, end + 300 * US, &[("go_select", 950)]);
            self.fail(call, message);
            self.close(root, end + 350 * US, &[("go_select", 930)]);
            return;
        }
        let stored = self.query(
            "orders",
            server,
            paid + 200 * US,
            "INSERT orders",
            "INSERT INTO orders (id, cart, paid) VALUES ($1, $2, $3)",
            7_000 * US,
        );
        let handed_over = self.hand_over(server, stored + 150 * US);
        self.log(server, handed_over, 9, "order placed");
        let end = self.close(
            server,
            handed_over + 250 * US,
            &[("go_network", 690), ("go_sync", 30), ("blocked_file", 60), ("go_runnable", 25)],
        );
        let end = self.close(call, end + 350 * US, &[("go_select", 960)]);
        self.close(root, end + 500 * US, &[("go_select", 940), ("go_runnable", 10)]);
    }

    fn reserve(&mut self, parent: usize, at: u64) -> u64 {
        let client = self.http_client("orders", parent, at, "POST", "inventory.internal");
        let server = self.http_server("inventory", Some(client), at + 400 * US, "POST", "/items/{sku}/reserve");
        let slow = self.chance.percent(9);
        let waits = if slow { self.chance.within(90, 260) * MS } else { self.chance.within(1, 6) * 100 * US };
        let lock = self.open(
            &Made {
                service: "inventory",
                kind: Kind::Internal,
                scope: "tandem/functions",
                name: "stock.(*Shelf).Reserve",
                attributes: &[
                    ("code.function.name", "shop/stock.(*Shelf).Reserve"),
                    ("code.file.path", "/src/shop/stock/shelf.go"),
                    ("code.line.number", "88"),
                ],
            },
            Some(server),
            at + 600 * US,
        );
        if slow {
            self.log(lock, at + 600 * US + waits / 2, 13, "waited long for the shelf's lock");
        }
        let now = self.query(
            "inventory",
            lock,
            at + 600 * US + waits,
            "SELECT stock",
            "SELECT quantity FROM stock WHERE sku = $1 FOR UPDATE",
            2_400 * US,
        );
        let now = self.query(
            "inventory",
            lock,
            now + 50 * US,
            "UPDATE stock",
            "UPDATE stock SET quantity = quantity - $1 WHERE sku = $2",
            3_100 * US,
        );
        let end = now + 120 * US;
        let share = waits * 1000 / (end - at - 600 * US);
        let rest = (1000 - share) * 7 / 10;
        let parts = [("go_sync", share * 97 / 100), ("go_network", rest), ("go_runnable", share / 60)];
        self.close(lock, end, &parts);
        let end = self.close(server, end + 200 * US, &parts);
        self.close(client, end + 450 * US, &[("go_select", 960), ("go_runnable", 10)])
    }

    fn pay(&mut self, parent: usize, at: u64, bank_declines: bool) -> (u64, bool) {
        let client = self.http_client("orders", parent, at, "POST", "payments.internal");
        let server = self.http_server("payments", Some(client), at + 500 * US, "POST", "/charge");
        let declined = self.chance.percent(if bank_declines { 45 } else { 2 });
        let took = self.chance.about(14 * MS);
        let end = self.close(server, at + 500 * US + took, &[]);
        let status = Value::Int(if declined { 402 } else { 200 });
        for span in [client, server] {
            self.spans[span].attributes.insert("http.response.status_code".to_owned(), status.clone());
        }
        if declined {
            self.fail(client, "402 Payment Required");
        }
        (self.close(client, end + 400 * US, &[("go_select", 975)]), declined)
    }

    fn hand_over(&mut self, parent: usize, at: u64) -> u64 {
        let topic = [("messaging.system", "kafka"), ("messaging.destination.name", "orders.placed")];
        let made = Made {
            service: "orders",
            kind: Kind::Producer,
            scope: "tandem/kafka-go",
            name: "send orders.placed",
            attributes: &topic,
        };
        let send = self.open(&made, Some(parent), at);
        let end = self.close(send, at + 900 * US, &[("go_network", 700)]);
        let made = Made {
            service: "worker",
            kind: Kind::Consumer,
            scope: "tandem/kafka-go",
            name: "process orders.placed",
            attributes: &topic,
        };
        let consumed = self.open(&made, Some(send), end + 4 * MS);
        let (trace_id, span_id) = (self.trace, self.spans[send].span_id);
        self.spans[consumed].links.push(Link { trace_id, span_id, ..Link::default() });
        let client = self.http_client("worker", consumed, end + 5 * MS, "POST", "mail.internal");
        let server = self.http_server("mail", Some(client), end + 5_500 * US, "POST", "/mails");
        let render = self.chance.about(4 * MS);
        let mailed =
            self.close(server, end + 5_500 * US + render, &[("go_sleep", 300), ("blocked_file", 240), ("go_gc", 60)]);
        let mailed = self.close(client, mailed + 300 * US, &[("go_select", 940)]);
        self.close(consumed, mailed + 400 * US, &[("go_select", 800), ("go_channel", 90)]);
        end
    }

    /// Puts all of it into the store of a folder.
    pub fn write(&self, folder: &Path) {
        let store = Arc::new(Store::open(folder, fixture::unlimited()).expect("the store opens"));
        for (service, resource) in &self.resources {
            let spans: Vec<Span> = self.spans.iter().filter(|span| span.service == *service).cloned().collect();
            // A batch has one resource: a build's.
            for spans in spans.chunk_by(|one, other| one.resource == other.resource).flat_map(|build| build.chunks(500))
            {
                store.offer(&fixture::batch_of(spans)).expect("the queue has room");
            }
            let logs = self.logs.iter().filter(|log| self.spans[log.span].service == *service);
            if let Some(batch) = self.log_batch(resource, logs) {
                LogStore(Arc::clone(&store)).offer(&batch).expect("the queue has room");
            }
            if let Some(batch) = self.profile(service, resource) {
                ProfileStore(Arc::clone(&store)).offer(&batch).expect("the queue has room");
            }
        }
        fixture::flush(&*store);
    }

    fn log_batch<'a>(&self, resource: &Arc<Resource>, logs: impl Iterator<Item = &'a Logged>) -> Option<Arc<Batch>> {
        let log_records: Vec<_> = logs
            .map(|log| proto::LogRecord {
                time_unix_nano: log.time,
                observed_time_unix_nano: log.time,
                severity_number: log.severity.into(),
                severity_text: match log.severity {
                    17.. => "ERROR",
                    13.. => "WARN",
                    _ => "INFO",
                }
                .to_owned(),
                body: Some(any_value(&Value::String(log.text.clone()))),
                trace_id: self.spans[log.span].trace_id.0.to_vec(),
                span_id: self.spans[log.span].span_id.0.to_vec(),
                flags: 1,
                ..Default::default()
            })
            .collect();
        let records = log_records.len() as u32;
        let pair = |(key, value): (&String, &Value)| KeyValue {
            key: key.clone(),
            value: Some(any_value(value)),
            ..Default::default()
        };
        let scope = InstrumentationScope { name: "tandem/log/slog".to_owned(), ..Default::default() };
        let scope_logs = vec![proto::ScopeLogs { scope: Some(scope), log_records, ..Default::default() }];
        let attributes = resource.attributes.iter().map(pair).collect();
        let of_program = ProtoResource { attributes, ..Default::default() };
        let resource_logs = vec![proto::ResourceLogs { resource: Some(of_program), scope_logs, ..Default::default() }];
        (records > 0).then(|| {
            Arc::new(Batch {
                signal: Signal::Logs,
                resource: Arc::clone(resource),
                bytes: Bytes::from(ExportLogsServiceRequest { resource_logs }.encode_to_vec()),
                records,
            })
        })
    }

    /// Samples of the stacks of a service's spans.
    fn profile(&self, service: &str, resource: &Arc<Resource>) -> Option<Arc<Batch>> {
        let mut builder = ProfileBuilder::new(Arc::clone(resource), "/opt/shop/app", "1");
        let mut chance = Chance(0xfeed_0000_0000_0001 | service.len() as u64);
        let of_service = |span: &&Span| span.service == service && span.source == Source::Woven;
        for span in self.spans.iter().filter(of_service).filter(|span| span.kind != Kind::Client) {
            for _ in 0..chance.within(0, 4) {
                let off_cpu = chance.percent(50);
                let stacks = if off_cpu { OFF_CPU } else { ON_CPU };
                let inner = stacks[chance.within(0, stacks.len() as u64) as usize];
                let handler =
                    format!("shop/{service}.(*Server).{}", if span.name.contains("POST") { "post" } else { "get" });
                let outer =
                    ["net/http.HandlerFunc.ServeHTTP", "net/http.serverHandler.ServeHTTP", "net/http.(*conn).serve"];
                let names = inner.iter().copied().chain([handler.as_str()]).chain(outer);
                let stack: Vec<Arc<Location>> = names.map(location).collect();
                builder.add(Observed {
                    kind: if off_cpu { ProfileKind::OffCpu } else { ProfileKind::Cpu },
                    time: UnixNanos(span.start_unix_nano + span.duration_ns / 2),
                    value_ns: if off_cpu { span.duration_ns / 3 + 1 } else { 10 * MS },
                    span: Some((span.trace_id, span.span_id)),
                    thread_id: 7,
                    stack: &stack,
                });
            }
        }
        builder.take(10 * MS).map(Arc::new)
    }
}

/// The innermost functions first.
const ON_CPU: &[&[&str]] = &[
    &["encoding/json.(*encodeState).reflectValue", "encoding/json.Marshal", "shop/render.JSON"],
    &[
        "encoding/json.stringEncoder",
        "encoding/json.(*encodeState).reflectValue",
        "encoding/json.Marshal",
        "shop/render.JSON",
    ],
    &["runtime.mallocgc", "runtime.growslice", "shop/render.Table"],
    &["runtime.scanobject", "runtime.gcDrain", "runtime.gcAssistAlloc", "runtime.mallocgc", "shop/render.Table"],
    &["crypto/sha256.block", "crypto/sha256.(*digest).Write", "shop/session.Check"],
    &["regexp.(*machine).step", "regexp.(*Regexp).doExecute", "shop/search.Match"],
    &["strings.(*Builder).WriteString", "html/template.(*Template).Execute", "shop/render.Page"],
];
const OFF_CPU: &[&[&str]] = &[
    &["sync.(*Mutex).lockSlow", "sync.(*Mutex).Lock", "shop/stock.(*Shelf).Reserve"],
    &[
        "internal/poll.(*FD).Read",
        "net.(*conn).Read",
        "github.com/jackc/pgx/v5/pgconn.(*PgConn).receiveMessage",
        "database/sql.(*DB).QueryContext",
        "shop/store.Load",
    ],
    &["runtime.selectgo", "net/http.(*persistConn).roundTrip", "net/http.(*Client).Do", "shop/price.Ask"],
    &["[kernel: fsync]", "os.(*File).Sync", "shop/journal.Append"],
];

fn location(function: &str) -> Arc<Location> {
    let package = function.split(['.', '(']).next().unwrap_or("main");
    let file = format!("/src/{package}/{}.go", package.rsplit('/').next().unwrap_or("main"));
    let line = 20 + function.len() as u32;
    let frame = Frame { function: function.to_owned(), file, line, start_line: line - 6, inlined: false };
    Arc::new(Location { address: 0x40_0000 + function.len() as u64 * 64, frames: vec![frame] })
}

fn resource(service: &str, language: &str, version: &str) -> Arc<Resource> {
    let text = |text: &str| Value::String(text.to_owned());
    let attributes = [
        ("service.name", text(service)),
        ("service.version", text(version)),
        ("telemetry.sdk.language", text(language)),
        ("host.name", text("shop-1")),
        ("process.pid", Value::Int(4000 + service.len() as i64)),
        ("process.executable.path", text(&format!("/opt/shop/{service}"))),
    ];
    Arc::new(Resource { attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() })
}
