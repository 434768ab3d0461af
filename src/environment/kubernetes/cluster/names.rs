//! What objects are called and labelled, and the ports that they serve: ours, and
//! those that the operators make of ours.

/// On every object of ours, the cluster-scoped ones included: the run's number.
/// Nothing without it is ever removed.
pub const RUN_LABEL: &str = "tempo-perf/run";
/// The profile's name, beside [`RUN_LABEL`].
pub const PROFILE_LABEL: &str = "tempo-perf/profile";
/// On pods of ours: `minio`, `prometheus`, `k6`. Not the operators' own
/// `app.kubernetes.io/*`: the Tempo operator prunes what carries its labels.
pub const COMPONENT_LABEL: &str = "tempo-perf/component";
/// On a cluster-scoped object: the namespace that it belongs to.
pub const NAMESPACE_LABEL: &str = "tempo-perf/namespace";

/// The labels by which operators know their own.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
pub const OPERATED_COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// Values of [`MANAGED_BY_LABEL`].
pub const TEMPO_OPERATOR: &str = "tempo-operator";
pub const OPENTELEMETRY_OPERATOR: &str = "opentelemetry-operator";
/// Value of [`OPERATED_COMPONENT_LABEL`] of the collector's pods.
pub const COLLECTOR_COMPONENT: &str = "opentelemetry-collector";

/// Name of both custom resources, of which the operators make [`TEMPO`] and
/// [`COLLECTOR`].
pub const CR_NAME: &str = "perf";
/// A monolithic Tempo; of a stack's components it is the prefix.
pub const TEMPO: &str = "tempo-perf";
pub const TEMPO_GATEWAY: &str = "tempo-perf-gateway";
/// ConfigMap with the authority of Tempo's certificates.
pub const TEMPO_CA_BUNDLE: &str = "tempo-perf-ca-bundle";
/// Its key.
pub const TEMPO_CA_KEY: &str = "service-ca.crt";
pub const COLLECTOR: &str = "perf-collector";
/// The collector's container in its pods.
pub const COLLECTOR_CONTAINER: &str = "otc-container";

/// Container port of Tempo's HTTP API and metrics, and of its Services.
pub const TEMPO_HTTP_PORT: u16 = 3200;
pub const COLLECTOR_OTLP_HTTP_PORT: u16 = 4318;
pub const COLLECTOR_METRICS_PORT: u16 = 8888;

/// Name of MinIO's StatefulSet, Service, claim and Secret, as in the Go program.
pub const MINIO: &str = "minio";
/// Name of the Secret of an external store, as in the Go program.
pub const S3_SECRET: &str = "tempo-s3";
/// The component that k6's pods are of.
pub const K6: &str = "k6";
/// Bucket that MinIO is given.
pub const MINIO_BUCKET: &str = "tempo";
/// Name of our own Prometheus and what belongs to it.
pub const PROMETHEUS: &str = "prometheus";
/// The tenant on OpenShift, where the gateway needs one.
pub const TENANT: &str = "perf";
/// Its ID, which names its blocks in the bucket: the same in every run.
pub const TENANT_ID: &str = "7d1f5a4e-2c60-4a3b-9c55-3f0a6b8e1d20";
/// Components that a TempoStack always has, as their workloads are labelled.
pub const STACK_COMPONENTS: [&str; 5] = [
    "distributor",
    "ingester",
    "querier",
    "query-frontend",
    "compactor",
];
