//! Taking a run down: its Jobs and custom resources, its objects outside of the
//! namespace, the namespace until it is gone, and the volumes that it releases.
//!
//! Everything is tried, and errors come together. What a namespace holds is only
//! deleted by uid, after a look at the namespace itself: between two calls, a
//! later run may have made another one of the same name.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::cluster_objects;
use super::custom_resources;
use super::tally::Tally;
use super::volumes::{self, ClaimedVolume};
use crate::environment::kubernetes::cluster::api_error::ApiError;
use crate::environment::kubernetes::cluster::deletion::{StillThere, delete_exactly, until_gone};
use crate::environment::kubernetes::cluster::names::RUN_LABEL;
use crate::environment::kubernetes::cluster::retry::persist;
use crate::environment::kubernetes::holder::examine::run_of;

/// How long the API server may be away when something is listed or deleted.
const API_LIMIT: Duration = Duration::from_secs(30);
/// Pods of a namespace that is going get this long: their data goes with them.
const GRACE_SECONDS: u32 = 1;

/// What belongs to one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub namespace: String,
    /// Value of the run label, on the namespace and on cluster-scoped objects.
    pub run: String,
    /// Of the namespace; without it, the run label tells whether it is the one.
    pub namespace_uid: Option<String>,
}

impl Target {
    pub fn new(namespace: &str, run: impl ToString) -> Self {
        Self {
            namespace: namespace.to_owned(),
            run: run.to_string(),
            namespace_uid: None,
        }
    }

    pub fn with_uid(mut self, uid: &str) -> Self {
        self.namespace_uid = Some(uid.to_owned());
        self
    }
}

/// How long each part of a teardown may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the finalizers of custom resources are taken away by force.
    pub cr_deletion: Duration,
    /// Until the deletion of the namespace is given up.
    pub namespace_deletion: Duration,
}

/// What a teardown did; nothing of the run is left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "warnings are for the user"]
pub struct Removed {
    /// Each with its kind and name.
    pub objects: Vec<String>,
    /// What was not as it should be: finalizers removed by force, or something
    /// that could not be looked at.
    pub warnings: Vec<String>,
    /// Until the custom resources were gone.
    pub emptied: Duration,
    /// From then until the namespace and its volumes were.
    pub namespace_gone: Duration,
}

/// What a teardown left behind; all else was removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", errors.join("; "))]
pub struct TeardownFailed {
    pub errors: Vec<String>,
    pub removed: Removed,
}

