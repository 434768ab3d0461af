//! Profiles: what a user writes in `profiles/NAME.yaml`.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A load test case: the Tempo to set up, the load to put on it, and the
/// bounds by which it is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub tempo: Tempo,
    #[serde(default)]
    pub storage: Storage,
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
    pub variant: Variant,
    /// Limits; the operator's defaults when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    Monolithic,
    Stack,
}

/// Kubernetes quantities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Overrides {
    /// 0 means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_traces_per_user: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingester: Option<IngesterTuning>,
}

/// Settings of Tempo's ingester; Tempo 2.x only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngesterTuning {
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub flush_check_period: Option<Duration>,
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub trace_idle_period: Option<Duration>,
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub max_block_duration: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_flushes: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Storage {
    #[serde(default, rename = "type")]
    pub kind: StorageKind,
    /// Size of MinIO's volume, a Kubernetes quantity.
    #[serde(default, alias = "minioSize", skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
    #[schemars(with = "Option<String>")]
    pub duration: Option<Duration>,
    /// Load before the window that is judged.
    #[serde(
        default,
        with = "duration_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<String>")]
    pub warmup: Option<Duration>,
    pub vus: Vus,
    pub ingestion: Ingestion,
    pub query: Query,
}

/// Virtual users of each k6 run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Vus {
    pub min: u32,
    pub max: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ingestion {
    /// In MB of 1,048,576 bytes.
    pub mb_per_second: f64,
    pub trace_profile: TraceProfile,
    /// Traces in one request; solved by the plan when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traces_per_request: Option<u32>,
    #[serde(default)]
    pub collector: CollectorMode,
}

/// How many spans a trace has.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TraceProfile {
    Small,
    Medium,
    Large,
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
    pub queries_per_second: f64,
    /// The mix of queries; the built-in mix when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<Vec<QuerySpec>>,
}

/// One kind of query and its share of the mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuerySpec {
    /// A word for reports, for instance `errors-of-checkout`.
    pub name: String,
    pub operation: Operation,
    /// For `search`, the query; for `tags` and `tag_values`, a filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceql: Option<String>,
    /// For `tag_values`: a scoped tag such as `resource.service.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Share of the mix, relative to the other entries.
    #[serde(default = "one")]
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
    Search,
    TraceById,
    Tags,
    TagValues,
}

/// A check on one PromQL expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slo {
    pub name: String,
    /// PromQL with the variables `${sel}`, `${window}`, … of [`variables`].
    pub expr: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// When given, `min` and `max` are factors of this variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    #[serde(default)]
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
                .map(|text| {
                    crate::settings::duration::parse(&text).map_err(serde::de::Error::custom)
                })
                .transpose()
        }
    }
}
