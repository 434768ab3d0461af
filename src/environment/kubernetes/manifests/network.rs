use serde_json::{Value, json};

use super::blueprint::{Blueprint, Scraper};
use super::metadata;
use crate::environment::kubernetes::cluster::names::{
    CR_NAME, INSTANCE_LABEL, MANAGED_BY_LABEL, TEMPO_HTTP_PORT, TEMPO_OPERATOR,
};
use crate::profile::Variant;

/// Lets Tempo's metrics be scraped where the operator's own policies, which a
/// stack has, would keep everything out but OpenShift's monitoring.
///
/// Policies only add up, but the first one that selects a pod closes it to all
/// else. Operators before 0.20 make none: so that ours does no harm alone, it
/// lets in whatever comes from the run's own namespace.
pub fn network_policies(blueprint: &Blueprint) -> Vec<Value> {
    if blueprint.variant == Variant::Monolithic {
        return Vec::new();
    }
    let mut ingress = vec![json!({"from": [{"podSelector": {}}]})];
    match &blueprint.scraper {
        Scraper::Own { .. } => {}
        Scraper::Foreign => ingress.push(scraping_from(&[])),
        Scraper::Monitors { namespaces, .. } => ingress.push(scraping_from(namespaces)),
    }
    vec![json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(blueprint, "scrape-tempo"),
        "spec": {
            "podSelector": {"matchLabels": {
                MANAGED_BY_LABEL: TEMPO_OPERATOR,
                INSTANCE_LABEL: CR_NAME,
            }},
            "policyTypes": ["Ingress"],
            "ingress": ingress,
        },
    })]
}

/// A rule for Tempo's HTTP port, for all namespaces when none is named.
fn scraping_from(namespaces: &[String]) -> Value {
    let selector = if namespaces.is_empty() {
        json!({})
    } else {
        json!({"matchExpressions": [{
            "key": "kubernetes.io/metadata.name",
            "operator": "In",
            "values": namespaces,
        }]})
    };
    json!({
        "from": [{"namespaceSelector": selector}],
        "ports": [{"protocol": "TCP", "port": TEMPO_HTTP_PORT}],
    })
}
