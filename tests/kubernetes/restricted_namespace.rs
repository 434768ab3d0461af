//! A namespace that enforces `restricted`, with the operators' resources in it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::Request;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use libtest_mimic::Failed;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempo_perf::corpus::{Corpus, identity::hex};
use tempo_perf::environment::kubernetes::cluster::names::RUN_LABEL;
use tempo_perf::profile::TraceProfile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::stand_in::kinds;

/// For pods to run on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

pub fn ensure(holds: bool, seen: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(seen.into()) }
}

/// Indices of [`kinds`].
pub const MONOLITHIC: usize = 0;
pub const STACK: usize = 1;
pub const COLLECTOR: usize = 2;

/// A namespace that enforces `restricted`.
pub struct RestrictedNamespace {
    client: Client,
    pub name: String,
}

impl RestrictedNamespace {
    pub async fn new(client: Client, name: &str) -> Result<Self, Failed> {
        let namespace = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": {
                    RUN_LABEL: "1",
                    "pod-security.kubernetes.io/enforce": "restricted",
                },
            },
        }))?;
        let api: Api<Namespace> = Api::all(client.clone());
        api.create(&PostParams::default(), &namespace).await?;
        Ok(Self {
            client,
            name: name.to_owned(),
        })
    }

    pub fn api(&self, kind: usize) -> Api<DynamicObject> {
        let kind: &ApiResource = &kinds()[kind];
        Api::namespaced_with(self.client.clone(), &self.name, kind)
    }

    pub async fn create_secret(&self, name: &str, endpoint: &str) -> Result<(), Failed> {
        self.create_secret_with(name, endpoint, &[]).await
    }

    pub async fn create_secret_with(
        &self,
        name: &str,
        endpoint: &str,
        more: &[(&str, &str)],
    ) -> Result<(), Failed> {
        let mut data = json!({
            "bucket": "tempo",
            "endpoint": endpoint,
            "access_key_id": "tempo",
            "access_key_secret": "not-a-secret",
        });
        for (key, value) in more {
            data[key] = json!(value);
        }
        let secret = json!({"metadata": {"name": name}, "stringData": data});
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.name);
        api.create(&PostParams::default(), &serde_json::from_value(secret)?)
            .await?;
        Ok(())
    }

    pub async fn delete_secret(&self) -> Result<(), Failed> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.name);
        api.delete("minio", &DeleteParams::default()).await?;
        Ok(())
    }

    pub async fn create(&self, kind: usize, name: &str, spec: Value) -> Result<(), Failed> {
        let mut cr = DynamicObject::new(name, &kinds()[kind]);
        cr.data = json!({"spec": spec});
        self.api(kind).create(&PostParams::default(), &cr).await?;
        Ok(())
    }

    pub async fn conditions(&self, kind: usize, name: &str) -> Result<Value, Failed> {
        let cr = self.api(kind).get(name).await?;
        Ok(cr.data["status"]["conditions"].clone())
    }

    /// Does a condition hold?
    pub async fn has(&self, kind: usize, name: &str, condition: &str) -> Result<bool, Failed> {
        let conditions = self.conditions(kind, name).await?;
        let found = conditions.as_array().into_iter().flatten();
        Ok(found
            .into_iter()
            .any(|it| it["type"] == condition && it["status"] == "True"))
    }

    pub async fn wait<F>(&self, what: &str, mut holds: impl FnMut() -> F) -> Result<(), Failed>
    where
        F: Future<Output = Result<bool, Failed>>,
    {
        let deadline = Instant::now() + LIMIT;
        while !holds().await? {
            if Instant::now() > deadline {
                return Err(format!("no {what} in {} within {LIMIT:?}", self.name).into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Waits for a pod in whose JSON both texts are.
    pub async fn wait_for_pod(&self, text: &str, other: &str) -> Result<(), Failed> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.name);
        self.wait(&format!("pod with {text} and {other}"), || async {
            let all = pods.list(&ListParams::default()).await?.items;
            let texts: Result<Vec<_>, _> = all.iter().map(serde_json::to_string).collect();
            let found = |json: &String| json.contains(text) && json.contains(other);
            Ok(texts?.iter().any(found))
        })
        .await
    }

    /// Waits until so many Deployments and StatefulSets exist and are ready.
    pub async fn workloads_ready(&self, count: usize) -> Result<(), Failed> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.name);
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.name);
        self.wait("readiness of all workloads", || async {
            let all = ListParams::default();
            let (deployments, sets) = tokio::try_join!(deployments.list(&all), sets.list(&all))?;
            let ready: Vec<_> = deployments
                .items
                .into_iter()
                .map(|it| it.status.and_then(|status| status.ready_replicas))
                .chain(
                    sets.items
                        .into_iter()
                        .map(|it| it.status.and_then(|status| status.ready_replicas)),
                )
                .collect();
            Ok(ready.len() == count && ready.iter().all(|ready| ready.unwrap_or(0) >= 1))
        })
        .await
    }

    pub fn proxy(&self, service: &str, port: u16, path: &str) -> String {
        format!(
            "/api/v1/namespaces/{}/services/http:{service}:{port}/proxy/{path}",
            self.name
        )
    }

    pub async fn proxied(&self, service: &str, port: u16, path: &str) -> Result<String, Failed> {
        let request = Request::get(self.proxy(service, port, path)).body(Vec::new())?;
        Ok(self.client.request_text(request).await?)
    }

    /// Trace `n` of a run through a collector and back from a query API; returns
    /// its number of spans.
    pub async fn pass_one_trace(
        &self,
        collector: &str,
        query: &str,
        n: u64,
    ) -> Result<usize, Failed> {
        let corpus = Corpus::generate(TraceProfile::Small, 1);
        let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let body = corpus.fill(n, 1, u64::try_from(end)?);
        let push = Request::post(self.proxy(collector, 4318, "v1/traces"))
            .header("Content-Type", "application/x-protobuf")
            .body(body)?;
        self.client.request_text(push).await?;

        let expected = corpus.expected_trace(n, 1);
        let path = format!("api/traces/{}", hex(&expected.trace_id));
        let trace: Value = serde_json::from_str(&self.proxied(query, 3200, &path).await?)?;
        let ids = span_ids(&trace);
        ensure(
            ids.len() == expected.spans.len(),
            &format!("{} spans expected: {trace}", expected.spans.len()),
        )?;
        Ok(ids.len())
    }

    /// `/metrics` of a component of the stack `stk` through a port-forward, with
    /// the certificate of another component.
    pub async fn scrape_with_certificate(&self, component: &str) -> Result<String, Failed> {
        let config = self.tls_config().await?;
        let name = format!("tempo-stk-{component}.{}.svc.cluster.local", self.name);
        let stream = self.forwarded(component).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(ServerName::try_from(name)?, stream)
            .await?;
        get_metrics(stream).await
    }

    pub async fn scrape_without_tls(&self, component: &str) -> Result<String, Failed> {
        get_metrics(self.forwarded(component).await?).await
    }

    pub async fn forwarded(
        &self,
        component: &str,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin, Failed> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.name);
        let labels =
            format!("app.kubernetes.io/instance=stk,app.kubernetes.io/component={component}");
        let found = pods.list(&ListParams::default().labels(&labels)).await?;
        let pod = found.items.first().ok_or("there must be a pod")?;
        let mut forwarder = pods.portforward(&pod.name_any(), &[3200]).await?;
        Ok(forwarder.take_stream(3200).ok_or("a port once forwarded")?)
    }

    pub async fn tls_config(&self) -> Result<ClientConfig, Failed> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.name);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.name);
        let bundle = maps
            .get("tempo-stk-ca-bundle")
            .await?
            .data
            .unwrap_or_default();
        let secret = secrets.get("tempo-stk-query-frontend-mtls").await?;
        let secret = secret.data.unwrap_or_default();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(
            bundle["service-ca.crt"].as_bytes(),
        )?)?;
        let certificate = CertificateDer::from_pem_slice(&secret["tls.crt"].0)?;
        let key = PrivateKeyDer::from_pem_slice(&secret["tls.key"].0)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![certificate], key)?)
    }

    /// Custom resources first, then the namespace, until it is gone.
    pub async fn remove(self) -> Result<(), Failed> {
        for kind in [MONOLITHIC, STACK, COLLECTOR] {
            let api = self.api(kind);
            for cr in api.list(&ListParams::default()).await? {
                // It may be on its way already.
                match api.delete(&cr.name_any(), &DeleteParams::default()).await {
                    Err(kube::Error::Api(status)) if status.is_not_found() => {}
                    other => drop(other?),
                }
            }
            self.wait("end of custom resources", || async {
                Ok(api.list(&ListParams::default()).await?.items.is_empty())
            })
            .await?;
        }
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces
            .delete(&self.name, &DeleteParams::default())
            .await?;
        self.wait("end of the namespace", || async {
            Ok(namespaces.get_opt(&self.name).await?.is_none())
        })
        .await
    }
}

