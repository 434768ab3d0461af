//! A look at a bucket that exists, from where Tempo will use it: a pod of the
//! namespace writes, reads and deletes an object before Tempo is created.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use serde_json::{Value, json};

use super::ending::{container_ended, outcome_of, pod_of};
use super::files::{FILES_DIR, K6Files};
use super::job::K6_USER;
use crate::environment::EnvironmentError;
use crate::environment::kubernetes::cluster::create::create;
use crate::environment::kubernetes::cluster::names::K6;
use crate::environment::kubernetes::manifests;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, StoragePlan};
use crate::environment::kubernetes::watch::conditions::{JobOutcome, Progress, job_pods_running};
use crate::environment::kubernetes::watch::namespace::InNamespace;
use crate::environment::kubernetes::watch::view::View;

const JOB: &str = "k6-bucket";
/// What S3 takes for stores that have no regions, MinIO among them.
const NO_REGION: &str = "us-east-1";

/// The Job; none for a store of the run's own.
pub fn job(blueprint: &Blueprint, files: &K6Files, limit: Duration) -> Option<Value> {
    let StoragePlan::S3 {
        bucket,
        region,
        endpoint,
        secret_name,
    } = &blueprint.storage
    else {
        return None;
    };
    let of_secret = |key: &str| json!({"secretKeyRef": {"name": secret_name, "key": key}});
    let env = json!([
        {"name": "S3_ENDPOINT", "value": endpoint},
        {"name": "S3_BUCKET", "value": bucket},
        {"name": "S3_REGION", "value": region.as_deref().unwrap_or(NO_REGION)},
        {"name": "S3_OBJECT", "value": format!("tempo-perf-check-{}", blueprint.run)},
        {"name": "S3_ACCESS_KEY_ID", "valueFrom": of_secret("access_key_id")},
        {"name": "S3_SECRET_ACCESS_KEY", "valueFrom": of_secret("access_key_secret")},
        {"name": "K6_NO_USAGE_REPORT", "value": "true"},
        {"name": "K6_AUTO_EXTENSION_RESOLUTION", "value": "false"},
        {"name": "HOME", "value": "/tmp"},
    ]);
    let security = manifests::pod_security(blueprint, K6_USER);
    let labels = blueprint.component_labels(K6);
    let script = Path::new(FILES_DIR).join("bucket-check.js");
    Some(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": JOB, "namespace": blueprint.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            // The image may have to be pulled first.
            "activeDeadlineSeconds": limit.as_secs().max(1),
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "serviceAccountName": manifests::K6_ACCOUNT,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": security.pod,
                    "containers": [{
                        "name": "k6",
                        "image": blueprint.images.k6,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["k6", "run", "--quiet", "--no-color", "--address", "", script],
                        "env": env,
                        "securityContext": security.container,
                        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"},
                                      "limits": {"memory": "256Mi"}},
                        "volumeMounts": [
                            {"name": "files", "mountPath": FILES_DIR, "readOnly": true},
                            {"name": "tmp", "mountPath": "/tmp"},
                        ],
                    }],
                    "volumes": [files.volume("files"), {"name": "tmp", "emptyDir": {}}],
                },
            },
        },
    }))
}

/// Waits for the verdict of the Job; with what the store answered if it is bad.
pub async fn check(
    here: &InNamespace,
    blueprint: &Blueprint,
    files: &K6Files,
    limit: Duration,
) -> Result<(), EnvironmentError> {
    let Some(job) = job(blueprint, files, limit) else {
        return Ok(());
    };
    create(&here.client, &job).await?;
    let over = |view: &View| match outcome_of(view, JOB) {
        Some(_) => Progress::Done,
        None if pod_of(view, JOB).is_some_and(|pod| container_ended(view, &pod)) => {
            Progress::Waiting("its pod has ended, and its Job not yet".into())
        }
        // An image that cannot be pulled ends it early.
        None => match job_pods_running(view, &[JOB]) {
            Progress::Done => Progress::Waiting("its pod runs".into()),
            other => other,
        },
    };
    here.until("the check of the bucket", limit, over).await?;
    let view = here.watch.view();
    let Some(JobOutcome::Failed(failure)) = outcome_of(&view, JOB) else {
        return Ok(());
    };
    let pods: Api<Pod> = Api::namespaced(here.client.clone(), &here.namespace);
    let said = match pod_of(&view, JOB) {
        Some(pod) => pods.logs(&pod, &LogParams::default()).await.ok(),
        None => None,
    };
    Err(EnvironmentError::Failed(
        match said.as_deref().and_then(answer_in) {
            Some(answer) => format!(
                "storage: the bucket cannot be used: {answer}; see storage of the profile, and the \
             credentials"
            ),
            None => format!("storage: the bucket could not be tried: {}", failure.words),
        },
    ))
}

/// What the script said when it gave up, out of k6's log.
fn answer_in(log: &str) -> Option<String> {
    log.lines().rev().find_map(|line| {
        let (_, said) = line.split_once("test aborted: ")?;
        Some(said.split('"').next()?.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_answer_is_found_in_k6s_log() {
        let log = "time=\"t\" level=error msg=\"test aborted: PUT b/k at http://m: HTTP 403 \
                   AccessDenied\" executor=x\n";
        assert_eq!(
            answer_in(log).as_deref(),
            Some("PUT b/k at http://m: HTTP 403 AccessDenied")
        );
        assert_eq!(answer_in("something else"), None);
    }
}
