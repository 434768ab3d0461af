//! Volume claims that are not bound.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::Progress;
use super::words::{event_words, line};
use crate::environment::kubernetes::watch::view::View;

/// Events with which a claim says that it will hardly be bound: the provisioner's
/// refusal, and no storage class where the cluster has no default.
const REFUSALS: [&str; 2] = ["ProvisioningFailed", "FailedBinding"];

/// What keeps a claim from being bound. A claim without trouble, also one that
/// only waits for its pod to be scheduled, has none.
pub fn claim_trouble(view: &View, claim: &PersistentVolumeClaim) -> Option<Progress> {
    let name = claim.name_any();
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    match phase {
        Some("Bound") => None,
        Some("Lost") => Some(Progress::Failed(format!(
            "claim {name}: Lost: the volume it was bound to is gone"
        ))),
        _ => {
            let events = view.events_of(
                "PersistentVolumeClaim",
                &name,
                claim.metadata.uid.as_deref(),
            );
            let last = events.last()?;
            let reason = last.reason.as_deref().unwrap_or_default();
            let words = event_words(last);
            if REFUSALS.contains(&reason) {
                let class = claim
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.storage_class_name.as_deref())
                    .filter(|class| !class.is_empty())
                    .map(|class| format!(" (storage class {class})"))
                    .unwrap_or_default();
                return Some(Progress::Stuck(line(&format!(
                    "claim {name}{class}: not bound: {words}"
                ))));
            }
            Some(Progress::Waiting(format!("claim {name}: Pending: {words}")))
        }
    }
}
