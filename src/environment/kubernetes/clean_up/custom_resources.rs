//! The operators' custom resources of a namespace: deleted, awaited, and freed of
//! their finalizers by force when nobody else does it.

use std::fmt;
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::cluster_objects::{Leftovers, remove_leftovers};
use super::tally::Tally;
use crate::environment::kubernetes::cluster::api_error::ApiError;
use crate::environment::kubernetes::cluster::deletion::{delete_exactly, until_gone};
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::cluster::retry::persist;

/// How long an object may take to go once its finalizers are taken away.
const AFTER_STRIPPING: Duration = Duration::from_secs(15);

/// A custom resource that was there when it was listed.
pub struct CustomResource {
    api: Api<DynamicObject>,
    kind: &'static str,
    name: String,
    uid: String,
}

impl fmt::Display for CustomResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// All custom resources of a namespace, of whatever name. A kind whose CRD is
/// not there, or that we may not see, has none of ours; the latter is a warning.
pub async fn list(
    client: &Client,
    namespace: &str,
    deadline: Instant,
) -> (Vec<CustomResource>, Tally) {
    let lists = CustomKind::OPERATED.map(|custom| async move {
        let kind = custom.kind;
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &custom.resource());
        let params = ListParams::default();
        let found = persist(deadline, async || api.list_metadata(&params).await).await;
        found
            .map(|list| {
                let objects = list.items.into_iter().filter_map(|object| {
                    Some(CustomResource {
                        api: api.clone(),
                        kind,
                        name: object.metadata.name?,
                        uid: object.metadata.uid?,
                    })
                });
                objects.collect::<Vec<_>>()
            })
            .map_err(|error| (kind, error))
    });
    let mut resources = Vec::new();
    let mut tally = Tally::default();
    for found in futures::future::join_all(lists).await {
        match found {
            Ok(found) => resources.extend(found),
            Err((_, error)) if error.is_not_found() => {}
            Err((kind, error)) if error.is_forbidden() => tally.warnings.push(format!(
                "whether there is any {kind} in namespace {namespace} cannot be seen: {error}"
            )),
            Err((kind, error)) => tally.errors.push(format!(
                "whether there is any {kind} in namespace {namespace} could not be read: {error}"
            )),
        }
    }
    (resources, tally)
}

/// Deletes a custom resource and waits until it is gone. Its finalizers belong to
/// its operator, and are taken away only when `limit` is over.
pub async fn remove(
    client: &Client,
    namespace: &str,
    resource: &CustomResource,
    limit: Duration,
) -> Tally {
    let CustomResource { api, name, uid, .. } = resource;
    let deadline = Instant::now() + limit;
    let asked = delete_exactly(api, name, uid, DeleteParams::background(), deadline).await;
    if let Err(error) = asked {
        return Tally::error(not_deleted(resource, limit, &error));
    }
    let Err(still) = until_gone(api, name, uid, deadline).await else {
        return Tally::removed(resource.to_string());
    };
    let seconds = limit.as_secs_f64();
    let Some(last) = still.last else {
        let error = still.error.unwrap_or_default();
        return Tally::error(format!(
            "whether {resource} is gone could not be seen within {seconds:.0} s: {error}"
        ));
    };
    let finalizers = last.metadata.finalizers.unwrap_or_default();
    if last.metadata.deletion_timestamp.is_none() || finalizers.is_empty() {
        return Tally::error(format!(
            "{resource} is still there after {seconds:.0} s, without a finalizer that holds it"
        ));
    }
    strip(client, namespace, resource, &finalizers, limit).await
}

fn not_deleted(resource: &CustomResource, limit: Duration, error: &ApiError) -> String {
    let text = error.to_string();
    let seconds = limit.as_secs_f64();
    // The operators' webhooks are asked for deletions too, and must answer.
    let advice = if text.contains("failed calling webhook") {
        "; its operator must run for this: see to it, then run `tempo-perf sweep`"
    } else {
        ""
    };
    format!("{resource} could not be deleted within {seconds:.0} s: {text}{advice}")
}

/// Takes the finalizers away and clears up what they would have.
async fn strip(
    client: &Client,
    namespace: &str,
    resource: &CustomResource,
    finalizers: &[String],
    limit: Duration,
) -> Tally {
    let CustomResource {
        api,
        kind,
        name,
        uid,
        ..
    } = resource;
    let held_by = format!(
        "{resource} was still there after {:.0} s, held by its finalizer {}",
        limit.as_secs_f64(),
        finalizers.join(", ")
    );
    let deadline = Instant::now() + AFTER_STRIPPING;
    // With the uid, the patch cannot meet another object of the name.
    let patch = Patch::Merge(json!({"metadata": {"uid": uid, "finalizers": null}}));
    let params = PatchParams::default();
    match persist(deadline, async || api.patch(name, &params, &patch).await).await {
        Ok(_) => {}
        Err(error) if error.is_not_found() || error.is_conflict() => {}
        Err(error) => {
            return Tally::error(format!("{held_by}, which could not be removed: {error}"));
        }
    }
    if until_gone(api, name, uid, deadline).await.is_err() {
        return Tally::error(format!(
            "{held_by}, and even after the finalizer was removed"
        ));
    }
    let deadline = Instant::now() + AFTER_STRIPPING;
    let mut tally = remove_leftovers(client, &Leftovers::of(kind, name, namespace), deadline).await;
    let leftovers = match tally.removed.as_slice() {
        [] => "nothing of its operator was left in the cluster".to_owned(),
        names => format!("and {} with it", names.join(" and ")),
    };
    tally.warnings.push(format!(
        "{held_by}: the finalizer was removed by force ({leftovers}); does its operator run?"
    ));
    tally.removed.push(resource.to_string());
    tally
}
