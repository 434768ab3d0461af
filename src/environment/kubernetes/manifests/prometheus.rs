//! A Prometheus of our own in the namespace.

use std::time::Duration;

use serde_json::{Value, json};

use super::blueprint::{Blueprint, Scraper, StoragePlan};
use super::scrape::{
    COLLECTOR_JOB, MINIO_JOB, MINIO_METRICS_PATH, SCRAPE_PROTOCOL, Target, client_certificate, job,
    targets,
};
use super::security::{node_anti_affinity, pod_security};
use super::{TERMINATION_GRACE_SECONDS, metadata, set};
use crate::environment::kubernetes::cluster::names::{
    COLLECTOR_COMPONENT, COLLECTOR_METRICS_PORT, CR_NAME, MINIO, OPENTELEMETRY_OPERATOR,
    PROMETHEUS, TEMPO_CA_BUNDLE, TEMPO_CA_KEY, TEMPO_OPERATOR,
};
use crate::metrics::SCRAPE_INTERVAL;
use crate::units::Pretty;

/// The user of Prometheus' image.
const PROMETHEUS_UID: u32 = 65534;
const PORT: u16 = 9090;
const CONFIG_DIR: &str = "/etc/tempo-perf/config";
const CONFIG_FILE: &str = "prometheus.yml";
const CA_DIR: &str = "/etc/tempo-perf/tempo-ca";
const CERTIFICATE_DIR: &str = "/etc/tempo-perf/tempo-mtls";
const DATA_DIR: &str = "/prometheus";
/// Where a pod has its token and the authority of the API server's certificate.
const ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// For what changes slowly and costs more to gather: MinIO keeps its answer
/// for some seconds, and a kubelet looks at its containers every ten.
const SLOW_INTERVAL: &str = "5s";

/// Set-up before the load, and what comes after it.
const RETENTION_BESIDE_THE_JOB: Duration = Duration::from_secs(6 * 3600);

/// ConfigMap, Deployment and Service of our own Prometheus; nothing when
/// another one scrapes. The Deployment mounts [`TEMPO_CA_BUNDLE`] and
/// [`client_certificate`], so that those must exist before.
pub fn own_prometheus(blueprint: &Blueprint) -> Vec<Value> {
    let Scraper::Own { cadvisor } = blueprint.scraper else {
        return Vec::new();
    };
    vec![
        config_map(blueprint, cadvisor),
        deployment(blueprint),
        service(blueprint),
    ]
}

fn config_map(blueprint: &Blueprint, cadvisor: bool) -> Value {
    // A tree of strings, numbers and maps always has a YAML form.
    let config =
        serde_yaml::to_string(&config(blueprint, cadvisor)).expect("a JSON value is valid YAML");
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(blueprint, PROMETHEUS),
        "data": {CONFIG_FILE: config},
    })
}

fn service(blueprint: &Blueprint) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(blueprint, PROMETHEUS),
        "spec": {
            "selector": blueprint.component_labels(PROMETHEUS),
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    })
}

fn deployment(blueprint: &Blueprint) -> Value {
    let labels = blueprint.component_labels(PROMETHEUS);
    let security = pod_security(blueprint, PROMETHEUS_UID);
    let mut mounts = vec![
        json!({"name": "config", "mountPath": CONFIG_DIR, "readOnly": true}),
        json!({"name": "data", "mountPath": DATA_DIR}),
    ];
    let mut volumes = vec![
        json!({"name": "config", "configMap": {"name": PROMETHEUS}}),
        json!({"name": "data", "emptyDir": {}}),
    ];
    if let Some(secret) = client_certificate(blueprint) {
        mounts.extend([
            json!({"name": "tempo-ca", "mountPath": CA_DIR, "readOnly": true}),
            json!({"name": "tempo-mtls", "mountPath": CERTIFICATE_DIR, "readOnly": true}),
        ]);
        volumes.extend([
            json!({"name": "tempo-ca", "configMap": {"name": TEMPO_CA_BUNDLE}}),
            json!({"name": "tempo-mtls", "secret": {"secretName": secret}}),
        ]);
    }
    let container = json!({
        "name": PROMETHEUS,
        "image": blueprint.images.prometheus,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            format!("--config.file={CONFIG_DIR}/{CONFIG_FILE}"),
            format!("--storage.tsdb.path={DATA_DIR}"),
            format!("--storage.tsdb.retention.time={}s", retention(blueprint).as_secs()),
            "--web.enable-remote-write-receiver",
            // Else the first scrape comes 5 s after the start.
            "--scrape.discovery-reload-interval=100ms",
            "--log.level=warn",
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {
            "httpGet": {"path": "/-/ready", "port": "http"},
            "periodSeconds": 1,
            "timeoutSeconds": 5,
        },
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "2Gi"},
        },
        "securityContext": security.container,
        "volumeMounts": mounts,
    });
    let mut pod = json!({
        "serviceAccountName": PROMETHEUS,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": security.pod,
        "containers": [container],
        "volumes": volumes,
    });
    set(&mut pod, "affinity", node_anti_affinity(blueprint));
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(blueprint, PROMETHEUS),
        "spec": {
            "replicas": 1,
            // What a second one beside it would have scraped is not in it.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    })
}

fn retention(blueprint: &Blueprint) -> Duration {
    blueprint
        .job_timeout
        .saturating_add(RETENTION_BESIDE_THE_JOB)
}

