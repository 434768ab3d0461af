//! The objects of a TempoStack.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::objects::{
    Owner, disruption_budget, labels, service_account, service_port, without_nulls,
};
use super::stack::Config;
use super::tempo_objects::claim;
use super::tempo_pods::{TempoPod, store_args};
use super::{Behaviour, Error};
use crate::component::{CA_DIR, CERTIFICATE_DIR, HTTP, INTERNAL, OTLP_GRPC, OTLP_HTTP, READY};

const GRPC: u16 = 9095;
const MEMBERLIST: u16 = 7946;

/// A component of Tempo.
pub struct StackComponent {
    /// In names and labels.
    pub name: &'static str,
    /// In `status.components`.
    pub status_field: &'static str,
    /// Its part of the custom resource.
    spec: &'static str,
    /// Container ports and ports of its Service.
    ports: &'static [(&'static str, u16)],
    /// Its share of `spec.resources.total`: of CPU and of memory.
    share: (f64, f64),
}

/// Shares: internal/manifests/manifestutils/resources.go of the Tempo operator.
pub const COMPONENTS: [StackComponent; 5] = [
    StackComponent {
        name: "distributor",
        status_field: "distributor",
        spec: "/spec/template/distributor/component",
        ports: &[
            ("otlp-http", OTLP_HTTP),
            ("otlp-grpc", OTLP_GRPC),
            ("http", HTTP),
            ("thrift-http", 14268),
            ("jaeger-grpc", 14250),
            ("http-zipkin", 9411),
        ],
        share: (0.27, 0.12),
    },
    StackComponent {
        name: "ingester",
        status_field: "ingester",
        spec: "/spec/template/ingester",
        ports: &[("http", HTTP), ("grpc", GRPC)],
        share: (0.38, 0.5),
    },
    StackComponent {
        name: "querier",
        status_field: "querier",
        spec: "/spec/template/querier",
        ports: &[
            ("http-memberlist", MEMBERLIST),
            ("http", HTTP),
            ("grpc", GRPC),
        ],
        share: (0.1, 0.15),
    },
    StackComponent {
        name: "query-frontend",
        status_field: "queryFrontend",
        spec: "/spec/template/queryFrontend/component",
        ports: &[("http", HTTP), ("grpc", GRPC)],
        share: (0.09, 0.05),
    },
    StackComponent {
        name: "compactor",
        status_field: "compactor",
        spec: "/spec/template/compactor",
        ports: &[("http-memberlist", MEMBERLIST), ("http", HTTP)],
        share: (0.16, 0.18),
    },
];

/// Requests are this part of limits that come from `spec.resources.total`.
const REQUESTS: f64 = 0.3;

pub fn object_labels(owner: &Owner<'_>, component: &str) -> BTreeMap<String, String> {
    labels([
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/instance", &owner.name),
        ("app.kubernetes.io/managed-by", "tempo-operator"),
        ("app.kubernetes.io/name", "tempo"),
    ])
}

pub fn manifests(
    owner: &Owner<'_>,
    config: &Config,
    behaviour: Behaviour,
) -> Result<Vec<Value>, Error> {
    let name = format!("tempo-{}", owner.name);
    let config_text = serde_yaml::to_string(&config.tempo)?;
    let mut manifests = vec![json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": object_labels(owner, "config")},
        "data": {
            "tempo.yaml": config_text,
            "tempo-query-frontend.yaml": config_text,
            "overrides.yaml": "overrides:\n",
        },
    })];
    let account = match owner.text("/spec/serviceAccount") {
        // The webhook's default, which may come back to us.
        Some(given) if given != name => given.to_owned(),
        _ => {
            let labels = object_labels(owner, "serviceaccount");
            manifests.push(service_account(&name, &labels));
            name.clone()
        }
    };
    manifests.extend(shared_services(owner));
    for component in &COMPONENTS {
        let name = format!("tempo-{}-{}", owner.name, component.name);
        let labels = object_labels(owner, component.name);
        let ports: Vec<_> = component
            .ports
            .iter()
            .map(|(name, port)| service_port(name, *port, *name))
            .collect();
        manifests.push(service(&name, &labels, &labels, json!({"ports": ports})));
        if component.name != "compactor" {
            manifests.push(disruption_budget(&name, &labels, &labels));
        }
        manifests.push(workload(
            owner,
            component,
            &account,
            &config_text,
            config,
            behaviour,
        ));
    }
    Ok(manifests)
}

/// Services beside those of the components.
fn shared_services(owner: &Owner<'_>) -> [Value; 3] {
    let name = |suffix: &str| format!("tempo-{}-{suffix}", owner.name);
    let frontend = object_labels(owner, "query-frontend");
    let discovery = service(
        &name("query-frontend-discovery"),
        &object_labels(owner, "query-frontend-discovery"),
        &frontend,
        json!({
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "ports": [
                service_port("http", HTTP, "http"),
                service_port("grpc", GRPC, "grpc"),
                service_port("grpclb", 9096, "grpclb"),
            ],
        }),
    );
    let mut members = object_labels(owner, "");
    members.remove("app.kubernetes.io/component");
    members.insert(MEMBER_LABEL.to_owned(), "true".to_owned());
    let ring = service(
        &name("gossip-ring"),
        &object_labels(owner, "gossip-ring"),
        &members,
        json!({
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "ports": [service_port("http-memberlist", MEMBERLIST, "http-memberlist")],
        }),
    );
    // The operator has none of these: the query-frontend's way to the store.
    let store = service(
        &name("stand-in-store"),
        &object_labels(owner, "stand-in-store"),
        &object_labels(owner, "distributor"),
        json!({"ports": [service_port("http", INTERNAL, INTERNAL)]}),
    );
    [discovery, ring, store]
}

