//! Everything that the objects of a run are made from, as one value: manifests
//! are functions of it, so that they can be read, and tested, without a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::environment::kubernetes::cluster::names::{
    COLLECTOR, COLLECTOR_OTLP_HTTP_PORT, COMPONENT_LABEL, MINIO, PROFILE_LABEL, PROMETHEUS,
    RUN_LABEL, STACK_COMPONENTS, TEMPO, TEMPO_GATEWAY, TEMPO_HTTP_PORT, TENANT,
};
use crate::profile::{CollectorMode, Overrides, Resources, Toleration, Variant};
use crate::settings::kubernetes::{K6_IMAGE, MINIO_IMAGE, PROMETHEUS_IMAGE};
use crate::units::{ByteRate, EventRate};

/// What the cluster is, as far as manifests differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Pod Security `restricted`, no gateway, a single tenant.
    Vanilla,
    /// IDs from the SCC; multi-tenancy through the gateway.
    OpenShift,
}

/// Images of what we start ourselves; Tempo's comes from its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    pub k6: String,
    pub minio: String,
    pub prometheus: String,
    /// The operator's own when absent. That has `health_check` everywhere;
    /// `bearertokenauth`, which OpenShift needs, has Red Hat's, but not the
    /// community's. With the community's operator on OpenShift, one has to be
    /// named, such as opentelemetry-collector-k8s or -contrib.
    pub collector: Option<String>,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            k6: K6_IMAGE.into(),
            minio: MINIO_IMAGE.into(),
            prometheus: PROMETHEUS_IMAGE.into(),
            collector: None,
        }
    }
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
    pub images: Images,
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

impl Blueprint {
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
