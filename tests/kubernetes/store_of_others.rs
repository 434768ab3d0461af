//! An object store that exists, for runs with external storage: MinIO in a
//! namespace of its own.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Api;
use kube::api::{AttachParams, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use kube::core::ApiResource;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::cluster::Cluster;

const IMAGE: &str = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z";
const ACCESS_KEY_ID: &str = "others";
const SECRET_ACCESS_KEY: &str = "a-secret-of-others";
const READY_LIMIT: Duration = Duration::from_secs(60);

pub struct StoreOfOthers<'a> {
    cluster: &'a Cluster,
    namespace: String,
    bucket: String,
}

impl<'a> StoreOfOthers<'a> {
    /// Starts it with one bucket, and waits until it is ready.
    pub fn start(cluster: &'a Cluster, namespace: &str, bucket: &str) -> Result<Self, Failed> {
        let store = Self {
            cluster,
            namespace: namespace.into(),
            bucket: bucket.into(),
        };
        cluster.block_on(async {
            for object in store.objects() {
                store.create(&object).await?;
            }
            Ok::<_, Failed>(())
        })?;
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            let pod = cluster.block_on(store.pods().get("minio"))?;
            let ready = pod
                .status
                .and_then(|status| status.conditions)
                .unwrap_or_default()
                .iter()
                .any(|it| it.type_ == "Ready" && it.status == "True");
            if ready {
                return Ok(store);
            }
            if Instant::now() > deadline {
                return Err("the store of others is not ready".into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub fn access_key_id(&self) -> &str {
        ACCESS_KEY_ID
    }

    pub fn secret_access_key(&self) -> &str {
        SECRET_ACCESS_KEY
    }

    /// What the check of the bucket wrote it has deleted again.
    pub fn assert_bucket_is_empty(&self) -> Result<(), Failed> {
        let listed = self.cluster.block_on(async {
            let command = ["ls", "-A", &format!("/storage/{}", self.bucket)];
            let params = AttachParams::default().stderr(false);
            let mut process = self.pods().exec("minio", command, &params).await?;
            let mut text = String::new();
            if let Some(mut stdout) = process.stdout() {
                stdout.read_to_string(&mut text).await?;
            }
            Ok::<_, Failed>(text)
        })?;
        assert_eq!(listed.trim(), "", "the bucket must be as it was");
        Ok(())
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    fn objects(&self) -> [Value; 3] {
        let (namespace, bucket) = (&self.namespace, &self.bucket);
        [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "minio", "namespace": namespace, "labels": {"app": "minio"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "minio",
                        "image": IMAGE,
                        "command": ["sh", "-c",
                            format!("mkdir -p /storage/{bucket} && exec minio server /storage")],
                        "env": [
                            {"name": "MINIO_ROOT_USER", "value": ACCESS_KEY_ID},
                            {"name": "MINIO_ROOT_PASSWORD", "value": SECRET_ACCESS_KEY},
                        ],
                        "readinessProbe": {
                            "httpGet": {"path": "/minio/health/ready", "port": 9000},
                            "periodSeconds": 1,
                        },
                    }],
                },
            }),
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "minio", "namespace": namespace},
                "spec": {"selector": {"app": "minio"}, "ports": [{"port": 9000}]},
            }),
        ]
    }

    async fn create(&self, object: &Value) -> Result<(), Failed> {
        let parsed: DynamicObject = serde_json::from_value(object.clone())?;
        let kind = object["kind"].as_str().unwrap_or_default();
        let plural = format!("{}s", kind.to_lowercase());
        let gvk = GroupVersionKind::gvk("", "v1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
        let client = self.cluster.client();
        let api: Api<DynamicObject> = match kind {
            "Namespace" => Api::all_with(client, &resource),
            _ => Api::namespaced_with(client, &self.namespace, &resource),
        };
        api.create(&PostParams::default(), &parsed).await?;
        Ok(())
    }
}

impl Drop for StoreOfOthers<'_> {
    fn drop(&mut self) {
        let namespaces: Api<Namespace> = Api::all(self.cluster.client());
        let deleted = self
            .cluster
            .block_on(namespaces.delete(&self.namespace, &DeleteParams::default()));
        if let Err(err) = deleted {
            eprintln!("kubernetes: {}: {err}", self.namespace);
        }
    }
}
