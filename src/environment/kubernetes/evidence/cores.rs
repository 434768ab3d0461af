//! The cores that our pods may use.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, ResourceExt as _};

use crate::environment::kubernetes::watch::namespace::InNamespace;
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
    let node_of = |wanted: &dyn Fn(&Pod) -> bool| {
        let pod = view.pods.values().find(|pod| wanted(pod))?;
        pod.spec.as_ref()?.node_name.clone()
    };
    let k6 = node_of(&|pod| pod.name_any().starts_with("k6-"));
    let collector = node_of(&|pod| pod.name_any().starts_with("perf-collector-"));
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
            .find(|it| it.name == "otc-container")?;
        let limits = container.resources.as_ref()?.limits.as_ref()?;
        quantity::parse(&limits.get("cpu")?.0).ok()
    });
    Cores {
        k6,
        collector: limit.or(collector),
    }
}
