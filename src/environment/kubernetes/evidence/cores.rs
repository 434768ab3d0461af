//! The cores that our pods may use.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;

use crate::environment::kubernetes::cluster::names::{COLLECTOR_CONTAINER, K6};
use crate::environment::kubernetes::watch::namespace::InNamespace;
use crate::environment::kubernetes::watch::pods::{collector_pods, own_pods};
use crate::profile::quantity;

/// Cores of k6's and the collector's pods; absent where they are not known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cores {
    pub k6: Option<f64>,
    pub collector: Option<f64>,
}

/// Those of their node, where nodes can be read; the collector's limit before.
pub async fn of_pods(here: &InNamespace) -> Cores {
    let view = here.watch.view();
    let node_of = |pod: Option<&Arc<Pod>>| pod?.spec.as_ref()?.node_name.clone();
    let k6 = node_of(own_pods(&view, K6).next());
    let collector = node_of(collector_pods(&view).next());
    let nodes: Api<Node> = Api::all(here.client.clone());
    let cores = async |name: Option<String>| -> Option<f64> {
        let node = nodes.get(&name?).await.ok()?;
        let allocatable = node.status?.allocatable?;
        quantity::parse(&allocatable.get("cpu")?.0).ok()
    };
    let (k6, collector) = futures::join!(cores(k6), cores(collector));
    let limit = view.pods.values().find_map(|pod| {
        let spec = pod.spec.as_ref()?;
        let container = spec
            .containers
            .iter()
            .find(|it| it.name == COLLECTOR_CONTAINER)?;
        let limits = container.resources.as_ref()?.limits.as_ref()?;
        quantity::parse(&limits.get("cpu")?.0).ok()
    });
    Cores {
        k6,
        collector: limit.or(collector),
    }
}
