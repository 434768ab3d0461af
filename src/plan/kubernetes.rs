//! The part of a plan that only a run on Kubernetes has.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::profile::{Profile, StorageKind};
use crate::settings::kubernetes::COLLECTOR_IMAGE;
use crate::settings::{ImageSettings, PrometheusChoice, S3Credentials, Settings};

/// Size of MinIO's volume when the profile has none; the operator's own default
/// for a Tempo's volume.
pub const DEFAULT_MINIO_SIZE: &str = "10Gi";

/// Where in a cluster a run happens, and with what.
#[derive(Debug, Clone, Serialize)]
pub struct KubernetesSite {
    /// Of the kubeconfig; its current one when absent.
    pub context: Option<String>,
    pub namespace: String,
    /// The cluster's default when absent.
    pub storage_class: Option<String>,
    pub prometheus: PrometheusChoice,
    pub enable_user_workload_monitoring: bool,
    pub images: ImageSettings,
    /// With the token for a Prometheus that the user names; read when it is asked.
    #[serde(skip)]
    pub prometheus_token_file: Option<PathBuf>,
    /// Of an external store whose keys are in no Secret.
    #[serde(skip)]
    pub s3_credentials: Option<S3Credentials>,
    #[serde(skip)]
    pub cr_deletion_timeout: Duration,
    #[serde(skip)]
    pub namespace_deletion_timeout: Duration,
    /// Whether Tempo is set up for the load of this plan, or for any load and
    /// variant that a later plan in the same namespace may have.
    #[serde(skip)]
    pub for_this_load_alone: bool,
}

impl KubernetesSite {
    pub(super) fn new(profile: &Profile, settings: &Settings) -> Self {
        let said = &settings.kubernetes;
        Self {
            context: said.context.clone(),
            namespace: said.namespace_of(&profile.name),
            storage_class: said.storage_class.clone(),
            prometheus: said.prometheus.clone(),
            enable_user_workload_monitoring: said.enable_user_workload_monitoring,
            images: said.images.clone(),
            prometheus_token_file: said.prometheus_token_file.clone(),
            // Half of them is a mistake where they are used: the plan has refused it.
            s3_credentials: said.s3_credentials.clone().ok().flatten(),
            cr_deletion_timeout: settings.cr_deletion_timeout,
            namespace_deletion_timeout: said.namespace_deletion_timeout,
            for_this_load_alone: true,
        }
    }

    /// Lines for `--dry-run`: a label of at most 11 characters, and a text; the
    /// label is empty where a text goes on.
    pub(super) fn lines(&self, profile: &Profile) -> Vec<(&'static str, String)> {
        let mut lines = vec![("namespace", {
            let context = self.context.as_ref();
            let context =
                context.map_or("the current context".into(), |it| format!("context {it}"));
            format!("{} in {context}", self.namespace)
        })];
        if !profile.tempo.node_selector.is_empty() {
            let labels = profile.tempo.node_selector.iter();
            let labels: Vec<String> = labels
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            lines.push(("nodes", format!("Tempo alone on {}", labels.join(","))));
        }
        lines.push(("storage", self.storage(profile)));
        let (prometheus, ours) = match &self.prometheus {
            PrometheusChoice::Auto => ("the cluster's, else our own".to_string(), true),
            PrometheusChoice::Own => ("our own, in the namespace".to_string(), true),
            PrometheusChoice::Url(url) => (url.to_string(), false),
        };
        lines.push(("Prometheus", prometheus));
        if self.enable_user_workload_monitoring {
            lines.push((
                "monitoring",
                "OpenShift's for user workloads is enabled, for the whole cluster".into(),
            ));
        }
        let collector = match &self.images.collector {
            Some(image) => image.clone(),
            None => format!("{COLLECTOR_IMAGE}, on OpenShift the operator's"),
        };
        let minio = profile.storage.kind == StorageKind::Minio;
        let images = [
            ("k6", Some(self.images.k6.clone())),
            ("collector", Some(collector)),
            ("MinIO", minio.then(|| self.images.minio.clone())),
            ("Prometheus", ours.then(|| self.images.prometheus.clone())),
        ];
        for (index, (name, image)) in images.into_iter().enumerate() {
            let label = if index == 0 { "images" } else { "" };
            lines.extend(image.map(|image| (label, format!("{name} {image}"))));
        }
        lines
    }

    fn storage(&self, profile: &Profile) -> String {
        let storage = &profile.storage;
        let mut text = match storage.kind {
            StorageKind::Minio => {
                let size = storage.size.as_deref().unwrap_or(DEFAULT_MINIO_SIZE);
                format!("MinIO with {size}")
            }
            StorageKind::S3 => {
                let mut text = format!("s3 bucket {}", storage.bucket.as_deref().unwrap_or("?"));
                if let Some(region) = &storage.region {
                    let _ = write!(text, " in {region}");
                }
                if let Some(endpoint) = &storage.endpoint {
                    let _ = write!(text, " at {endpoint}");
                }
                match &storage.secret_name {
                    Some(name) => text + &format!(", keys of the Secret {name}"),
                    None => text + ", keys of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                }
            }
        };
        if let Some(class) = &self.storage_class {
            let _ = write!(text, ", volumes of StorageClass {class}");
        }
        text
    }
}
