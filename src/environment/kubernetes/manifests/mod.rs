//! The objects of a run, as functions of its blueprint: nothing here asks a
//! cluster, or a clock.

mod access;
pub mod blueprint;
mod collector;
mod monitors;
mod namespace;
mod network;
mod prometheus;
mod scrape;
mod security;
mod storage;
mod tempo;

use serde_json::{Value, json};

use blueprint::Blueprint;

pub use access::{Access, COLLECTOR_ACCOUNT, K6_ACCOUNT, METRICS_ACCOUNT, access};
pub use collector::collector;
pub use monitors::monitors;
pub use namespace::namespace;
pub use network::network_policies;
pub use prometheus::own_prometheus;
pub use scrape::{client_certificate, server_name};
pub use security::{SecurityContexts, node_anti_affinity, pod_security};
pub use storage::{minio, storage_secret};
pub use tempo::tempo;

/// Ours do nothing at their end that is worth waiting for: what they hold goes
/// with the namespace.
const TERMINATION_GRACE_SECONDS: u32 = 5;

/// `metadata` of an object in the run's namespace.
fn metadata(blueprint: &Blueprint, name: &str) -> Value {
    json!({
        "name": name,
        "namespace": blueprint.namespace,
        "labels": blueprint.labels(),
    })
}

/// Sets a field of an object where there is a value for it.
fn set(object: &mut Value, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        object[key] = value;
    }
}