fn config(blueprint: &Blueprint, cadvisor: bool) -> Value {
    let mut jobs: Vec<Value> = targets(blueprint)
        .iter()
        .map(|target| tempo_job(blueprint, target))
        .collect();
    jobs.push(collector_job(blueprint));
    if matches!(blueprint.storage, StoragePlan::Minio { .. }) {
        jobs.push(minio_job(blueprint));
    }
    if cadvisor {
        jobs.push(cadvisor_job(blueprint));
    }
    let interval = Pretty(SCRAPE_INTERVAL).to_string();
    json!({
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "scrape_protocols": [SCRAPE_PROTOCOL],
        },
        "scrape_configs": jobs,
    })
}

fn tempo_job(blueprint: &Blueprint, target: &Target) -> Value {
    let mut job = pods_job(
        blueprint,
        &job(blueprint, target.component),
        &[
            ("pod_label_app_kubernetes_io_managed_by", TEMPO_OPERATOR),
            ("pod_label_app_kubernetes_io_instance", CR_NAME),
            ("pod_label_app_kubernetes_io_component", target.component),
            ("pod_container_port_name", "http"),
        ],
    );
    if let Some(relabelings) = job["relabel_configs"].as_array_mut() {
        relabelings.push(json!({"target_label": "cluster", "replacement": CR_NAME}));
    }
    if let Some(tls) = &target.tls {
        job["scheme"] = json!("https");
        job["tls_config"] = json!({
            "ca_file": format!("{CA_DIR}/{TEMPO_CA_KEY}"),
            "cert_file": format!("{CERTIFICATE_DIR}/tls.crt"),
            "key_file": format!("{CERTIFICATE_DIR}/tls.key"),
            "server_name": tls.server_name,
        });
    }
    job
}

fn collector_job(blueprint: &Blueprint) -> Value {
    pods_job(
        blueprint,
        COLLECTOR_JOB,
        &[
            (
                "pod_label_app_kubernetes_io_managed_by",
                OPENTELEMETRY_OPERATOR,
            ),
            ("pod_label_app_kubernetes_io_component", COLLECTOR_COMPONENT),
            (
                "pod_container_port_number",
                &COLLECTOR_METRICS_PORT.to_string(),
            ),
        ],
    )
}

fn minio_job(blueprint: &Blueprint) -> Value {
    let mut job = pods_job(
        blueprint,
        MINIO_JOB,
        &[
            ("pod_label_tempo_perf_component", MINIO),
            ("pod_container_port_name", "http"),
        ],
    );
    job["metrics_path"] = json!(MINIO_METRICS_PATH);
    job["scrape_interval"] = json!(SLOW_INTERVAL);
    job["scrape_timeout"] = json!(SLOW_INTERVAL);
    job
}

/// Scrapes the ports of the namespace's pods for which every `(label, value)`
/// holds; labels without their prefix `__meta_kubernetes_`.
fn pods_job(blueprint: &Blueprint, name: &str, wanted: &[(&str, &str)]) -> Value {
    let meta = |label: &str| format!("__meta_kubernetes_{label}");
    let sources: Vec<String> = wanted.iter().map(|(label, _)| meta(label)).collect();
    let values: Vec<&str> = wanted.iter().map(|&(_, value)| value).collect();
    json!({
        "job_name": name,
        "kubernetes_sd_configs": [pods(blueprint)],
        "relabel_configs": [
            {"action": "keep", "source_labels": sources, "regex": values.join(";")},
            {
                "action": "drop",
                "source_labels": [meta("pod_phase")],
                "regex": "Pending|Succeeded|Failed",
            },
            {"source_labels": [meta("namespace")], "target_label": "namespace"},
            {"source_labels": [meta("pod_name")], "target_label": "pod"},
            {"source_labels": [meta("pod_container_name")], "target_label": "container"},
        ],
    })
}

/// cAdvisor of the nodes where pods of the namespace run, through the API
/// server. Many pods make one target of a node, for all their labels are its.
fn cadvisor_job(blueprint: &Blueprint) -> Value {
    let node = "__meta_kubernetes_pod_node_name";
    json!({
        // As a Prometheus of the cluster calls it.
        "job_name": "kubelet",
        "scheme": "https",
        "scrape_interval": SLOW_INTERVAL,
        "scrape_timeout": SLOW_INTERVAL,
        "authorization": {"credentials_file": format!("{ACCOUNT_DIR}/token")},
        "tls_config": {"ca_file": format!("{ACCOUNT_DIR}/ca.crt")},
        "kubernetes_sd_configs": [pods(blueprint)],
        "relabel_configs": [
            {"action": "keep", "source_labels": [node], "regex": ".+"},
            {
                "source_labels": [node],
                "target_label": "__metrics_path__",
                "replacement": "/api/v1/nodes/$1/proxy/metrics/cadvisor",
            },
            {"source_labels": [node], "target_label": "instance"},
            {"target_label": "__address__", "replacement": "kubernetes.default.svc:443"},
        ],
        "metric_relabel_configs": [{
            "action": "keep",
            "source_labels": ["namespace"],
            "regex": blueprint.namespace,
        }],
    })
}

fn pods(blueprint: &Blueprint) -> Value {
    json!({"role": "pod", "namespaces": {"names": [blueprint.namespace]}})
}
