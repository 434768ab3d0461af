//! The stand-in itself: does it behave as the operators are known to, and does
//! data pass through what it makes?

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

use crate::Scenario;
use crate::cluster::Cluster;
use crate::stand_in::{Behaviour, StandIn, kinds};

pub const SCENARIOS: [Scenario; 3] = [
    Scenario::new(
        "traces_pass_through_all_that_the_stand_in_makes",
        &["tempo-perf-smoke"],
        traces_pass,
    )
    .slow(),
    Scenario::new(
        "awkward_states_are_as_the_operators_have_them",
        &["tempo-perf-awkward", "tempo-perf-quota"],
        awkward_states,
    )
    .slow(),
    Scenario::new(
        "the_stand_in_survives_the_api_server",
        &["tempo-perf-restart"],
        api_server_restart,
    )
    .slow(),
];

/// An object store must be there, and this listens in every cluster.
const STORE: &str = "https://kubernetes.default.svc:443";

/// For pods to run on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

fn traces_pass(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    cluster.block_on(async {
        let place = Place::new(cluster.client(), "tempo-perf-smoke").await?;
        place.create_secret("minio", STORE).await?;
        tokio::try_join!(
            place.create(MONOLITHIC, "mono", monolithic(true)),
            place.create(STACK, "stk", stack(true)),
            place.create(COLLECTOR, "mono", collector("tempo-mono", &place.name)),
            place.create(
                COLLECTOR,
                "stk",
                collector("tempo-stk-distributor", &place.name)
            ),
        )?;
        place.workloads_ready(8).await?;
        place
            .wait("the monolithic's Ready", || {
                place.has(MONOLITHIC, "mono", "Ready")
            })
            .await?;

        let spans = place
            .pass_one_trace("mono-collector", "tempo-mono", 1)
            .await?;
        let counted = place.proxied("tempo-mono", 3200, "metrics").await?;
        counts_spans(&counted, spans)?;

        let spans = place
            .pass_one_trace("stk-collector", "tempo-stk-query-frontend", 2)
            .await?;
        let frontend = place
            .proxied("tempo-stk-query-frontend", 3200, "metrics")
            .await?;
        ensure(frontend.contains("process_cpu_seconds_total"), &frontend)?;
        ensure(!frontend.contains("tempo_distributor_"), &frontend)?;
        let metrics = place.scrape_with_certificate("distributor").await?;
        counts_spans(&metrics, spans)?;
        for component in ["ingester", "querier", "compactor"] {
            let metrics = place.scrape_with_certificate(component).await?;
            ensure(metrics.contains("process_start_time_seconds"), &metrics)?;
        }
        let plain = place.scrape_without_tls("distributor").await?;
        ensure(plain.contains("HTTP request to an HTTPS server"), &plain)?;

        let collected = place
            .proxied("mono-collector-monitoring", 8888, "metrics")
            .await?;
        ensure(
            collected.contains("otelcol_exporter_sent_spans"),
            &collected,
        )?;
        place.remove().await
    })?;
    cluster.assert_nothing_left()
}

