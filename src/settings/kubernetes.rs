//! What users say about a run on Kubernetes alone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use serde::{Serialize, Serializer};
use url::Url;

use super::given::{self, Variables};
use super::headings;
use super::malformed::{Malformed, Unfit};
use super::values::{self, formatted, value};
use crate::profile::{StorageKind, labels, limits};

/// The default of `--namespace-prefix`.
pub const NAMESPACE_PREFIX: &str = "tempo-perf-";
/// The default of `--namespace-deletion-timeout`.
pub(crate) const NAMESPACE_DELETION_TIMEOUT: &str = "180s";
/// With a profile's name of 40 characters it makes a namespace of 63, the
/// longest that Kubernetes takes.
const NAMESPACE_PREFIX_LENGTH: usize = 63 - limits::NAME_LENGTH;

/// Official image of the k6 that the scripts are written for.
pub const K6_IMAGE: &str = "docker.io/grafana/k6:1.8.1";
/// The last release with images for everybody; Docker Hub's are gone.
pub const MINIO_IMAGE: &str = "quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z";
/// Used where the operator's own does not count, which is all but OpenShift.
pub const COLLECTOR_IMAGE: &str = "docker.io/otel/opentelemetry-collector-contrib:0.160.0";
pub const PROMETHEUS_IMAGE: &str = "docker.io/prom/prometheus:v3.13.0";

/// Settings that only the target kubernetes reads.
#[derive(Debug, Clone, Args)]
pub struct KubernetesSettings {
    /// Context of the kubeconfig; to name one is to choose the target kubernetes [default: the
    /// current one]
    #[arg(long, env = "TEMPO_PERF_CONTEXT")]
    #[arg(value_name = "NAME", value_parser = values::text)]
    pub context: Option<String>,
    /// What the names of namespaces start with; the profile's name follows
    #[arg(long, env = "TEMPO_PERF_NAMESPACE_PREFIX", default_value = NAMESPACE_PREFIX)]
    #[arg(value_name = "TEXT", value_parser = namespace_prefix)]
    pub namespace_prefix: String,
    // In place of the profile's `tempo.nodeSelector`, all of it.
    /// Labels of the nodes that Tempo alone is to run on, for example
    /// node-role.kubernetes.io/infra=,disk=ssd [default: the profile's]
    #[arg(long, env = "TEMPO_PERF_NODE_SELECTOR", action = ArgAction::Append)]
    #[arg(value_name = "LABELS", value_parser = node_selector)]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// StorageClass of the volumes of Tempo and MinIO [default: the cluster's]
    #[arg(long, env = "TEMPO_PERF_STORAGE_CLASS")]
    #[arg(value_name = "NAME", value_parser = formatted("dns-subdomain", STORAGE_CLASS))]
    pub storage_class: Option<String>,
    #[command(flatten)]
    pub storage: StorageSettings,
    /// Prometheus that scrapes Tempo: own (in the namespace), the URL of one that does, or auto:
    /// the cluster's where there is one, else own
    #[arg(long, env = "TEMPO_PERF_PROMETHEUS", default_value = "auto")]
    #[arg(value_name = "WHICH", value_parser = prometheus_choice)]
    pub prometheus: PrometheusChoice,
    // A file, so that no token is in a list of processes.
    /// File with the bearer token for the URL of --prometheus
    #[arg(long, env = "TEMPO_PERF_PROMETHEUS_TOKEN_FILE", value_name = "FILE")]
    pub prometheus_token_file: Option<PathBuf>,
    /// On OpenShift, set enableUserWorkload in the ConfigMap cluster-monitoring-config, which is
    /// for the whole cluster, and say so
    #[arg(long, env = "TEMPO_PERF_ENABLE_USER_WORKLOAD_MONITORING")]
    pub enable_user_workload_monitoring: bool,
    #[command(flatten)]
    pub images: ImageSettings,
    /// How long a namespace may take to go away
    #[arg(long, env = "TEMPO_PERF_NAMESPACE_DELETION_TIMEOUT")]
    #[arg(default_value = NAMESPACE_DELETION_TIMEOUT, value_name = "TIME")]
    #[arg(value_parser = values::time, help_heading = headings::LIMITS)]
    pub namespace_deletion_timeout: Duration,

    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. One without the other is
    /// an `Err`, a mistake only where they are used.
    #[arg(skip = Ok::<Option<S3Credentials>, Malformed>(None))]
    pub s3_credentials: Result<Option<S3Credentials>, Malformed>,
}

