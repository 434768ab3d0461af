//! Finding pods in a view.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::view::View;
use crate::environment::kubernetes::cluster::names::{
    COLLECTOR_COMPONENT, COMPONENT_LABEL, CR_NAME, INSTANCE_LABEL, MANAGED_BY_LABEL,
    OPERATED_COMPONENT_LABEL, TEMPO_OPERATOR,
};

/// Tempo's pods, by the labels that its operator gives them.
pub fn tempo_pods(view: &View) -> impl Iterator<Item = &Arc<Pod>> {
    view.pods.values().filter(|pod| {
        label(pod, INSTANCE_LABEL) == Some(CR_NAME)
            && label(pod, MANAGED_BY_LABEL) == Some(TEMPO_OPERATOR)
    })
}

pub fn collector_pods(view: &View) -> impl Iterator<Item = &Arc<Pod>> {
    let pods = view.pods.values();
    pods.filter(|pod| component_of(pod) == Some(COLLECTOR_COMPONENT))
}

/// Pods of a component of our own.
pub fn own_pods<'a>(view: &'a View, component: &'a str) -> impl Iterator<Item = &'a Arc<Pod>> {
    let pods = view.pods.values();
    pods.filter(move |pod| label(pod, COMPONENT_LABEL) == Some(component))
}

/// The component that an operator says a pod is of.
pub fn component_of(pod: &Pod) -> Option<&str> {
    label(pod, OPERATED_COMPONENT_LABEL)
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.labels().get(key).map(String::as_str)
}
