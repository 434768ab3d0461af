//! Components that did not last: what restarted, was killed or was replaced
//! since set-up.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::pods::{disruption, failure_words, memory_limit};
use super::words::{ended, event_words, line, reason_and_message, times};
use crate::environment::kubernetes::watch::view::View;

/// One text for each pod of `before` that did not simply run on, in the order of
/// their names. `before` is the view at the end of set-up. Pods of Jobs are left
/// out, for they end by themselves, and so are those that were going already.
pub fn restarted_or_ended(before: &View, now: &View) -> Vec<String> {
    let lasting = before.pods.values().filter(|pod| {
        let mut owners = pod.owner_references().iter();
        pod.metadata.deletion_timestamp.is_none()
            && !owners.any(|owner| owner.kind == "Job")
            && phase(pod) != Some("Failed")
            && phase(pod) != Some("Succeeded")
    });
    lasting.filter_map(|pod| since(pod, now)).collect()
}

fn since(before: &Pod, now: &View) -> Option<String> {
    let name = before.name_any();
    let same = now
        .pods
        .get(&name)
        .filter(|pod| pod.metadata.uid == before.metadata.uid);
    let Some(pod) = same else {
        return Some(line(&format!(
            "pod {name} is gone{}{}",
            last_words(before, now),
            successor(before, now)
        )));
    };
    if phase(pod) == Some("Failed") {
        return Some(line(&format!("pod {name} failed: {}", failure_words(pod))));
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(line(&format!(
            "pod {name} is being deleted{}",
            last_words(pod, now)
        )));
    }
    let containers: Vec<String> = containers(pod)
        .filter_map(|container| {
            let was = containers(before)
                .find(|was| was.name == container.name)
                .map_or(0, |was| was.restart_count);
            container_since(pod, container, was)
        })
        .collect();
    (!containers.is_empty()).then(|| line(&format!("pod {name}: {}", containers.join("; "))))
}

/// A container that restarted since it had `was` restarts, or has ended.
fn container_since(pod: &Pod, container: &ContainerStatus, was: i32) -> Option<String> {
    let name = &container.name;
    let limit = memory_limit(pod, name);
    let state = container.state.as_ref();
    let end = state.and_then(|state| state.terminated.as_ref());
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let restarts = container.restart_count - was;
    if restarts > 0 {
        let end = end.or(last);
        let words = end.map(|end| format!(", last ended with {}", ended(end, limit)));
        return Some(format!(
            "container {name} restarted {}{}",
            times(restarts),
            words.unwrap_or_default()
        ));
    }
    end.map(|end| format!("container {name} ended with {}", ended(end, limit)))
}

/// Why a pod went, as far as it was told before it did.
fn last_words(pod: &Pod, now: &View) -> String {
    if let Some(disrupted) = disruption(pod) {
        let words = reason_and_message(disrupted.reason.as_deref(), disrupted.message.as_deref());
        return format!(" ({words})");
    }
    let events = now.events_of("Pod", &pod.name_any(), pod.metadata.uid.as_deref());
    let told = |reasons: &[&str]| {
        let mut newest_first = events.iter().rev();
        newest_first.find(|event| {
            let reason = event.reason.as_deref().unwrap_or_default();
            reasons.contains(&reason)
        })
    };
    // The cause before its effect, which comes later.
    let last = told(&[
        "Evicted",
        "Preempted",
        "TaintManagerEviction",
        "NodeNotReady",
    ])
    .or_else(|| told(&["Killing"]));
    last.map(|event| format!(" ({})", event_words(event)))
        .unwrap_or_default()
}

/// The pod that came in the place of one that went.
fn successor(before: &Pod, now: &View) -> String {
    let known = |pod: &Pod| pod.metadata.uid == before.metadata.uid;
    let newest = now
        .pods
        .values()
        .filter(|pod| !known(pod) && workload(pod).is_some() && workload(pod) == workload(before))
        .filter(|pod| pod.metadata.creation_timestamp > before.metadata.creation_timestamp)
        .max_by_key(|pod| pod.metadata.creation_timestamp.clone());
    match newest {
        Some(pod) if pod.name_any() == before.name_any() => {
            ", replaced by one of the same name".to_owned()
        }
        Some(pod) => format!(", replaced by {}", pod.name_any()),
        None => ", with no other in its place".to_owned(),
    }
}

/// Kind and name of what makes a pod's successors: of a ReplicaSet, whose name
/// ends in a hash, the Deployment's name.
fn workload(pod: &Pod) -> Option<(&str, &str)> {
    let mut owners = pod.owner_references().iter();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let stem = owner.name.rsplit_once('-').map(|(stem, _)| stem);
            Some(("Deployment", stem.unwrap_or(&owner.name)))
        }
        kind => Some((kind, &owner.name)),
    }
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| status.container_statuses.iter().flatten())
}
