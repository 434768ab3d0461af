//! How Tempo's metrics are reached: the same for a Prometheus of ours and for
//! monitors that a Prometheus of the cluster reads.

use super::blueprint::Blueprint;
use crate::profile::Variant;

/// The collector's `job`, as in a local run.
pub(super) const COLLECTOR_JOB: &str = "otel-collector";
pub(super) const MINIO_JOB: &str = "minio";
pub(super) const MINIO_METRICS_PATH: &str = "/minio/v2/metrics/cluster";

/// With the protobuf format Prometheus keeps only the native form of Tempo's
/// histograms, and `_bucket` queries find nothing.
pub(super) const SCRAPE_PROTOCOL: &str = "PrometheusText0.0.4";

/// A component of Tempo with its port 3200, `http` in pods and Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// As the operator labels its pods, and as `job` ends.
    pub component: &'static str,
    /// As the operator labels its Service.
    pub service_component: &'static str,
    /// Where a client certificate is asked for.
    pub tls: Option<Tls>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tls {
    /// Of the component's own certificate, which serves as any client's.
    pub secret: String,
    pub server_name: String,
}

pub(super) fn targets(blueprint: &Blueprint) -> Vec<Target> {
    blueprint
        .tempo_components()
        .iter()
        .map(|&component| {
            let monolithic = blueprint.variant == Variant::Monolithic;
            // What a gateway stands before asks it for a certificate, and so
            // does each inner component of a stack.
            let plain = !blueprint.has_gateway() && (monolithic || component == "query-frontend");
            Target {
                component,
                // The gateway of a monolithic is a container of Tempo's pod,
                // and its Service the only one.
                service_component: if monolithic && blueprint.has_gateway() {
                    "gateway"
                } else {
                    component
                },
                tls: (!plain).then(|| Tls {
                    secret: format!("{}-mtls", blueprint.tempo_component(component)),
                    server_name: server_name(blueprint, component),
                }),
            }
        })
        .collect()
}

/// Name of a component in its certificate, into which the operator writes this
/// domain.
pub fn server_name(blueprint: &Blueprint, component: &str) -> String {
    let service = blueprint.tempo_component(component);
    format!("{service}.{}.svc.cluster.local", blueprint.namespace)
}

/// Name of the Secret that our own Prometheus mounts to reach Tempo's metrics,
/// beside the CA bundle; none where they are plain HTTP. All components take
/// the certificate of one.
pub fn client_certificate(blueprint: &Blueprint) -> Option<String> {
    targets(blueprint)
        .into_iter()
        .find_map(|target| target.tls)
        .map(|tls| tls.secret)
}

/// `job` of a component's series, as Tempo's dashboards expect it.
pub(super) fn job(blueprint: &Blueprint, component: &str) -> String {
    format!("{}/{component}", blueprint.namespace)
}
