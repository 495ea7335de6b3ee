//! `service_graph:` in `agent.yaml`, in the words of the Collector's connector.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::settings::values::{Number, Wait};

const TTL: Duration = Duration::from_secs(10);
const MAX_ITEMS: u64 = 100_000;
/// What a client's peer is called by where nobody answers, the first that it has.
const PEER_ATTRIBUTES: [&str; 9] = [
    "peer.service",
    "service.peer.name",
    "db.namespace",
    "db.name",
    "db.system.name",
    "db.system",
    "messaging.destination.name",
    "server.address",
    "net.peer.name",
];

/// Who calls whom: metrics of pairs of services.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceGraph {
    /// Make them [default: true].
    pub enabled: Option<bool>,
    /// Attributes of spans or resources that become labels, as `client_…` and `server_…`.
    #[serde(default)]
    pub dimensions: Vec<String>,
    /// Spans that wait for their other half.
    #[serde(default)]
    pub store: Store,
    /// Attributes of a client's span that name its peer where the other half does not come; the first that is there.
    pub virtual_node_peer_attributes: Option<Vec<String>>,
}

/// Spans that wait for their other half.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// How long [default: 10s].
    #[serde(default)]
    ttl: Option<Wait>,
    /// How many at most, some 100 bytes each [default: 100000].
    #[serde(default)]
    max_items: Option<Number>,
}

impl ServiceGraph {
    /// Whether they are made.
    pub fn is_on(&self) -> bool {
        self.enabled.unwrap_or(true)
    }

    /// How long spans wait.
    pub fn ttl(&self) -> Duration {
        self.store.ttl.map_or(TTL, |ttl| ttl.0)
    }

    /// How many may wait.
    pub fn max_items(&self) -> usize {
        usize::try_from(self.store.max_items.map_or(MAX_ITEMS, |number| number.0)).unwrap_or(usize::MAX)
    }

    /// What names a peer.
    pub fn peer_attributes(&self) -> Vec<String> {
        let default = || PEER_ATTRIBUTES.map(str::to_owned).to_vec();
        self.virtual_node_peer_attributes.clone().unwrap_or_else(default)
    }
}
