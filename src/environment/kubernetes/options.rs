//! What a Kubernetes environment is told, and the blueprint that follows.

use std::time::Duration;

use crate::corpus::Corpus;
use crate::environment::EnvironmentError;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, Flavor, Images, Scraper};
use crate::environment::kubernetes::prerequisites::object_storage;
use crate::error_chain::chain;
use crate::k6::solve;
use crate::profile::Profile;
use crate::settings::kubernetes::COLLECTOR_IMAGE;
use crate::settings::{KubernetesSettings, Settings, TestType};
use crate::units::{ByteRate, EventRate};

/// What Tempo's limits leave room for where the load is told only after Tempo is
/// set up: far more than one k6 sends.
const ANY_MB_PER_SECOND: f64 = 1000.0;
const ANY_TRACES_PER_SECOND: f64 = 100_000.0;

/// What a run in a cluster is made from.
#[derive(Debug, Clone)]
pub struct KubernetesOptions {
    pub profile: Profile,
    /// With the overrides of the settings, as the plan has it.
    pub namespace: String,
    pub context: Option<String>,
    pub run: u32,
    pub seed: u32,
    pub test_type: TestType,
    pub ready_timeout: Duration,
    pub cr_deletion_timeout: Duration,
    pub namespace_deletion_timeout: Duration,
    pub job_timeout: Duration,
    /// Whether `profile` is the load to come, or only says what to set up.
    pub load_is_known: bool,
    pub settings: KubernetesSettings,
    /// Bearer token of a Prometheus that the user names.
    pub prometheus_token: Option<String>,
    /// Bytes and traces that Tempo's limits must leave room for.
    most: (ByteRate, EventRate),
}

impl KubernetesOptions {
    /// # Errors
    /// A token file that cannot be read, and a load that no k6 could put on.
    pub fn new(
        settings: &Settings,
        profile: &Profile,
        run: u32,
        job_timeout: Duration,
        load_is_known: bool,
    ) -> Result<Self, EnvironmentError> {
        let kubernetes = settings.kubernetes.clone();
        let prometheus_token = kubernetes
            .prometheus_token_file
            .as_ref()
            .map(|path| {
                std::fs::read_to_string(path)
                    .map(|text| text.trim().to_string())
                    .map_err(|err| {
                        EnvironmentError::Failed(format!(
                            "--prometheus-token-file: cannot read {}: {err}",
                            path.display()
                        ))
                    })
            })
            .transpose()?;
        let corpus = Corpus::generate(profile.k6.ingestion.trace_profile, settings.seed);
        let ingestion = solve::ingestion(&profile.k6, &corpus)
            .map_err(|err| EnvironmentError::Failed(chain(&err)))?;
        let most = if load_is_known {
            (
                ingestion.target_bytes_per_second,
                ingestion.traces_per_second(),
            )
        } else {
            let any = ByteRate::from_mb_per_second(ANY_MB_PER_SECOND);
            (any, EventRate::per_second(ANY_TRACES_PER_SECOND))
        };
        Ok(Self {
            namespace: kubernetes.namespace_of(&profile.name),
            context: kubernetes.context.clone(),
            run,
            seed: settings.seed,
            test_type: settings.test_type,
            ready_timeout: settings.pod_ready_timeout,
            cr_deletion_timeout: settings.cr_deletion_timeout,
            namespace_deletion_timeout: kubernetes.namespace_deletion_timeout,
            job_timeout,
            prometheus_token,
            load_is_known,
            most,
            settings: kubernetes,
            profile: profile.clone(),
        })
    }

    pub fn corpus(&self) -> Corpus {
        Corpus::generate(self.profile.k6.ingestion.trace_profile, self.seed)
    }

    pub fn with_profile(&self, profile: &Profile) -> Self {
        Self {
            profile: profile.clone(),
            ..self.clone()
        }
    }

    pub fn blueprint(&self, flavor: Flavor, scraper: Scraper) -> Blueprint {
        let tempo = &self.profile.tempo;
        let images = &self.settings.images;
        let (most_ingestion, most_traces) = self.most;
        Blueprint {
            namespace: self.namespace.clone(),
            profile: self.profile.name.clone(),
            run: self.run,
            flavor,
            variant: tempo.variant,
            resources: tempo.resources.clone(),
            replication_factor: tempo.replication_factor.unwrap_or(1),
            overrides: tempo.overrides.clone(),
            node_selector: tempo.node_selector.clone(),
            tolerations: tempo.tolerations.clone(),
            storage: object_storage::plan_of(&self.profile.storage),
            storage_class: self.settings.storage_class.clone(),
            images: Images {
                k6: images.k6.clone(),
                minio: images.minio.clone(),
                prometheus: images.prometheus.clone(),
                // The operator's own on vanilla has no bearertokenauth; OpenShift's
                // has what its gateway needs.
                collector: images
                    .collector
                    .clone()
                    .or_else(|| (flavor == Flavor::Vanilla).then(|| COLLECTOR_IMAGE.to_string())),
            },
            collector: self.profile.k6.ingestion.collector,
            scraper,
            ingestion: ByteRate::from_mb_per_second(self.profile.k6.ingestion.mb_per_second),
            most_ingestion,
            most_traces,
            max_vus: self.profile.k6.vus.max,
            job_timeout: self.job_timeout,
        }
    }
}
