//! `receive:` in `agent.yaml`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use deliver::otlp::server::{Limits, Listening, Tls};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::settings::Problem;

/// The port of gRPC, as OpenTelemetry has it.
pub const GRPC_PORT: u16 = 4317;
/// The port of HTTP.
pub const HTTP_PORT: u16 = 4318;

/// Takes OTLP from others: `receive: {}` at 127.0.0.1, by gRPC on port 4317 and by HTTP on port 4318.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Receive {
    /// By gRPC. Where `grpc` and `http` are both absent, both are taken.
    #[schemars(with = "Option<Endpoint>")]
    grpc: Option<Endpoint>,
    /// By HTTP, protobuf and JSON.
    #[schemars(with = "Option<Endpoint>")]
    http: Option<Endpoint>,
    /// Connections at once; what comes after is closed (default 1024).
    #[schemars(with = "Option<usize>", range(min = 1))]
    connections: Option<Spanned<usize>>,
    /// All messages together that are being read or worked on, MiB; what comes after is told to come again (default 128).
    #[schemars(with = "Option<usize>", range(min = 1))]
    memory_mib: Option<Spanned<usize>>,
    /// Take it with TLS only.
    tls: Option<TlsFiles>,
}

/// One way in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Endpoint {
    /// Where: `ADDRESS:PORT`, port 0 for any free one (default 127.0.0.1 and OpenTelemetry's port).
    #[schemars(with = "Option<String>")]
    address: Option<Spanned<String>>,
    /// Longest message, unpacked, MiB (default 4 by gRPC, 20 by HTTP).
    #[schemars(with = "Option<usize>", range(min = 1, max = 1024))]
    message_mib: Option<Spanned<usize>>,
}

/// Files in PEM form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TlsFiles {
    /// Our certificate, with what leads from it to one that senders know.
    certificate: PathBuf,
    /// Its key.
    key: PathBuf,
    /// Who signs the certificates that senders must have; absent: they need none.
    client_ca: Option<PathBuf>,
}

impl Receive {
    /// Where and how to listen.
    pub fn listening(&self) -> Result<Listening, Problem> {
        let both = self.grpc.is_none() && self.http.is_none();
        let mut limits = Limits::default();
        let mut addresses = Vec::new();
        for (endpoint, port, limit) in
            [(&self.grpc, GRPC_PORT, &mut limits.grpc_message), (&self.http, HTTP_PORT, &mut limits.http_body)]
        {
            if let Some(mib) = endpoint.as_ref().and_then(|endpoint| endpoint.message_mib.as_ref()) {
                *limit = mebibytes(mib, 1024)?;
            }
            if both || endpoint.is_some() {
                let given = endpoint.as_ref().and_then(|endpoint| endpoint.address.as_ref());
                addresses.push(match given {
                    Some(given) => has_port(given)?,
                    None => SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string(),
                });
            }
        }
        if let Some(mib) = &self.memory_mib {
            limits.memory = mebibytes(mib, 1 << 20)?;
        }
        if let Some(connections) = &self.connections {
            limits.connections = within(connections, 1, 1 << 20)?;
        }
        let tls = self.tls.as_ref().map(|files| Tls {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            client_ca: files.client_ca.clone(),
        });
        Ok(Listening { addresses, limits, tls })
    }
}

/// Where `--otlp=ADDRESS` listens: without a port at OpenTelemetry's two, with one at that, which takes both protocols.
pub fn addresses(given: &str) -> Vec<String> {
    let with = |port: u16| match given.contains(':') && !given.starts_with('[') {
        true => format!("[{given}]:{port}"), // an address of IPv6
        false => format!("{given}:{port}"),
    };
    match split_port(given) {
        Some(_) => vec![given.to_owned()],
        None => vec![with(GRPC_PORT), with(HTTP_PORT)],
    }
}

fn split_port(address: &str) -> Option<u16> {
    let (host, port) = address.rsplit_once(':')?;
    let is_whole = !host.is_empty() && (!host.contains(':') || host.starts_with('[') && host.ends_with(']'));
    port.parse().ok().filter(|_| is_whole)
}

fn has_port(address: &Spanned<String>) -> Result<String, Problem> {
    match split_port(&address.value) {
        Some(_) => Ok(address.value.clone()),
        None => Err(Problem::at(address, format!("{:?} is no ADDRESS:PORT, such as 127.0.0.1:4317", address.value))),
    }
}

fn within(value: &Spanned<usize>, lowest: usize, highest: usize) -> Result<usize, Problem> {
    match value.value {
        number if (lowest..=highest).contains(&number) => Ok(number),
        number => Err(Problem::at(value, format!("{number} is not between {lowest} and {highest}"))),
    }
}

fn mebibytes(value: &Spanned<usize>, highest: usize) -> Result<usize, Problem> {
    Ok(within(value, 1, highest)? << 20)
}
