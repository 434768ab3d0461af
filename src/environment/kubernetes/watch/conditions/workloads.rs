//! Deployments and StatefulSets: whether they are ready, and what keeps pods of
//! them, or of a Job, from being made.

use std::fmt;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::ResourceExt;

use super::words::line;
use super::{Progress, pod_trouble_in};
use crate::environment::kubernetes::cluster::names::MINIO;
use crate::environment::kubernetes::watch::view::{View, last_time};

/// What makes pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Deployment,
    StatefulSet,
    Job,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Owner::Deployment => "Deployment",
            Owner::StatefulSet => "StatefulSet",
            Owner::Job => "Job",
        })
    }
}

/// MinIO serves: its StatefulSet is ready, for its probe asks MinIO itself.
pub fn minio_ready(view: &View) -> Progress {
    stateful_set_ready(view, MINIO)
}

/// All replicas of the Deployment's current template are ready, one at least.
pub fn deployment_ready(view: &View, name: &str) -> Progress {
    match view.deployments.get(name) {
        Some(deployment) => Workload::from(deployment.as_ref()).progress(view),
        None => Progress::Waiting(format!("Deployment {name}: does not exist yet")),
    }
}

/// All replicas of the StatefulSet's current template are ready, one at least.
pub fn stateful_set_ready(view: &View, name: &str) -> Progress {
    match view.stateful_sets.get(name) {
        Some(stateful_set) => Workload::from(stateful_set.as_ref()).progress(view),
        None => Progress::Waiting(format!("StatefulSet {name}: does not exist yet")),
    }
}

/// Why no pods are made, in the API server's words: Pod Security, a quota, a
/// service account that is missing. Nothing when they are there.
pub fn owner_trouble(view: &View, owner: Owner, name: &str) -> Option<Progress> {
    let refusal = match owner {
        Owner::Deployment => {
            let deployment = view.deployments.get(name)?;
            let conditions = deployment
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten());
            let failure = conditions
                .filter(|condition| condition.type_ == "ReplicaFailure")
                .find(|condition| condition.status == "True");
            match failure {
                Some(failure) => failure.message.clone(),
                None if Workload::from(deployment.as_ref()).lacks_pods() => {
                    refused_replica_set(view, name)
                }
                None => None,
            }
        }
        Owner::StatefulSet => {
            let stateful_set = view.stateful_sets.get(name)?;
            Workload::from(stateful_set.as_ref())
                .lacks_pods()
                .then(|| refused(view, owner, name, stateful_set.metadata.uid.as_deref()))?
        }
        Owner::Job => {
            let job = view.jobs.get(name)?;
            let made = job.status.as_ref().map_or(0, |status| {
                let counts = [status.active, status.succeeded, status.failed];
                counts.into_iter().flatten().sum()
            });
            (made == 0).then(|| refused(view, owner, name, job.metadata.uid.as_deref()))?
        }
    }?;
    Some(Progress::Stuck(format!(
        "{owner} {name}: cannot create pods: {}",
        line(&refusal)
    )))
}

/// The last refusal among an object's events, without the controller's words
/// around it.
fn refused(view: &View, owner: Owner, name: &str, uid: Option<&str>) -> Option<String> {
    let events = view.events_of(&owner.to_string(), name, uid);
    let mut refusals = events
        .iter()
        .rev()
        .filter(|event| event.reason.as_deref() == Some("FailedCreate"));
    refusals.find_map(|event| event.message.as_deref().map(api_servers_words))
}

/// The last refusal of a ReplicaSet of the Deployment, which are named
/// `<deployment>-<hash>`; their uids are not known here.
fn refused_replica_set(view: &View, deployment: &str) -> Option<String> {
    let of_ours = view.events.values().filter(|event| {
        let about = &event.involved_object;
        let name = about.name.as_deref().unwrap_or_default();
        about.kind.as_deref() == Some("ReplicaSet")
            && event.reason.as_deref() == Some("FailedCreate")
            && name.rsplit_once('-').map(|(stem, _)| stem) == Some(deployment)
    });
    let last = of_ours.max_by_key(|event| last_time(event))?;
    last.message.as_deref().map(api_servers_words)
}

fn api_servers_words(message: &str) -> String {
    let prefixes = ["failed error: ", "Error creating: "];
    let words = prefixes
        .iter()
        .find_map(|prefix| message.split_once(prefix).map(|(_, words)| words));
    words.unwrap_or(message).to_owned()
}

