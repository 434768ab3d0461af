//! Volumes that outlive the namespace whose claims they were made for.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::json;

use super::tally::Tally;
use crate::environment::kubernetes::cluster::api_error::ApiError;
use crate::environment::kubernetes::cluster::retry::persist;

/// How long released volumes may take to go; detaching a disk takes its time.
const LIMIT: Duration = Duration::from_secs(60);
/// A volume is looked at again after this at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Set by provisioners on volumes that they made for a claim.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// A claim of a namespace, and the volume that was bound to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedVolume {
    pub claim_uid: String,
    pub volume: String,
}

/// The bound claims of a namespace. To be read before the namespace goes: a uid
/// tells its volumes from those of a later namespace of the same name.
pub async fn claimed(
    client: &Client,
    namespace: &str,
    deadline: Instant,
) -> Result<Vec<ClaimedVolume>, ApiError> {
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default();
    let found = persist(deadline, async || claims.list(&params).await).await?;
    let bound = found.items.into_iter().filter_map(|claim| {
        Some(ClaimedVolume {
            claim_uid: claim.metadata.uid?,
            volume: claim.spec?.volume_name.filter(|name| !name.is_empty())?,
        })
    });
    Ok(bound.collect())
}

/// What to do about a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Gone,
    /// It is on its way, or not released yet.
    Wait,
    /// Released with `Retain`: nobody else will remove it.
    LetGo,
    /// Made by hand, not by a provisioner: nobody could remove its disk for us.
    ByHand,
    /// The provisioner cannot remove it; with its words.
    Stuck(String),
}

fn step(volume: Option<&PersistentVolume>, namespace: &str, claim_uid: &str) -> Step {
    let Some(volume) = volume else {
        return Step::Gone;
    };
    let spec = volume.spec.as_ref();
    let claim = spec.and_then(|spec| spec.claim_ref.as_ref());
    let is_ours = claim.is_some_and(|claim| {
        claim.namespace.as_deref() == Some(namespace) && claim.uid.as_deref() == Some(claim_uid)
    });
    if !is_ours {
        // Bound to another claim by now, or made anew under the same name.
        return Step::Gone;
    }
    let status = volume.status.as_ref();
    let retained =
        spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()) == Some("Retain");
    let provisioned = volume.metadata.annotations.as_ref();
    let provisioned = provisioned.is_some_and(|it| it.contains_key(PROVISIONED_BY));
    match status.and_then(|status| status.phase.as_deref()) {
        Some("Released") if retained && provisioned => Step::LetGo,
        Some("Released") if retained => Step::ByHand,
        Some("Failed") => Step::Stuck(
            status
                .and_then(|status| status.message.clone())
                .unwrap_or_else(|| "its phase is Failed".to_owned()),
        ),
        _ => Step::Wait,
    }
}

/// Sees to it that the volumes of a namespace that is gone go too, all at once.
/// A volume that is bound is never touched.
pub async fn remove_released(client: &Client, namespace: &str, volumes: &[ClaimedVolume]) -> Tally {
    let deadline = Instant::now() + LIMIT;
    let removals = volumes
        .iter()
        .map(|volume| remove(client, namespace, volume, deadline));
    let mut tally = Tally::default();
    for part in futures::future::join_all(removals).await {
        tally.add(part);
    }
    tally
}

