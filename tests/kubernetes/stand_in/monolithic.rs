//! TempoMonolithic (kubernetes-facts, section 1), without the gateway.

use serde_json::{Value, json};

use super::objects::{Owner, labels, merge, now, service_account, service_port, without_nulls};
use super::status::{State, by_state, monolithic_conditions};
use super::storage::{self, S3};
use super::tempo_pods::{DEFAULT_BURST, DEFAULT_RATE_LIMIT, TempoPod, number, store_args};
use super::{Behaviour, Error, TEMPO_OPERATOR_VERSION, TEMPO_VERSION, tempo_objects};
use crate::component::{HTTP, OTLP_GRPC, OTLP_HTTP, READY};

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::Api;

/// Where the custom resource names its storage Secret.
pub const SECRET: &str = "/spec/storage/traces/s3/secret";
const DATA_VOLUME: &str = "tempo-storage";

pub async fn reconcile(owner: &Owner<'_>, behaviour: Behaviour) -> Result<(), Error> {
    let state = match storage_of(owner).await? {
        Err(message) => State::ConfigurationError(message),
        Ok(s3) => {
            let service = format!("tempo-{}", owner.name);
            tempo_objects::ensure_certificates(owner, &[service]).await?;
            let config = config(owner, s3.as_ref());
            owner
                .apply(manifests(owner, &config, s3.as_ref(), behaviour)?)
                .await?;
            if is_ready(owner).await? {
                State::Ready
            } else {
                State::Pending
            }
        }
    };
    let components = match &state {
        State::Ready => {
            let pods = owner.pods(&pod_labels(owner)).await?;
            by_state(&pods.iter().collect::<Vec<_>>())
        }
        // Of the StatefulSet, not of a pod.
        State::Pending => json!({"Pending": [format!("tempo-{}", owner.name)]}),
        _ => match owner.field("/status/components/tempo") {
            Value::Null => json!({}),
            known => known.clone(),
        },
    };
    let before = owner.field("/status/conditions").as_array();
    let conditions = monolithic_conditions(before.map_or(&[], Vec::as_slice), &state, &now());
    owner
        .set_status(json!({
            "components": {"tempo": components},
            "conditions": conditions,
            "operatorVersion": TEMPO_OPERATOR_VERSION,
            "tempoVersion": TEMPO_VERSION,
        }))
        .await
}

/// The inner error is the custom resource's to tell.
async fn storage_of(owner: &Owner<'_>) -> Result<Result<Option<S3>, String>, Error> {
    if owner.text("/spec/storage/traces/backend") != Some("s3") {
        return Ok(Ok(None));
    }
    let name = owner.text(SECRET).unwrap_or_default();
    let mode = owner.text("/spec/storage/traces/s3/credentialMode");
    Ok(match owner.secret(name).await? {
        None => Err(storage::missing(name)),
        Some(secret) => storage::check(&secret.data.unwrap_or_default(), mode).map(Some),
    })
}

async fn is_ready(owner: &Owner<'_>) -> Result<bool, Error> {
    let api: Api<StatefulSet> = Api::namespaced(owner.client.clone(), &owner.namespace);
    let found = api.get_opt(&format!("tempo-{}", owner.name)).await?;
    Ok(found.is_some_and(|set| {
        let wanted = set.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let ready = set.status.and_then(|status| status.ready_replicas);
        ready.unwrap_or(0) >= wanted
    }))
}

fn pod_labels(owner: &Owner<'_>) -> std::collections::BTreeMap<String, String> {
    object_labels(owner, "tempo")
}

fn object_labels(owner: &Owner<'_>, component: &str) -> std::collections::BTreeMap<String, String> {
    labels([
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/instance", &owner.name),
        ("app.kubernetes.io/managed-by", "tempo-operator"),
        ("app.kubernetes.io/name", "tempo-monolithic"),
    ])
}

/// `tempo.yaml`, as much of it as matters here, with `extraConfig` on top.
fn config(owner: &Owner<'_>, s3: Option<&S3>) -> Value {
    let mut config = json!({
        "server": {"http_listen_port": HTTP},
        "storage": {"trace": tempo_objects::storage_config(s3)},
        "usage_report": {"reporting_enabled": false},
    });
    merge(&mut config, owner.field("/spec/extraConfig/tempo"));
    config
}

fn manifests(
    owner: &Owner<'_>,
    config: &Value,
    s3: Option<&S3>,
    behaviour: Behaviour,
) -> Result<Vec<Value>, Error> {
    let name = format!("tempo-{}", owner.name);
    let pod_labels = pod_labels(owner);
    let config_text = serde_yaml::to_string(config)?;
    let mut manifests = vec![json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": format!("{name}-config"), "labels": object_labels(owner, "config")},
        "data": {"tempo.yaml": config_text},
    })];
    let account = match owner.text("/spec/serviceAccount") {
        Some(given) => given.to_owned(),
        None => {
            let labels = object_labels(owner, "serviceaccount");
            manifests.push(service_account(&name, &labels));
            name.clone()
        }
    };
    manifests.push(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": pod_labels},
        "spec": {
            "selector": pod_labels,
            "ports": [
                service_port("http", HTTP, "http"),
                service_port("otlp-grpc", OTLP_GRPC, "otlp-grpc"),
                service_port("otlp-http", OTLP_HTTP, "otlp-http"),
            ],
        },
    }));
    manifests.push(stateful_set(
        owner,
        name,
        account,
        &config_text,
        &config["overrides"]["defaults"]["ingestion"],
        s3.and_then(S3::address),
        behaviour,
    ));
    Ok(manifests)
}

fn stateful_set(
    owner: &Owner<'_>,
    name: String,
    account: String,
    config_text: &str,
    limits: &Value,
    object_store: Option<String>,
    behaviour: Behaviour,
) -> Value {
    let labels = pod_labels(owner);
    let in_memory = matches!(
        owner.text("/spec/storage/traces/backend"),
        None | Some("memory")
    );
    let (volumes, claims) = if in_memory {
        let source = json!({"emptyDir": {"medium": "Memory"}});
        (
            vec![(DATA_VOLUME.to_owned(), "/var/tempo", source)],
            json!([]),
        )
    } else {
        let size = owner.text("/spec/storage/traces/size").unwrap_or("10Gi");
        let class = owner.field("/spec/storage/traces/storageClassName");
        (
            vec![],
            json!([tempo_objects::claim(DATA_VOLUME, size, class)]),
        )
    };
    let pod = TempoPod {
        labels: labels.clone(),
        args: store_args(
            "tempo-monolithic",
            number(&limits["rate_limit_bytes"], DEFAULT_RATE_LIMIT),
            number(&limits["burst_size_bytes"], DEFAULT_BURST),
            behaviour,
        ),
        object_store,
        config: config_text,
        config_map: format!("{name}-config"),
        ports: &[
            ("http", HTTP),
            ("tempo-internal", READY),
            ("otlp-grpc", OTLP_GRPC),
            ("otlp-http", OTLP_HTTP),
        ],
        probe: (json!("tempo-internal"), "HTTP"),
        resources: owner.field("/spec/resources").clone(),
        service_account: account,
        placement: owner.field("/spec"),
        data_volume: DATA_VOLUME,
        volumes,
    };
    without_nulls(json!({
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "podManagementPolicy": "Parallel",
            "serviceName": "",
            "selector": {"matchLabels": labels},
            "template": pod.template(behaviour),
            "volumeClaimTemplates": claims,
        },
    }))
}
