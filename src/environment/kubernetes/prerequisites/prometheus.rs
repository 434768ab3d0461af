//! Whose Prometheus measures a run: one that the user names, OpenShift's, the
//! Prometheus Operator's, or our own. Chosen before anything is created.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use url::Url;

use super::rights::{not_ours, rights_for_container_metrics};
use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::manifests::blueprint::{Flavor, Scraper};
use crate::error_chain::chain;
use crate::metrics::PrometheusClient;
use crate::metrics::SCRAPE_INTERVAL;
use crate::settings::PrometheusChoice;

/// Interval of the monitors that we make for a Prometheus of the cluster: short
/// enough for a load of a minute, and no burden for one that others use, too.
pub const MONITOR_INTERVAL: Duration = Duration::from_secs(10);
/// What a Prometheus that finds its targets by itself is taken to scrape at.
const FOREIGN_INTERVAL: Duration = Duration::from_secs(30);

pub const WEB_PORT: u16 = 9090;

/// OpenShift's monitoring.
const MONITORING: &str = "openshift-monitoring";
const USER_MONITORING: &str = "openshift-user-workload-monitoring";

/// A Prometheus that a run is measured with.
#[derive(Debug, Clone, PartialEq)]
pub enum Chosen {
    /// In the run's namespace. Container metrics, or why there are none.
    Own {
        container_metrics: Result<(), String>,
    },
    Named {
        url: Url,
        token: Option<String>,
    },
    /// Of the Prometheus Operator: pods of a Service.
    Operated {
        namespace: String,
        service: String,
        pod_selector: BTreeMap<String, String>,
        monitor_labels: BTreeMap<String, String>,
    },
    /// OpenShift's, through its Route, with the CA of the cluster's ingress
    /// where that can be read.
    Thanos {
        url: Url,
        ca_pem: Option<String>,
    },
}

impl Chosen {
    pub fn scrape_interval(&self) -> Duration {
        match self {
            Chosen::Own { .. } => SCRAPE_INTERVAL,
            Chosen::Operated { .. } | Chosen::Thanos { .. } => MONITOR_INTERVAL,
            Chosen::Named { .. } => FOREIGN_INTERVAL,
        }
    }

    pub fn scraper(&self) -> Scraper {
        match self {
            Chosen::Own { container_metrics } => Scraper::Own {
                cadvisor: container_metrics.is_ok(),
            },
            Chosen::Operated {
                namespace,
                monitor_labels,
                ..
            } => Scraper::Monitors {
                labels: monitor_labels.clone(),
                namespaces: vec![namespace.clone()],
            },
            Chosen::Thanos { .. } => Scraper::Monitors {
                labels: BTreeMap::new(),
                namespaces: vec![MONITORING.into(), USER_MONITORING.into()],
            },
            Chosen::Named { .. } => Scraper::Foreign,
        }
    }

    /// Whether the kubelets' container metrics are there; or why not.
    pub fn container_metrics(&self) -> Result<(), String> {
        match self {
            Chosen::Own { container_metrics } => container_metrics.clone(),
            // A Prometheus of the cluster has them; if not, the rows are empty.
            _ => Ok(()),
        }
    }

    /// For console and report.
    pub fn describe(&self) -> String {
        match self {
            Chosen::Own { .. } => "our own, in the namespace".into(),
            Chosen::Named { url, .. } => format!("{url} (--prometheus)"),
            Chosen::Operated {
                namespace, service, ..
            } => format!("service {service} in {namespace}, of the Prometheus Operator"),
            Chosen::Thanos { url, .. } => format!("{url}, of OpenShift"),
        }
    }
}

/// Finds the Prometheus to use. Creates nothing.
///
/// # Errors
/// What is missing, with what to do.
pub async fn choose(
    client: &Client,
    flavor: Flavor,
    choice: &PrometheusChoice,
    token: Option<String>,
    namespace: &str,
    enables_monitoring: bool,
) -> Result<Chosen, String> {
    match (choice, flavor) {
        (PrometheusChoice::Url(url), _) => Ok(Chosen::Named {
            url: url.clone(),
            token,
        }),
        (PrometheusChoice::Own, _) => own(client, namespace).await,
        (PrometheusChoice::Auto, Flavor::OpenShift) => thanos(client, enables_monitoring).await,
        (PrometheusChoice::Auto, Flavor::Vanilla) => match operated(client).await {
            Some(found) => Ok(found),
            None => own(client, namespace).await,
        },
    }
}

async fn own(client: &Client, namespace: &str) -> Result<Chosen, String> {
    let missing = not_ours(client, namespace, rights_for_container_metrics()).await?;
    let container_metrics = match missing.first() {
        None => Ok(()),
        Some(right) => Err(format!(
            "not allowed to {} {}{}, which reading the kubelets' container metrics needs",
            right.verb,
            right.resource,
            right
                .subresource
                .map(|it| format!("/{it}"))
                .unwrap_or_default()
        )),
    };
    Ok(Chosen::Own { container_metrics })
}

