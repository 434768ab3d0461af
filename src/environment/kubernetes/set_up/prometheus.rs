//! Step 7 of the set-up: who scrapes the run, and that it does before any load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};

use super::steps::Steps;
use crate::environment::EnvironmentError;
use crate::environment::failed;
use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::create::create_all;
use crate::environment::kubernetes::cluster::names::{PROMETHEUS, TEMPO, TEMPO_CA_BUNDLE};
use crate::environment::kubernetes::cluster::port_forward::{ChoosePod, PortForward};
use crate::environment::kubernetes::cluster::retry::Pauses;
use crate::environment::kubernetes::evidence::cores::{self, Cores};
use crate::environment::kubernetes::manifests;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, Scraper};
use crate::environment::kubernetes::prerequisites::prometheus::{self, PrometheusSource};
use crate::environment::kubernetes::watch::conditions::{Progress, deployment_ready, is_ready};
use crate::environment::kubernetes::watch::pods::{component_of, own_pods, tempo_pods};
use crate::environment::kubernetes::watch::view::View;
use crate::error_chain::chain;
use crate::metrics::{NoNumber, PrometheusClient};

/// Between two looks at what cannot be watched.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who is asked for the run's metrics, and the way there.
pub struct PrometheusAccess {
    pub client: PrometheusClient,
    /// Kept open while the client is in use.
    _port_forward: Option<PortForward>,
}

/// The namespace before the first load: what runs then must go on running.
pub struct BeforeLoad {
    pub view: View,
    pub cores: Cores,
    /// Why nobody has the kubelets' metrics of Tempo's containers.
    pub no_container_metrics: Option<String>,
}

/// PromQL matchers of Tempo's pods; the operator names all of them so.
pub fn tempo_selector(namespace: &str) -> String {
    format!("namespace=\"{namespace}\",pod=~\"{TEMPO}-.+\"")
}

/// The same of the kubelets' series of Tempo's containers. The rows without a
/// container are sums over the pod.
pub fn container_selector(namespace: &str) -> String {
    format!("{},container!=\"\"", tempo_selector(namespace))
}

