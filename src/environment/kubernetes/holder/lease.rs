//! The Lease in a namespace of ours: a run renews it for as long as it lives, and
//! whoever finds the namespace watches whether it still does.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::task::JoinHandle;

use super::process::Holder;
use crate::environment::kubernetes::cluster::api_error::{ApiError, watch_words};
use crate::environment::kubernetes::cluster::retry::{persist, within};

/// Name of the Lease in every namespace of ours.
pub const LEASE: &str = "tempo-perf";
pub const RENEW_EVERY: Duration = Duration::from_secs(10);
/// A Lease that is not renewed for so long belongs to nobody any more.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(60);

/// After a failed renewal; six of them fit before the Lease counts as abandoned.
const RENEW_AGAIN: Duration = Duration::from_secs(2);
const RENEW_LIMIT: Duration = Duration::from_secs(8);
/// How long the API server may be away when a Lease is made or read.
const API_LIMIT: Duration = Duration::from_secs(20);
const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// Keeps a Lease renewed until it is dropped.
pub struct LeaseKeeper {
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    lost: Mutex<Option<String>>,
    ending: AtomicBool,
}

impl LeaseKeeper {
    /// Creates the Lease and renews it from then on, on the runtime that this is
    /// called on. `labels` are those of every object of the run.
    pub async fn start(
        client: &Client,
        namespace: &str,
        holder: &Holder,
        labels: BTreeMap<String, String>,
    ) -> Result<Self, ApiError> {
        let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
        let lease = new_lease(holder, labels, Timestamp::now());
        let deadline = Instant::now() + API_LIMIT;
        let created = persist(deadline, async || {
            api.create(&PostParams::default(), &lease).await
        })
        .await;
        let lease = match created {
            // The answer to an earlier attempt may have been lost.
            Err(error) if error.is_conflict() => {
                let found = persist(deadline, async || api.get(LEASE).await).await?;
                if identity(&found) != identity(&lease) {
                    return Err(error);
                }
                found
            }
            created => created?,
        };
        let state = Arc::new(State::default());
        let task = tokio::spawn(keep(
            client.clone(),
            namespace.to_owned(),
            lease,
            Arc::clone(&state),
        ));
        Ok(Self { state, task })
    }

    /// Why the namespace is not ours any more, if that is so: its Lease, or the
    /// whole of it, is gone, or has another holder.
    pub fn lost(&self) -> Option<String> {
        self.state
            .lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From here on the Lease may go: the teardown has begun. It is still renewed
    /// while it is there, so that nobody else cleans up meanwhile.
    pub fn expect_end(&self) {
        self.state.ending.store(true, Ordering::Relaxed);
    }
}

impl Drop for LeaseKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn new_lease(holder: &Holder, labels: BTreeMap<String, String>, now: Timestamp) -> Lease {
    Lease {
        metadata: ObjectMeta {
            name: Some(LEASE.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder.to_string()),
            lease_duration_seconds: Some(ABANDONED_AFTER.as_secs() as i32),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }),
    }
}

fn identity(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

async fn keep(client: Client, namespace: String, mut lease: Lease, state: Arc<State>) {
    let api: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let mut pause = RENEW_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let failing = pause != RENEW_EVERY;
        match renew(&api, &mut lease).await {
            Ok(Held::Still) => pause = RENEW_EVERY,
            Ok(Held::Not(why)) => {
                if !state.ending.load(Ordering::Relaxed) {
                    let text = describe_loss(&client, &namespace, &why).await;
                    tracing::warn!("{text}");
                    *state.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                }
                return;
            }
            Err(error) => {
                if !failing {
                    eprintln!(
                        "  warning: cannot renew the Lease {LEASE} in namespace {namespace}, trying again: {error}"
                    );
                }
                pause = RENEW_AGAIN;
            }
        }
    }
}

enum Held {
    Still,
    Not(String),
}

/// Renews a Lease that is still ours; one that is not is left as it is.
async fn renew(api: &Api<Lease>, lease: &mut Lease) -> Result<Held, ApiError> {
    match replace(api, lease).await {
        Err(error) if error.is_conflict() => {}
        Err(error) if error.is_not_found() => return Ok(Held::Not("is gone".to_owned())),
        done => return done.map(|()| Held::Still),
    }
    // Somebody wrote to it: a controller, a person, or another run that took over.
    let found = within(RENEW_LIMIT, api.get_opt(LEASE)).await?;
    let Some(found) = found else {
        return Ok(Held::Not("is gone".to_owned()));
    };
    if let Some(why) = taken(lease, &found) {
        return Ok(Held::Not(why));
    }
    *lease = found;
    replace(api, lease).await.map(|()| Held::Still)
}

async fn replace(api: &Api<Lease>, lease: &mut Lease) -> Result<(), ApiError> {
    let mut renewed = lease.clone();
    if let Some(spec) = &mut renewed.spec {
        spec.renew_time = Some(MicroTime(Timestamp::now()));
    }
    *lease = within(
        RENEW_LIMIT,
        api.replace(LEASE, &PostParams::default(), &renewed),
    )
    .await?;
    Ok(())
}

/// How the Lease that is there differs from ours in more than its times.
fn taken(ours: &Lease, found: &Lease) -> Option<String> {
    if identity(ours) != identity(found) {
        let other = identity(found).unwrap_or("nobody");
        return Some(format!("is held by {other} now"));
    }
    (ours.metadata.uid != found.metadata.uid).then(|| "was replaced by another one".to_owned())
}

