//! Everything that the objects of a run are made from, as one value: manifests
//! are functions of it, so that they can be read, and tested, without a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::environment::kubernetes::cluster::names::{
    COLLECTOR, COLLECTOR_OTLP_HTTP_PORT, COMPONENT_LABEL, MINIO, PROFILE_LABEL, PROMETHEUS,
    RUN_LABEL, S3_SECRET, STACK_COMPONENTS, TEMPO, TEMPO_GATEWAY, TEMPO_HTTP_PORT, TENANT,
};
use crate::plan::Plan;
use crate::plan::kubernetes::{DEFAULT_MINIO_SIZE, KubernetesSite};
use crate::profile::{
    CollectorMode, IngesterTuning, Overrides, Resources, Storage, StorageKind, Toleration, Variant,
};
use crate::settings::ImageSettings;
use crate::settings::kubernetes::COLLECTOR_IMAGE;
use crate::units::{ByteRate, EventRate};

/// Tempo's defaults: a trace is cut when it was idle for the first, which is looked
/// at in intervals of the second (tempo 2.10, modules/ingester/config.go).
const TRACE_IDLE_PERIOD: Duration = Duration::from_secs(5);
const FLUSH_CHECK_PERIOD: Duration = Duration::from_secs(10);

/// What the cluster is, as far as manifests differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Pod Security `restricted`, no gateway, a single tenant.
    Vanilla,
    /// IDs from the SCC; multi-tenancy through the gateway.
    OpenShift,
}

/// Where Tempo keeps its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoragePlan {
    /// In the namespace; `size` is a Kubernetes quantity.
    Minio { size: String },
    /// A bucket that exists.
    S3 {
        bucket: String,
        region: Option<String>,
        /// With its scheme; AWS's own for the region when the profile has none.
        endpoint: String,
        /// Name of the Secret in the run's namespace.
        secret_name: String,
    },
}

impl StoragePlan {
    /// Of a profile's storage section.
    fn of(storage: &Storage) -> Self {
        match storage.kind {
            StorageKind::Minio => StoragePlan::Minio {
                size: storage
                    .size
                    .clone()
                    .unwrap_or_else(|| DEFAULT_MINIO_SIZE.into()),
            },
            StorageKind::S3 => StoragePlan::S3 {
                // The profile's rules demand a bucket.
                bucket: storage.bucket.clone().unwrap_or_default(),
                region: storage.region.clone(),
                endpoint: storage.endpoint.clone().unwrap_or_else(|| {
                    let region = storage.region.as_deref().unwrap_or("us-east-1");
                    format!("https://s3.{region}.amazonaws.com")
                }),
                secret_name: storage
                    .secret_name
                    .clone()
                    .unwrap_or_else(|| S3_SECRET.into()),
            },
        }
    }

    /// The Secret that Tempo reads its credentials from.
    pub fn secret_name(&self) -> &str {
        match self {
            StoragePlan::Minio { .. } => MINIO,
            StoragePlan::S3 { secret_name, .. } => secret_name,
        }
    }
}

/// Who scrapes Tempo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scraper {
    /// A Prometheus of ours in the namespace; `cadvisor` when it may also read
    /// the kubelets' container metrics.
    Own { cadvisor: bool },
    /// A Prometheus of the cluster, told by monitors that carry these labels;
    /// `namespaces` are those that its pods may come from, empty when unknown.
    Monitors {
        labels: BTreeMap<String, String>,
        namespaces: Vec<String>,
    },
    /// A Prometheus that finds its targets by itself.
    Foreign,
}

