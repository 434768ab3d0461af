//! The fields of a profile. Their doc comments become the descriptions of
//! `profiles/schema.json`, and the loader checks a file by that same schema, so
//! that an editor and a run say the same.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{limits, text};

/// A load test case: the Tempo to set up, the load to put on it, and the
/// bounds by which it is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// The file's name without `.yaml`: small letters, digits and hyphens, at
    /// most 40 characters.
    #[schemars(with = "text::Label")]
    pub name: String,
    /// One line for lists and reports, with the load in GB a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The Tempo under test.
    pub tempo: Tempo,
    /// Where Tempo keeps its blocks.
    #[serde(default)]
    pub storage: Storage,
    /// The load.
    pub k6: K6,
    /// k6's own threshold expressions by metric; times in milliseconds.
    /// An entry replaces the default of its metric; `{}` removes all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<BTreeMap<String, Vec<String>>>,
    /// PromQL checks. An entry replaces the default of its name; `[]` removes
    /// all defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slos: Option<Vec<Slo>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tempo {
    /// One process, or one deployment for each component.
    pub variant: Variant,
    /// Limits; the operator's defaults when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// On how many ingesters each trace is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = limits::REPLICATION_FACTOR))]
    pub replication_factor: Option<u32>,
    /// Changes to Tempo's own defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
    /// Labels of the nodes on which Tempo's pods may run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that Tempo's pods stand, as in a pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// A taint that pods stand; Kubernetes' own fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Toleration {
    /// Of the taint; every taint when absent, which needs `operator: Exists`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the taint must have the `value`, or may have any.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// Of the taint, with `operator: Equal`; empty when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Every effect when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// The taint has this value.
    #[default]
    Equal,
    /// The taint may have any value.
    Exists,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// Pods that do not stand the taint are not put there.
    NoSchedule,
    /// They are put there when there is no other place.
    PreferNoSchedule,
    /// They are not put there, and those that run there are ended.
    NoExecute,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// A TempoMonolithic: one pod.
    Monolithic,
    /// A TempoStack: a deployment for each component.
    Stack,
}

/// Limits of Tempo's pods, as Kubernetes quantities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// For instance 8Gi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "text::Bytes")]
    pub memory: Option<String>,
    /// For instance 1000m or 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "text::Cpu")]
    pub cpu: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overrides {
    /// Live traces per tenant and ingester; 0 means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(min = 0, max = limits::TRACES_PER_USER))]
    pub max_traces_per_user: Option<u64>,
    /// Only Tempo 2.x has an ingester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingester: Option<IngesterTuning>,
}

/// Settings of Tempo's ingester; Tempo 2.x only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngesterTuning {
    /// How often idle traces and full blocks are looked for.
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "text::PositiveDuration")]
    pub flush_check_period: Option<Duration>,
    /// How long a trace must be idle before it is written to the head block.
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "text::PositiveDuration")]
    pub trace_idle_period: Option<Duration>,
    /// Age at which the head block is cut.
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "text::PositiveDuration")]
    pub max_block_duration: Option<Duration>,
    /// Blocks flushed at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = limits::CONCURRENT_FLUSHES))]
    pub concurrent_flushes: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    /// MinIO in the run's own namespace, or an object store that exists.
    #[serde(default, rename = "type")]
    pub kind: StorageKind,
    /// Size of MinIO's volume, for instance 10Gi. `minioSize` is its older name.
    #[serde(default, alias = "minioSize", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "text::Bytes")]
    pub size: Option<String>,
    /// With `type: s3`: the bucket, which must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "text::Bucket")]
    pub bucket: Option<String>,
    /// With `type: s3`: needed without `endpoint`, as on AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "text::Region")]
    pub region: Option<String>,
    /// With `type: s3`: the URL of a store that is not AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "text::HttpUrl")]
    pub endpoint: Option<String>,
    /// With `type: s3`, on Kubernetes: the Secret with the credentials, read from
    /// the namespace of the kubeconfig's context and copied into the run's own.
    /// Its keys are access_key_id and access_key_secret, or AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY. Without it the variables of the latter names are
    /// used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "text::SecretName")]
    pub secret_name: Option<String>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// MinIO in the run's own namespace.
    #[default]
    Minio,
    /// An object store that exists.
    S3,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct K6 {
    /// Length of the load; DURATION beats it; 5m when neither is given.
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "text::PositiveDuration")]
    pub duration: Option<Duration>,
    /// Load before the window that is judged.
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "text::AnyDuration")]
    pub warmup: Option<Duration>,
    pub vus: Vus,
    /// Traces that are pushed.
    pub ingestion: Ingestion,
    /// Queries that run beside the pushes.
    pub query: Query,
}