impl Default for KubernetesSettings {
    fn default() -> Self {
        given::defaults()
    }
}

impl KubernetesSettings {
    /// The namespace of a profile.
    pub fn namespace_of(&self, profile: &str) -> String {
        format!("{}{profile}", self.namespace_prefix)
    }
}

/// Over the profile's `storage`, field by field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
pub struct StorageSettings {
    /// Where Tempo keeps its blocks: minio (in the namespace) or s3 (a bucket that exists)
    /// [default: the profile's]
    #[arg(id = "storage-type", long, env = "TEMPO_PERF_STORAGE_TYPE")]
    #[arg(value_name = "TYPE", value_parser = values::word::<StorageKind>)]
    pub kind: Option<StorageKind>,
    /// Bucket of s3 [default: the profile's]
    #[arg(id = "storage-bucket", long, env = "TEMPO_PERF_STORAGE_BUCKET")]
    #[arg(value_name = "NAME", value_parser = formatted("bucket-name", limits::BUCKET))]
    pub bucket: Option<String>,
    /// Region of s3, needed on AWS [default: the profile's]
    #[arg(id = "storage-region", long, env = "TEMPO_PERF_STORAGE_REGION")]
    #[arg(value_name = "NAME", value_parser = formatted("word", limits::REGION))]
    pub region: Option<String>,
    /// Address of s3 when it is not AWS [default: the profile's, else AWS]
    #[arg(id = "storage-endpoint", long, env = "TEMPO_PERF_STORAGE_ENDPOINT")]
    #[arg(value_name = "URL", value_parser = formatted("http-url", limits::URL))]
    pub endpoint: Option<String>,
    /// Secret with the keys of s3, in the namespace of the context [default: the profile's, else
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY]
    #[arg(id = "storage-secret-name", long)]
    #[arg(env = "TEMPO_PERF_STORAGE_SECRET_NAME", value_name = "NAME")]
    #[arg(value_parser = formatted("dns-subdomain", limits::SECRET_NAME))]
    pub secret_name: Option<String>,
}

/// Images of what a run starts itself; Tempo's comes from its operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Args)]
pub struct ImageSettings {
    /// Image of k6; give images a tag or digest, so that runs can be compared
    #[arg(id = "k6-image", long, env = "TEMPO_PERF_K6_IMAGE", default_value = K6_IMAGE)]
    #[arg(value_name = "IMAGE", value_parser = image)]
    pub k6: String,
    /// Image of MinIO
    #[arg(id = "minio-image", long, env = "TEMPO_PERF_MINIO_IMAGE", default_value = MINIO_IMAGE)]
    #[arg(value_name = "IMAGE", value_parser = image)]
    pub minio: String,
    // [`COLLECTOR_IMAGE`], or the operator's own, when absent.
    /// Image of the collector [default: docker.io/otel/opentelemetry-collector-contrib:0.160.0, on
    /// OpenShift the operator's]
    #[arg(id = "collector-image", long, env = "TEMPO_PERF_COLLECTOR_IMAGE")]
    #[arg(value_name = "IMAGE", value_parser = image)]
    pub collector: Option<String>,
    /// Image of our own Prometheus
    #[arg(id = "prometheus-image", long, env = "TEMPO_PERF_PROMETHEUS_IMAGE")]
    #[arg(default_value = PROMETHEUS_IMAGE, value_name = "IMAGE", value_parser = image)]
    pub prometheus: String,
}

/// Which Prometheus scrapes Tempo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrometheusChoice {
    /// The cluster's, where there is one that can be used; else one of ours.
    Auto,
    /// One of ours, in the run's namespace.
    Own,
    /// The one with this address; it is asked from this machine.
    Url(Url),
}