impl Steps<'_> {
    /// Step 7.
    pub async fn create_prometheus(&self) -> Result<PrometheusAccess, EnvironmentError> {
        let (namespace, blueprint) = (self.namespace, self.blueprint);
        let limit = self.plan.ready_timeout;
        match &blueprint.scraper {
            Scraper::Own { .. } => {
                // A pod that mounts what is not there yet waits for minutes.
                if let Some(secret) = manifests::client_certificate(blueprint) {
                    let there = |view: &View| match view.secrets.contains_key(&secret)
                        && view.config_maps.contains_key(TEMPO_CA_BUNDLE)
                    {
                        true => Progress::Done,
                        false => Progress::Waiting(format!(
                            "no Secret {secret} or no ConfigMap {TEMPO_CA_BUNDLE} of the Tempo \
                             operator yet"
                        )),
                    };
                    namespace
                        .until("Tempo's certificates", limit, there)
                        .await?;
                }
                create_all(&namespace.client, &manifests::own_prometheus(blueprint)).await?;
                let ready = |view: &View| deployment_ready(view, PROMETHEUS);
                let waited = namespace.until("our own Prometheus", limit, ready).await;
                self.or_explain(waited).await?;
            }
            Scraper::Monitors { .. } => {
                create_all(&namespace.client, &manifests::monitors(blueprint)).await?;
            }
            Scraper::Foreign => {}
        }
        self.prometheus_access().await
    }

    async fn prometheus_access(&self) -> Result<PrometheusAccess, EnvironmentError> {
        let namespace = self.namespace;
        let (made, port_forward) = match &self.cluster.prometheus {
            PrometheusSource::Named { url, token } => {
                (prometheus::client_of(url, token.clone(), None), None)
            }
            PrometheusSource::Thanos { url, ca_pem } => {
                let account = manifests::METRICS_ACCOUNT;
                let token = short_lived_token(&namespace.client, self.blueprint, account)
                    .await
                    .map_err(failed)?;
                let client = prometheus::client_of(url, Some(token), ca_pem.as_deref());
                (client, None)
            }
            PrometheusSource::Own { .. } => {
                let watch = Arc::clone(&namespace.watch);
                let choose: ChoosePod = Arc::new(move || {
                    let view = watch.view();
                    let pod = own_pods(&view, PROMETHEUS).find(|pod| is_ready(pod));
                    pod.map(|pod| pod.name_any())
                });
                let port = prometheus::WEB_PORT;
                let forward = self
                    .open_port_forward(&namespace.name, choose, port)
                    .await?;
                let client = prometheus::client_of(&forward.url(), None, None);
                (client, Some(forward))
            }
            PrometheusSource::Operated {
                namespace: theirs,
                pod_selector,
                ..
            } => {
                let pod = ready_pod(&namespace.client, theirs, pod_selector)
                    .await
                    .map_err(failed)?;
                let choose: ChoosePod = Arc::new(move || Some(pod.clone()));
                let port = prometheus::WEB_PORT;
                let forward = self.open_port_forward(theirs, choose, port).await?;
                let client = prometheus::client_of(&forward.url(), None, None);
                (client, Some(forward))
            }
        };
        Ok(PrometheusAccess {
            client: made.map_err(failed)?,
            _port_forward: port_forward,
        })
    }

    /// Tempo's series must be there before the load: without them nothing of it
    /// could be judged.
    async fn await_series(&self, client: &PrometheusClient) -> Result<(), EnvironmentError> {
        let namespace = self.namespace;
        let components = self.blueprint.tempo_components();
        let view = namespace.watch.view();
        // A gateway is not Tempo, and has other metrics.
        let counted = tempo_pods(&view).filter(|pod| {
            component_of(pod).is_some_and(|component| components.contains(&component))
        });
        let wanted = counted.count() as f64;
        let selector = tempo_selector(&namespace.name);
        // Of a pod several ports may be scraped.
        let expression = format!("count(sum by (pod) (process_start_time_seconds{{{selector}}}))");
        let source = &self.cluster.prometheus;
        let limit = self.plan.ready_timeout.max(source.scrape_interval() * 4);
        let began = Instant::now();
        let mut pauses = Pauses::between(FIRST_PAUSE, LONGEST_PAUSE);
        let waiting = async {
            loop {
                let seen = client.single_value(&expression, Timestamp::now()).await;
                let last_seen = match seen {
                    Ok(count) if count >= wanted => return Ok(()),
                    Ok(count) => format!("series of {count} of {wanted} pods"),
                    Err(NoNumber::Empty) => "no series of Tempo".to_string(),
                    // It will not take us for someone else by itself.
                    Err(NoNumber::Query(err)) if err.is_refusal() => {
                        return Err(failed(chain(&err)));
                    }
                    Err(err) => chain(&err),
                };
                if began.elapsed() > limit {
                    return Err(failed(format!(
                        "Prometheus ({}) has not scraped Tempo within {:.0} s: {last_seen}; with \
                         --prometheus own the run brings its own",
                        source.describe(),
                        limit.as_secs_f64()
                    )));
                }
                tokio::select! {
                    signal = namespace.interrupt.wait() => {
                        return Err(EnvironmentError::Interrupted(signal));
                    }
                    () = pauses.pause_until(began + limit) => {}
                }
            }
        };
        namespace.waits.during(waiting).await
    }

    /// Before the first load: waits for Tempo's series, and looks at what runs.
    pub async fn look_before_load(
        &self,
        client: &PrometheusClient,
    ) -> Result<BeforeLoad, EnvironmentError> {
        self.await_series(client).await?;
        Ok(BeforeLoad {
            cores: cores::of_pods(self.namespace).await,
            no_container_metrics: self.no_container_metrics(client).await,
            view: self.namespace.watch.view(),
        })
    }

    /// A Prometheus of the cluster may or may not have the kubelets' metrics; what
    /// ours has is known.
    async fn no_container_metrics(&self, client: &PrometheusClient) -> Option<String> {
        let source = &self.cluster.prometheus;
        if let PrometheusSource::Own { container_metrics } = source {
            return container_metrics.clone().err();
        }
        let selector = container_selector(&self.namespace.name);
        let expression = format!("count(container_memory_working_set_bytes{{{selector}}})");
        let asked = client.single_value(&expression, Timestamp::now()).await;
        let why = asked.err()?;
        Some(format!("{} has none: {}", source.describe(), chain(&why)))
    }
}

/// A token of the run's own ServiceAccount, for the length of the run.
async fn short_lived_token(
    client: &Client,
    blueprint: &Blueprint,
    account: &str,
) -> Result<String, String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &blueprint.namespace);
    // What a run may take beside its load.
    let lifetime = blueprint.job_timeout + Duration::from_secs(3600);
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: i64::try_from(lifetime.as_secs()).ok(),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let granted = accounts
        .create_token_request(account, &PostParams::default(), &request)
        .await
        .map_err(|err| format!("token of service account {account}: {}", words(&err)))?;
    granted
        .status
        .map(|status| status.token)
        .ok_or_else(|| format!("token of service account {account}: the answer has none"))
}

/// Name of a pod that the Prometheus Operator made.
async fn ready_pod(
    client: &Client,
    namespace: &str,
    selector: &BTreeMap<String, String>,
) -> Result<String, String> {
    let labels: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = pods
        .list(&ListParams::default().labels(&labels.join(",")))
        .await
        .map_err(|err| format!("pods of Prometheus in {namespace}: {}", words(&err)))?;
    let pod = list.items.iter().find(|pod| is_ready(pod));
    pod.map(|pod| pod.name_any())
        .ok_or_else(|| format!("no pod of Prometheus in {namespace} is ready"))
}
