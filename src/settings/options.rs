//! Every option once: its flag, its variable, its default and what it does.
//! The command line, the look-up of variables and `--help` are made from this.

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// `--flag`, `--flag=false`; 1, 0, true, false.
    Switch,
    /// A value, by the word that stands for it in the help.
    Value(&'static str),
    /// A comma-separated list; the flag may be repeated.
    List(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Without the hyphens.
    pub flag: &'static str,
    pub variable: &'static str,
    pub takes: Takes,
    /// As the help shows it; empty when the profile or the plan decides.
    pub default: &'static str,
    pub heading: &'static str,
    pub help: &'static str,
}

impl Opt {
    /// Its flag and its variable, for messages about either.
    pub fn names(&self) -> String {
        format!("--{} or {}", self.flag, self.variable)
    }
}

const CASES: &str = "Cases";
const LOAD: &str = "Load (in place of the profile's values)";
const PLACE: &str = "Where the load goes";
const KUBERNETES: &str = "Kubernetes";
const RESULTS: &str = "Results";
const LIMITS: &str = "Limits";
const TOOLS: &str = "Tools";

use Takes::{List, Switch, Value};

use super::{kubernetes, tools};

pub const PROFILES: Opt = Opt {
    flag: "profiles",
    variable: "TEMPO_PERF_PROFILES",
    takes: List("NAMES"),
    default: "all",
    heading: CASES,
    help: "Profiles to run, separated by commas",
};
pub const PROFILES_DIR: Opt = Opt {
    flag: "profiles-dir",
    variable: "TEMPO_PERF_PROFILES_DIR",
    takes: Value("DIR"),
    default: "profiles",
    heading: CASES,
    help: "Directory of the profiles, one YAML file each",
};
pub const TEST_TYPE: Opt = Opt {
    flag: "test-type",
    variable: "TEMPO_PERF_TEST_TYPE",
    takes: Value("TYPE"),
    default: "combined",
    heading: CASES,
    help: "Load to run: ingestion, query, or combined (both side by side)",
};
pub const DRY_RUN: Opt = Opt {
    flag: "dry-run",
    variable: "TEMPO_PERF_DRY_RUN",
    takes: Switch,
    default: "false",
    heading: CASES,
    help: "Print the plan of each case, every number resolved, and run nothing",
};
pub const VALIDATE_PROFILES: Opt = Opt {
    flag: "validate-profiles",
    variable: "TEMPO_PERF_VALIDATE_PROFILES",
    takes: Switch,
    default: "false",
    heading: CASES,
    help: "Check all profiles, print every mistake with its line, and run nothing",
};
pub const DURATION: Opt = Opt {
    flag: "duration",
    variable: "DURATION",
    takes: Value("TIME"),
    default: "the profile's, else 5m",
    heading: LOAD,
    help: "Length of the load, for example 30s, 10m or 1h30m",
};
pub const SIZE: Opt = Opt {
    flag: "size",
    variable: "SIZE",
    takes: Value("PROFILE"),
    default: "",
    heading: LOAD,
    help: "Take the k6 section of this profile in place of the case's own",
};
pub const MB_PER_SECOND: Opt = Opt {
    flag: "mb-per-second",
    variable: "MB_PER_SECOND",
    takes: Value("NUMBER"),
    default: "",
    heading: LOAD,
    help: "Rate of ingestion in MB/s (1 MB is 1,048,576 bytes)",
};
pub const QUERIES_PER_SECOND: Opt = Opt {
    flag: "queries-per-second",
    variable: "QUERIES_PER_SECOND",
    takes: Value("NUMBER"),
    default: "",
    heading: LOAD,
    help: "Rate of queries, all kinds together",
};
pub const VUS_MIN: Opt = Opt {
    flag: "vus-min",
    variable: "VUS_MIN",
    takes: Value("NUMBER"),
    default: "",
    heading: LOAD,
    help: "Virtual users that each k6 run starts with",
};
pub const VUS_MAX: Opt = Opt {
    flag: "vus-max",
    variable: "VUS_MAX",
    takes: Value("NUMBER"),
    default: "",
    heading: LOAD,
    help: "Virtual users that each k6 run may grow to",
};
pub const TRACE_PROFILE: Opt = Opt {
    flag: "trace-profile",
    variable: "TRACE_PROFILE",
    takes: Value("SIZE"),
    default: "",
    heading: LOAD,
    help: "Spans of a trace: small (8-15), medium (25-40), large (50-80) or xlarge (100-150)",
};
pub const SEED: Opt = Opt {
    flag: "seed",
    variable: "TEMPO_PERF_SEED",
    takes: Value("NUMBER"),
    default: "1",
    heading: LOAD,
    help: "What the traces and their order are made from; the same seed sends the same load",
};
pub const TARGET: Opt = Opt {
    flag: "target",
    variable: "TEMPO_PERF_TARGET",
    takes: Value("TARGET"),
    default: "auto",
    heading: PLACE,
    help: "local (all on this machine), kubernetes, endpoint (a Tempo that exists), or auto: \
           endpoint when one is given, kubernetes with --context, when KUBECONFIG is set or inside a \
           cluster, else local",
};
pub const TEMPO_ENDPOINT: Opt = Opt {
    flag: "tempo-endpoint",
    variable: "TEMPO_ENDPOINT",
    takes: Value("URL"),
    default: "",
    heading: PLACE,
    help: "OTLP/HTTP receiver of a Tempo that exists, for example http://tempo:4318",
};
pub const TEMPO_QUERY_ENDPOINT: Opt = Opt {
    flag: "tempo-query-endpoint",
    variable: "TEMPO_QUERY_ENDPOINT",
    takes: Value("URL"),
    default: "",
    heading: PLACE,
    help: "HTTP API of a Tempo that exists, for example http://tempo:3200",
};
pub const CONTEXT: Opt = Opt {
    flag: "context",
    variable: "TEMPO_PERF_CONTEXT",
    takes: Value("NAME"),
    default: "the current one",
    heading: KUBERNETES,
    help: "Context of the kubeconfig; to name one is to choose the target kubernetes",
};
pub const NAMESPACE_PREFIX: Opt = Opt {
    flag: "namespace-prefix",
    variable: "TEMPO_PERF_NAMESPACE_PREFIX",
    takes: Value("TEXT"),
    default: kubernetes::NAMESPACE_PREFIX,
    heading: KUBERNETES,
    help: "What the names of namespaces start with; the profile's name follows",
};
pub const NODE_SELECTOR: Opt = Opt {
    flag: "node-selector",
    variable: "TEMPO_PERF_NODE_SELECTOR",
    takes: List("LABELS"),
    default: "the profile's",
    heading: KUBERNETES,
    help: "Labels of the nodes that Tempo alone is to run on, for example node-role.kubernetes.io/infra=,disk=ssd",
};
pub const STORAGE_CLASS: Opt = Opt {
    flag: "storage-class",
    variable: "TEMPO_PERF_STORAGE_CLASS",
    takes: Value("NAME"),
    default: "the cluster's",
    heading: KUBERNETES,
    help: "StorageClass of the volumes of Tempo and MinIO",
};
pub const STORAGE_TYPE: Opt = Opt {
    flag: "storage-type",
    variable: "TEMPO_PERF_STORAGE_TYPE",
    takes: Value("TYPE"),
    default: "the profile's",
    heading: KUBERNETES,
    help: "Where Tempo keeps its blocks: minio (in the namespace) or s3 (a bucket that exists)",
};
pub const STORAGE_BUCKET: Opt = Opt {
    flag: "storage-bucket",
    variable: "TEMPO_PERF_STORAGE_BUCKET",
    takes: Value("NAME"),
    default: "the profile's",
    heading: KUBERNETES,
    help: "Bucket of s3",
};
pub const STORAGE_REGION: Opt = Opt {
    flag: "storage-region",
    variable: "TEMPO_PERF_STORAGE_REGION",
    takes: Value("NAME"),
    default: "the profile's",
    heading: KUBERNETES,
    help: "Region of s3, needed on AWS",
};
pub const STORAGE_ENDPOINT: Opt = Opt {
    flag: "storage-endpoint",
    variable: "TEMPO_PERF_STORAGE_ENDPOINT",
    takes: Value("URL"),
    default: "the profile's, else AWS",
    heading: KUBERNETES,
    help: "Address of s3 when it is not AWS",
};
pub const STORAGE_SECRET_NAME: Opt = Opt {
    flag: "storage-secret-name",
    variable: "TEMPO_PERF_STORAGE_SECRET_NAME",
    takes: Value("NAME"),
    default: "the profile's, else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    heading: KUBERNETES,
    help: "Secret with the keys of s3, in the namespace of the context",
};
pub const PROMETHEUS: Opt = Opt {
    flag: "prometheus",
    variable: "TEMPO_PERF_PROMETHEUS",
    takes: Value("WHICH"),
    default: "auto",
    heading: KUBERNETES,
    help: "Prometheus that scrapes Tempo: own (in the namespace), the URL of one that does, or auto: the cluster's where there is one, else own",
};
pub const PROMETHEUS_TOKEN_FILE: Opt = Opt {
    flag: "prometheus-token-file",
    variable: "TEMPO_PERF_PROMETHEUS_TOKEN_FILE",
    takes: Value("FILE"),
    default: "",
    heading: KUBERNETES,
    help: "File with the bearer token for the URL of --prometheus",
};
pub const ENABLE_USER_WORKLOAD_MONITORING: Opt = Opt {
    flag: "enable-user-workload-monitoring",
    variable: "TEMPO_PERF_ENABLE_USER_WORKLOAD_MONITORING",
    takes: Switch,
    default: "false",
    heading: KUBERNETES,
    help: "On OpenShift, set enableUserWorkload in the ConfigMap cluster-monitoring-config, which is for the whole cluster, and say so",
};
pub const K6_IMAGE: Opt = Opt {
    flag: "k6-image",
    variable: "TEMPO_PERF_K6_IMAGE",
    takes: Value("IMAGE"),
    default: kubernetes::K6_IMAGE,
    heading: KUBERNETES,
    help: "Image of k6; give images a tag or digest, so that runs can be compared",
};
pub const COLLECTOR_IMAGE: Opt = Opt {
    flag: "collector-image",
    variable: "TEMPO_PERF_COLLECTOR_IMAGE",
    takes: Value("IMAGE"),
    default: "docker.io/otel/opentelemetry-collector-contrib:0.160.0, on OpenShift the operator's",
    heading: KUBERNETES,
    help: "Image of the collector",
};
pub const MINIO_IMAGE: Opt = Opt {
    flag: "minio-image",
    variable: "TEMPO_PERF_MINIO_IMAGE",
    takes: Value("IMAGE"),
    default: kubernetes::MINIO_IMAGE,
    heading: KUBERNETES,
    help: "Image of MinIO",
};
pub const PROMETHEUS_IMAGE: Opt = Opt {
    flag: "prometheus-image",
    variable: "TEMPO_PERF_PROMETHEUS_IMAGE",
    takes: Value("IMAGE"),
    default: kubernetes::PROMETHEUS_IMAGE,
    heading: KUBERNETES,
    help: "Image of our own Prometheus",
};
pub const OUTPUT: Opt = Opt {
    flag: "output",
    variable: "TEMPO_PERF_OUTPUT",
    takes: Value("DIR"),
    default: "results",
    heading: RESULTS,
    help: "Directory for logs, metrics and reports",
};
pub const JUNIT: Opt = Opt {
    flag: "junit",
    variable: "TEMPO_PERF_JUNIT",
    takes: Value("FILE"),
    default: "",
    heading: RESULTS,
    help: "Also write one JUnit file over all cases of the invocation",
};
pub const COLLECT_LOGS: Opt = Opt {
    flag: "collect-logs",
    variable: "TEMPO_PERF_COLLECT_LOGS",
    takes: Switch,
    default: "true",
    heading: RESULTS,
    help: "Keep the logs of Tempo, the collector and the other components",
};
pub const CHECK_METRICS: Opt = Opt {
    flag: "check-metrics",
    variable: "TEMPO_PERF_CHECK_METRICS",
    takes: Switch,
    default: "false",
    heading: RESULTS,
    help: "Report which metric queries had data and which had none",
};
pub const SKIP_CLEANUP: Opt = Opt {
    flag: "skip-cleanup",
    variable: "TEMPO_PERF_SKIP_CLEANUP",
    takes: Switch,
    default: "false",
    heading: RESULTS,
    help: "Leave everything running after the case, and print how to reach and stop it",
};
pub const JOB_TIMEOUT: Opt = Opt {
    flag: "job-timeout",
    variable: "TEMPO_PERF_JOB_TIMEOUT",
    takes: Value("TIME"),
    default: "30m, or warm-up + duration + 10m if that is longer",
    heading: LIMITS,
    help: "How long a k6 run may take",
};
pub const POD_READY_TIMEOUT: Opt = Opt {
    flag: "pod-ready-timeout",
    variable: "TEMPO_PERF_POD_READY_TIMEOUT",
    takes: Value("TIME"),
    default: "120s",
    heading: LIMITS,
    help: "How long a pod, or a process on this machine, may take to be ready",
};
pub const CR_DELETION_TIMEOUT: Opt = Opt {
    flag: "cr-deletion-timeout",
    variable: "TEMPO_PERF_CR_DELETION_TIMEOUT",
    takes: Value("TIME"),
    default: "120s",
    heading: LIMITS,
    help: "How long custom resources may take to go away",
};
pub const NAMESPACE_DELETION_TIMEOUT: Opt = Opt {
    flag: "namespace-deletion-timeout",
    variable: "TEMPO_PERF_NAMESPACE_DELETION_TIMEOUT",
    takes: Value("TIME"),
    default: "180s",
    heading: LIMITS,
    help: "How long a namespace may take to go away",
};
pub const MAX_CONCURRENT_QUERIES: Opt = Opt {
    flag: "max-concurrent-queries",
    variable: "TEMPO_PERF_MAX_CONCURRENT_QUERIES",
    takes: Value("NUMBER"),
    default: "5",
    heading: LIMITS,
    help: "Prometheus queries at the same time",
};
pub const K6_BIN: Opt = Opt {
    flag: "k6-bin",
    variable: "TEMPO_PERF_K6_BIN",
    takes: Value("FILE"),
    default: "",
    heading: TOOLS,
    help: "k6 to use; found on PATH or got by --tools when absent, as are the collector and Prometheus",
};
pub const OTELCOL_BIN: Opt = Opt {
    flag: "otelcol-bin",
    variable: "TEMPO_PERF_OTELCOL_BIN",
    takes: Value("FILE"),
    default: "",
    heading: TOOLS,
    help: "OpenTelemetry Collector to use",
};
pub const PROMETHEUS_BIN: Opt = Opt {
    flag: "prometheus-bin",
    variable: "TEMPO_PERF_PROMETHEUS_BIN",
    takes: Value("FILE"),
    default: "",
    heading: TOOLS,
    help: "Prometheus to use",
};
pub const TEMPO_BIN: Opt = Opt {
    flag: "tempo-bin",
    variable: "TEMPO_PERF_TEMPO_BIN",
    takes: Value("FILE"),
    default: "tempo on PATH, else the built-in trace store",
    heading: TOOLS,
    help: "Tempo to run for the local target",
};
pub const TOOLS_DIR: Opt = Opt {
    flag: "tools-dir",
    variable: "TEMPO_PERF_TOOLS_DIR",
    takes: Value("DIR"),
    default: "~/.cache/tempo-perf/tools",
    heading: TOOLS,
    help: "Where downloaded and built tools are kept",
};
pub const TEMPO_VERSION: Opt = Opt {
    flag: "tempo-version",
    variable: "TEMPO_PERF_TEMPO_VERSION",
    takes: Value("VERSION"),
    default: "",
    heading: TOOLS,
    help: "Release of Tempo to download and run for the local target, for example 3.0.3",
};
pub const TOOLS_SOURCE: Opt = Opt {
    flag: "tools",
    variable: "TEMPO_PERF_TOOLS",
    takes: Value("HOW"),
    default: "auto",
    heading: TOOLS,
    help: "How tools are got: download (the projects' releases), build (with Go), or auto: \
           download, and build what cannot be downloaded",
};
pub const K6_RELEASES: Opt = Opt {
    flag: "k6-releases",
    variable: "TEMPO_PERF_K6_RELEASES",
    takes: Value("URL"),
    default: tools::K6_RELEASES,
    heading: TOOLS,
    help: "Where k6 is downloaded from, for a mirror",
};
pub const OTELCOL_RELEASES: Opt = Opt {
    flag: "otelcol-releases",
    variable: "TEMPO_PERF_OTELCOL_RELEASES",
    takes: Value("URL"),
    default: tools::OTELCOL_RELEASES,
    heading: TOOLS,
    help: "Where the collector is downloaded from",
};
pub const PROMETHEUS_RELEASES: Opt = Opt {
    flag: "prometheus-releases",
    variable: "TEMPO_PERF_PROMETHEUS_RELEASES",
    takes: Value("URL"),
    default: tools::PROMETHEUS_RELEASES,
    heading: TOOLS,
    help: "Where Prometheus is downloaded from",
};
pub const TEMPO_RELEASES: Opt = Opt {
    flag: "tempo-releases",
    variable: "TEMPO_PERF_TEMPO_RELEASES",
    takes: Value("URL"),
    default: tools::TEMPO_RELEASES,
    heading: TOOLS,
    help: "Where Tempo is downloaded from",
};

pub const ALL: [&Opt; 53] = [
    &PROFILES,
    &PROFILES_DIR,
    &TEST_TYPE,
    &DRY_RUN,
    &VALIDATE_PROFILES,
    &DURATION,
    &SIZE,
    &MB_PER_SECOND,
    &QUERIES_PER_SECOND,
    &VUS_MIN,
    &VUS_MAX,
    &TRACE_PROFILE,
    &SEED,
    &TARGET,
    &TEMPO_ENDPOINT,
    &TEMPO_QUERY_ENDPOINT,
    &CONTEXT,
    &NAMESPACE_PREFIX,
    &NODE_SELECTOR,
    &STORAGE_CLASS,
    &STORAGE_TYPE,
    &STORAGE_BUCKET,
    &STORAGE_REGION,
    &STORAGE_ENDPOINT,
    &STORAGE_SECRET_NAME,
    &PROMETHEUS,
    &PROMETHEUS_TOKEN_FILE,
    &ENABLE_USER_WORKLOAD_MONITORING,
    &K6_IMAGE,
    &COLLECTOR_IMAGE,
    &MINIO_IMAGE,
    &PROMETHEUS_IMAGE,
    &OUTPUT,
    &JUNIT,
    &COLLECT_LOGS,
    &CHECK_METRICS,
    &SKIP_CLEANUP,
    &JOB_TIMEOUT,
    &POD_READY_TIMEOUT,
    &CR_DELETION_TIMEOUT,
    &NAMESPACE_DELETION_TIMEOUT,
    &MAX_CONCURRENT_QUERIES,
    &K6_BIN,
    &OTELCOL_BIN,
    &PROMETHEUS_BIN,
    &TEMPO_BIN,
    &TEMPO_VERSION,
    &TOOLS_SOURCE,
    &TOOLS_DIR,
    &K6_RELEASES,
    &OTELCOL_RELEASES,
    &PROMETHEUS_RELEASES,
    &TEMPO_RELEASES,
];