impl fmt::Display for PrometheusChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Own => f.write_str("own"),
            Self::Url(url) => write!(f, "{url}"),
        }
    }
}

impl Serialize for PrometheusChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Keys of an object store. They must not reach logs or results: there is no
/// way to print or to serialize them.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Credentials(not shown)")
    }
}

const STORAGE_CLASS: &str = "the name of a StorageClass: small letters, digits, dots and hyphens, \
    for example standard";

fn node_selector(text: &str) -> Result<BTreeMap<String, String>, Unfit> {
    let expected = "labels of nodes separated by commas, for example \
        node-role.kubernetes.io/infra=,disk=ssd";
    value(text, expected, |text| {
        let mut selector = BTreeMap::new();
        let pairs = text.split(',').map(str::trim);
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(format!("has no = in {pair:?}"));
            };
            if !labels::is_key(key) {
                return Err(format!("has {key:?}, which is no label's key"));
            }
            if !labels::is_value(value) {
                return Err(format!("has {value:?}, which is no label's value"));
            }
            if selector.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(format!("has the label {key} twice"));
            }
        }
        if selector.is_empty() {
            return Err("has no label".to_owned());
        }
        Ok(selector)
    })
}

fn namespace_prefix(text: &str) -> Result<String, Unfit> {
    let expected = format!(
        "at most {NAMESPACE_PREFIX_LENGTH} small letters, digits and hyphens, no hyphen first, for \
         example {NAMESPACE_PREFIX}"
    );
    value(text, &expected, |text| {
        let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if text.len() > NAMESPACE_PREFIX_LENGTH {
            return Err(format!("has {} characters", text.chars().count()));
        }
        let fits = text.starts_with(small) && text.chars().all(|c| small(c) || c == '-');
        fits.then(|| text.to_owned()).ok_or_else(String::new)
    })
}

fn prometheus_choice(text: &str) -> Result<PrometheusChoice, Unfit> {
    let expected = "auto, own, or the http:// or https:// URL of a Prometheus, for example \
        http://prometheus.example.com:9090";
    value(text, expected, |text| match text {
        "auto" => Ok(PrometheusChoice::Auto),
        "own" => Ok(PrometheusChoice::Own),
        _ if !text.contains("://") => Err(String::new()),
        url => {
            let url = values::http_url(url)?;
            // The plan, and with it the report, shows it.
            if !url.username().is_empty() || url.password().is_some() {
                return Err(
                    "has a user name or password (a token goes into the file of \
                            --prometheus-token-file)"
                        .to_owned(),
                );
            }
            Ok(PrometheusChoice::Url(url))
        }
    })
}

/// Only what the kubelet could never pull is refused.
fn image(text: &str) -> Result<String, Unfit> {
    let expected = "a container image, best with its registry and a tag or digest, for example \
        docker.io/grafana/k6:1.8.1";
    value(text, expected, |text| {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        let fits = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(known)
            && !text.contains("://")
            && !text.ends_with([':', '@', '/']);
        fits.then(|| text.to_owned()).ok_or_else(String::new)
    })
}

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// Variables alone: a flag would show the keys to everybody on the machine. No
/// message may quote them.
pub(super) fn s3_credentials(variable: Variables) -> Result<Option<S3Credentials>, Malformed> {
    let read = |name: &str| match variable(name).map(|value| value.into_string()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(Err(_)) => Err(Malformed {
            source: name.to_owned(),
            found: "bytes that are not UTF-8".to_owned(),
            expected: "a key of the object store".to_owned(),
        }),
    };
    let alone = |name: &str, other: &str| {
        Err(Malformed {
            source: name.to_owned(),
            found: format!("a value, and none in {other}"),
            expected: format!("both {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, or neither"),
        })
    };
    match (read(ACCESS_KEY_ID)?, read(SECRET_ACCESS_KEY)?) {
        (None, None) => Ok(None),
        (Some(access_key_id), Some(secret_access_key)) => Ok(Some(S3Credentials {
            access_key_id,
            secret_access_key,
        })),
        (Some(_), None) => alone(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
        (None, Some(_)) => alone(SECRET_ACCESS_KEY, ACCESS_KEY_ID),
    }
}