fn awkward_states(cluster: &Cluster) -> Result<(), Failed> {
    let stand_in = StandIn::start(cluster)?;
    cluster.block_on(async {
        let place = Place::new(cluster.client(), "tempo-perf-awkward").await?;
        // No Secret: a ConfigurationError, which goes by itself.
        place.create(MONOLITHIC, "mono", monolithic(true)).await?;
        place
            .wait("a ConfigurationError", || {
                place.has(MONOLITHIC, "mono", "ConfigurationError")
            })
            .await?;
        let region = [("region", "eu-west-1")];
        place.create_secret_with("minio", STORE, &region).await?;
        place
            .wait("a message on the Secret's fields", || async {
                let conditions = place.conditions(MONOLITHIC, "mono").await?;
                Ok(conditions
                    .to_string()
                    .contains("long lived and short lived"))
            })
            .await?;
        place.delete_secret().await?;
        place.create_secret("minio", STORE).await?;
        place
            .wait("Ready", || place.has(MONOLITHIC, "mono", "Ready"))
            .await?;

        // Without its object store Tempo ends at start.
        place
            .create_secret("nowhere", "http://minio.nowhere.svc:9000")
            .await?;
        let mut spec = monolithic(true);
        spec["storage"]["traces"]["s3"]["secret"] = json!("nowhere");
        place.create(MONOLITHIC, "lost", spec).await?;
        place.wait_for_pod("tempo-lost", "\"exitCode\":1").await?;
        place
            .api(MONOLITHIC)
            .delete("lost", &DeleteParams::default())
            .await?;

        // Pod Security refuses all pods, and the stack is Ready.
        place.create(STACK, "stk", stack(false)).await?;
        place
            .wait("Ready", || place.has(STACK, "stk", "Ready"))
            .await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        ensure(place.has(STACK, "stk", "Ready").await?, "it stays so")?;
        let pods: Api<Pod> = Api::namespaced(cluster.client(), &place.name);
        let of_stack = ListParams::default().labels("app.kubernetes.io/name=tempo");
        ensure(
            pods.list(&of_stack).await?.items.is_empty(),
            "without a pod",
        )?;

        // A monolithic that crashes is Pending, and recovers.
        stand_in.in_namespace(&place.name, Behaviour::CrashTempo);
        place
            .wait("Pending", || place.has(MONOLITHIC, "mono", "Pending"))
            .await?;
        place.wait_for_pod("tempo-mono", "\"exitCode\":1").await?;

        // Images that cannot be pulled, of Tempo and of the collector.
        stand_in.in_namespace(&place.name, Behaviour::TempoImageMissing);
        place
            .wait_for_pod("stand-in:absent", "ErrImagePull")
            .await?;
        stand_in.in_namespace(&place.name, Behaviour::CollectorImageMissing);
        place
            .create(COLLECTOR, "perf", collector("tempo-mono", &place.name))
            .await?;
        place
            .wait("Ready", || place.has(COLLECTOR, "perf", "Ready"))
            .await?;
        place.wait_for_pod("perf-collector", "ErrImagePull").await?;

        // A finalizer that stays keeps a custom resource.
        stand_in.in_namespace(&place.name, Behaviour::KeepFinalizer);
        place
            .api(MONOLITHIC)
            .delete("mono", &DeleteParams::default())
            .await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        ensure(
            place.api(MONOLITHIC).get_opt("mono").await?.is_some(),
            "its finalizer must keep it",
        )?;
        stand_in.in_namespace(&place.name, Behaviour::AsDocumented);

        // What is not reconciled has no status.
        stand_in.in_namespace(&place.name, Behaviour::NotReconciling);
        place.create(MONOLITHIC, "idle", monolithic(true)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let idle = place.api(MONOLITHIC).get("idle").await?;
        ensure(idle.finalizers().is_empty(), "no finalizer")?;
        ensure(idle.data["status"].is_null(), "no status")?;
        stand_in.in_namespace(&place.name, Behaviour::AsDocumented);
        place.remove().await?;

        stand_in.in_namespace("tempo-perf-quota", Behaviour::Quota { pods: 0 });
        let place = Place::new(cluster.client(), "tempo-perf-quota").await?;
        place.create_secret("minio", STORE).await?;
        place.create(MONOLITHIC, "mono", monolithic(true)).await?;
        let events: Api<k8s_openapi::api::core::v1::Event> =
            Api::namespaced(cluster.client(), &place.name);
        place
            .wait("an event that tells of the quota", || async {
                let events = serde_json::to_string(&events.list(&ListParams::default()).await?)?;
                Ok(events.contains("exceeded quota: stand-in"))
            })
            .await?;
        place.remove().await
    })?;
    stand_in.without_crds(cluster, || {
        let left = cluster.block_on(cluster.client().list_api_groups())?;
        let groups = serde_json::to_string(&left)?;
        ensure(!groups.contains("tempo.grafana.com"), &groups)
    })?;
    cluster.assert_nothing_left()
}

fn api_server_restart(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let place = cluster.block_on(Place::new(cluster.client(), "tempo-perf-restart"))?;
    cluster.restart_api_server()?;
    cluster.block_on(async {
        place.create_secret("minio", STORE).await?;
        place.create(MONOLITHIC, "mono", monolithic(true)).await?;
        place
            .wait("Ready", || place.has(MONOLITHIC, "mono", "Ready"))
            .await?;
        place.remove().await
    })?;
    cluster.assert_nothing_left()
}

fn ensure(holds: bool, seen: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(seen.into()) }
}