/// Removes all that belongs to `target`; what was never created is fine.
///
/// A namespace that does not carry the run's label is not touched. API servers
/// that restart meanwhile are asked again within the limits. Not to be
/// interrupted: what takes long ends by `limits`.
pub async fn tear_down(
    client: &Client,
    target: &Target,
    limits: Limits,
    progress: &dyn Fn(&str),
) -> Result<Removed, TeardownFailed> {
    let Target { namespace, run, .. } = target;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut tally = Tally::default();
    let deadline = Instant::now() + limits.cr_deletion;
    let found = persist(deadline, async || namespaces.get_opt(namespace).await).await;
    let uid = match found.map(|found| whose(found.as_ref(), target)) {
        Ok(Whose::Ours(uid)) => Some(uid),
        Ok(Whose::NotThere) => None,
        Ok(Whose::Relabelled) => {
            tally.errors.push(format!(
                "namespace {namespace} no longer carries the label {RUN_LABEL}={run} and is left alone"
            ));
            None
        }
        Err(error) => {
            tally
                .errors
                .push(format!("cannot read namespace {namespace}: {error}"));
            None
        }
    };
    let began = Instant::now();
    let claims = match &uid {
        Some(uid) => empty(client, target, uid, limits, &mut tally, progress).await,
        None => Vec::new(),
    };
    let emptied = began.elapsed();
    let deadline = Instant::now() + API_LIMIT;
    let of_cluster = cluster_objects::remove_of_run(client, run, namespace, deadline);
    let of_namespace = async {
        match &uid {
            Some(uid) => delete_namespace(client, namespace, uid, &claims, limits).await,
            None => Tally::default(),
        }
    };
    let (of_cluster, of_namespace) = tokio::join!(of_cluster, of_namespace);
    tally.add(of_cluster);
    tally.add(of_namespace);
    let removed = Removed {
        objects: tally.removed,
        warnings: tally.warnings,
        emptied,
        namespace_gone: began.elapsed().saturating_sub(emptied),
    };
    if tally.errors.is_empty() {
        Ok(removed)
    } else {
        Err(TeardownFailed {
            errors: tally.errors,
            removed,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Whose {
    /// With its uid.
    Ours(String),
    /// Never made, gone, or another run's by now.
    NotThere,
    /// The very namespace, without its label.
    Relabelled,
}

fn whose(found: Option<&Namespace>, target: &Target) -> Whose {
    let Some((found, uid)) = found.and_then(|it| Some((it, it.metadata.uid.as_ref()?))) else {
        return Whose::NotThere;
    };
    let labelled = run_of(found) == Some(target.run.as_str());
    match &target.namespace_uid {
        Some(expected) if expected != uid => Whose::NotThere,
        Some(_) if !labelled => Whose::Relabelled,
        None if !labelled => Whose::NotThere,
        _ => Whose::Ours(uid.clone()),
    }
}

/// Removes the Jobs and custom resources of the namespace; returns the claims
/// whose volumes are to go with it.
async fn empty(
    client: &Client,
    target: &Target,
    uid: &str,
    limits: Limits,
    tally: &mut Tally,
    progress: &dyn Fn(&str),
) -> Vec<ClaimedVolume> {
    let namespace = target.namespace.as_str();
    let deadline = Instant::now() + API_LIMIT;
    let (mut claims, jobs, (resources, listing)) = tokio::join!(
        claimed(client, namespace, tally),
        list_jobs(client, target, deadline),
        custom_resources::list(client, namespace, deadline),
    );
    tally.add(listing);
    // As long as the namespace is the same one after the lists, they are of it.
    if !is_there(client, namespace, uid).await {
        return Vec::new();
    }
    // Before their owners: what the garbage collector deletes has its whole grace
    // period, and the kubelet does not shorten it later.
    hurry::<Pod>(client, namespace, uid).await;
    match jobs {
        Ok(jobs) => {
            let api: Api<Job> = Api::namespaced(client.clone(), namespace);
            for (name, uid) in jobs {
                let params = DeleteParams::background();
                match delete_exactly(&api, &name, &uid, params, deadline).await {
                    Ok(()) => tally.removed.push(format!("Job {name}")),
                    Err(error) => tally
                        .errors
                        .push(format!("cannot delete Job {name}: {error}")),
                }
            }
        }
        Err(error) => tally.errors.push(format!(
            "cannot list the Jobs in namespace {namespace}: {error}"
        )),
    }
    if !resources.is_empty() {
        let names: Vec<String> = resources.iter().map(ToString::to_string).collect();
        progress(&format!("removing {}", names.join(", ")));
    }
    let removals = resources
        .iter()
        .map(|resource| custom_resources::remove(client, namespace, resource, limits.cr_deletion));
    for removal in futures::future::join_all(removals).await {
        tally.add(removal);
    }
    // Claims that were bound meanwhile.
    let later = claimed(client, namespace, &mut Tally::default()).await;
    if is_there(client, namespace, uid).await {
        for claim in later {
            if !claims.contains(&claim) {
                claims.push(claim);
            }
        }
    }
    claims
}

async fn claimed(client: &Client, namespace: &str, tally: &mut Tally) -> Vec<ClaimedVolume> {
    match volumes::claimed(client, namespace, Instant::now() + API_LIMIT).await {
        Ok(claims) => claims,
        Err(error) => {
            tally.warnings.push(format!(
                "which volumes namespace {namespace} has cannot be seen: {error}"
            ));
            Vec::new()
        }
    }
}

/// Names and uids of the run's Jobs.
async fn list_jobs(
    client: &Client,
    target: &Target,
    deadline: Instant,
) -> Result<Vec<(String, String)>, ApiError> {
    let api: Api<Job> = Api::namespaced(client.clone(), &target.namespace);
    let params = ListParams::default().labels(&format!("{RUN_LABEL}={}", target.run));
    let found = persist(deadline, async || api.list_metadata(&params).await).await?;
    let named = found.items.into_iter();
    Ok(named
        .filter_map(|job| Some((job.metadata.name?, job.metadata.uid?)))
        .collect())
}

/// Whether the namespace of this uid is still there, terminating or not.
async fn is_there(client: &Client, namespace: &str, uid: &str) -> bool {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = persist(Instant::now() + API_LIMIT, async || {
        api.get_metadata_opt(namespace).await
    })
    .await;
    // When it cannot be read, nothing in it is touched; the deletion will tell.
    found.is_ok_and(|found| found.is_some_and(|it| it.metadata.uid.as_deref() == Some(uid)))
}

/// Deletes the namespace, waits until it is gone, and then for its volumes.
async fn delete_namespace(
    client: &Client,
    namespace: &str,
    uid: &str,
    claims: &[ClaimedVolume],
    limits: Limits,
) -> Tally {
    let api: Api<Namespace> = Api::all(client.clone());
    let deadline = Instant::now() + limits.namespace_deletion;
    let deleted = delete_exactly(&api, namespace, uid, DeleteParams::default(), deadline).await;
    if let Err(error) = deleted {
        return Tally::error(format!("cannot delete namespace {namespace}: {error}"));
    }
    // The namespace controller takes its first look after 5 s, and the next one
    // many seconds later: until then pods and claims should be gone.
    let (gone, (), ()) = tokio::join!(
        until_gone(&api, namespace, uid, deadline),
        hurry::<Pod>(client, namespace, uid),
        hurry::<PersistentVolumeClaim>(client, namespace, uid),
    );
    if let Err(still) = gone {
        return Tally::error(format!(
            "namespace {namespace} is still there after {:.0} s: {}",
            limits.namespace_deletion.as_secs_f64(),
            hangs_on(&still)
        ));
    }
    let mut tally = Tally::removed(format!("Namespace {namespace}"));
    tally.add(volumes::remove_released(client, namespace, claims).await);
    tally
}

/// Deletes the pods, or claims, of a namespace that is to go anyway, with hardly
/// any grace: Tempo's queriers would use up all of their 30 s. It only saves
/// time, nothing depends on it.
async fn hurry<K>(client: &Client, namespace: &str, uid: &str)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let deadline = Instant::now() + API_LIMIT;
    let params = ListParams::default();
    let found = persist(deadline, async || api.list_metadata(&params).await).await;
    let objects = match found {
        Ok(_) if !is_there(client, namespace, uid).await => return,
        Ok(found) => found.items,
        Err(error) => {
            tracing::debug!(namespace, %error, "what is in it takes its own time to go");
            return;
        }
    };
    let deletions = objects.iter().map(async |object| {
        let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
        let params = DeleteParams::background().grace_period(GRACE_SECONDS);
        if let Err(error) = delete_exactly(&api, &name, &uid, params, deadline).await {
            tracing::debug!(namespace, name, %error, "an object takes its own time to go");
        }
    });
    futures::future::join_all(deletions).await;
}

/// What the deletion of a namespace hangs on, in Kubernetes' words.
pub fn hangs_on(still: &StillThere<Namespace>) -> String {
    let Some(namespace) = &still.last else {
        let error = still.error.as_deref().unwrap_or("it could not be read");
        return error.to_owned();
    };
    let status = namespace.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let reasons: Vec<String> = conditions
        .into_iter()
        .flatten()
        .filter(|condition| condition.status == "True")
        .map(|condition| match condition.message.as_deref() {
            Some(message) if !message.is_empty() => message.to_owned(),
            _ => condition.type_.clone(),
        })
        .collect();
    if !reasons.is_empty() {
        return reasons.join("; ");
    }
    match namespace.metadata.deletion_timestamp {
        Some(_) => "it is Terminating, and says nothing of what it waits for".to_owned(),
        None => "its deletion was not accepted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn namespace(uid: &str, run: Option<&str>) -> Namespace {
        let labels = run.map_or(json!({}), |run| json!({"tempo-perf/run": run}));
        serde_json::from_value(json!({"metadata": {"name": "n", "uid": uid, "labels": labels}}))
            .unwrap()
    }

    #[rstest]
    #[case::never_made(None, None, Whose::NotThere)]
    #[case::ours(Some(namespace("u", Some("7"))), Some("u"), Whose::Ours("u".to_owned()))]
    #[case::ours_by_label(Some(namespace("u", Some("7"))), None, Whose::Ours("u".to_owned()))]
    #[case::another_runs(Some(namespace("u", Some("8"))), None, Whose::NotThere)]
    #[case::somebody_elses(Some(namespace("u", None)), None, Whose::NotThere)]
    #[case::a_later_one(Some(namespace("v", Some("8"))), Some("u"), Whose::NotThere)]
    #[case::a_later_one_of_the_same_run(
        Some(namespace("v", Some("7"))),
        Some("u"),
        Whose::NotThere
    )]
    #[case::label_taken_away(Some(namespace("u", None)), Some("u"), Whose::Relabelled)]
    #[case::label_changed(Some(namespace("u", Some("8"))), Some("u"), Whose::Relabelled)]
    fn only_the_runs_own_namespace_is_deleted(
        #[case] found: Option<Namespace>,
        #[case] uid: Option<&str>,
        #[case] expected: Whose,
    ) {
        let mut target = Target::new("n", 7);
        target.namespace_uid = uid.map(str::to_owned);
        assert_eq!(whose(found.as_ref(), &target), expected);
    }

    fn still(conditions: serde_json::Value, terminating: bool) -> StillThere<Namespace> {
        let mut metadata = json!({"name": "n"});
        if terminating {
            metadata["deletionTimestamp"] = json!("2026-11-23T02:05:18Z");
        }
        StillThere {
            last: Some(
                serde_json::from_value(json!({
                    "metadata": metadata,
                    "status": {"phase": "Terminating", "conditions": conditions},
                }))
                .unwrap(),
            ),
            error: None,
        }
    }

    #[rstest]
    #[case::webhook_away(
        still(
            json!([
                {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "All resources successfully discovered"},
                {"type": "NamespaceDeletionContentFailure", "status": "True", "message": "Failed to delete all resource types, 1 remaining: Internal error occurred: failed calling webhook \"vtempomonolithic.kb.io\": connection refused"},
                {"type": "NamespaceContentRemaining", "status": "False", "message": "All content successfully removed"},
            ]),
            true
        ),
        "Failed to delete all resource types, 1 remaining: Internal error occurred: failed calling webhook \"vtempomonolithic.kb.io\": connection refused"
    )]
    #[case::finalizer(
        still(
            json!([
                {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: configmaps. has 1 resource instances"},
                {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content in the namespace has finalizers remaining: example.com/stuck in 1 resource instances"},
            ]),
            true
        ),
        "Some resources are remaining: configmaps. has 1 resource instances; Some content in the namespace has finalizers remaining: example.com/stuck in 1 resource instances"
    )]
    #[case::no_word(still(json!([]), true), "it is Terminating, and says nothing of what it waits for")]
    #[case::not_accepted(still(json!([]), false), "its deletion was not accepted")]
    #[case::unreadable(
        StillThere { last: None, error: Some("connection refused".to_owned()) },
        "connection refused"
    )]
    fn a_namespace_that_hangs_says_on_what(
        #[case] still: StillThere<Namespace>,
        #[case] expected: &str,
    ) {
        assert_eq!(hangs_on(&still), expected);
    }

    #[test]
    fn what_is_left_is_told_together() {
        let failed = TeardownFailed {
            errors: vec!["one".to_owned(), "two".to_owned()],
            removed: Removed {
                objects: Vec::new(),
                warnings: Vec::new(),
                emptied: Duration::ZERO,
                namespace_gone: Duration::ZERO,
            },
        };
        assert_eq!(failed.to_string(), "one; two");
    }
}