/// Virtual users of each k6 run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vus {
    /// Started before the load.
    #[schemars(range(min = 1, max = limits::VUS))]
    pub min: u32,
    /// As many as k6 may start when `min` cannot hold the rate.
    #[schemars(range(min = 1, max = limits::VUS))]
    pub max: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ingestion {
    /// In MB of 1,048,576 bytes.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = limits::MB_PER_SECOND_MAX, "errorMessage" = limits::MB_PER_SECOND))]
    pub mb_per_second: f64,
    /// How many spans a trace has.
    pub trace_profile: TraceProfile,
    /// Traces in one request; solved by the plan when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = limits::TRACES_PER_REQUEST))]
    pub traces_per_request: Option<u32>,
    /// Whether the OpenTelemetry Collector queues and retries.
    #[serde(default)]
    pub collector: CollectorMode,
}

/// How many spans a trace has.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum TraceProfile {
    /// 8 to 15 spans: simple calls.
    Small,
    /// 25 to 40 spans: typical production traces.
    Medium,
    /// 50 to 80 spans: large distributed transactions.
    Large,
    /// 100 to 150 spans: heavy batch processing.
    Xlarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CollectorMode {
    /// A push ends when Tempo has answered: no batches, no queue, no retries.
    #[default]
    Synchronous,
    /// The exporter's defaults: a sending queue and retries.
    Queued,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Query {
    /// All queries of the mix together.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = limits::QUERIES_PER_SECOND_MAX, "errorMessage" = limits::QUERIES_PER_SECOND))]
    pub queries_per_second: f64,
    /// The mix of queries; the built-in mix when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<QuerySpec>", length(min = 1, max = limits::QUERIES))]
    pub queries: Option<Vec<QuerySpec>>,
}

/// One kind of query and its share of the mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuerySpec {
    /// A word for reports, for instance `errors-of-checkout`.
    #[schemars(with = "text::Label")]
    pub name: String,
    /// The endpoint of Tempo's API.
    pub operation: Operation,
    /// For `search`, the query; for `tags` and `tag_values`, a filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceql: Option<String>,
    /// For `tag_values`: a scoped tag such as `resource.service.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Share of the mix, relative to the other entries.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = limits::WEIGHT))]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `/api/search` with TraceQL.
    Search,
    /// `/api/v2/traces/ID` of a trace of this run.
    TraceById,
    /// `/api/v2/search/tags`.
    Tags,
    /// `/api/v2/search/tag/TAG/values`.
    TagValues,
}

/// A check on one PromQL expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slo {
    /// What reports call it; an entry replaces the default of this name.
    #[schemars(length(min = 1, max = 120))]
    pub name: String,
    /// PromQL; `${sel}`, `${window}` and others are filled in before the query.
    #[schemars(length(min = 1, max = 10_000))]
    pub expr: String,
    /// The least that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// A number such as `${target_bytes_per_second}`: `min` and `max` are then
    /// factors of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// For instance s, B/s or spans.
    #[serde(default)]
    #[schemars(length(max = 40))]
    pub unit: String,
}

/// Durations as text, `5m` or `1h30m`, in both directions.
mod duration_text {
    pub mod option {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serializer};

        use crate::units::Pretty;

        pub fn serialize<S: Serializer>(
            value: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(duration) => serializer.collect_str(&Pretty(*duration)),
                None => serializer.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            Option::<String>::deserialize(deserializer)?
                .map(|text| crate::units::duration::parse(&text).map_err(serde::de::Error::custom))
                .transpose()
        }
    }
}

impl std::fmt::Display for TraceProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