/// The run, resolved.
#[derive(Debug, Clone)]
pub struct Blueprint {
    pub namespace: String,
    pub profile: String,
    pub run: u32,
    pub flavor: Flavor,
    pub variant: Variant,
    pub resources: Option<Resources>,
    pub replication_factor: u32,
    pub overrides: Option<Overrides>,
    pub node_selector: BTreeMap<String, String>,
    pub tolerations: Vec<Toleration>,
    pub storage: StoragePlan,
    /// The cluster's default when absent.
    pub storage_class: Option<String>,
    /// The collector's is the operator's own when absent. That has `health_check`
    /// everywhere; `bearertokenauth`, which OpenShift needs, has Red Hat's, but not
    /// the community's. With the community's operator on OpenShift, one has to be
    /// named, such as opentelemetry-collector-k8s or -contrib.
    pub images: ImageSettings,
    pub collector: CollectorMode,
    pub scraper: Scraper,
    /// What is pushed, as far as it is known: for the sizes of our own pods.
    pub ingestion: ByteRate,
    /// What Tempo's limits must leave room for.
    pub most_ingestion: ByteRate,
    /// Beside [`Blueprint::most_ingestion`].
    pub most_traces: EventRate,
    /// Virtual users that k6 may start in one run, for its memory.
    pub max_vus: u32,
    /// A k6 Job ends itself after this.
    pub job_timeout: Duration,
}

/// What Tempo's limits leave room for where the load is told only after Tempo is
/// set up: far more than one k6 sends.
const ANY_MB_PER_SECOND: f64 = 1000.0;
const ANY_TRACES_PER_SECOND: f64 = 100_000.0;

impl Blueprint {
    /// What follows from a plan and the cluster. `run` is that of the namespace,
    /// in which several plans may be carried out.
    pub fn of(
        plan: &Plan,
        site: &KubernetesSite,
        run: u32,
        flavor: Flavor,
        scraper: Scraper,
    ) -> Self {
        let tempo = &plan.profile.tempo;
        let (most_ingestion, most_traces) = if site.for_this_load_alone {
            (
                plan.ingestion.target_bytes_per_second,
                plan.ingestion.traces_per_second(),
            )
        } else {
            let any = ByteRate::from_mb_per_second(ANY_MB_PER_SECOND);
            (any, EventRate::per_second(ANY_TRACES_PER_SECOND))
        };
        // The operator's own on vanilla has no bearertokenauth; OpenShift's has
        // what its gateway needs.
        let collector = site
            .images
            .collector
            .clone()
            .or_else(|| (flavor == Flavor::Vanilla).then(|| COLLECTOR_IMAGE.to_string()));
        Self {
            namespace: site.namespace.clone(),
            profile: plan.profile.name.clone(),
            run,
            flavor,
            variant: tempo.variant,
            resources: tempo.resources.clone(),
            replication_factor: tempo.replication_factor.unwrap_or(1),
            overrides: tempo.overrides.clone(),
            node_selector: tempo.node_selector.clone(),
            tolerations: tempo.tolerations.clone(),
            storage: StoragePlan::of(&plan.profile.storage),
            storage_class: site.storage_class.clone(),
            images: ImageSettings {
                collector,
                ..site.images.clone()
            },
            collector: plan.profile.k6.ingestion.collector,
            scraper,
            ingestion: ByteRate::from_mb_per_second(plan.profile.k6.ingestion.mb_per_second),
            most_ingestion,
            most_traces,
            max_vus: plan.profile.k6.vus.max,
            job_timeout: plan.job_timeout,
        }
    }

