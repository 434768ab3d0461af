//! The custom resource of the OpenTelemetry Collector between k6 and Tempo.

use serde_json::{Value, json};

use super::access::COLLECTOR_ACCOUNT;
use super::blueprint::{Blueprint, Flavor};
use super::security::{node_anti_affinity, pod_security};
use super::{TERMINATION_GRACE_SECONDS, metadata, set};
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::cluster::names::{
    COLLECTOR_METRICS_PORT, COLLECTOR_OTLP_HTTP_PORT, CR_NAME, TENANT,
};
use crate::profile::CollectorMode;

/// The user of the collector's images.
const COLLECTOR_UID: u32 = 10001;
const HEALTH_PORT: u16 = 13133;

/// Largest request that it takes: far above the 1 MiB that is sent.
const MAX_REQUEST_MIB: u32 = 16;

/// Memory for itself, and for each request that it holds: up to 1 MiB as it
/// came, decoded, and encoded again.
const MEMORY_MIB: u64 = 512;
const MEMORY_PER_REQUEST_MIB: u64 = 8;
/// Requests in the exporter's sending queue, the default.
const QUEUE_REQUESTS: u64 = 1000;

/// CPU that is reserved, in thousandths of a core: for itself, and for each
/// MB/s that passes.
const CPU_MILLIS: f64 = 100.0;
const CPU_MILLIS_PER_MB_PER_SECOND: f64 = 50.0;

/// Where every pod on OpenShift has its token, and the authority of the
/// certificates of Services.
const ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The OpenTelemetryCollector; its choices are those of the local one.
///
/// `health_check` is what makes the operator give its pods probes; without,
/// they are ready as soon as the process runs, in a crash loop too.
pub fn collector(blueprint: &Blueprint) -> Value {
    let security = pod_security(blueprint, COLLECTOR_UID);
    let mut spec = json!({
        "mode": "deployment",
        "replicas": 1,
        "imagePullPolicy": "IfNotPresent",
        "config": config(blueprint),
        "resources": resources(blueprint),
        "podSecurityContext": security.pod,
        "securityContext": security.container,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "startupProbe": {"periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {"periodSeconds": 1},
    });
    let image = blueprint.images.collector.as_ref();
    set(&mut spec, "image", image.map(|image| json!(image)));
    set(&mut spec, "affinity", node_anti_affinity(blueprint));
    if blueprint.flavor == Flavor::OpenShift {
        spec["serviceAccount"] = json!(COLLECTOR_ACCOUNT);
    }
    json!({
        "apiVersion": CustomKind::COLLECTOR.api_version(),
        "kind": CustomKind::COLLECTOR.kind,
        "metadata": metadata(blueprint, CR_NAME),
        "spec": spec,
    })
}

fn config(blueprint: &Blueprint) -> Value {
    let mut exporter = json!({
        "endpoint": blueprint.tempo_otlp_grpc(),
        "compression": "none",
        "timeout": "10s",
    });
    // A push ends when Tempo has answered, and Tempo's refusals reach k6.
    if blueprint.collector == CollectorMode::Synchronous {
        exporter["sending_queue"] = json!({"enabled": false});
        exporter["retry_on_failure"] = json!({"enabled": false});
    }
    let mut extensions = json!({
        "health_check": {"endpoint": format!("0.0.0.0:{HEALTH_PORT}")},
    });
    let mut started = vec!["health_check"];
    if blueprint.has_gateway() {
        extensions["bearertokenauth"] = json!({"filename": format!("{ACCOUNT_DIR}/token")});
        started.push("bearertokenauth");
        exporter["tls"] = json!({"ca_file": format!("{ACCOUNT_DIR}/service-ca.crt")});
        exporter["auth"] = json!({"authenticator": "bearertokenauth"});
        exporter["headers"] = json!({"X-Scope-OrgID": TENANT});
    } else {
        exporter["tls"] = json!({"insecure": true});
    }
    json!({
        "extensions": extensions,
        "receivers": {"otlp": {"protocols": {
            "grpc": {"endpoint": "0.0.0.0:4317", "max_recv_msg_size_mib": MAX_REQUEST_MIB},
            // The operator writes it as 1.6777216e+07, which the collector reads.
            "http": {
                "endpoint": format!("0.0.0.0:{COLLECTOR_OTLP_HTTP_PORT}"),
                "max_request_body_size": u64::from(MAX_REQUEST_MIB) << 20,
            },
        }}},
        // Its newer name, `otlp_grpc`, is unknown to collectors before 0.144.
        "exporters": {"otlp": exporter},
        "service": {
            "extensions": started,
            "telemetry": {
                "logs": {"level": "warn"},
                // The operator keeps a reader that it finds.
                "metrics": {"readers": [{"pull": {"exporter": {"prometheus": {
                    "host": "0.0.0.0",
                    "port": COLLECTOR_METRICS_PORT,
                    "without_type_suffix": false,
                }}}}]},
            },
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp"]}},
        },
    })
}

/// No limit of CPU: the collector must not be what is measured.
fn resources(blueprint: &Blueprint) -> Value {
    let held = match blueprint.collector {
        CollectorMode::Synchronous => u64::from(blueprint.max_vus),
        CollectorMode::Queued => u64::from(blueprint.max_vus) + QUEUE_REQUESTS,
    };
    let memory_mib = MEMORY_MIB + held * MEMORY_PER_REQUEST_MIB;
    let cpu_millis =
        CPU_MILLIS + blueprint.ingestion.mb_per_second() * CPU_MILLIS_PER_MB_PER_SECOND;
    json!({
        "requests": {"cpu": format!("{}m", cpu_millis.ceil() as u64), "memory": "256Mi"},
        "limits": {"memory": format!("{memory_mib}Mi")},
    })
}
