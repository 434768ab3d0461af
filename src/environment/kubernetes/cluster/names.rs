//! What objects are called and labelled: ours, and those that the operators make
//! of ours.

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

/// Name of both custom resources; the operators make `tempo-perf-…` and
/// `perf-collector` of it.
pub const CR_NAME: &str = "perf";
/// Name of MinIO's StatefulSet, Service, claim and Secret, as in the Go program.
pub const MINIO: &str = "minio";
/// Name of the Secret of an external store, as in the Go program.
pub const S3_SECRET: &str = "tempo-s3";
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
