//! ServiceMonitors for a Prometheus of the cluster.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::blueprint::{Blueprint, Scraper, StoragePlan};
use super::scrape::{
    COLLECTOR_JOB, MINIO_JOB, MINIO_METRICS_PATH, SCRAPE_PROTOCOL, Target, job, targets,
};
use super::{metadata, set};
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::cluster::names::{
    COLLECTOR_COMPONENT, CR_NAME, INSTANCE_LABEL, MANAGED_BY_LABEL, MINIO, OPENTELEMETRY_OPERATOR,
    OPERATED_COMPONENT_LABEL, TEMPO_CA_BUNDLE, TEMPO_CA_KEY, TEMPO_OPERATOR,
};
use crate::profile::Variant;

/// A Prometheus of the cluster keeps its data: each second would be too much.
const INTERVAL: &str = "10s";

/// ServiceMonitors for Tempo, the collector and MinIO; nothing unless a
/// Prometheus of the cluster is told by them. Their labels are not the
/// operators': the Tempo operator deletes what carries its own.
pub fn monitors(blueprint: &Blueprint) -> Vec<Value> {
    let Scraper::Monitors { labels, .. } = &blueprint.scraper else {
        return Vec::new();
    };
    let mut monitors: Vec<Value> = targets(blueprint)
        .iter()
        .map(|target| tempo(blueprint, target))
        .collect();
    monitors.push(collector(blueprint));
    if matches!(blueprint.storage, StoragePlan::Minio { .. }) {
        monitors.push(minio(blueprint));
    }
    for monitor in &mut monitors {
        for (key, value) in labels {
            monitor["metadata"]["labels"][key] = json!(value);
        }
    }
    monitors
}

fn tempo(blueprint: &Blueprint, target: &Target) -> Value {
    let name = match blueprint.variant {
        Variant::Monolithic => "tempo-monolithic",
        Variant::Stack => "tempo",
    };
    let mut endpoint = json!({
        "port": "http",
        "path": "/metrics",
        "scheme": if target.tls.is_some() { "https" } else { "http" },
        "relabelings": [
            {"targetLabel": "cluster", "replacement": CR_NAME},
            {"targetLabel": "job", "replacement": job(blueprint, target.component)},
        ],
    });
    let tls = target.tls.as_ref().map(|tls| {
        json!({
            "ca": {"configMap": {"name": TEMPO_CA_BUNDLE, "key": TEMPO_CA_KEY}},
            "cert": {"secret": {"name": tls.secret, "key": "tls.crt"}},
            "keySecret": {"name": tls.secret, "key": "tls.key"},
            "serverName": tls.server_name,
        })
    });
    set(&mut endpoint, "tlsConfig", tls);
    let selector = BTreeMap::from([
        (MANAGED_BY_LABEL, TEMPO_OPERATOR),
        (INSTANCE_LABEL, CR_NAME),
        ("app.kubernetes.io/name", name),
        (OPERATED_COMPONENT_LABEL, target.service_component),
    ]);
    monitor(blueprint, target.component, json!(selector), endpoint)
}

fn collector(blueprint: &Blueprint) -> Value {
    let selector = json!({
        MANAGED_BY_LABEL: OPENTELEMETRY_OPERATOR,
        OPERATED_COMPONENT_LABEL: COLLECTOR_COMPONENT,
        "operator.opentelemetry.io/collector-service-type": "monitoring",
    });
    let endpoint = json!({
        "port": "monitoring",
        "path": "/metrics",
        "scheme": "http",
        "relabelings": [{"targetLabel": "job", "replacement": COLLECTOR_JOB}],
    });
    monitor(blueprint, "collector", selector, endpoint)
}

fn minio(blueprint: &Blueprint) -> Value {
    let endpoint = json!({
        "port": "http",
        "path": MINIO_METRICS_PATH,
        "scheme": "http",
        "relabelings": [{"targetLabel": "job", "replacement": MINIO_JOB}],
    });
    let selector = json!(blueprint.component_labels(MINIO));
    monitor(blueprint, MINIO, selector, endpoint)
}

fn monitor(blueprint: &Blueprint, what: &str, selector: Value, mut endpoint: Value) -> Value {
    endpoint["interval"] = json!(INTERVAL);
    json!({
        "apiVersion": CustomKind::SERVICE_MONITOR.api_version(),
        "kind": CustomKind::SERVICE_MONITOR.kind,
        "metadata": metadata(blueprint, &format!("scrape-{what}")),
        "spec": {
            "scrapeProtocols": [SCRAPE_PROTOCOL],
            "namespaceSelector": {"matchNames": [blueprint.namespace]},
            "selector": {"matchLabels": selector},
            "endpoints": [endpoint],
        },
    })
}
