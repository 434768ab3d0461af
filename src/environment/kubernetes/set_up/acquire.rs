//! The namespace of a run: made for it, cleaned first if nobody holds it any
//! more, and refused if somebody does, or if it is not ours.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::environment::kubernetes::clean_up::tear_down::{
    TeardownLimits, TeardownTarget, tear_down,
};
use crate::environment::kubernetes::cluster::api_error::ApiError;
use crate::environment::kubernetes::cluster::deletion::until_gone;
use crate::environment::kubernetes::cluster::names::RUN_LABEL;
use crate::environment::kubernetes::cluster::retry::persist;
use crate::environment::kubernetes::holder::examine::{Liveness, examine, holder_of, run_of, who};
use crate::environment::kubernetes::holder::lease::{ABANDONED_AFTER, LeaseKeeper};
use crate::environment::kubernetes::holder::process::{
    HOLDER_ANNOTATION, HeldByThisProcess, Holder, LocalLiveness, judge_here,
};
use crate::environment::kubernetes::watch::conditions::hangs_on;
use crate::process::{Interrupt, Signal};

/// How long the API server may be away when a namespace is made or read.
const API_LIMIT: Duration = Duration::from_secs(30);
/// Others may take the namespace between our looking and creating; not for ever.
const ATTEMPTS: usize = 5;
/// Labels and annotations of ours begin with this.
const OURS: &str = "tempo-perf/";

/// What a namespace is acquired with.
pub struct AcquireRequest<'a> {
    /// The Namespace to create, with the run's labels.
    pub manifest: serde_json::Value,
    pub holder: Holder,
    /// Of the teardown of an abandoned run, and of a deletion under way.
    pub limits: TeardownLimits,
    pub interrupt: &'a Interrupt,
    /// Gets a line for what takes long.
    pub progress: &'a dyn Fn(&str),
}

/// A namespace that is ours until this is dropped: then nobody renews its Lease.
/// Keep it until the teardown is done.
pub struct NamespaceHold {
    pub uid: String,
    pub lease: LeaseKeeper,
    _held: HeldByThisProcess,
}

#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    #[error("the manifest of the namespace is wrong: {0}")]
    Manifest(String),
    #[error(
        "namespace {namespace} exists and is not tempo-perf's (no label {RUN_LABEL}): it is left \
         alone; remove or rename it yourself, or choose another --namespace-prefix"
    )]
    NotOurs { namespace: String },
    #[error("namespace {namespace} is in use by {who}: wait for that run to end, or stop it")]
    InUse { namespace: String, who: String },
    #[error("namespace {namespace}: what {who} left behind could not be removed: {errors}")]
    NotCleaned {
        namespace: String,
        who: String,
        errors: String,
    },
    #[error("namespace {namespace} is still being deleted after {:.0} s: {detail}", .waited.as_secs_f64())]
    StillDeleted {
        namespace: String,
        waited: Duration,
        detail: String,
    },
    #[error("namespace {namespace}: other runs take it again and again")]
    Contended { namespace: String },
    #[error("cannot {what}: {error}")]
    Api { what: String, error: ApiError },
    #[error("interrupted by {0}")]
    Interrupted(Signal),
}

/// Makes the namespace of a run, and starts to renew its Lease.
///
/// Creating is atomic: of two runs that want a namespace, one gets it. An error
/// leaves nothing of this run behind, unless it says so.
pub async fn acquire(
    client: &Client,
    request: AcquireRequest<'_>,
) -> Result<NamespaceHold, AcquireError> {
    let manifest = with_holder(&request.manifest, &request.holder)?;
    let namespace = manifest.metadata.name.clone().unwrap_or_default();
    let held = HeldByThisProcess::new(request.holder.run);
    for _ in 0..ATTEMPTS {
        if let Some(uid) = create(client, &manifest, &request.holder).await? {
            return with_lease(client, &manifest, uid, held, &request).await;
        }
        let make_way = make_way(client, &namespace, &request);
        tokio::select! {
            biased;
            signal = request.interrupt.wait() => return Err(AcquireError::Interrupted(signal)),
            done = make_way => done?,
        }
    }
    Err(AcquireError::Contended { namespace })
}