    /// Labels of every object of the run.
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (RUN_LABEL.to_string(), self.run.to_string()),
            (PROFILE_LABEL.to_string(), self.profile.clone()),
        ])
    }

    /// Labels of the pods of one of our own components.
    pub fn component_labels(&self, component: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.insert(COMPONENT_LABEL.to_string(), component.to_string());
        labels
    }

    pub fn has_gateway(&self) -> bool {
        self.flavor == Flavor::OpenShift
    }

    /// Components of Tempo that have pods and metrics of their own, as the
    /// operator names them.
    pub fn tempo_components(&self) -> &'static [&'static str] {
        match self.variant {
            Variant::Monolithic => &["tempo"],
            Variant::Stack => &STACK_COMPONENTS,
        }
    }

    pub fn ingester_tuning(&self) -> Option<&IngesterTuning> {
        self.overrides.as_ref()?.ingester.as_ref()
    }

    /// How long a trace stays live after its last span, at most.
    pub fn trace_lifetime(&self) -> Duration {
        let tuning = self.ingester_tuning();
        let idle = tuning.and_then(|tuning| tuning.trace_idle_period);
        let check = tuning.and_then(|tuning| tuning.flush_check_period);
        idle.unwrap_or(TRACE_IDLE_PERIOD) + check.unwrap_or(FLUSH_CHECK_PERIOD)
    }

    /// Component of Tempo that takes, and counts, what is pushed.
    pub fn push_component(&self) -> &'static str {
        match self.variant {
            Variant::Monolithic => "tempo",
            Variant::Stack => "distributor",
        }
    }

    /// Component of Tempo that answers queries.
    pub fn query_component(&self) -> &'static str {
        match self.variant {
            Variant::Monolithic => "tempo",
            Variant::Stack => "query-frontend",
        }
    }

    /// Name of a component's Service, workload and certificates.
    pub fn tempo_component(&self, component: &str) -> String {
        match self.variant {
            Variant::Monolithic => TEMPO.to_string(),
            Variant::Stack => format!("{TEMPO}-{component}"),
        }
    }

    /// `host:port` that the collector pushes to over OTLP/gRPC. With a gateway,
    /// the port depends on the variant: 8090 of a stack's Service, 4317 of a
    /// monolithic's.
    pub fn tempo_otlp_grpc(&self) -> String {
        let (service, port) = match (self.has_gateway(), self.variant) {
            (true, Variant::Stack) => (TEMPO_GATEWAY.to_string(), 8090),
            (true, Variant::Monolithic) => (TEMPO_GATEWAY.to_string(), 4317),
            (false, _) => (self.tempo_component(self.push_component()), 4317),
        };
        // The gateway's certificate names the whole domain.
        let domain = if self.has_gateway() {
            ".cluster.local"
        } else {
            ""
        };
        format!("{service}.{}.svc{domain}:{port}", self.namespace)
    }

    /// Name and port of the Service that answers queries.
    pub fn query_service(&self) -> (String, u16) {
        match self.has_gateway() {
            true => (TEMPO_GATEWAY.to_string(), 8080),
            false => (
                self.tempo_component(self.query_component()),
                TEMPO_HTTP_PORT,
            ),
        }
    }

    /// Base URL of Tempo's HTTP API, as pods reach it.
    pub fn tempo_query(&self) -> String {
        let (service, port) = self.query_service();
        let host = format!("{service}.{}.svc:{port}", self.namespace);
        match self.has_gateway() {
            true => format!("https://{host}/api/traces/v1/{TENANT}/tempo"),
            false => format!("http://{host}"),
        }
    }

    /// Where k6 posts, as pods reach it.
    pub fn collector_push(&self) -> String {
        format!(
            "http://{COLLECTOR}.{}.svc:{COLLECTOR_OTLP_HTTP_PORT}/v1/traces",
            self.namespace
        )
    }

    /// Where k6's samples go, as pods reach it; only our own Prometheus is known
    /// to take them.
    pub fn remote_write(&self) -> Option<String> {
        matches!(self.scraper, Scraper::Own { .. }).then(|| {
            format!(
                "http://{PROMETHEUS}.{}.svc:9090/api/v1/write",
                self.namespace
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_needs_no_endpoint() {
        let storage = Storage {
            kind: StorageKind::S3,
            bucket: Some("b".into()),
            region: Some("us-east-2".into()),
            ..Storage::default()
        };
        let StoragePlan::S3 {
            endpoint,
            secret_name,
            ..
        } = StoragePlan::of(&storage)
        else {
            panic!("an external store");
        };
        assert_eq!(endpoint, "https://s3.us-east-2.amazonaws.com");
        assert_eq!(secret_name, "tempo-s3");
    }
}
