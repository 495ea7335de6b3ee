//! Where OTLP goes, by OpenTelemetry's own environment variables (`OTEL_EXPORTER_OTLP_*`).
//!
//! No endpoint, no traffic: without `OTEL_EXPORTER_OTLP_ENDPOINT` (or the one of a signal) nothing leaves the machine.
//! A value that cannot be used is named in a warning and ignored, as the specification asks.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use percent_encoding::percent_decode_str;

use crate::Signal;

const DEFAULT_QUEUE_BYTES: u64 = 512 << 20;
/// Less has no room for a few batches.
const LEAST_QUEUE_BYTES: u64 = 1 << 20;

/// What the environment asks for.
#[derive(Clone, Debug, Default)]
pub struct ExportConfig {
    /// Where spans go.
    pub traces: Option<Endpoint>,
    /// Where metrics go.
    pub metrics: Option<Endpoint>,
    /// Where log records go. Programs make some only where `OTEL_LOGS_EXPORTER` asks them to.
    pub logs: Option<Endpoint>,
    /// Where profiles go: only where `OTEL_PROFILES_EXPORTER=otlp` asks for it, since few receivers take them yet.
    pub profiles: Option<Endpoint>,
    /// Spans are also printed.
    pub console: bool,
    /// How often metrics are sent.
    pub metrics_interval: Duration,
    /// Whether metrics are totals or what was added.
    pub temporality: Temporality,
    /// Histograms name spans that stand for their buckets.
    pub exemplars: bool,
    /// Series that a metric of one service can have; `None`: the default.
    pub cardinality_limit: Option<usize>,
    /// Bytes that may wait on disk for each of the endpoints of spans, log records and profiles; 0: none.
    pub queue_bytes: u64,
    /// What could not be used, a line each.
    pub warnings: Vec<String>,
}

/// What numbers in metrics are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Totals.
    #[default]
    Cumulative,
    /// What was added since the last time, of everything that only rises.
    Delta,
    /// The same, but for what is observed as a total anyway.
    LowMemory,
}

/// How OTLP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    HttpProtobuf,
    /// JSON over HTTP.
    HttpJson,
}

/// Where one signal goes.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The whole address that is posted to.
    pub uri: Uri,
    /// Only this one of the addresses that the name in it has.
    pub only: Option<SocketAddr>,
    /// How.
    pub protocol: Protocol,
    /// Headers to send along.
    pub headers: HeaderMap,
    /// How long one request may take.
    pub timeout: Duration,
    /// Bodies are compressed.
    pub gzip: bool,
    /// PEM file with the certificates to trust, instead of the system's.
    pub certificate: Option<PathBuf>,
    /// PEM files of our own certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// A proxy on the way, which is asked for a tunnel, and what it wants to be shown.
    pub proxy: Option<(Uri, Option<HeaderValue>)>,
}

impl Signal {
    fn word(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
            Self::Profiles => "PROFILES",
        }
    }

    fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "v1/traces",
            Self::Metrics => "v1/metrics",
            Self::Logs => "v1/logs",
            Self::Profiles => "v1development/profiles",
        }
    }

    fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Profiles => "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
        }
    }
}

impl ExportConfig {
    /// Of this process's environment.
    pub fn from_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Of any environment. Empty values count as absent.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut reader = Reader {
            variable: |name: &str| variable(name).filter(|value| !value.trim().is_empty()),
            warnings: Vec::new(),
        };
        let (traces, console) = reader.signal(Signal::Traces);
        let (metrics, _) = reader.signal(Signal::Metrics);
        let (logs, _) = reader.signal(Signal::Logs);
        let (profiles, _) = reader.signal(Signal::Profiles);
        // What is said of a variable that several signals use is said once.
        let mut said = std::collections::HashSet::new();
        reader.warnings.retain(|warning| said.insert(warning.clone()));
        let metrics_interval = reader.milliseconds("OTEL_METRIC_EXPORT_INTERVAL", Duration::from_secs(60));
        let temporality = reader.choice(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            &[
                ("cumulative", Temporality::Cumulative),
                ("delta", Temporality::Delta),
                ("lowmemory", Temporality::LowMemory),
            ],
        );
        // Spans that are not sampled leave counts only, in buckets with fixed bounds.
        reader.choice("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", &[("explicit_bucket_histogram", ())]);
        let exemplars = reader.choice("OTEL_METRICS_EXEMPLAR_FILTER", &[("trace_based", true), ("always_off", false)]);
        Self {
            traces,
            metrics,
            logs,
            profiles,
            console,
            metrics_interval,
            temporality: temporality.unwrap_or_default(),
            exemplars: exemplars.unwrap_or(true),
            cardinality_limit: reader.count("TANDEM_METRICS_CARDINALITY_LIMIT"),
            queue_bytes: reader.queue_bytes(),
            warnings: reader.warnings,
        }
    }
}

