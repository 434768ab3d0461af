//! Step 7 of the set-up: who scrapes the run, and that it does before any load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};

use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::create::create_all;
use crate::environment::kubernetes::cluster::names::{PROMETHEUS, TEMPO_CA_BUNDLE};
use crate::environment::kubernetes::cluster::port_forward::ChoosePod;
use crate::environment::kubernetes::cluster::retry::Pauses;
use crate::environment::kubernetes::evidence::cores;
use crate::environment::kubernetes::manifests;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, Scraper};
use crate::environment::kubernetes::prerequisites::prometheus::{self, Chosen};
use crate::environment::kubernetes::watch::conditions::{Progress, deployment_ready, is_ready};
use crate::environment::kubernetes::watch::pods::{component_of, own_pods, tempo_pods};
use crate::environment::kubernetes::watch::view::View;
use crate::environment::kubernetes::{KubernetesEnvironment, failed};
use crate::environment::{Environment as _, EnvironmentError};
use crate::error_chain::chain;
use crate::metrics::{NoNumber, PrometheusClient};

/// Between two looks at what cannot be watched.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl KubernetesEnvironment {
    /// Step 7.
    pub(in crate::environment::kubernetes) async fn create_prometheus(
        &self,
    ) -> Result<(), EnvironmentError> {
        let (here, blueprint) = (self.here()?, self.blueprint());
        let limit = self.options.ready_timeout;
        let chosen = &self.found()?.prometheus;
        match &blueprint.scraper {
            Scraper::Own { .. } => {
                // A pod that mounts what is not there yet waits for minutes.
                if let Some(secret) = manifests::client_certificate(&blueprint) {
                    let there = |view: &View| match view.secrets.contains_key(&secret)
                        && view.config_maps.contains_key(TEMPO_CA_BUNDLE)
                    {
                        true => Progress::Done,
                        false => Progress::Waiting(format!(
                            "no Secret {secret} or no ConfigMap {} of the Tempo operator yet",
                            TEMPO_CA_BUNDLE
                        )),
                    };
                    here.until("Tempo's certificates", limit, there).await?;
                }
                create_all(&here.client, &manifests::own_prometheus(&blueprint)).await?;
                let ready = |view: &View| deployment_ready(view, PROMETHEUS);
                let waited = here.until("our own Prometheus", limit, ready).await;
                self.or_explain(waited).await?;
            }
            Scraper::Monitors { .. } => {
                create_all(&here.client, &manifests::monitors(&blueprint)).await?;
            }
            Scraper::Foreign => {}
        }
        let client = self.prometheus_client(chosen).await?;
        self.up().prometheus = Some(client);
        Ok(())
    }

    async fn prometheus_client(
        &self,
        chosen: &Chosen,
    ) -> Result<PrometheusClient, EnvironmentError> {
        let (here, blueprint) = (self.here()?, self.blueprint());
        let made = match chosen {
            Chosen::Named { url, token } => prometheus::client_of(url, token.clone(), None),
            Chosen::Thanos { url, ca_pem } => {
                let account = manifests::METRICS_ACCOUNT;
                let token = short_lived_token(&here.client, &blueprint, account)
                    .await
                    .map_err(failed)?;
                prometheus::client_of(url, Some(token), ca_pem.as_deref())
            }
            Chosen::Own { .. } => {
                let watch = Arc::clone(&here.watch);
                let choose: ChoosePod = Arc::new(move || {
                    let view = watch.view();
                    let pod = own_pods(&view, PROMETHEUS).find(|pod| is_ready(pod));
                    pod.map(|pod| pod.name_any())
                });
                let port = prometheus::WEB_PORT;
                let url = self.open_way(&here.namespace, choose, port).await?;
                prometheus::client_of(&url, None, None)
            }
            Chosen::Operated {
                namespace,
                pod_selector,
                ..
            } => {
                let pod = ready_pod(&here.client, namespace, pod_selector)
                    .await
                    .map_err(failed)?;
                let choose: ChoosePod = Arc::new(move || Some(pod.clone()));
                let url = self
                    .open_way(namespace, choose, prometheus::WEB_PORT)
                    .await?;
                prometheus::client_of(&url, None, None)
            }
        };
        made.map_err(failed)
    }

    /// Tempo's series must be there before the load: without them nothing of it
    /// could be judged.
    async fn await_series(&self) -> Result<(), EnvironmentError> {
        let here = self.here()?;
        let prometheus = self
            .prometheus()
            .ok_or_else(|| failed("Prometheus is not there yet"))?;
        let components = self.blueprint().tempo_components();
        let view = here.watch.view();
        // A gateway is not Tempo, and has other metrics.
        let counted = tempo_pods(&view).filter(|pod| {
            component_of(pod).is_some_and(|component| components.contains(&component))
        });
        let wanted = counted.count() as f64;
        let selector = self.tempo_selector();
        // Of a pod several ports may be scraped.
        let expression = format!("count(sum by (pod) (process_start_time_seconds{{{selector}}}))");
        let chosen = &self.found()?.prometheus;
        let limit = self.options.ready_timeout.max(chosen.scrape_interval() * 4);
        let began = Instant::now();
        let mut pauses = Pauses::between(FIRST_PAUSE, LONGEST_PAUSE);
        let waiting = async {
            loop {
                let seen = prometheus.single_value(&expression, Timestamp::now()).await;
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
                        chosen.describe(),
                        limit.as_secs_f64()
                    )));
                }
                tokio::select! {
                    signal = here.interrupt.wait() => {
                        return Err(EnvironmentError::Interrupted(signal));
                    }
                    () = pauses.pause_until(began + limit) => {}
                }
            }
        };
        self.waits.during(waiting).await
    }

    /// Before the first load: Tempo's series are there, and what runs now must go
    /// on running.
    pub(in crate::environment::kubernetes) async fn note_what_is_up(
        &self,
    ) -> Result<(), EnvironmentError> {
        if self.up().healthy.is_some() {
            return Ok(());
        }
        self.await_series().await?;
        self.note_cores().await?;
        self.look_for_container_metrics().await;
        let view = self.here()?.watch.view();
        self.up().healthy = Some(view);
        Ok(())
    }

    async fn note_cores(&self) -> Result<(), EnvironmentError> {
        // Another run may have found a place elsewhere, but not much else there.
        let known = self.up().cores;
        if known.k6.is_none() || known.collector.is_none() {
            let found = cores::of_pods(self.here()?).await;
            self.up().cores = found;
        }
        Ok(())
    }

    /// A Prometheus of the cluster may or may not have the kubelets' metrics.
    async fn look_for_container_metrics(&self) {
        let Ok(found) = self.found() else { return };
        if matches!(found.prometheus, Chosen::Own { .. }) {
            return;
        }
        let Some(prometheus) = self.prometheus() else {
            return;
        };
        let selector = self.container_selector();
        let expression = format!("count(container_memory_working_set_bytes{{{selector}}})");
        let asked = prometheus.single_value(&expression, Timestamp::now()).await;
        if let Err(why) = asked {
            let why = format!("{} has none: {}", found.prometheus.describe(), chain(&why));
            self.up().no_container_metrics = Some(why);
        }
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
