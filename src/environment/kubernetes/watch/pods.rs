//! Finding pods in a view.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::view::View;
use crate::environment::kubernetes::cluster::names::CR_NAME;

/// Tempo's pods, by the labels that its operator gives them.
pub fn tempo_pods(view: &View) -> impl Iterator<Item = &Arc<Pod>> {
    view.pods.values().filter(|pod| {
        let label = |key: &str| pod.labels().get(key).map(String::as_str);
        label("app.kubernetes.io/instance") == Some(CR_NAME)
            && label("app.kubernetes.io/managed-by") == Some("tempo-operator")
    })
}

/// As the operator names it.
pub fn component_of(pod: &Pod) -> Option<&str> {
    let labels = pod.labels();
    labels
        .get("app.kubernetes.io/component")
        .map(String::as_str)
}

/// Whether it is `Ready`, and is to stay.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|it| it.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .any(|it| it.type_ == "Ready" && it.status == "True")
}
