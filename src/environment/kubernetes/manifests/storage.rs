//! MinIO in the namespace, and the Secret of either store.

use serde_json::{Value, json};

use super::blueprint::{Blueprint, StoragePlan};
use super::security::{node_anti_affinity, pod_security};
use super::{TERMINATION_GRACE_SECONDS, metadata, set};
use crate::environment::kubernetes::cluster::names::{MINIO, MINIO_BUCKET};

/// Any ID but 0 will do: MinIO's image names no user.
const MINIO_UID: u32 = 10001;
const MINIO_PORT: u16 = 9000;
/// Where the volume is; each directory in it is a bucket.
const VOLUME_PATH: &str = "/storage";

/// Keys of the Secret, as the Tempo operator reads them.
const ACCESS_KEY_ID: &str = "access_key_id";
const ACCESS_KEY_SECRET: &str = "access_key_secret";

/// The claim, the Service and the StatefulSet of MinIO; nothing with an
/// external store.
pub fn minio(blueprint: &Blueprint) -> Vec<Value> {
    let StoragePlan::Minio { size } = &blueprint.storage else {
        return Vec::new();
    };
    vec![
        claim(blueprint, size),
        service(blueprint),
        stateful_set(blueprint),
    ]
}

/// The Secret that Tempo reads its credentials from, and MinIO too. It has no
/// `region`: the operator refuses one beside static keys.
pub fn storage_secret(
    blueprint: &Blueprint,
    access_key_id: &str,
    secret_access_key: &str,
) -> Value {
    let (bucket, endpoint) = match &blueprint.storage {
        StoragePlan::Minio { .. } => (
            MINIO_BUCKET.to_string(),
            format!("http://{MINIO}.{}.svc:{MINIO_PORT}", blueprint.namespace),
        ),
        StoragePlan::S3 {
            bucket, endpoint, ..
        } => (bucket.clone(), endpoint.clone()),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(blueprint, blueprint.storage.secret_name()),
        "type": "Opaque",
        "stringData": {
            "bucket": bucket,
            "endpoint": endpoint,
            ACCESS_KEY_ID: access_key_id,
            ACCESS_KEY_SECRET: secret_access_key,
        },
    })
}

fn claim(blueprint: &Blueprint, size: &str) -> Value {
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(blueprint, MINIO),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
    });
    set(
        &mut claim["spec"],
        "storageClassName",
        blueprint.storage_class.as_ref().map(|class| json!(class)),
    );
    claim
}

fn service(blueprint: &Blueprint) -> Value {
    let labels = blueprint.component_labels(MINIO);
    let mut metadata = metadata(blueprint, MINIO);
    metadata["labels"] = json!(labels);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": labels,
            "ports": [{"name": "http", "port": MINIO_PORT, "targetPort": "http"}],
        },
    })
}

fn stateful_set(blueprint: &Blueprint) -> Value {
    let labels = blueprint.component_labels(MINIO);
    let security = pod_security(blueprint, MINIO_UID);
    let credential =
        |key: &str| json!({"secretKeyRef": {"name": blueprint.storage.secret_name(), "key": key}});
    // `ready` and `live` answer 200 before MinIO serves anything.
    let serving = json!({"path": "/minio/health/cluster", "port": "http"});
    let container = json!({
        "name": MINIO,
        "image": blueprint.images.minio,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-ec"],
        "args": [format!(
            "mkdir -p {VOLUME_PATH}/{MINIO_BUCKET} && exec minio server {VOLUME_PATH}"
        )],
        "env": [
            {"name": "MINIO_ROOT_USER", "valueFrom": credential(ACCESS_KEY_ID)},
            {"name": "MINIO_ROOT_PASSWORD", "valueFrom": credential(ACCESS_KEY_SECRET)},
            {"name": "MINIO_PROMETHEUS_AUTH_TYPE", "value": "public"},
            {"name": "MINIO_BROWSER", "value": "off"},
            {"name": "MINIO_UPDATE", "value": "off"},
            // It makes a directory for certificates below it.
            {"name": "HOME", "value": "/tmp"},
        ],
        "ports": [{"name": "http", "containerPort": MINIO_PORT}],
        "startupProbe": {"httpGet": serving, "periodSeconds": 1, "failureThreshold": 120},
        // A store under load may answer late.
        "readinessProbe": {"httpGet": serving, "periodSeconds": 1, "timeoutSeconds": 5},
        "livenessProbe": {
            "httpGet": {"path": "/minio/health/live", "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
        // No limit of CPU: a throttled store would be measured as a slow Tempo.
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "2Gi"},
        },
        "securityContext": security.container,
        "volumeMounts": [
            {"name": "storage", "mountPath": VOLUME_PATH},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    });
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": security.pod,
        "containers": [container],
        "volumes": [
            {"name": "storage", "persistentVolumeClaim": {"claimName": MINIO}},
            {"name": "tmp", "emptyDir": {}},
        ],
    });
    set(&mut pod, "affinity", node_anti_affinity(blueprint));
    json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(blueprint, MINIO),
        "spec": {
            "replicas": 1,
            "serviceName": MINIO,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    })
}
