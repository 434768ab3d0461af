//! Who may do what: accounts of the run's own pods, and their roles.

use serde_json::{Value, json};

use super::blueprint::{Blueprint, Flavor, Scraper};
use super::metadata;
use crate::environment::kubernetes::cluster::kinds::TEMPO_GROUP;
use crate::environment::kubernetes::cluster::names::{NAMESPACE_LABEL, PROMETHEUS, TENANT};

/// Account of k6's pods.
pub const K6_ACCOUNT: &str = "k6";
/// Account of the collector's pods on OpenShift, where it pushes through the
/// gateway; elsewhere the operator makes one.
pub const COLLECTOR_ACCOUNT: &str = "collector";
/// Account by which the harness reads OpenShift's Thanos querier.
pub const METRICS_ACCOUNT: &str = "metrics-reader";

/// The objects that give a run's pods their rights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// They go with the namespace.
    pub namespaced: Vec<Value>,
    /// They have to be deleted one by one: they carry the run's labels, and
    /// [`NAMESPACE_LABEL`].
    pub cluster: Vec<Value>,
}

/// Accounts and roles of a run, none of which may do more than it needs: whoever
/// runs the harness must hold a right to give it.
pub fn access(blueprint: &Blueprint) -> Access {
    let mut access = Access::default();
    let openshift = blueprint.flavor == Flavor::OpenShift;
    // Only the gateway asks for k6's token.
    let k6 = account(blueprint, K6_ACCOUNT, blueprint.has_gateway());
    access.namespaced.push(k6);

    if blueprint.has_gateway() {
        let collector = account(blueprint, COLLECTOR_ACCOUNT, true);
        access.namespaced.push(collector);
        access.bind_tenant(blueprint, "write", "create", COLLECTOR_ACCOUNT);
        access.bind_tenant(blueprint, "read", "get", K6_ACCOUNT);
        // The gateway denies everything to a reader that sees no namespace.
        access.namespaced.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata(blueprint, "k6-view"),
            "roleRef": role_ref("ClusterRole", "view"),
            "subjects": [subject(blueprint, K6_ACCOUNT)],
        }));
    }

    match blueprint.scraper {
        Scraper::Own { cadvisor } => access.allow_own_prometheus(blueprint, cadvisor),
        Scraper::Monitors { .. } if openshift => {
            let account = account(blueprint, METRICS_ACCOUNT, false);
            access.namespaced.push(account);
            access.cluster.push(cluster_binding(
                blueprint,
                &cluster_name(blueprint, "metrics-view"),
                "cluster-monitoring-view",
                METRICS_ACCOUNT,
            ));
        }
        Scraper::Monitors { .. } | Scraper::Foreign => {}
    }
    access
}

impl Access {
    /// The tenant's traces are a resource of their own to the gateway.
    fn bind_tenant(&mut self, blueprint: &Blueprint, purpose: &str, verb: &str, account: &str) {
        let name = cluster_name(blueprint, &format!("traces-{purpose}"));
        self.cluster.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": cluster_metadata(blueprint, &name),
            "rules": [{
                "apiGroups": [TEMPO_GROUP],
                "resources": [TENANT],
                "resourceNames": ["traces"],
                "verbs": [verb],
            }],
        }));
        self.cluster
            .push(cluster_binding(blueprint, &name, &name, account));
    }

    /// Pods are all that it looks for. cAdvisor's metrics of their nodes come
    /// through the API server, whose certificate can be verified, while a
    /// kubelet's often cannot.
    fn allow_own_prometheus(&mut self, blueprint: &Blueprint, cadvisor: bool) {
        self.namespaced.extend([
            account(blueprint, PROMETHEUS, true),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": metadata(blueprint, PROMETHEUS),
                "rules": [{
                    "apiGroups": [""],
                    "resources": ["pods"],
                    "verbs": ["get", "list", "watch"],
                }],
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": metadata(blueprint, PROMETHEUS),
                "roleRef": role_ref("Role", PROMETHEUS),
                "subjects": [subject(blueprint, PROMETHEUS)],
            }),
        ]);
        if cadvisor {
            let name = cluster_name(blueprint, "cadvisor");
            self.cluster.extend([
                json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRole",
                    "metadata": cluster_metadata(blueprint, &name),
                    "rules": [{
                        "apiGroups": [""],
                        "resources": ["nodes/proxy"],
                        "verbs": ["get"],
                    }],
                }),
                cluster_binding(blueprint, &name, &name, PROMETHEUS),
            ]);
        }
    }
}

fn account(blueprint: &Blueprint, name: &str, token: bool) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(blueprint, name),
        "automountServiceAccountToken": token,
    })
}

fn cluster_name(blueprint: &Blueprint, purpose: &str) -> String {
    format!("tempo-perf:{}:{purpose}", blueprint.namespace)
}

fn cluster_metadata(blueprint: &Blueprint, name: &str) -> Value {
    let mut labels = blueprint.labels();
    labels.insert(NAMESPACE_LABEL.into(), blueprint.namespace.clone());
    json!({"name": name, "labels": labels})
}

fn cluster_binding(blueprint: &Blueprint, name: &str, role: &str, account: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": cluster_metadata(blueprint, name),
        "roleRef": role_ref("ClusterRole", role),
        "subjects": [subject(blueprint, account)],
    })
}

fn role_ref(kind: &str, name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name})
}

fn subject(blueprint: &Blueprint, account: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": account, "namespace": blueprint.namespace})
}