const MEMBER_LABEL: &str = "tempo-gossip-member";

fn service(
    name: &str,
    labels: &BTreeMap<String, String>,
    selector: &BTreeMap<String, String>,
    mut spec: Value,
) -> Value {
    spec["selector"] = json!(selector);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    })
}

fn workload(
    owner: &Owner<'_>,
    component: &StackComponent,
    account: &str,
    config_text: &str,
    config: &Config,
    behaviour: Behaviour,
) -> Value {
    let spec = owner.field(component.spec);
    let stateful = component.name == "ingester";
    let name = format!("tempo-{}-{}", owner.name, component.name);
    let selector = object_labels(owner, component.name);
    let args = match (config.error, component.name) {
        (Some(error), _) => vec!["crash".to_owned(), error.to_owned()],
        (None, "distributor") => {
            store_args("distributor", config.rate_limit, config.burst, behaviour)
        }
        (None, "query-frontend") => vec![
            "query-frontend".to_owned(),
            format!(
                "--store=http://tempo-{}-stand-in-store.{}.svc:{INTERNAL}",
                owner.name, owner.namespace
            ),
        ],
        (None, name) => vec![name.to_owned()],
    };
    let mut volumes = vec![
        (
            format!("tempo-{}-ca-bundle", owner.name),
            CA_DIR,
            json!({"configMap": {"name": format!("tempo-{}-ca-bundle", owner.name)}}),
        ),
        (
            format!("{name}-mtls"),
            CERTIFICATE_DIR,
            json!({"secret": {"secretName": format!("{name}-mtls")}}),
        ),
    ];
    if !stateful {
        let data = (
            "tempo-tmp-storage".to_owned(),
            "/var/tempo",
            json!({"emptyDir": {}}),
        );
        volumes.push(data);
    }
    let mut labels = selector.clone();
    labels.insert(MEMBER_LABEL.to_owned(), "true".to_owned());
    let pod = TempoPod {
        labels,
        args,
        // The distributor alone has no use for it.
        object_store: config
            .object_store
            .clone()
            .filter(|_| component.name != "distributor"),
        config: config_text,
        config_map: format!("tempo-{}", owner.name),
        ports: component.ports,
        probe: match component.name {
            "query-frontend" => (json!("http"), "HTTP"),
            _ => (json!(READY), "HTTPS"),
        },
        resources: resources(owner, component),
        service_account: account.to_owned(),
        placement: spec,
        data_volume: if stateful {
            "data"
        } else {
            "tempo-tmp-storage"
        },
        volumes,
    };
    // Each distributor would have traces of its own, so there is only one.
    let replicas = match (component.name, spec["replicas"].as_u64()) {
        ("distributor", _) | (_, None) => 1,
        (_, Some(replicas)) => replicas,
    };
    let mut spec = json!({
        "replicas": replicas,
        "selector": {"matchLabels": selector},
        "template": pod.template(behaviour),
    });
    if stateful {
        let size = owner.text("/spec/storageSize").unwrap_or("10Gi");
        let class = owner.field("/spec/storageClassName");
        spec["podManagementPolicy"] = json!("Parallel");
        spec["serviceName"] = json!("");
        spec["volumeClaimTemplates"] = json!([claim("data", size, class)]);
    }
    without_nulls(json!({
        "apiVersion": "apps/v1",
        "kind": if stateful { "StatefulSet" } else { "Deployment" },
        "metadata": {"name": name, "labels": object_labels(owner, component.name)},
        "spec": spec,
    }))
}

/// A component's own resources win over its share of the total.
fn resources(owner: &Owner<'_>, component: &StackComponent) -> Value {
    let own = &owner.field(component.spec)["resources"];
    let total = owner.field("/spec/resources/total/limits");
    if own.as_object().is_some_and(|own| !own.is_empty()) || !total.is_object() {
        return own.clone();
    }
    let (of_cpu, of_memory) = component.share;
    let share = |name: &str, share: f64, requests: f64| -> Option<String> {
        let total = quantity(&total[name])?;
        Some(match name {
            "cpu" => format!("{}m", (total * 1e3 * share * requests) as u64),
            _ => format!("{}", (total * share * requests) as u64),
        })
    };
    let both = |requests: f64| {
        json!({
            "cpu": share("cpu", of_cpu, requests),
            "memory": share("memory", of_memory, requests),
        })
    };
    json!({"limits": both(1.0), "requests": both(REQUESTS)})
}

/// A quantity as the API server writes it.
fn quantity(value: &Value) -> Option<f64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let factor = match &text[end..] {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        _ => return None,
    };
    text[..end]
        .parse::<f64>()
        .ok()
        .map(|number| number * factor)
}