async fn get_metrics(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<String, Failed> {
    stream
        .write_all(b"GET /metrics HTTP/1.0\r\nHost: tempo\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    // The server closes the connection without a word when it has answered.
    if let Err(err) = read
        && answer.is_empty()
    {
        return Err(err.into());
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// All span IDs of a trace in JSON.
fn span_ids(trace: &Value) -> HashSet<String> {
    let mut ids = HashSet::new();
    let mut todo = vec![trace];
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(fields) => {
                ids.extend(
                    fields
                        .get("spanId")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                todo.extend(fields.values());
            }
            Value::Array(items) => todo.extend(items),
            _ => {}
        }
    }
    ids
}

/// What `restricted` asks of Tempo's pods.
fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

pub fn monolithic(restricted: bool) -> Value {
    let mut spec = json!({
        "storage": {"traces": {"backend": "s3", "size": "1Gi", "s3": {"secret": "minio"}}},
        "resources": {"limits": {"memory": "256Mi"}},
    });
    if restricted {
        spec["podSecurityContext"] = pod_security();
    }
    spec
}

pub fn stack(restricted: bool) -> Value {
    let mut template = json!({});
    if restricted {
        let own = json!({"podSecurityContext": pod_security()});
        let nested = json!({"component": own});
        template = json!({
            "distributor": nested, "queryFrontend": nested,
            "ingester": own, "querier": own, "compactor": own,
        });
    }
    json!({
        "storage": {"secret": {"name": "minio", "type": "s3"}},
        "storageSize": "1Gi",
        "template": template,
    })
}

pub fn collector(tempo: &str, namespace: &str) -> Value {
    let mut pod_security = pod_security();
    pod_security["runAsUser"] = json!(10001);
    json!({
        "podSecurityContext": pod_security,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": {"periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {"periodSeconds": 1},
        "config": {
            "extensions": {"health_check": {"endpoint": "0.0.0.0:13133"}},
            "receivers": {"otlp": {"protocols": {"grpc": {}, "http": {}}}},
            "exporters": {"otlp": {
                "endpoint": format!("{tempo}.{namespace}.svc:4317"),
                "tls": {"insecure": true},
                "sending_queue": {"enabled": false},
                "retry_on_failure": {"enabled": false},
            }},
            "service": {
                "extensions": ["health_check"],
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp"]}},
            },
        },
    })
}