async fn remove(
    client: &Client,
    namespace: &str,
    claimed: &ClaimedVolume,
    deadline: Instant,
) -> Tally {
    let api: Api<PersistentVolume> = Api::all(client.clone());
    let ClaimedVolume { claim_uid, volume } = claimed;
    let mut retained = false;
    loop {
        let found = match persist(deadline, async || api.get_opt(volume).await).await {
            Ok(found) => found,
            Err(error) => {
                let text = format!(
                    "whether volume {volume} went with namespace {namespace} cannot be seen: {error}"
                );
                // Who may not look may not help either; mostly it goes by itself.
                return if error.is_forbidden() {
                    Tally::warning(text)
                } else {
                    Tally::error(text)
                };
            }
        };
        match step(found.as_ref(), namespace, claim_uid) {
            Step::Gone if retained => {
                return Tally::removed(format!("PersistentVolume {volume}, which was retained"));
            }
            Step::Gone => return Tally::removed(format!("PersistentVolume {volume}")),
            Step::LetGo => match let_go(&api, found.as_ref(), volume, deadline).await {
                Ok(()) => retained = true,
                Err(error) => {
                    return Tally::error(format!(
                        "volume {volume} of namespace {namespace} is left behind: its reclaim \
                         policy is Retain, and could not be changed to Delete: {error}"
                    ));
                }
            },
            Step::ByHand => {
                return Tally::warning(format!(
                    "volume {volume} was not made by a provisioner and is left as it is, \
                     Released, with this run's data on it"
                ));
            }
            Step::Stuck(why) => {
                return Tally::error(format!(
                    "volume {volume} of namespace {namespace} is left behind: {why}"
                ));
            }
            Step::Wait => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Tally::error(format!(
                "volume {volume} of namespace {namespace} is still there after {:.0} s ({})",
                LIMIT.as_secs_f64(),
                describe(found.as_ref())
            ));
        }
        let seen = found.and_then(|it| it.metadata.resource_version);
        let changed = |it: Option<&PersistentVolume>| {
            it.is_none_or(|it| it.metadata.resource_version != seen)
        };
        let watch = await_condition(api.clone(), volume, changed);
        if let Ok(Err(_)) = tokio::time::timeout(LOOK_AGAIN.min(left), watch).await {
            // Without a watch (it may be forbidden) there is still the get above.
            tokio::time::sleep(LOOK_AGAIN.min(left)).await;
        }
    }
}

/// Hands a retained volume to its provisioner for removal. A conflict means that
/// it changed since it was looked at: then it is looked at again.
async fn let_go(
    api: &Api<PersistentVolume>,
    seen: Option<&PersistentVolume>,
    volume: &str,
    deadline: Instant,
) -> Result<(), ApiError> {
    let version = seen.and_then(|it| it.metadata.resource_version.clone());
    let patch = Patch::Merge(json!({
        "metadata": {"resourceVersion": version},
        "spec": {"persistentVolumeReclaimPolicy": "Delete"},
    }));
    let params = PatchParams::default();
    match persist(deadline, async || api.patch(volume, &params, &patch).await).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

fn describe(volume: Option<&PersistentVolume>) -> String {
    let phase = volume
        .and_then(|volume| volume.status.as_ref()?.phase.as_deref())
        .unwrap_or("of unknown phase");
    let policy = volume
        .and_then(|volume| {
            volume
                .spec
                .as_ref()?
                .persistent_volume_reclaim_policy
                .as_deref()
        })
        .unwrap_or("unknown");
    format!("{phase}, reclaim policy {policy}")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn volume(phase: &str, policy: &str, namespace: &str, claim_uid: &str) -> PersistentVolume {
        serde_json::from_value(json!({
            "metadata": {"name": "pvc-1", "annotations": {PROVISIONED_BY: "example.com/disks"}},
            "spec": {
                "persistentVolumeReclaimPolicy": policy,
                "claimRef": {"namespace": namespace, "uid": claim_uid, "name": "minio"},
            },
            "status": {"phase": phase, "message": "disk is attached"},
        }))
        .unwrap()
    }

    #[rstest]
    #[case::goes_by_itself(volume("Released", "Delete", "ns", "u"), Step::Wait)]
    #[case::retained(volume("Released", "Retain", "ns", "u"), Step::LetGo)]
    #[case::still_bound(volume("Bound", "Retain", "ns", "u"), Step::Wait)]
    #[case::bound_to_a_later_claim(volume("Bound", "Retain", "ns", "v"), Step::Gone)]
    #[case::released_by_a_later_claim(volume("Released", "Retain", "ns", "v"), Step::Gone)]
    #[case::of_another_namespace(volume("Released", "Retain", "other", "u"), Step::Gone)]
    #[case::stuck(
        volume("Failed", "Delete", "ns", "u"),
        Step::Stuck("disk is attached".to_owned())
    )]
    fn only_released_volumes_of_our_own_claims_are_touched(
        #[case] volume: PersistentVolume,
        #[case] expected: Step,
    ) {
        assert_eq!(step(Some(&volume), "ns", "u"), expected);
    }

    #[test]
    fn a_volume_made_by_hand_is_left_to_its_maker() {
        let mut volume = volume("Released", "Retain", "ns", "u");
        volume.metadata.annotations = None;
        assert_eq!(step(Some(&volume), "ns", "u"), Step::ByHand);
    }

    #[test]
    fn a_volume_that_is_not_there_is_gone() {
        assert_eq!(step(None, "ns", "u"), Step::Gone);
        assert_eq!(
            describe(Some(&volume("Released", "Delete", "ns", "u"))),
            "Released, reclaim policy Delete"
        );
    }
}