/// A Deployment or a StatefulSet, as far as readiness goes.
pub(super) struct Workload<'a> {
    owner: Owner,
    metadata: &'a ObjectMeta,
    selector: Option<&'a LabelSelector>,
    observed_generation: i64,
    wanted: i32,
    made: i32,
    updated: i32,
    ready: i32,
}

impl<'a> From<&'a Deployment> for Workload<'a> {
    fn from(deployment: &'a Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let status = deployment.status.as_ref();
        let count = |of: Option<Option<i32>>| of.flatten().unwrap_or(0);
        Self {
            owner: Owner::Deployment,
            metadata: &deployment.metadata,
            selector: spec.map(|spec| &spec.selector),
            observed_generation: status.and_then(|s| s.observed_generation).unwrap_or(0),
            // Kubernetes' own default.
            wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            made: count(status.map(|status| status.replicas)),
            updated: count(status.map(|status| status.updated_replicas)),
            ready: count(status.map(|status| status.ready_replicas)),
        }
    }
}

impl<'a> From<&'a StatefulSet> for Workload<'a> {
    fn from(stateful_set: &'a StatefulSet) -> Self {
        let spec = stateful_set.spec.as_ref();
        let status = stateful_set.status.as_ref();
        let count = |of: Option<Option<i32>>| of.flatten().unwrap_or(0);
        Self {
            owner: Owner::StatefulSet,
            metadata: &stateful_set.metadata,
            selector: spec.map(|spec| &spec.selector),
            observed_generation: status.and_then(|s| s.observed_generation).unwrap_or(0),
            wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            made: status.map_or(0, |status| status.replicas),
            updated: count(status.map(|status| status.updated_replicas)),
            ready: count(status.map(|status| status.ready_replicas)),
        }
    }
}

impl Workload<'_> {
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    fn is_current(&self) -> bool {
        self.observed_generation >= self.metadata.generation.unwrap_or(0)
    }

    fn lacks_pods(&self) -> bool {
        self.made < self.wanted
    }

    /// Old pods that still run beside the new ones are not what is to be measured.
    fn is_ready(&self) -> bool {
        self.is_current()
            && self.wanted >= 1
            && self.made == self.wanted
            && self.updated >= self.wanted
            && self.ready >= self.wanted
    }

    pub(super) fn progress(&self, view: &View) -> Progress {
        let of = format!("{} {}", self.owner, self.name());
        if self.is_ready() {
            return Progress::Done;
        }
        if self.metadata.deletion_timestamp.is_some() {
            // An operator makes one anew when it cannot change it.
            return Progress::Waiting(format!("{of}: is being deleted"));
        }
        if self.wanted < 1 {
            return Progress::Stuck(format!("{of}: scaled to 0 replicas"));
        }
        let pods = self.selector.map(|selector| view.pods_selected(selector));
        let of_pods = pods
            .into_iter()
            .flatten()
            .filter_map(|pod| pod_trouble_in(view, pod));
        let trouble = owner_trouble(view, self.owner, self.name())
            .into_iter()
            .chain(of_pods);
        match Progress::most_serious(trouble) {
            Some(serious @ (Progress::Stuck(_) | Progress::Failed(_))) => serious,
            other => {
                let state = if !self.is_current() {
                    "not looked at by its controller yet".to_owned()
                } else if self.ready >= self.wanted {
                    "its old pods are being replaced".to_owned()
                } else {
                    format!("{} of {} replicas ready", self.ready, self.wanted)
                };
                let pod = other.as_ref().and_then(Progress::text);
                let pod = pod.map(|text| format!("; {text}")).unwrap_or_default();
                Progress::Waiting(format!("{of}: {state}{pod}"))
            }
        }
    }
}

/// Every Deployment and StatefulSet with these labels.
pub(super) fn labelled<'a>(view: &'a View, labels: &[(&str, &str)]) -> Vec<Workload<'a>> {
    let deployments = view
        .deployments
        .values()
        .filter(|each| has_labels(each.as_ref(), labels))
        .map(|each| Workload::from(each.as_ref()));
    let stateful_sets = view
        .stateful_sets
        .values()
        .filter(|each| has_labels(each.as_ref(), labels))
        .map(|each| Workload::from(each.as_ref()));
    deployments.chain(stateful_sets).collect()
}

fn has_labels<K: ResourceExt>(object: &K, labels: &[(&str, &str)]) -> bool {
    let has =
        |(key, value): &(&str, &str)| object.labels().get(*key).map(String::as_str) == Some(*value);
    labels.iter().all(has)
}