async fn describe_loss(client: &Client, namespace: &str, why: &str) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let whole = match within(RENEW_LIMIT, namespaces.get_opt(namespace)).await {
        Ok(None) => Some("is gone"),
        Ok(Some(it)) if it.metadata.deletion_timestamp.is_some() => Some("is being deleted"),
        // The Lease's own state is said in any case.
        Ok(Some(_)) | Err(_) => None,
    };
    match whole {
        Some(state) => format!("namespace {namespace} {state}, and not by this run"),
        None => format!("the Lease {LEASE} in namespace {namespace} {why}"),
    }
}

/// Whether somebody renews the Lease of a namespace: `true` at the first renewal
/// seen, `false` when none was seen for `limit`. By our own clock from the first
/// look: times in the Lease come from another clock, and are only compared with
/// each other. Fails when the Lease cannot be read.
pub async fn renewal_seen(
    client: &Client,
    namespace: &str,
    limit: Duration,
) -> Result<bool, ApiError> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let read = async || {
        persist(Instant::now() + API_LIMIT, async || {
            api.get_opt(LEASE).await
        })
        .await
    };
    let first = read().await?;
    let watch = async {
        let mut changes = pin!(watch_object(api.clone(), LEASE));
        while let Some(change) = changes.next().await {
            match change {
                Ok(lease) if renewed(first.as_ref(), lease.as_ref()) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(namespace, error = watch_words(&error), "a watch ended");
                    tokio::time::sleep(WATCH_PAUSE).await;
                }
            }
        }
    };
    if tokio::time::timeout(limit, watch).await.is_ok() {
        return Ok(true);
    }
    // A watch that was cut off may have missed it.
    let last = read().await?;
    Ok(renewed(first.as_ref(), last.as_ref()))
}

/// Whether a Lease was made, renewed or taken over between two looks.
fn renewed(first: Option<&Lease>, later: Option<&Lease>) -> bool {
    let state = |lease: Option<&Lease>| {
        lease.map(|lease| {
            let renew_time = lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
            (
                lease.metadata.uid.clone(),
                identity(lease).map(str::to_owned),
                renew_time,
            )
        })
    };
    later.is_some() && state(first) != state(later)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn lease(uid: &str, run: u32, renewed_at: &str) -> Lease {
        let mut holder = Holder::this_process(run);
        holder.machine.host = "bench".to_owned();
        holder.pid = 7;
        let mut lease = new_lease(&holder, BTreeMap::new(), renewed_at.parse().unwrap());
        lease.metadata.uid = Some(uid.to_owned());
        lease
    }

    #[rstest]
    #[case::as_before(Some(("u", 1, "2026-01-01T00:00:00Z")), false)]
    #[case::gone(None, false)]
    #[case::renewed(Some(("u", 1, "2026-01-01T00:00:10Z")), true)]
    #[case::renewed_by_a_clock_that_was_set_back(Some(("u", 1, "2025-01-01T00:00:00Z")), true)]
    #[case::made_anew(Some(("v", 1, "2026-01-01T00:00:00Z")), true)]
    #[case::taken_over(Some(("u", 2, "2026-01-01T00:00:00Z")), true)]
    fn a_renewal_is_any_change_by_a_holder(
        #[case] later: Option<(&str, u32, &str)>,
        #[case] expected: bool,
    ) {
        let first = lease("u", 1, "2026-01-01T00:00:00Z");
        let later = later.map(|(uid, run, at)| lease(uid, run, at));
        assert_eq!(renewed(Some(&first), later.as_ref()), expected);
    }

    #[test]
    fn a_lease_that_appears_has_a_holder() {
        assert!(renewed(None, Some(&lease("u", 1, "2026-01-01T00:00:00Z"))));
        assert!(!renewed(None, None));
    }

    #[test]
    fn a_change_of_labels_is_no_renewal() {
        let first = lease("u", 1, "2026-01-01T00:00:00Z");
        let mut later = first.clone();
        later.metadata.resource_version = Some("17".to_owned());
        assert!(!renewed(Some(&first), Some(&later)));
    }

    #[rstest]
    #[case::only_renewed(("u", 1), None)]
    #[case::other_holder(("u", 2), Some("is held by run 2 on host bench, PID 7 now"))]
    #[case::other_lease(("v", 1), Some("was replaced by another one"))]
    fn a_lease_is_lost_with_its_holder(
        #[case] (uid, run): (&str, u32),
        #[case] expected: Option<&str>,
    ) {
        let ours = lease("u", 1, "2026-01-01T00:00:00Z");
        let found = lease(uid, run, "2026-01-01T00:00:10Z");
        assert_eq!(taken(&ours, &found).as_deref(), expected);
    }

    #[test]
    fn the_lease_says_who_and_for_how_long() {
        let lease = lease("u", 1, "2026-01-01T00:00:00Z");
        let mut json = serde_json::to_value(&lease).unwrap();
        json["metadata"].as_object_mut().unwrap().remove("uid");
        insta::assert_json_snapshot!(json, @r#"
        {
          "apiVersion": "coordination.k8s.io/v1",
          "kind": "Lease",
          "metadata": {
            "labels": {},
            "name": "tempo-perf"
          },
          "spec": {
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "holderIdentity": "run 1 on host bench, PID 7",
            "leaseDurationSeconds": 60,
            "renewTime": "2026-01-01T00:00:00.000000Z"
          }
        }
        "#);
    }
}
