//! The custom resource of the Tempo under test.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::blueprint::{Blueprint, Flavor, StoragePlan};
use super::{metadata, set};
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::cluster::names::{CR_NAME, TENANT, TENANT_ID};
use crate::profile::{IngesterTuning, Variant};
use crate::units::Pretty;

/// Tempo's own limits; a small load leaves them as they are. Its burst of
/// 20 MB is less than twice this rate.
const RATE_LIMIT_BYTES_MIN: u64 = 15_000_000;
const LIVE_TRACES_MIN: u64 = 10_000;
/// Room above what is expected, for bursts and for an ingester that lags.
const RATE_ROOM: f64 = 2.0;
const BURST_ROOM: u64 = 2;
const LIVE_TRACES_ROOM: f64 = 4.0;

/// Defaults of Tempo 2.x: a trace is live until it has been idle for the first,
/// which is looked at in intervals of the second.
const TRACE_IDLE_PERIOD: Duration = Duration::from_secs(5);
const FLUSH_CHECK_PERIOD: Duration = Duration::from_secs(10);

/// Group of the volume in Tempo's pods, the operator's own default: the pod's
/// security context given here replaces it as a whole.
const TEMPO_GID: u32 = 10001;

/// The TempoMonolithic or the TempoStack. Neither asks the operator for
/// ServiceMonitors, which most installations refuse.
pub fn tempo(blueprint: &Blueprint) -> Value {
    let custom = CustomKind::tempo(blueprint.variant);
    let spec = match blueprint.variant {
        Variant::Monolithic => monolithic(blueprint),
        Variant::Stack => stack(blueprint),
    };
    json!({
        "apiVersion": custom.api_version(),
        "kind": custom.kind,
        "metadata": metadata(blueprint, CR_NAME),
        "spec": spec,
    })
}

fn monolithic(blueprint: &Blueprint) -> Value {
    let mut traces = json!({
        "backend": "s3",
        "s3": {"secret": blueprint.storage.secret_name(), "credentialMode": "static"},
    });
    set(&mut traces, "storageClassName", storage_class(blueprint));
    let limits = Limits::of(blueprint);
    let mut config = extra_config(blueprint);
    config.insert(
        "overrides".into(),
        json!({"defaults": {
            "ingestion": {
                "rate_limit_bytes": limits.rate_bytes,
                "burst_size_bytes": limits.burst_bytes,
                "max_traces_per_user": limits.live_traces,
            },
            "global": {"max_bytes_per_trace": 0},
        }}),
    );
    let mut spec = json!({
        "storage": {"traces": traces},
        "extraConfig": {"tempo": config},
    });
    if let Some(limits) = resources(blueprint) {
        spec["resources"] = json!({"limits": limits, "requests": limits});
    }
    if blueprint.has_gateway() {
        spec["multitenancy"] = json!({
            "enabled": true,
            "mode": "openshift",
            "authentication": [tenant()],
        });
    }
    place(blueprint, &mut spec);
    spec
}

fn stack(blueprint: &Blueprint) -> Value {
    let mut storage = json!({"secret": {
        "name": blueprint.storage.secret_name(),
        "type": "s3",
        "credentialMode": "static",
    }});
    // The operator does not look at the scheme here, as it does for a monolithic.
    if matches!(&blueprint.storage, StoragePlan::S3 { endpoint, .. } if endpoint.starts_with("https://"))
    {
        storage["tls"] = json!({"enabled": true});
    }
    let limits = Limits::of(blueprint);
    let mut spec = json!({
        "storage": storage,
        "replicationFactor": blueprint.replication_factor,
        // These become overrides in Tempo's older form. `extraConfig` must hold
        // none of its newer form: Tempo starts with neither when both are mixed.
        "limits": {"global": {"ingestion": {
            "ingestionRateLimitBytes": limits.rate_bytes,
            "ingestionBurstSizeBytes": limits.burst_bytes,
            "maxBytesPerTrace": 0,
            "maxTracesPerUser": limits.live_traces,
        }}},
    });
    set(&mut spec, "storageClassName", storage_class(blueprint));
    if let Some(limits) = resources(blueprint) {
        spec["resources"] = json!({"total": {"limits": limits}});
    }
    let config = extra_config(blueprint);
    if !config.is_empty() {
        spec["extraConfig"] = json!({"tempo": config});
    }

    let component = || {
        let mut component = json!({});
        place(blueprint, &mut component);
        component
    };
    let mut ingester = component();
    ingester["replicas"] = json!(blueprint.replication_factor.max(1));
    let mut template = json!({
        "distributor": {"component": component()},
        "ingester": ingester,
        "querier": component(),
        "queryFrontend": {"component": component()},
        "compactor": component(),
    });
    if blueprint.has_gateway() {
        spec["tenants"] = json!({"mode": "openshift", "authentication": [tenant()]});
        template["gateway"] = json!({
            "enabled": true,
            "component": component(),
            // What the operator makes of an absent type. We go by the Service,
            // but `none` is only known to it from 0.22 on.
            "ingress": {"type": "route"},
        });
    }
    spec["template"] = template;
    spec
}