/// The Prometheus that an operator runs, if there is exactly one, which takes the
/// monitors of every namespace by labels that we can give them.
async fn operated(client: &Client) -> Option<Chosen> {
    let services: Api<Service> = Api::all(client.clone());
    let found = services
        .list(&ListParams::default().labels("operated-prometheus=true"))
        .await
        .inspect_err(|err| tracing::debug!("no look for an operated Prometheus: {}", words(err)))
        .ok()?;
    let mut services = found.items.into_iter();
    let service = services.next()?;
    if services.next().is_some() {
        eprintln!("  prometheus  the cluster has several; name one with --prometheus URL");
        return None;
    }
    let namespace = service.metadata.namespace.clone()?;
    let pod_selector = service.spec?.selector?;
    let resource = CustomKind::PROMETHEUS.resource();
    let prometheuses: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &namespace, &resource);
    let objects = prometheuses
        .list(&ListParams::default())
        .await
        .inspect_err(|err| tracing::debug!("no look at the Prometheus objects: {}", words(err)))
        .ok()?;
    let [object] = objects.items.as_slice() else {
        return None;
    };
    let spec = &object.data["spec"];
    if !takes_our_monitors(spec) {
        eprintln!("  prometheus  the cluster's, in {namespace}, does not look at our namespace");
        return None;
    }
    Some(Chosen::Operated {
        namespace,
        service: service.metadata.name?,
        pod_selector,
        monitor_labels: monitor_labels(spec),
    })
}

/// Whether a Prometheus looks at the monitors of namespaces that it knows nothing
/// of, and asks for nothing but labels.
fn takes_our_monitors(spec: &Value) -> bool {
    // Absent, it looks at its own namespace alone; empty, at all.
    let everywhere = spec["serviceMonitorNamespaceSelector"]
        .as_object()
        .is_some_and(serde_json::Map::is_empty);
    let selector = &spec["serviceMonitorSelector"];
    everywhere && selector.is_object() && selector["matchExpressions"].is_null()
}

/// Labels by which a Prometheus takes a ServiceMonitor for its own.
fn monitor_labels(spec: &Value) -> BTreeMap<String, String> {
    let labels = spec["serviceMonitorSelector"]["matchLabels"].as_object();
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_string())))
        .collect()
}

async fn thanos(client: &Client, enables_monitoring: bool) -> Result<Chosen, String> {
    if !enables_monitoring && !user_workloads_are_monitored(client).await? {
        return Err(
            "monitoring of user workloads is off, so OpenShift's Prometheus does not scrape Tempo; \
             turn it on with --enable-user-workload-monitoring (it sets enableUserWorkload in the \
             ConfigMap cluster-monitoring-config), or run with --prometheus own"
                .into(),
        );
    }
    let resource = CustomKind::ROUTE.resource();
    let routes: Api<DynamicObject> = Api::namespaced_with(client.clone(), MONITORING, &resource);
    let route = routes.get("thanos-querier").await.map_err(|err| {
        format!(
            "the route thanos-querier in {MONITORING} cannot be read: {}; name a Prometheus with \
             --prometheus, or run with --prometheus own",
            words(&err)
        )
    })?;
    let host = route.data["spec"]["host"].as_str().unwrap_or_default();
    let url = Url::parse(&format!("https://{host}"))
        .map_err(|err| format!("the route thanos-querier has no usable host: {err}"))?;
    let published: Api<ConfigMap> = Api::namespaced(client.clone(), "openshift-config-managed");
    // Readable by everyone who is logged in; without it the system's roots serve.
    let ca_pem = match published.get("default-ingress-cert").await {
        Ok(map) => map.data.and_then(|mut data| data.remove("ca-bundle.crt")),
        Err(err) => {
            tracing::debug!("no CA of the ingress: {}", words(&err));
            None
        }
    };
    Ok(Chosen::Thanos { url, ca_pem })
}

/// The cluster's own settings of monitoring: one key of a YAML text.
const MONITORING_CONFIG: &str = "cluster-monitoring-config";

async fn user_workloads_are_monitored(client: &Client) -> Result<bool, String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), MONITORING);
    let map = maps
        .get_opt(MONITORING_CONFIG)
        .await
        .map_err(|err| format!("{MONITORING_CONFIG} in {MONITORING}: {}", words(&err)))?;
    let text = map
        .and_then(|map| map.data)
        .and_then(|mut data| data.remove("config.yaml"));
    match text {
        None => Ok(false),
        Some(text) => with_user_workloads(&text).map(|changed| changed.is_none()),
    }
}