fn counts_spans(metrics: &str, spans: usize) -> Result<(), Failed> {
    let line = metrics
        .lines()
        .find(|line| line.starts_with("tempo_distributor_spans_received_total"));
    ensure(
        line.is_some_and(|line| line.ends_with(&format!(" {spans}"))),
        &format!("{spans} spans expected: {line:?}"),
    )
}

/// Indices of [`kinds`].
const MONOLITHIC: usize = 0;
const STACK: usize = 1;
const COLLECTOR: usize = 2;

/// A namespace that enforces `restricted`.
struct Place {
    client: Client,
    name: String,
}

impl Place {
    async fn new(client: Client, name: &str) -> Result<Self, Failed> {
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

    fn api(&self, kind: usize) -> Api<DynamicObject> {
        let kind: &ApiResource = &kinds()[kind];
        Api::namespaced_with(self.client.clone(), &self.name, kind)
    }

    async fn create_secret(&self, name: &str, endpoint: &str) -> Result<(), Failed> {
        self.create_secret_with(name, endpoint, &[]).await
    }

    async fn create_secret_with(
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

    async fn delete_secret(&self) -> Result<(), Failed> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.name);
        api.delete("minio", &DeleteParams::default()).await?;
        Ok(())
    }

    async fn create(&self, kind: usize, name: &str, spec: Value) -> Result<(), Failed> {
        let mut cr = DynamicObject::new(name, &kinds()[kind]);
        cr.data = json!({"spec": spec});
        self.api(kind).create(&PostParams::default(), &cr).await?;
        Ok(())
    }

    async fn conditions(&self, kind: usize, name: &str) -> Result<Value, Failed> {
        let cr = self.api(kind).get(name).await?;
        Ok(cr.data["status"]["conditions"].clone())
    }

    /// Does a condition hold?
    async fn has(&self, kind: usize, name: &str, condition: &str) -> Result<bool, Failed> {
        let conditions = self.conditions(kind, name).await?;
        let found = conditions.as_array().into_iter().flatten();
        Ok(found
            .into_iter()
            .any(|it| it["type"] == condition && it["status"] == "True"))
    }

    async fn wait<F>(&self, what: &str, mut holds: impl FnMut() -> F) -> Result<(), Failed>
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
    async fn wait_for_pod(&self, text: &str, other: &str) -> Result<(), Failed> {
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
    async fn workloads_ready(&self, count: usize) -> Result<(), Failed> {
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

    fn proxy(&self, service: &str, port: u16, path: &str) -> String {
        format!(
            "/api/v1/namespaces/{}/services/http:{service}:{port}/proxy/{path}",
            self.name
        )
    }

    async fn proxied(&self, service: &str, port: u16, path: &str) -> Result<String, Failed> {
        let request = Request::get(self.proxy(service, port, path)).body(Vec::new())?;
        Ok(self.client.request_text(request).await?)
    }

    /// Trace `n` of a run through a collector and back from a query API; returns
    /// its number of spans.
    async fn pass_one_trace(&self, collector: &str, query: &str, n: u64) -> Result<usize, Failed> {
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
    async fn scrape_with_certificate(&self, component: &str) -> Result<String, Failed> {
        let config = self.tls_config().await?;
        let name = format!("tempo-stk-{component}.{}.svc.cluster.local", self.name);
        let stream = self.forwarded(component).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector
            .connect(ServerName::try_from(name)?, stream)
            .await?;
        get_metrics(stream).await
    }

    async fn scrape_without_tls(&self, component: &str) -> Result<String, Failed> {
        get_metrics(self.forwarded(component).await?).await
    }

    async fn forwarded(
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

    async fn tls_config(&self) -> Result<ClientConfig, Failed> {
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
    async fn remove(self) -> Result<(), Failed> {
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

fn monolithic(restricted: bool) -> Value {
    let mut spec = json!({
        "storage": {"traces": {"backend": "s3", "size": "1Gi", "s3": {"secret": "minio"}}},
        "resources": {"limits": {"memory": "256Mi"}},
    });
    if restricted {
        spec["podSecurityContext"] = pod_security();
    }
    spec
}

fn stack(restricted: bool) -> Value {
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

fn collector(tempo: &str, namespace: &str) -> Value {
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