struct Reader<V> {
    variable: V,
    warnings: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    /// A signal's endpoint, and whether it shall be printed.
    fn signal(&mut self, signal: Signal) -> (Option<Endpoint>, bool) {
        let name = format!("OTEL_{}_EXPORTER", signal.word());
        let exporters = (self.variable)(&name)
            .unwrap_or_else(|| if signal == Signal::Profiles { "none" } else { "otlp" }.to_owned());
        let (mut otlp, mut console) = (false, false);
        for exporter in exporters.split(',').map(str::trim) {
            match exporter {
                "otlp" => otlp = true,
                "console" if signal == Signal::Traces => console = true,
                "none" => {}
                other => {
                    self.warnings.push(format!("{name}: there is no exporter {other:?}; use otlp, console or none"))
                }
            }
        }
        (if otlp { self.endpoint(signal) } else { None }, console)
    }

    fn endpoint(&mut self, signal: Signal) -> Option<Endpoint> {
        let own_name = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.word());
        let (name, address, own) = match ((self.variable)(&own_name), (self.variable)("OTEL_EXPORTER_OTLP_ENDPOINT")) {
            (Some(address), _) => (own_name, address, true),
            (None, Some(address)) => ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), address, false),
            (None, None) => return None,
        };
        let protocol = self.protocol(signal, &address);
        let Some(uri) = self.uri(signal, protocol, address.trim(), own) else {
            self.warnings.push(format!(
                "{name}={address:?} is not an http or https address; {} are not sent",
                signal.word().to_lowercase()
            ));
            return None;
        };
        let mut headers = HeaderMap::new();
        self.headers("OTEL_EXPORTER_OTLP_HEADERS", &mut headers);
        self.headers(&format!("OTEL_EXPORTER_OTLP_{}_HEADERS", signal.word()), &mut headers);
        let general = self.milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT", Duration::from_secs(10));
        let timeout = self.milliseconds(&format!("OTEL_EXPORTER_OTLP_{}_TIMEOUT", signal.word()), general);
        let gzip = match self.either(signal, "COMPRESSION") {
            Some((_, value)) if value == "gzip" => true,
            Some((name, value)) if value != "none" => {
                self.warnings.push(format!("{name}: there is no compression {value:?}; use gzip or none"));
                false
            }
            _ => false,
        };
        let file = |what| self.either(signal, what).map(|(_, path)| PathBuf::from(path));
        let certificate = file("CERTIFICATE");
        let client = file("CLIENT_CERTIFICATE").zip(file("CLIENT_KEY"));
        let proxy = self.proxy(&uri);
        Some(Endpoint { uri, only: None, protocol, headers, timeout, gzip, certificate, client, proxy })
    }

    /// The proxy that the environment has for an address; never for this machine's own.
    fn proxy(&mut self, uri: &Uri) -> Option<(Uri, Option<HeaderValue>)> {
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        let variable =
            |name: &str| (self.variable)(&name.to_lowercase()).or_else(|| (self.variable)(name)).unwrap_or_default();
        let matcher = Matcher::builder().all(variable("ALL_PROXY")).http(variable("HTTP_PROXY"));
        let matcher = matcher.https(variable("HTTPS_PROXY")).no(variable("NO_PROXY")).build();
        let found = matcher.intercept(uri).filter(|_| !is_here)?;
        if found.uri().scheme() != Some(&Scheme::HTTP) {
            let scheme = found.uri().scheme_str().unwrap_or_default();
            self.warnings.push(format!(
                "a proxy of kind {scheme:?} is not supported: OTLP goes without it (use an http:// one, or NO_PROXY)"
            ));
            return None;
        }
        Some((found.uri().clone(), found.basic_auth().cloned()))
    }

    /// The specification's default is HTTP; port 4317 is gRPC's own, so nothing else can be meant there.
    fn protocol(&mut self, signal: Signal, address: &str) -> Protocol {
        match self.either(signal, "PROTOCOL") {
            Some((_, value)) if value == "grpc" => Protocol::Grpc,
            Some((_, value)) if value == "http/protobuf" => Protocol::HttpProtobuf,
            Some((_, value)) if value == "http/json" => Protocol::HttpJson,
            Some((name, value)) => {
                self.warnings.push(format!(
                    "{name}: {value:?} is not supported; http/protobuf is used (grpc and http/json are supported, too)"
                ));
                Protocol::HttpProtobuf
            }
            None if address.trim_end_matches('/').ends_with(":4317") => Protocol::Grpc,
            None => Protocol::HttpProtobuf,
        }
    }

    fn uri(&self, signal: Signal, protocol: Protocol, address: &str, own: bool) -> Option<Uri> {
        let insecure = self.either(signal, "INSECURE").is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
        let address = match address.split_once("://") {
            Some(_) => address.to_owned(),
            None if protocol == Protocol::Grpc && !insecure => format!("https://{address}"),
            None => format!("http://{address}"),
        };
        let mut parts = address.parse::<Uri>().ok()?.into_parts();
        if !matches!(&parts.scheme, Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) {
            return None;
        }
        parts.path_and_query = Some(match (protocol, &parts.path_and_query) {
            (Protocol::Grpc, _) => PathAndQuery::from_static(signal.grpc_path()),
            (_, Some(path)) if own => path.clone(),
            (_, path) => {
                let path = path.as_ref().map_or("", PathAndQuery::path).trim_end_matches('/');
                format!("{path}/{}", signal.http_path()).parse().ok()?
            }
        });
        Uri::from_parts(parts).ok()
    }

    /// The signal's own variable, else the general one.
    fn either(&self, signal: Signal, what: &str) -> Option<(String, String)> {
        [format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.word()), format!("OTEL_EXPORTER_OTLP_{what}")]
            .into_iter()
            .find_map(|name| (self.variable)(&name).map(|value| (name, value.trim().to_owned())))
    }

    fn headers(&mut self, name: &str, headers: &mut HeaderMap) {
        let Some(list) = (self.variable)(name) else { return };
        for pair in list.split(',').filter(|pair| !pair.trim().is_empty()) {
            let header = pair.split_once('=').and_then(|(key, value)| {
                let value = percent_decode_str(value.trim()).collect::<Vec<u8>>();
                let mut value = HeaderValue::from_bytes(&value).ok()?;
                value.set_sensitive(true);
                Some((key.trim().parse::<HeaderName>().ok()?, value))
            });
            match header {
                Some((key, value)) => drop(headers.insert(key, value)),
                // Not the value: it may be a secret.
                None => self.warnings.push(format!("{name}: one of its headers is not of the form key=value")),
            }
        }
    }

    /// One of several words, in any case.
    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = (self.variable)(name)?;
        let chosen = choices.iter().find(|(word, _)| value.trim().eq_ignore_ascii_case(word));
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.warnings.push(format!("{name}={value:?} cannot be used; what can be is {}", words.join(" or ")));
        }
        chosen.map(|(_, choice)| *choice)
    }

    fn count(&mut self, name: &str) -> Option<usize> {
        let value = (self.variable)(name)?;
        let count = value.trim().parse().ok().filter(|&count: &usize| count > 0);
        if count.is_none() {
            self.warnings.push(format!("{name}={value:?} is not a number above 0"));
        }
        count
    }

    /// Bytes, or as many KiB, MiB or GiB as a number with that unit says.
    fn queue_bytes(&mut self) -> u64 {
        const NAME: &str = "TANDEM_QUEUE_BYTES";
        let Some(value) = (self.variable)(NAME) else { return DEFAULT_QUEUE_BYTES };
        let number = value.trim().trim_end_matches(|one: char| one.is_ascii_alphabetic());
        let shift = match value.trim()[number.len()..].to_ascii_lowercase().as_str() {
            "" => Some(0),
            "kib" => Some(10),
            "mib" => Some(20),
            "gib" => Some(30),
            _ => None,
        };
        let bytes = shift.and_then(|shift| number.trim().parse::<u64>().ok()?.checked_mul(1 << shift));
        bytes.filter(|&bytes| bytes == 0 || bytes >= LEAST_QUEUE_BYTES).unwrap_or_else(|| {
            self.warnings.push(format!(
                "{NAME}={value:?} cannot be used; what can be is 0 (nothing waits on disk), or a number of bytes, KiB, MiB or GiB from 1MiB on"
            ));
            DEFAULT_QUEUE_BYTES
        })
    }

    fn milliseconds(&mut self, name: &str, default: Duration) -> Duration {
        match (self.variable)(name).map(|value| value.trim().parse::<u64>().map_err(|_| value)) {
            Some(Ok(milliseconds)) if milliseconds > 0 => Duration::from_millis(milliseconds),
            Some(Ok(_)) | None => default,
            Some(Err(value)) => {
                self.warnings.push(format!("{name}={value:?} is not a number of milliseconds"));
                default
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> ExportConfig {
        ExportConfig::read(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    fn traces(pairs: &[(&str, &str)]) -> Option<String> {
        read(pairs).traces.map(|endpoint| endpoint.uri.to_string())
    }

    /// A proxy as curl and Go find it.
    #[test]
    fn proxies_are_found_where_others_find_them() {
        let proxy = |endpoint: &str, pairs: &[(&str, &str)]| {
            let config = read(&[&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)], pairs].concat());
            (config.traces.expect("an endpoint").proxy.map(|(proxy, _)| proxy.to_string()), config.warnings.len())
        };
        let found = |address: &str| (Some(address.to_owned()), 0);
        assert_eq!(proxy("https://c:1", &[("HTTPS_PROXY", "http://p:3128")]), found("http://p:3128/"));
        assert_eq!(proxy("http://c:1", &[("HTTPS_PROXY", "http://p:3128")]), (None, 0));
        assert_eq!(proxy("http://c:1", &[("http_proxy", "p:3128")]), found("http://p:3128/"));
        let but = ("NO_PROXY", "example.com,10.0.0.0/8");
        assert_eq!(proxy("https://c.example.com", &[("ALL_PROXY", "http://p:1"), but]), (None, 0));
        assert_eq!(proxy("https://10.2.3.4", &[("ALL_PROXY", "http://p:1"), but]), (None, 0));
        assert_eq!(proxy("https://127.0.0.1", &[("ALL_PROXY", "http://p:1")]), (None, 0));
        assert_eq!(proxy("https://c", &[("ALL_PROXY", "socks5://p:1")]), (None, 1));
    }

    #[test]
    fn queues_have_a_size() {
        let size = |value: &str| {
            let config = read(&[("TANDEM_QUEUE_BYTES", value)]);
            (config.queue_bytes, config.warnings.len())
        };
        assert_eq!(
            [size("2000000"), size("16MiB"), size("1 gib"), size("0")],
            [(2_000_000, 0), (16 << 20, 0), (1 << 30, 0), (0, 0)]
        );
        assert_eq!([size("1"), size("many"), size("1TB")], [(DEFAULT_QUEUE_BYTES, 1); 3]);
    }

    /// Nothing set: nothing is sent anywhere.
    #[test]
    fn no_endpoint_no_traffic() {
        let config = read(&[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]);
        assert!(config.traces.is_none() && config.metrics.is_none() && config.logs.is_none());
        assert!(config.warnings.is_empty());
    }

    /// The paths are those of the specification.
    #[test]
    fn addresses_are_what_the_specification_says() {
        const GENERAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
        assert_eq!(traces(&[(GENERAL, "http://c:4318")]).as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!(traces(&[(GENERAL, "https://c/base/")]).as_deref(), Some("https://c/base/v1/traces"));
        assert_eq!(
            traces(&[(GENERAL, "http://c:4318"), (PROTOCOL, "http/json")]).as_deref(),
            Some("http://c:4318/v1/traces")
        );
        assert_eq!(traces(&[(GENERAL, "http://c"), (OWN, "http://t/x?y=1")]).as_deref(), Some("http://t/x?y=1"));
        let grpc = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        assert_eq!(traces(&[(GENERAL, "http://c:4317")]), Some(format!("http://c:4317{grpc}")));
        assert_eq!(traces(&[(GENERAL, "c:9"), (PROTOCOL, "grpc")]), Some(format!("https://c:9{grpc}")));
        let insecure = [(GENERAL, "c:9"), (PROTOCOL, "grpc"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")];
        assert_eq!(traces(&insecure), Some(format!("http://c:9{grpc}")));
        assert_eq!(
            traces(&[(GENERAL, "http://c:4317"), (PROTOCOL, "http/protobuf")]).as_deref(),
            Some("http://c:4317/v1/traces")
        );
        assert_eq!(traces(&[(GENERAL, "http://c"), ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert_eq!(traces(&[(GENERAL, "ftp://c")]), None);
        assert_eq!(traces(&[(GENERAL, "http://c d")]), None);
    }

    /// What metrics are made of, by OpenTelemetry's words; what cannot be had is said.
    #[test]
    fn metrics_are_as_asked_for() {
        const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        const AGGREGATION: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        const EXEMPLARS: &str = "OTEL_METRICS_EXEMPLAR_FILTER";
        const LIMIT: &str = "TANDEM_METRICS_CARDINALITY_LIMIT";
        let config = read(&[]);
        assert_eq!(
            (config.temporality, config.exemplars, config.cardinality_limit),
            (Temporality::Cumulative, true, None)
        );
        let pairs = [
            (TEMPORALITY, "Delta"),
            (AGGREGATION, "explicit_bucket_histogram"),
            (EXEMPLARS, "always_off"),
            (LIMIT, "7"),
        ];
        let config = read(&pairs);
        assert_eq!(
            (config.temporality, config.exemplars, config.cardinality_limit),
            (Temporality::Delta, false, Some(7))
        );
        assert_eq!(config.warnings, [""; 0]);
        assert_eq!(read(&[(TEMPORALITY, "lowmemory")]).temporality, Temporality::LowMemory);
        let pairs = [
            (TEMPORALITY, "low"),
            (AGGREGATION, "base2_exponential_bucket_histogram"),
            (EXEMPLARS, "always_on"),
            (LIMIT, "0"),
        ];
        let config = read(&pairs);
        assert_eq!(config.warnings.len(), 4, "{:?}", config.warnings);
        assert_eq!(
            (config.temporality, config.exemplars, config.cardinality_limit),
            (Temporality::Cumulative, true, None)
        );
    }

    /// A signal's own values win; what cannot be used is said once each, without secrets.
    #[test]
    fn other_values() {
        let config = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,authorization=Basic%20x, broken"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=2"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zip"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_TRACES_EXPORTER", "otlp,console,zipkin"),
        ]);
        let traces = config.traces.expect("set");
        assert_eq!(traces.headers["a"], "2");
        assert_eq!(traces.headers["authorization"], "Basic x");
        assert_eq!((traces.timeout, traces.gzip), (Duration::from_millis(250), true));
        assert_eq!(traces.certificate, Some(PathBuf::from("/ca.pem")));
        assert!(config.console);
        assert!(!config.metrics.expect("set").gzip);
        assert_eq!(config.warnings.len(), 4, "{:?}", config.warnings);
    }
}