/// Where pods run and as whom: fields of the same names in a TempoMonolithic
/// and in each component of a TempoStack.
fn place(blueprint: &Blueprint, pods: &mut Value) {
    if !blueprint.node_selector.is_empty() {
        pods["nodeSelector"] = json!(blueprint.node_selector);
    }
    if !blueprint.tolerations.is_empty() {
        pods["tolerations"] = json!(blueprint.tolerations);
    }
    if blueprint.flavor == Flavor::Vanilla {
        // The user is that of Tempo's image; the containers' own fields are
        // the operator's, and suffice.
        pods["podSecurityContext"] = json!({
            "runAsNonRoot": true,
            "fsGroup": TEMPO_GID,
            "seccompProfile": {"type": "RuntimeDefault"},
        });
    }
}

fn tenant() -> Value {
    json!({"tenantName": TENANT, "tenantId": TENANT_ID})
}

fn storage_class(blueprint: &Blueprint) -> Option<Value> {
    blueprint.storage_class.as_ref().map(|class| json!(class))
}

fn resources(blueprint: &Blueprint) -> Option<Value> {
    let resources = blueprint.resources.as_ref()?;
    let given = [("cpu", &resources.cpu), ("memory", &resources.memory)];
    let limits: Map<String, Value> = given
        .into_iter()
        .filter_map(|(name, quantity)| Some((name.to_string(), json!(quantity.as_ref()?))))
        .collect();
    (!limits.is_empty()).then_some(Value::Object(limits))
}

/// What goes over Tempo's generated configuration in both variants.
fn extra_config(blueprint: &Blueprint) -> Map<String, Value> {
    let mut config = Map::new();
    let ingester = tuning(blueprint).map(ingester).unwrap_or_default();
    if !ingester.is_empty() {
        config.insert("ingester".into(), Value::Object(ingester));
    }
    if let StoragePlan::S3 {
        region: Some(region),
        ..
    } = &blueprint.storage
    {
        config.insert(
            "storage".into(),
            json!({"trace": {"s3": {"region": region}}}),
        );
    }
    config
}

fn tuning(blueprint: &Blueprint) -> Option<&IngesterTuning> {
    blueprint.overrides.as_ref()?.ingester.as_ref()
}

fn ingester(tuning: &IngesterTuning) -> Map<String, Value> {
    let durations = [
        ("flush_check_period", tuning.flush_check_period),
        ("trace_idle_period", tuning.trace_idle_period),
        ("max_block_duration", tuning.max_block_duration),
    ];
    let mut config: Map<String, Value> = durations
        .into_iter()
        .filter_map(|(key, value)| Some((key.into(), json!(Pretty(value?).to_string()))))
        .collect();
    if let Some(flushes) = tuning.concurrent_flushes {
        config.insert("concurrent_flushes".into(), json!(flushes));
    }
    config
}

/// Limits that do not throttle the load that the profile asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    /// Bytes per second of the tenant in the one distributor.
    rate_bytes: u64,
    burst_bytes: u64,
    /// In each ingester; 0 means no limit.
    live_traces: u64,
}

impl Limits {
    /// Twice the pushed rate, bursts of twice that, and, unless the profile has
    /// a number of its own, four times the traces that are expected to be live:
    /// traces/s × (`trace_idle_period` + `flush_check_period`). An ingester
    /// takes traces × replication factor ÷ ingesters, and we have as many
    /// ingesters as the factor says: each takes all traces.
    fn of(blueprint: &Blueprint) -> Self {
        let rate = (blueprint.most_ingestion.bytes_per_second() * RATE_ROOM).ceil() as u64;
        let rate_bytes = rate.max(RATE_LIMIT_BYTES_MIN);
        let tuning = tuning(blueprint);
        let idle = tuning
            .and_then(|tuning| tuning.trace_idle_period)
            .unwrap_or(TRACE_IDLE_PERIOD);
        let check = tuning
            .and_then(|tuning| tuning.flush_check_period)
            .unwrap_or(FLUSH_CHECK_PERIOD);
        let live = (blueprint.most_traces.over(idle + check) * LIVE_TRACES_ROOM).ceil() as u64;
        Self {
            rate_bytes,
            burst_bytes: rate_bytes.saturating_mul(BURST_ROOM),
            live_traces: blueprint
                .overrides
                .as_ref()
                .and_then(|overrides| overrides.max_traces_per_user)
                .unwrap_or(live.max(LIVE_TRACES_MIN)),
        }
    }
}
