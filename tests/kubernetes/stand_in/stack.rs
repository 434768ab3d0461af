//! TempoStack (kubernetes-facts, section 2), without the gateway.

use serde_json::{Value, json};

use super::objects::{Owner, merge, now};
use super::stack_manifests::{COMPONENTS, manifests, object_labels};
use super::status::{State, by_state, stack_conditions, stack_state};
use super::storage::{self, S3};
use super::tempo_objects::{ensure_certificates, storage_config};
use super::tempo_pods::{DEFAULT_BURST, DEFAULT_RATE_LIMIT, number};
use super::{Behaviour, Error, TEMPO_OPERATOR_VERSION, TEMPO_VERSION};
use crate::component::HTTP;

use k8s_openapi::api::core::v1::Pod;

/// Where the custom resource names its storage Secret.
pub const SECRET: &str = "/spec/storage/secret/name";

const LIMITS: &str = "/spec/limits/global/ingestion";

/// Rate and burst in bytes that a `spec.size` imposes.
const SIZES: [(&str, u64, u64); 4] = [
    ("1x.pico", 600_000, 1_200_000),
    ("1x.extra-small", 1_200_000, 2_400_000),
    ("1x.small", 5_800_000, 11_600_000),
    ("1x.medium", 23_000_000, 46_000_000),
];

pub async fn reconcile(owner: &Owner<'_>, behaviour: Behaviour) -> Result<(), Error> {
    let storage = storage_of(owner).await?;
    if let Ok(s3) = &storage {
        let service = |component: &str| format!("tempo-{}-{component}", owner.name);
        let mut services: Vec<_> = COMPONENTS.iter().map(|it| service(it.name)).collect();
        // These have certificates even when they are off.
        services.extend([service("gateway"), service("metrics-generator")]);
        ensure_certificates(owner, &services).await?;
        let config = Config::new(owner, s3);
        owner.apply(manifests(owner, &config, behaviour)?).await?;
    }

    let mut components = serde_json::Map::new();
    let mut all: Vec<Pod> = Vec::new();
    for component in COMPONENTS {
        let pods = owner.pods(&object_labels(owner, component.name)).await?;
        let listed: Vec<&Pod> = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect();
        components.insert(component.status_field.to_owned(), by_state(&listed));
        all.extend(listed.into_iter().cloned());
    }
    components.insert("gateway".to_owned(), json!({}));
    let state = match storage {
        Err(message) => State::ConfigurationError(message),
        Ok(_) => stack_state(&all.iter().collect::<Vec<_>>()),
    };
    let before = owner.field("/status/conditions").as_array();
    let conditions = stack_conditions(before.map_or(&[], Vec::as_slice), &state, &now());
    owner
        .set_status(json!({
            "components": components,
            "conditions": conditions,
            "operatorVersion": TEMPO_OPERATOR_VERSION,
            "tempoVersion": TEMPO_VERSION,
        }))
        .await
}

/// The inner error is the custom resource's to tell.
async fn storage_of(owner: &Owner<'_>) -> Result<Result<S3, String>, Error> {
    let name = owner.text(SECRET).unwrap_or_default();
    let mode = owner.text("/spec/storage/secret/credentialMode");
    Ok(match owner.secret(name).await? {
        None => Err(storage::missing(name)),
        Some(secret) => storage::check(&secret.data.unwrap_or_default(), mode),
    })
}

/// What Tempo is told.
pub struct Config {
    pub tempo: Value,
    pub rate_limit: u64,
    pub burst: u64,
    /// `host:port`
    pub object_store: Option<String>,
    /// Tempo does not start with it, and says why.
    pub error: Option<&'static str>,
}

impl Config {
    fn new(owner: &Owner<'_>, s3: &S3) -> Self {
        let limits = owner.field(LIMITS);
        let mut tempo = json!({
            "server": {"http_listen_port": HTTP},
            "storage": {"trace": storage_config(Some(s3))},
            "usage_report": {"reporting_enabled": false},
        });
        let legacy = limits.as_object().is_some_and(|limits| !limits.is_empty());
        if legacy {
            // The operator writes the flat form of Tempo before 2.3.
            tempo["overrides"] = json!({
                "ingestion_rate_limit_bytes": limits["ingestionRateLimitBytes"],
                "ingestion_burst_size_bytes": limits["ingestionBurstSizeBytes"],
                "max_bytes_per_trace": limits["maxBytesPerTrace"],
                "max_traces_per_user": limits["maxTracesPerUser"],
            });
        }
        merge(&mut tempo, owner.field("/spec/extraConfig/tempo"));
        let defaults = &tempo["overrides"]["defaults"];
        let error = (legacy && !defaults.is_null()).then_some(
            "failed parsing config: field max_traces_per_user not found in type \
             overrides.rawConfig; also failed in legacy format",
        );
        let (rate, burst) = SIZES
            .iter()
            .find(|(size, ..)| owner.text("/spec/size") == Some(size))
            .map_or((DEFAULT_RATE_LIMIT, DEFAULT_BURST), |&(_, rate, burst)| {
                (rate, burst)
            });
        let modern = &defaults["ingestion"];
        let rate = number(&modern["rate_limit_bytes"], rate);
        let burst = number(&modern["burst_size_bytes"], burst);
        Self {
            rate_limit: number(&limits["ingestionRateLimitBytes"], rate),
            burst: number(&limits["ingestionBurstSizeBytes"], burst),
            object_store: s3.address(),
            tempo,
            error,
        }
    }
}