/// `config` with `enableUserWorkload: true` and everything else as it was; none
/// when it says so already.
fn with_user_workloads(config: &str) -> Result<Option<String>, String> {
    let parsed: serde_yaml::Value = serde_yaml::from_str(config)
        .map_err(|err| format!("{MONITORING_CONFIG}: config.yaml is no YAML: {err}"))?;
    let mut map = match parsed {
        serde_yaml::Value::Null => serde_yaml::Mapping::new(),
        serde_yaml::Value::Mapping(map) => map,
        _ => return Err(format!("{MONITORING_CONFIG}: config.yaml is no mapping")),
    };
    let on = serde_yaml::Value::Bool(true);
    if map.get("enableUserWorkload") == Some(&on) {
        return Ok(None);
    }
    map.insert("enableUserWorkload".into(), on);
    serde_yaml::to_string(&map)
        .map(Some)
        .map_err(|err| err.to_string())
}

/// Turns the monitoring of user workloads on, for `--enable-user-workload-monitoring`;
/// tells what was changed, if anything. It stays on: others may come to rely on it.
pub async fn enable_user_workloads(client: &Client) -> Result<Option<String>, String> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), MONITORING);
    let failed = |err: kube::Error| format!("{MONITORING_CONFIG}: {}", words(&err));
    let existing = maps.get_opt(MONITORING_CONFIG).await.map_err(failed)?;
    let is_new = existing.is_none();
    let mut map = existing.unwrap_or_default();
    let text = map.data.as_ref().and_then(|data| data.get("config.yaml"));
    let Some(changed) = with_user_workloads(text.map_or("", String::as_str))? else {
        return Ok(None);
    };
    map.data
        .get_or_insert_default()
        .insert("config.yaml".into(), changed);
    map.metadata.name = Some(MONITORING_CONFIG.into());
    // The resource version goes along, so that nobody's change is lost.
    let written = if is_new {
        maps.create(&PostParams::default(), &map).await
    } else {
        maps.replace(MONITORING_CONFIG, &PostParams::default(), &map)
            .await
    };
    written.map_err(failed)?;
    Ok(Some(format!(
        "set enableUserWorkload: true in ConfigMap {MONITORING_CONFIG} of {MONITORING}; it stays so"
    )))
}

/// A client of a Prometheus with an address of its own.
pub fn client_of(
    url: &Url,
    token: Option<String>,
    ca_pem: Option<&str>,
) -> Result<PrometheusClient, String> {
    PrometheusClient::with_roots(url.clone(), token, ca_pem).map_err(|err| chain(&err))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::empty("", Some("enableUserWorkload: true\n"))]
    #[case::others_stay(
        "prometheusK8s:\n  retention: 15d\n",
        Some("prometheusK8s:\n  retention: 15d\nenableUserWorkload: true\n")
    )]
    #[case::off("enableUserWorkload: false\n", Some("enableUserWorkload: true\n"))]
    #[case::on_already("enableUserWorkload: true\nx: 1\n", None)]
    fn one_key_is_changed_and_nothing_else(#[case] config: &str, #[case] expected: Option<&str>) {
        assert_eq!(with_user_workloads(config), Ok(expected.map(str::to_owned)));
    }

    #[test]
    fn settings_that_cannot_be_read_are_left_alone() {
        assert!(with_user_workloads("- a list\n").is_err());
        assert!(with_user_workloads("a: [\n").is_err());
    }

    #[rstest]
    #[case::by_labels(json!({"serviceMonitorNamespaceSelector": {}, "serviceMonitorSelector": {"matchLabels": {"release": "kps"}}}), true)]
    #[case::all(json!({"serviceMonitorNamespaceSelector": {}, "serviceMonitorSelector": {}}), true)]
    #[case::own_namespace_only(json!({"serviceMonitorSelector": {}}), false)]
    #[case::some_namespaces(json!({"serviceMonitorNamespaceSelector": {"matchLabels": {"a": "b"}}, "serviceMonitorSelector": {}}), false)]
    #[case::no_monitors(json!({"serviceMonitorNamespaceSelector": {}}), false)]
    #[case::expressions(json!({"serviceMonitorNamespaceSelector": {}, "serviceMonitorSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}), false)]
    fn a_prometheus_takes_our_monitors_or_we_bring_our_own(
        #[case] spec: serde_json::Value,
        #[case] takes: bool,
    ) {
        assert_eq!(takes_our_monitors(&spec), takes);
    }

    #[test]
    fn monitors_carry_the_labels_that_a_prometheus_asks_for() {
        let spec = json!({"serviceMonitorSelector": {"matchLabels": {"release": "kps"}}});
        assert_eq!(
            monitor_labels(&spec),
            BTreeMap::from([("release".to_string(), "kps".to_string())])
        );
        assert_eq!(monitor_labels(&json!({})), BTreeMap::new());
    }
}
