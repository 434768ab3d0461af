//! Under whom pods run, and on which nodes.

use serde_json::{Value, json};

use super::blueprint::{Blueprint, Flavor};

/// `securityContext` of a pod and of each of its containers.
#[derive(Debug, Clone, PartialEq)]
pub struct SecurityContexts {
    pub pod: Value,
    pub container: Value,
}

/// What Pod Security `restricted` asks for, with a root filesystem that cannot
/// be written. `uid` is user and group on vanilla Kubernetes; on OpenShift the
/// SCC gives IDs out of the namespace's range, and refuses all others.
pub fn pod_security(blueprint: &Blueprint, uid: u32) -> SecurityContexts {
    let mut pod = json!({
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if blueprint.flavor == Flavor::Vanilla {
        pod["runAsUser"] = json!(uid);
        pod["runAsGroup"] = json!(uid);
        pod["fsGroup"] = json!(uid);
    }
    SecurityContexts {
        pod,
        container: json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        }),
    }
}

/// `affinity` that keeps a pod off the nodes that are meant for Tempo, those
/// that have all labels of its node selector; none without a selector.
///
/// The terms are alternatives: a node will do when one of the labels is
/// different there, or missing, which `NotIn` also holds for.
pub fn node_anti_affinity(blueprint: &Blueprint) -> Option<Value> {
    let terms: Vec<Value> = blueprint
        .node_selector
        .iter()
        .map(|(key, value)| {
            json!({"matchExpressions": [
                {"key": key, "operator": "NotIn", "values": [value]},
            ]})
        })
        .collect();
    (!terms.is_empty()).then(|| {
        json!({"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
        }})
    })
}