/// The manifest as an object, with the holder in its annotation.
fn with_holder(manifest: &serde_json::Value, holder: &Holder) -> Result<Namespace, AcquireError> {
    let mut namespace: Namespace = serde_json::from_value(manifest.clone())
        .map_err(|error| AcquireError::Manifest(error.to_string()))?;
    if namespace
        .metadata
        .name
        .as_deref()
        .unwrap_or_default()
        .is_empty()
    {
        return Err(AcquireError::Manifest("it has no name".to_owned()));
    }
    let run = holder.run.to_string();
    if run_of(&namespace) != Some(run.as_str()) {
        return Err(AcquireError::Manifest(format!(
            "its label {RUN_LABEL} is not the holder's run, {run}"
        )));
    }
    namespace
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(HOLDER_ANNOTATION.to_owned(), holder.to_annotation());
    Ok(namespace)
}

/// Creates the namespace and returns its uid; `None` if there is one already.
async fn create(
    client: &Client,
    manifest: &Namespace,
    holder: &Holder,
) -> Result<Option<String>, AcquireError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let name = manifest.metadata.name.as_deref().unwrap_or_default();
    let failed = |what: &str, error| AcquireError::Api {
        what: format!("{what} namespace {name}"),
        error,
    };
    let deadline = Instant::now() + API_LIMIT;
    let created = persist(deadline, async || {
        namespaces.create(&PostParams::default(), manifest).await
    })
    .await;
    match created {
        Ok(namespace) => Ok(namespace.metadata.uid),
        Err(error) if error.is_conflict() => {
            // The answer to an earlier attempt of ours may have been lost.
            let found = persist(deadline, async || namespaces.get_opt(name).await)
                .await
                .map_err(|error| failed("read", error))?;
            Ok(found
                .filter(|it| holder_of(it).as_ref() == Some(holder))
                .and_then(|it| it.metadata.uid))
        }
        Err(error) => Err(failed("create", error)),
    }
}

async fn with_lease(
    client: &Client,
    manifest: &Namespace,
    uid: String,
    held: HeldByThisProcess,
    request: &AcquireRequest<'_>,
) -> Result<NamespaceHold, AcquireError> {
    let namespace = manifest.metadata.name.clone().unwrap_or_default();
    let labels = own_labels(manifest);
    match LeaseKeeper::start(client, &namespace, &request.holder, labels).await {
        Ok(lease) => Ok(NamespaceHold {
            uid,
            lease,
            _held: held,
        }),
        Err(error) => {
            let target = TeardownTarget::new(&namespace, request.holder.run).with_uid(&uid);
            let what = match tear_down(client, &target, request.limits, request.progress).await {
                Ok(_) => format!("create a Lease in namespace {namespace}"),
                Err(failed) => format!(
                    "create a Lease in namespace {namespace}, nor remove the namespace ({failed})"
                ),
            };
            Err(AcquireError::Api { what, error })
        }
    }
}

