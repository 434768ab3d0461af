//! The nodes that a run would use.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::environment::kubernetes::cluster::api_error::words;
use crate::profile::quantity;

pub async fn list(client: &Client) -> Result<Vec<Node>, String> {
    let api: Api<Node> = Api::all(client.clone());
    let list = api
        .list(&ListParams::default())
        .await
        .map_err(|err| words(&err))?;
    Ok(list.items)
}

/// What is missing, and what may go wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judged {
    pub missing: Vec<String>,
    pub warnings: Vec<String>,
}

/// What the smallest set-up asks for: k6 twice, collector, MinIO, Prometheus
/// and a monolithic Tempo.
const LEAST_CORES: f64 = 2.0;
const LEAST_MEMORY_BYTES: f64 = 4.0 * 1024.0 * 1024.0 * 1024.0;

pub fn judge(nodes: &[Node], selector: &BTreeMap<String, String>) -> Judged {
    let usable: Vec<&Node> = nodes.iter().filter(|node| is_usable(node)).collect();
    let mut judged = Judged::default();
    if usable.is_empty() {
        judged.missing.push(format!(
            "nodes: none of {} is ready and schedulable",
            nodes.len()
        ));
        return judged;
    }
    let selected = |node: &&Node| {
        let labels = node.metadata.labels.clone().unwrap_or_default();
        selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    };
    if !selector.is_empty() {
        let shown: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let shown = shown.join(",");
        let count = usable.iter().filter(|node| selected(node)).count();
        if count == 0 {
            judged.missing.push(format!(
                "nodes: none of the {} that are ready has the labels of the node selector {shown}",
                usable.len()
            ));
        } else if count == usable.len() {
            judged.missing.push(format!(
                "nodes: all {count} that are ready have the labels {shown}, and MinIO, collector, \
                 Prometheus and k6 keep off those; label fewer, or run without a node selector"
            ));
        }
    }
    let sum = |resource: &str| -> f64 {
        usable
            .iter()
            .filter_map(|node| {
                let allocatable = node.status.as_ref()?.allocatable.as_ref()?;
                quantity::parse(&allocatable.get(resource)?.0).ok()
            })
            .sum()
    };
    let (cores, memory) = (sum("cpu"), sum("memory"));
    if cores < LEAST_CORES || memory < LEAST_MEMORY_BYTES {
        judged.warnings.push(format!(
            "nodes: {cores:.1} cores and {:.1} GiB in all; even the smallest profile wants \
             {LEAST_CORES} cores and {} GiB",
            memory / f64::from(1 << 30),
            LEAST_MEMORY_BYTES / f64::from(1 << 30)
        ));
    } else if usable.len() == 1 {
        judged.warnings.push(
            "nodes: Tempo and the load share the only one, and take CPU from each other".into(),
        );
    }
    judged
}

fn is_usable(node: &Node) -> bool {
    let cordoned = node
        .spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or(false);
    let ready = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && !cordoned
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn node(name: &str, role: &str, ready: bool, cores: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"role": role}},
            "status": {
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                "allocatable": {"cpu": cores, "memory": "8Gi"},
            },
        }))
        .expect("a node")
    }

    #[rstest]
    #[case::enough(vec![node("a", "x", true, "4"), node("b", "y", true, "4")], "role=x", &[], &[])]
    #[case::selector_of_none(vec![node("a", "x", true, "4"), node("b", "y", false, "4")], "role=y", &["has the labels of the node selector role=y"], &["share the only one"])]
    #[case::selector_of_all(vec![node("a", "x", true, "4"), node("b", "x", true, "4")], "role=x", &["all 2 that are ready have the labels role=x"], &[])]
    #[case::none_ready(vec![node("a", "x", false, "4")], "", &["none of 1 is ready"], &[])]
    #[case::small(vec![node("a", "x", true, "1500m")], "", &[], &["1.5 cores and 8.0 GiB in all"])]
    fn nodes_are_judged(
        #[case] nodes: Vec<Node>,
        #[case] selector: &str,
        #[case] missing: &[&str],
        #[case] warnings: &[&str],
    ) {
        let selector = selector
            .split_once('=')
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .into_iter()
            .collect();
        let judged = judge(&nodes, &selector);
        for (found, expected) in [(&judged.missing, missing), (&judged.warnings, warnings)] {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (line, words) in found.iter().zip(expected) {
                assert!(line.contains(words), "{line}");
            }
        }
    }
}
