//! Whether the collector is ready. `Ready` of its resource means reconciled, and
//! holds while the collector crash-loops.

use super::custom_resource::conditions;
use super::{Progress, deployment_ready};
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::watch::view::View;

/// The collector of the resource `name` takes requests: its Deployment is ready,
/// and says so because a probe asked it. Without one a pod is ready as soon as
/// its process runs, once for each restart of a crash loop.
pub fn collector_ready(view: &View, name: &str) -> Progress {
    let title = format!("{} {name}", CustomKind::COLLECTOR.kind);
    let Some(resource) = view.collectors.get(name) else {
        return Progress::Waiting(format!("{title}: does not exist yet"));
    };
    if resource.metadata.deletion_timestamp.is_some() {
        return Progress::Failed(format!("{title}: is being deleted"));
    }
    let all = conditions(resource);
    let refused = all
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "False");
    if let Some(refused) = refused {
        return Progress::Stuck(format!("{title}: not {}", refused.words()));
    }
    let deployment = format!("{name}-collector");
    match deployment_ready(view, &deployment) {
        Progress::Done => {
            if has_readiness_probe(view, &deployment) {
                return Progress::Done;
            }
            Progress::Stuck(format!(
                "Deployment {deployment}: has no readiness probe, so it looks ready whether it \
                 works or not; the OpenTelemetry operator should make one for the extension \
                 health_check"
            ))
        }
        Progress::Waiting(text) if all.is_empty() => Progress::Waiting(format!(
            "{title}: the OpenTelemetry operator has not looked at it yet; {text}"
        )),
        other => other,
    }
}

fn has_readiness_probe(view: &View, deployment: &str) -> bool {
    let spec = view
        .deployments
        .get(deployment)
        .and_then(|deployment| deployment.spec.as_ref()?.template.spec.as_ref());
    let mut containers = spec.iter().flat_map(|spec| &spec.containers);
    containers.any(|container| container.readiness_probe.is_some())
}
