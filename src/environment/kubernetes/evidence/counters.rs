//! What is read off a run while it goes on, past Prometheus: Tempo's raw counters
//! and the collector's CPU time.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt as _};

use crate::environment::EnvironmentError;
use crate::environment::failed;
use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::names::{
    COLLECTOR_METRICS_PORT, TEMPO_CA_BUNDLE, TEMPO_CA_KEY, TEMPO_HTTP_PORT,
};
use crate::environment::kubernetes::cluster::port_forward::{self, MutualTls};
use crate::environment::kubernetes::manifests;
use crate::environment::kubernetes::manifests::blueprint::Blueprint;
use crate::environment::kubernetes::watch::namespace::WatchedNamespace;
use crate::environment::kubernetes::watch::pods::{collector_pods, component_of, tempo_pods};
use crate::error_chain::chain;
use crate::metrics::exposition::CounterSnapshot;

/// How long the way to Tempo's counters may be broken.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(10);
const SCRAPE_PAUSE: Duration = Duration::from_secs(1);

/// Tempo's counters, of every pod that counts what is pushed; over an API server
/// that is away for a moment.
pub async fn of_tempo(
    namespace: &WatchedNamespace,
    blueprint: &Blueprint,
) -> Result<CounterSnapshot, EnvironmentError> {
    let began = Instant::now();
    loop {
        match of_tempo_now(namespace, blueprint).await {
            Err(err) if began.elapsed() < SCRAPE_PATIENCE => {
                tracing::debug!("Tempo's counters: {err}");
                tokio::time::sleep(SCRAPE_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

async fn of_tempo_now(
    namespace: &WatchedNamespace,
    blueprint: &Blueprint,
) -> Result<CounterSnapshot, EnvironmentError> {
    let pods = counting_pods(namespace, blueprint);
    if pods.is_empty() {
        return Err(failed("Tempo has no pod that counts what is pushed"));
    }
    let tls = match manifests::client_certificate(blueprint) {
        None => None,
        Some(secret) => Some(mutual_tls(namespace, blueprint, &secret).await?),
    };
    let scrapes = pods.iter().map(|pod| {
        let tls = tls.as_ref();
        async move {
            let text = port_forward::get(
                &namespace.client,
                &namespace.name,
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

/// Pods of Tempo's component that counts what was pushed.
fn counting_pods(namespace: &WatchedNamespace, blueprint: &Blueprint) -> Vec<String> {
    tempo_pods(&namespace.watch.view())
        .filter(|pod| component_of(pod) == Some(blueprint.push_component()))
        .map(|pod| pod.name_any())
        .collect()
}

async fn mutual_tls(
    namespace: &WatchedNamespace,
    blueprint: &Blueprint,
    secret: &str,
) -> Result<MutualTls, EnvironmentError> {
    let secrets: Api<Secret> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let maps: Api<ConfigMap> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let (pair, bundle) = futures::join!(secrets.get(secret), maps.get(TEMPO_CA_BUNDLE));
    let not_read = |what: &str, err: kube::Error| failed(format!("{what}: {}", words(&err)));
    let pair = pair
        .map_err(|err| not_read(secret, err))?
        .data
        .unwrap_or_default();
    let bundle = bundle
        .map_err(|err| not_read(TEMPO_CA_BUNDLE, err))?
        .data
        .unwrap_or_default();
    let of_pair = |key: &str| {
        let value = pair.get(key).map(|value| value.0.as_slice());
        value.ok_or_else(|| failed(format!("Secret {secret} has no {key}")))
    };
    let ca = bundle
        .get(TEMPO_CA_KEY)
        .ok_or_else(|| failed(format!("{TEMPO_CA_BUNDLE} has no {TEMPO_CA_KEY}")))?;
    let server_name = manifests::server_name(blueprint, blueprint.push_component());
    MutualTls::new(
        ca.as_bytes(),
        of_pair("tls.crt")?,
        of_pair("tls.key")?,
        &server_name,
    )
    .map_err(failed)
}

/// CPU time that the collector has used.
pub async fn collector_cpu(namespace: &WatchedNamespace) -> Result<Duration, EnvironmentError> {
    let view = namespace.watch.view();
    let pods: Vec<String> = collector_pods(&view).map(|pod| pod.name_any()).collect();
    let mut seconds = 0.0;
    for pod in &pods {
        let port = COLLECTOR_METRICS_PORT;
        let path = "/metrics";
        let text = port_forward::get(&namespace.client, &namespace.name, pod, port, path, None)
            .await
            .map_err(failed)?;
        let snapshot =
            CounterSnapshot::parse(&text, Timestamp::now()).map_err(|err| failed(chain(&err)))?;
        // The operator's own reader leaves `_total` out.
        let names = [
            "otelcol_process_cpu_seconds_total",
            "otelcol_process_cpu_seconds",
        ];
        let name = names.into_iter().find(|name| snapshot.has(name));
        let name = name.ok_or_else(|| failed(format!("pod {pod} does not tell its CPU time")))?;
        seconds += snapshot.sum(name, &[]);
    }
    if pods.is_empty() {
        return Err(failed("the collector has no pod"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|err| failed(err.to_string()))
}
