//! What users say about a run on Kubernetes alone.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};
use url::Url;

use super::options;
use super::parse::{Given, Malformed, http_url};
use crate::profile::{StorageKind, labels, limits};

/// The default of `--namespace-prefix`.
pub const NAMESPACE_PREFIX: &str = "tempo-perf-";
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
#[derive(Debug, Clone)]
pub struct KubernetesSettings {
    /// Of the kubeconfig; its current one when absent.
    pub context: Option<String>,
    /// In place of the profile's `tempo.nodeSelector`, all of it.
    pub node_selector: Option<BTreeMap<String, String>>,
    /// A profile's name after it makes the namespace.
    pub namespace_prefix: String,
    /// The cluster's default when absent.
    pub storage_class: Option<String>,
    pub prometheus: PrometheusChoice,
    /// A file, so that no token is in a list of processes.
    pub prometheus_token_file: Option<PathBuf>,
    pub images: ImageSettings,
    pub namespace_deletion_timeout: Duration,
    /// On OpenShift: whether that one key of the cluster's monitoring may change.
    pub enable_user_workload_monitoring: bool,
    /// Over the profile's `storage`, field by field.
    pub storage: StorageSettings,
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. One without the other is
    /// an `Err`, a mistake only where they are used.
    pub s3_credentials: Result<Option<S3Credentials>, Malformed>,
}

impl Default for KubernetesSettings {
    fn default() -> Self {
        Self {
            context: None,
            node_selector: None,
            namespace_prefix: NAMESPACE_PREFIX.into(),
            storage_class: None,
            prometheus: PrometheusChoice::default(),
            prometheus_token_file: None,
            images: ImageSettings::default(),
            namespace_deletion_timeout: Duration::from_secs(180),
            enable_user_workload_monitoring: false,
            storage: StorageSettings::default(),
            s3_credentials: Ok(None),
        }
    }
}

impl KubernetesSettings {
    /// The namespace of a profile.
    pub fn namespace_of(&self, profile: &str) -> String {
        format!("{}{profile}", self.namespace_prefix)
    }
}

/// Images of what a run starts itself; Tempo's comes from its operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageSettings {
    pub k6: String,
    pub minio: String,
    /// The operator's own on OpenShift, else [`COLLECTOR_IMAGE`], when absent.
    pub collector: Option<String>,
    pub prometheus: String,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self {
            k6: K6_IMAGE.into(),
            minio: MINIO_IMAGE.into(),
            collector: None,
            prometheus: PROMETHEUS_IMAGE.into(),
        }
    }
}

/// Which Prometheus scrapes Tempo.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PrometheusChoice {
    /// The cluster's, where there is one that can be used; else one of ours.
    #[default]
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

/// Fields of a profile's `storage` that settings replace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageSettings {
    pub kind: Option<StorageKind>,
    pub bucket: Option<String>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
    pub secret_name: Option<String>,
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

const NODE_SELECTOR: &str = "labels of nodes separated by commas, for example \
    node-role.kubernetes.io/infra=,disk=ssd";
const PROMETHEUS: &str = "auto, own, or the http:// or https:// URL of a Prometheus, for example \
    http://prometheus.example.com:9090";
const IMAGE: &str = "a container image, best with its registry and a tag or digest, for example \
    docker.io/grafana/k6:1.8.1";
const STORAGE_CLASS: &str = "the name of a StorageClass: small letters, digits, dots and hyphens, \
    for example standard";

pub(super) fn read(given: &mut Given) -> KubernetesSettings {
    let default = KubernetesSettings::default();
    KubernetesSettings {
        context: given.text(&options::CONTEXT),
        node_selector: given.value(
            &options::NODE_SELECTOR,
            |_| NODE_SELECTOR.to_owned(),
            node_selector,
        ),
        namespace_prefix: given
            .value(
                &options::NAMESPACE_PREFIX,
                |_| {
                    format!(
                        "at most {NAMESPACE_PREFIX_LENGTH} small letters, digits and hyphens, no \
                         hyphen first, for example {NAMESPACE_PREFIX}"
                    )
                },
                namespace_prefix,
            )
            .unwrap_or(default.namespace_prefix),
        storage_class: given.formatted(&options::STORAGE_CLASS, "dns-subdomain", STORAGE_CLASS),
        prometheus: given
            .value(
                &options::PROMETHEUS,
                |_| PROMETHEUS.to_owned(),
                prometheus_choice,
            )
            .unwrap_or_default(),
        prometheus_token_file: given.path(&options::PROMETHEUS_TOKEN_FILE),
        images: ImageSettings {
            k6: image(given, &options::K6_IMAGE).unwrap_or(default.images.k6),
            minio: image(given, &options::MINIO_IMAGE).unwrap_or(default.images.minio),
            collector: image(given, &options::COLLECTOR_IMAGE),
            prometheus: image(given, &options::PROMETHEUS_IMAGE)
                .unwrap_or(default.images.prometheus),
        },
        namespace_deletion_timeout: given
            .time(&options::NAMESPACE_DELETION_TIMEOUT)
            .unwrap_or(default.namespace_deletion_timeout),
        enable_user_workload_monitoring: given
            .switch(&options::ENABLE_USER_WORKLOAD_MONITORING)
            .unwrap_or(default.enable_user_workload_monitoring),
        storage: StorageSettings {
            kind: given.word(&options::STORAGE_TYPE, &["minio", "s3"]),
            bucket: given.formatted(&options::STORAGE_BUCKET, "bucket-name", limits::BUCKET),
            region: given.formatted(&options::STORAGE_REGION, "word", limits::REGION),
            endpoint: given.formatted(&options::STORAGE_ENDPOINT, "http-url", limits::URL),
            secret_name: given.formatted(
                &options::STORAGE_SECRET_NAME,
                "dns-subdomain",
                limits::SECRET_NAME,
            ),
        },
        s3_credentials: s3_credentials(given),
    }
}

fn node_selector(text: &str) -> Result<BTreeMap<String, String>, String> {
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
}

fn namespace_prefix(text: &str) -> Result<String, String> {
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if text.len() > NAMESPACE_PREFIX_LENGTH {
        return Err(format!("has {} characters", text.chars().count()));
    }
    let fits = text.starts_with(small) && text.chars().all(|c| small(c) || c == '-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(String::new())
    }
}

fn prometheus_choice(text: &str) -> Result<PrometheusChoice, String> {
    match text {
        "auto" => Ok(PrometheusChoice::Auto),
        "own" => Ok(PrometheusChoice::Own),
        _ if !text.contains("://") => Err(String::new()),
        url => {
            let url = http_url(url)?;
            // The plan, and with it the report, shows it.
            if !url.username().is_empty() || url.password().is_some() {
                return Err(format!(
                    "has a user name or password (a token goes into the file of --{})",
                    options::PROMETHEUS_TOKEN_FILE.flag
                ));
            }
            Ok(PrometheusChoice::Url(url))
        }
    }
}

/// Only what the kubelet could never pull is refused.
fn image(given: &mut Given, option: &options::Opt) -> Option<String> {
    given.value(
        option,
        |_| IMAGE.to_owned(),
        |text| {
            let known = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
            let fits = text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(known)
                && !text.contains("://")
                && !text.ends_with([':', '@', '/']);
            if fits {
                Ok(text.to_owned())
            } else {
                Err(String::new())
            }
        },
    )
}

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// Variables alone: a flag would show the keys to everybody on the machine. No
/// message may quote them.
fn s3_credentials(given: &Given) -> Result<Option<S3Credentials>, Malformed> {
    let read = |name: &str| match given.environment(name).map(|value| value.into_string()) {
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
