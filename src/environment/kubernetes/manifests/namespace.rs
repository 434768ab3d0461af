use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::blueprint::{Blueprint, Flavor};

/// The namespace that holds all of a run. On OpenShift it has no Pod Security
/// label, because the SCC does that work and labels of ours would fight the
/// cluster's own.
pub fn namespace(blueprint: &Blueprint, annotations: BTreeMap<String, String>) -> Value {
    let mut labels = blueprint.labels();
    if blueprint.flavor == Flavor::Vanilla {
        for mode in ["enforce", "audit", "warn"] {
            labels.insert(
                format!("pod-security.kubernetes.io/{mode}"),
                "restricted".into(),
            );
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": blueprint.namespace,
            "labels": labels,
            "annotations": annotations,
        },
    })
}
