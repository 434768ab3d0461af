//! OpenTelemetryCollector in mode `deployment` (kubernetes-facts, section 4).
//! The collector itself is real.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempo_perf::corpus::identity::hex;

use super::objects::{
    Owner, disruption_budget, labels, merge, now, selector_text, service_account, without_nulls,
};
use super::{ABSENT_IMAGE, Behaviour, COLLECTOR_OPERATOR_VERSION, Error};

const DEFAULT_IMAGE: &str = "docker.io/otel/opentelemetry-collector-contrib:0.160.0";
const CONTAINER: &str = "otc-container";
const METRICS: u16 = 8888;
const HEALTH_CHECK: u16 = 13133;

pub async fn reconcile(owner: &Owner<'_>, behaviour: Behaviour) -> Result<(), Error> {
    if let Some(mode) = owner
        .text("/spec/mode")
        .filter(|mode| *mode != "deployment")
    {
        return Err(Error::Unknown(format!("collectors of mode {mode}")));
    }
    let image = match behaviour {
        Behaviour::CollectorImageMissing => ABSENT_IMAGE,
        _ => owner.text("/spec/image").unwrap_or(DEFAULT_IMAGE),
    };
    let collector = Collector {
        owner,
        name: format!("{}-collector", owner.name),
        image,
        config: defaulted(owner.field("/spec/config")),
    };
    owner.apply(collector.manifests()?).await?;
    collector.set_status().await
}

/// The CR's configuration with what the operator adds to it.
fn defaulted(config: &Value) -> Value {
    let mut config = config.clone();
    for (name, receiver) in config["receivers"].as_object_mut().into_iter().flatten() {
        if !is_otlp(name) {
            continue;
        }
        for (protocol, port) in [("grpc", 4317), ("http", 4318)] {
            // `grpc:` with nothing after it asks for the defaults, too.
            if let Some(settings) = receiver["protocols"].get_mut(protocol)
                && settings["endpoint"].is_null()
            {
                let default = json!({"endpoint": format!("0.0.0.0:{port}")});
                match settings {
                    Value::Object(_) => merge(settings, &default),
                    other => *other = default,
                }
            }
        }
    }
    let readers = "/service/telemetry/metrics/readers";
    if config.pointer(readers).is_none() {
        let own = json!({"service": {"telemetry": {"metrics": {"readers": [
            {"pull": {"exporter": {"prometheus": {"host": "0.0.0.0", "port": METRICS}}}},
        ]}}}});
        merge(&mut config, &own);
    }
    config
}

fn is_otlp(receiver: &str) -> bool {
    receiver.split('/').next() == Some("otlp")
}

struct Collector<'a> {
    owner: &'a Owner<'a>,
    /// Of Deployment, Service and ServiceAccount.
    name: String,
    image: &'a str,
    config: Value,
}