fn own_labels(namespace: &Namespace) -> BTreeMap<String, String> {
    let labels = namespace.metadata.labels.iter().flatten();
    labels
        .filter(|(key, _)| key.starts_with(OURS))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Returns when the namespace that stood in the way is gone.
async fn make_way(
    client: &Client,
    name: &str,
    request: &AcquireRequest<'_>,
) -> Result<(), AcquireError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = persist(Instant::now() + API_LIMIT, async || {
        namespaces.get_opt(name).await
    })
    .await
    .map_err(|error| AcquireError::Api {
        what: format!("read namespace {name}"),
        error,
    })?;
    let Some(found) = found else {
        return Ok(());
    };
    let Some(run) = run_of(&found) else {
        return Err(AcquireError::NotOurs {
            namespace: name.to_owned(),
        });
    };
    let uid = found.metadata.uid.as_deref().unwrap_or_default();
    let who = who(&found);
    if found.metadata.deletion_timestamp.is_some() {
        (request.progress)(&format!(
            "namespace {name} of {who} is being deleted; waiting until it is gone"
        ));
        if holder_of(&found).is_some_and(|holder| judge_here(&holder) == LocalLiveness::Live) {
            // That run tears down itself, under its own limits.
            return wait_until_gone(&namespaces, name, uid, request.limits).await;
        }
    } else {
        let liveness = examine(client, &found, ABANDONED_AFTER, request.progress)
            .await
            .map_err(|error| AcquireError::Api {
                what: format!("read the Lease in namespace {name}"),
                error,
            })?;
        let why = match liveness {
            Liveness::Live => {
                return Err(AcquireError::InUse {
                    namespace: name.to_owned(),
                    who: who.to_string(),
                });
            }
            Liveness::Abandoned(why) => why,
        };
        (request.progress)(&format!(
            "namespace {name} was left behind by {who} ({why}): removing it first"
        ));
    }
    let target = TeardownTarget::new(name, run).with_uid(uid);
    match tear_down(client, &target, request.limits, request.progress).await {
        Ok(_) => Ok(()),
        Err(failed) => Err(AcquireError::NotCleaned {
            namespace: name.to_owned(),
            who: who.to_string(),
            errors: failed.to_string(),
        }),
    }
}

async fn wait_until_gone(
    namespaces: &Api<Namespace>,
    name: &str,
    uid: &str,
    limits: TeardownLimits,
) -> Result<(), AcquireError> {
    let waited = limits.namespace_deletion;
    until_gone(namespaces, name, uid, Instant::now() + waited)
        .await
        .map_err(|still| AcquireError::StillDeleted {
            namespace: name.to_owned(),
            waited,
            detail: hangs_on(&still),
        })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn holder() -> Holder {
        Holder {
            run: 7,
            since: "2026-11-24T20:00:00Z".parse().unwrap(),
            pid: 4711,
            process_start: None,
            machine: crate::environment::kubernetes::holder::process::Machine {
                host: "bench".to_owned(),
                boot_id: None,
                pid_namespace: None,
            },
        }
    }

    #[test]
    fn a_manifest_is_created_with_its_holder() {
        let manifest = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": "tempo-perf-small",
                "labels": {"tempo-perf/run": "7", "pod-security.kubernetes.io/enforce": "restricted"},
                "annotations": {"note": "kept"},
            },
        });
        let namespace = with_holder(&manifest, &holder()).unwrap();
        assert_eq!(holder_of(&namespace), Some(holder()));
        assert_eq!(
            who(&namespace).to_string(),
            "run 7 on host bench, PID 4711, since 2026-11-24 20:00:00 UTC"
        );
        assert_eq!(
            namespace.metadata.annotations.as_ref().unwrap()["note"],
            "kept"
        );
        assert_eq!(
            own_labels(&namespace),
            BTreeMap::from([("tempo-perf/run".to_owned(), "7".to_owned())])
        );
    }

    #[rstest]
    #[case::no_name(json!({"metadata": {"labels": {"tempo-perf/run": "7"}}}), "it has no name")]
    #[case::no_label(
        json!({"metadata": {"name": "n"}}),
        "its label tempo-perf/run is not the holder's run, 7"
    )]
    #[case::other_run(
        json!({"metadata": {"name": "n", "labels": {"tempo-perf/run": "8"}}}),
        "its label tempo-perf/run is not the holder's run, 7"
    )]
    fn a_manifest_that_could_not_be_cleaned_up_is_refused(
        #[case] manifest: serde_json::Value,
        #[case] expected: &str,
    ) {
        let error = with_holder(&manifest, &holder()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the manifest of the namespace is wrong: {expected}")
        );
    }

    #[test]
    fn an_annotation_of_somebody_else_leaves_the_run() {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {
            "name": "n",
            "labels": {"tempo-perf/run": "8"},
            "annotations": {"tempo-perf/holder": "me"},
        }}))
        .unwrap();
        assert_eq!(
            who(&namespace).to_string(),
            "run 8 (no word of its process)"
        );
    }
}
