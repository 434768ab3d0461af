//! What is read off a run while it goes on, past Prometheus: Tempo's raw counters,
//! the collector's CPU time, and the cores that our pods may use.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret};
use kube::{Api, ResourceExt as _};

use super::namespace::InNamespace;
use super::port_forward::{self, MutualTls};
use super::{COLLECTOR_METRICS_PORT, KubernetesEnvironment, TEMPO_HTTP_PORT, failed, manifests};
use crate::environment::EnvironmentError;
use crate::error_chain::chain;
use crate::metrics::exposition::CounterSnapshot;
use crate::profile::{Variant, quantity};

/// How long the way to Tempo's counters may be broken.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(10);
const SCRAPE_PAUSE: Duration = Duration::from_secs(1);

impl KubernetesEnvironment {
    /// Cores that k6's and the collector's pods may use: those of their node,
    /// where nodes can be read.
    pub(super) async fn note_cores(&self) {
        // Another run may have found a place elsewhere, but not much else there.
        if self.up().k6_cores.is_some() && self.up().collector_cores.is_some() {
            return;
        }
        let Ok(here) = self.here() else { return };
        let view = here.watch.view();
        let node_of = |wanted: &dyn Fn(&Pod) -> bool| {
            let pod = view.pods.values().find(|pod| wanted(pod))?;
            pod.spec.as_ref()?.node_name.clone()
        };
        let k6 = node_of(&|pod| pod.name_any().starts_with("k6-"));
        let collector = node_of(&|pod| pod.name_any().starts_with("perf-collector-"));
        let nodes: Api<Node> = Api::all(here.client.clone());
        let cores = async |name: Option<String>| -> Option<f64> {
            let node = nodes.get(&name?).await.ok()?;
            let allocatable = node.status?.allocatable?;
            quantity::parse(&allocatable.get("cpu")?.0).ok()
        };
        let (k6, collector) = futures::join!(cores(k6), cores(collector));
        let limit = view.pods.values().find_map(|pod| {
            let spec = pod.spec.as_ref()?;
            let container = spec
                .containers
                .iter()
                .find(|it| it.name == "otc-container")?;
            let limits = container.resources.as_ref()?.limits.as_ref()?;
            quantity::parse(&limits.get("cpu")?.0).ok()
        });
        let mut up = self.up();
        up.k6_cores = k6;
        up.collector_cores = limit.or(collector);
    }

    /// Tempo's counters, of every pod that counts what is pushed.
    pub(super) async fn scrape_counters(&self) -> Result<CounterSnapshot, EnvironmentError> {
        let (here, blueprint) = (self.here()?, self.blueprint());
        let pods = self.counting_pods()?;
        if pods.is_empty() {
            return Err(failed("Tempo has no pod that counts what is pushed"));
        }
        let tls = match manifests::client_certificate(&blueprint) {
            None => None,
            Some(secret) => Some(self.mutual_tls(here, &secret).await?),
        };
        let scrapes = pods.iter().map(|pod| {
            let tls = tls.as_ref();
            async move {
                let text = port_forward::get(
                    &here.client,
                    &here.namespace,
                    pod,
                    TEMPO_HTTP_PORT,
                    "/metrics",
                    tls,
                )
                .await
                .map_err(failed)?;
                let snapshot = CounterSnapshot::parse(&text, Timestamp::now())
                    .map_err(|err| failed(format!("pod {pod}: {}", chain(&err))))?;
                Ok::<_, EnvironmentError>(snapshot.of_instance("pod", pod))
            }
        });
        let snapshots = try_join_all(scrapes).await?;
        Ok(CounterSnapshot::merged(snapshots))
    }

    /// As [`Self::scrape_counters`], over an API server that is away for a moment.
    pub(super) async fn scrape_counters_patiently(
        &self,
    ) -> Result<CounterSnapshot, EnvironmentError> {
        let began = Instant::now();
        loop {
            match self.scrape_counters().await {
                Err(err) if began.elapsed() < SCRAPE_PATIENCE => {
                    tracing::debug!("Tempo's counters: {err}");
                    tokio::time::sleep(SCRAPE_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn mutual_tls(
        &self,
        here: &InNamespace,
        secret: &str,
    ) -> Result<MutualTls, EnvironmentError> {
        let secrets: Api<Secret> = Api::namespaced(here.client.clone(), &here.namespace);
        let maps: Api<ConfigMap> = Api::namespaced(here.client.clone(), &here.namespace);
        let (pair, bundle) = futures::join!(secrets.get(secret), maps.get(manifests::CA_BUNDLE));
        let not_read = |what: &str, err: kube::Error| {
            failed(format!("{what}: {}", super::api_error::words(&err)))
        };
        let pair = pair
            .map_err(|err| not_read(secret, err))?
            .data
            .unwrap_or_default();
        let bundle = bundle
            .map_err(|err| not_read(manifests::CA_BUNDLE, err))?
            .data
            .unwrap_or_default();
        let of_pair = |key: &str| {
            let value = pair.get(key).map(|value| value.0.as_slice());
            value.ok_or_else(|| failed(format!("Secret {secret} has no {key}")))
        };
        let ca = bundle
            .get("service-ca.crt")
            .ok_or_else(|| failed(format!("{} has no service-ca.crt", manifests::CA_BUNDLE)))?;
        let component = match self.blueprint().variant {
            Variant::Monolithic => "tempo-perf".to_string(),
            Variant::Stack => "tempo-perf-distributor".to_string(),
        };
        let server_name = format!("{component}.{}.svc.cluster.local", here.namespace);
        MutualTls::new(
            ca.as_bytes(),
            of_pair("tls.crt")?,
            of_pair("tls.key")?,
            &server_name,
        )
        .map_err(failed)
    }

    pub(super) async fn scrape_collector_cpu(&self) -> Result<Duration, EnvironmentError> {
        let here = self.here()?;
        let view = here.watch.view();
        let pods: Vec<String> = view
            .pods
            .values()
            .map(|pod| pod.name_any())
            .filter(|name| name.starts_with("perf-collector-"))
            .collect();
        let mut seconds = 0.0;
        for pod in &pods {
            let port = COLLECTOR_METRICS_PORT;
            let path = "/metrics";
            let text = port_forward::get(&here.client, &here.namespace, pod, port, path, None)
                .await
                .map_err(failed)?;
            let snapshot = CounterSnapshot::parse(&text, Timestamp::now())
                .map_err(|err| failed(chain(&err)))?;
            // The operator's own reader leaves `_total` out.
            let names = [
                "otelcol_process_cpu_seconds_total",
                "otelcol_process_cpu_seconds",
            ];
            let name = names.into_iter().find(|name| snapshot.has(name));
            let name =
                name.ok_or_else(|| failed(format!("pod {pod} does not tell its CPU time")))?;
            seconds += snapshot.sum(name, &[]);
        }
        if pods.is_empty() {
            return Err(failed("the collector has no pod"));
        }
        Duration::try_from_secs_f64(seconds).map_err(|err| failed(err.to_string()))
    }
}