impl Collector<'_> {
    fn selector(&self) -> BTreeMap<String, String> {
        let instance = format!("{}.{}", self.owner.namespace, self.owner.name);
        labels([
            ("app.kubernetes.io/component", "opentelemetry-collector"),
            ("app.kubernetes.io/instance", &instance),
            ("app.kubernetes.io/managed-by", "opentelemetry-operator"),
            ("app.kubernetes.io/part-of", "opentelemetry"),
        ])
    }

    /// Those of the custom resource come along.
    fn labels(&self, name: &str) -> BTreeMap<String, String> {
        let mut all = self.selector();
        let version = self.image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        all.insert("app.kubernetes.io/version".to_owned(), version.to_owned());
        all.insert("app.kubernetes.io/name".to_owned(), name.to_owned());
        all.extend(self.owner.cr.labels().clone());
        all
    }

    /// Name and port of each protocol of each OTLP receiver.
    fn ports(&self) -> Vec<(String, u16)> {
        let mut ports = Vec::new();
        for (name, receiver) in self.config["receivers"].as_object().into_iter().flatten() {
            if !is_otlp(name) {
                continue;
            }
            let name = name.replace('/', "-");
            for protocol in ["grpc", "http"] {
                let endpoint = receiver["protocols"][protocol]["endpoint"].as_str();
                if let Some(port) = endpoint.and_then(port_of) {
                    ports.push((format!("{name}-{protocol}"), port));
                }
            }
        }
        ports
    }

    fn manifests(&self) -> Result<Vec<Value>, Error> {
        let text = serde_yaml::to_string(&self.config)?;
        let hash = hex(&Sha256::digest(&text));
        let config_map = format!("{}-{}", self.name, &hash[..8]);
        let labels = self.labels(&self.name);
        let mut manifests = vec![json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": config_map, "labels": labels},
            "data": {"collector.yaml": text},
        })];
        let account = match self.owner.text("/spec/serviceAccount") {
            Some(given) => given,
            None => {
                manifests.push(service_account(&self.name, &labels));
                &self.name
            }
        };
        manifests.extend(self.services());
        manifests.push(disruption_budget(&self.name, &labels, &self.selector()));
        manifests.push(without_nulls(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "labels": labels},
            "spec": {
                "replicas": self.owner.field("/spec/replicas").as_u64().unwrap_or(1),
                "selector": {"matchLabels": self.selector()},
                "template": self.pod(account, &config_map, &hash),
            },
        })));
        Ok(manifests)
    }

    fn services(&self) -> [Value; 3] {
        let ports: Vec<_> = self
            .ports()
            .into_iter()
            .map(|(name, port)| {
                let protocol = if name.ends_with("grpc") {
                    "grpc"
                } else {
                    "http"
                };
                json!({
                    "name": name, "port": port, "protocol": "TCP", "targetPort": port,
                    "appProtocol": protocol,
                })
            })
            .collect();
        let monitoring = json!([{
            "name": "monitoring", "port": METRICS, "protocol": "TCP", "targetPort": METRICS,
        }]);
        let service = |suffix: &str, kind: &str, spec: Value| {
            let name = format!("{}{suffix}", self.name);
            // The headless one is named as the base one in its label.
            let label = if kind == "monitoring" {
                &name
            } else {
                &self.name
            };
            let mut labels = self.labels(label);
            labels.insert(
                "operator.opentelemetry.io/collector-service-type".to_owned(),
                kind.to_owned(),
            );
            let mut spec = spec;
            spec["selector"] = json!(self.selector());
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "labels": labels},
                "spec": spec,
            })
        };
        [
            service("", "base", json!({"ports": ports})),
            service(
                "-headless",
                "headless",
                json!({"ports": ports, "clusterIP": "None"}),
            ),
            service("-monitoring", "monitoring", json!({"ports": monitoring})),
        ]
    }

    fn pod(&self, account: &str, config_map: &str, config_hash: &str) -> Value {
        let owner = self.owner;
        let mut ports = vec![json!({
            "name": "metrics", "containerPort": METRICS, "protocol": "TCP",
        })];
        ports.extend(
            self.ports().into_iter().map(
                |(name, port)| json!({"name": name, "containerPort": port, "protocol": "TCP"}),
            ),
        );
        let resource = |name: &str, resource: &str| {
            json!({"name": name, "valueFrom": {"resourceFieldRef": {
                "containerName": CONTAINER, "resource": resource,
            }}})
        };
        let mut env = vec![
            json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
            resource("GOMEMLIMIT", "limits.memory"),
            resource("GOMAXPROCS", "limits.cpu"),
        ];
        let mut mounts = vec![json!({"name": "otc-internal", "mountPath": "/conf"})];
        let mut volumes = vec![json!({
            "name": "otc-internal",
            "configMap": {
                "name": config_map,
                "items": [{"key": "collector.yaml", "path": "collector.yaml"}],
            },
        })];
        for (list, field) in [
            (&mut env, "/spec/env"),
            (&mut mounts, "/spec/volumeMounts"),
            (&mut volumes, "/spec/volumes"),
        ] {
            list.extend(owner.field(field).as_array().into_iter().flatten().cloned());
        }
        let probe = |field: &str| self.probe(owner.field(field));
        json!({
            "metadata": {
                "labels": self.labels(&self.name),
                "annotations": {
                    "opentelemetry-operator-config/sha256": config_hash,
                    "prometheus.io/scrape": "true",
                    "prometheus.io/port": METRICS.to_string(),
                    "prometheus.io/path": "/metrics",
                },
            },
            "spec": {
                "serviceAccountName": account,
                "securityContext": owner.field("/spec/podSecurityContext"),
                "nodeSelector": owner.field("/spec/nodeSelector"),
                "tolerations": owner.field("/spec/tolerations"),
                "affinity": owner.field("/spec/affinity"),
                "containers": [{
                    "name": CONTAINER,
                    "image": self.image,
                    "imagePullPolicy": owner.text("/spec/imagePullPolicy")
                        .unwrap_or("IfNotPresent"),
                    "args": ["--config=/conf/collector.yaml"],
                    "env": env,
                    "ports": ports,
                    "resources": owner.field("/spec/resources"),
                    "securityContext": owner.field("/spec/securityContext"),
                    "startupProbe": probe("/spec/startupProbe"),
                    "readinessProbe": probe("/spec/readinessProbe"),
                    "livenessProbe": probe("/spec/livenessProbe"),
                    "volumeMounts": mounts,
                }],
                "volumes": volumes,
            },
        })
    }

    /// None without the health_check extension; else every 10 s, which is
    /// Kubernetes' own default, unless the CR's `settings` say otherwise.
    fn probe(&self, settings: &Value) -> Value {
        let used = self.config["service"]["extensions"].as_array();
        let Some(name) = used
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|name| name.split('/').next() == Some("health_check"))
        else {
            return Value::Null;
        };
        let endpoint = self.config["extensions"][name]["endpoint"].as_str();
        let port = endpoint.and_then(port_of).unwrap_or(HEALTH_CHECK);
        let mut probe = json!({"httpGet": {"path": "/", "port": port}});
        merge(&mut probe, settings);
        probe
    }

    async fn set_status(&self) -> Result<(), Error> {
        let owner = self.owner;
        let api: Api<Deployment> = Api::namespaced(owner.client.clone(), &owner.namespace);
        let deployment = api.get_opt(&self.name).await?;
        let status = deployment.and_then(|it| it.status).unwrap_or_default();
        let total = status.replicas.unwrap_or(0);
        let ready = status.ready_replicas.unwrap_or(0);
        let mut scale = Map::new();
        scale.insert(
            "selector".to_owned(),
            json!(selector_text(&self.labels(&self.name))),
        );
        scale.insert(
            "statusReplicas".to_owned(),
            json!(format!("{ready}/{total}")),
        );
        if total > 0 {
            scale.insert("replicas".to_owned(), json!(total));
        }
        // Reconciled, not running: that is all that the operator means by it.
        let generation = owner.cr.metadata.generation;
        let since = match owner.field("/status/conditions/0") {
            old if old["status"] == "True" => old["lastTransitionTime"].clone(),
            _ => json!(now()),
        };
        owner
            .set_status(json!({
                "conditions": [{
                    "lastTransitionTime": since,
                    "message": "Successfully reconciled",
                    "observedGeneration": generation,
                    "reason": "Reconciled",
                    "status": "True",
                    "type": "Ready",
                }],
                "image": self.image,
                "observedGeneration": generation,
                "scale": scale,
                "version": COLLECTOR_OPERATOR_VERSION,
            }))
            .await
    }
}

/// Of `host:port`.
fn port_of(endpoint: &str) -> Option<u16> {
    endpoint.rsplit_once(':')?.1.parse().ok()
}
