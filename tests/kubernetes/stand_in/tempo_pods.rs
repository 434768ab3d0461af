//! Pods of Tempo's image: what a TempoMonolithic's and a TempoStack's have in
//! common.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempo_perf::corpus::identity::hex;

use super::objects::without_nulls;
use super::{ABSENT_IMAGE, Behaviour, IMAGE};
use crate::component::MEMORY_VARIABLE;

/// The operator's own are 15 s and 10 s; tests have no time for that.
const PROBE_DELAY_SECONDS: u32 = 1;
const PROBE_PERIOD_SECONDS: u32 = 1;

/// Tempo's limits per tenant and distributor, where a custom resource has none:
/// 15 MB/s and 20 MB (modules/overrides/config.go of Tempo 2.10).
pub const DEFAULT_RATE_LIMIT: u64 = 15_000_000;
pub const DEFAULT_BURST: u64 = 20_000_000;

pub struct TempoPod<'a> {
    pub labels: BTreeMap<String, String>,
    /// As `component` takes them.
    pub args: Vec<String>,
    /// `host:port` of the object store without which it does not start.
    pub object_store: Option<String>,
    /// Restarts the pods when it changes.
    pub config: &'a str,
    pub config_map: String,
    pub ports: &'a [(&'a str, u16)],
    /// Port (name or number) and scheme of the readiness probe.
    pub probe: (Value, &'static str),
    pub resources: Value,
    pub service_account: String,
    /// Has `podSecurityContext`, `nodeSelector`, `tolerations`, `affinity`.
    pub placement: &'a Value,
    /// Volume at /var/tempo.
    pub data_volume: &'a str,
    /// Beside those for configuration and data, as (name, mount path, source).
    pub volumes: Vec<(String, &'a str, Value)>,
}

impl TempoPod<'_> {
    /// `spec.template` of a Deployment or StatefulSet.
    pub fn template(self, behaviour: Behaviour) -> Value {
        let mut args = vec!["component".to_owned()];
        if let Some(address) = self.object_store {
            args.push(format!("--object-store={address}"));
        }
        match behaviour {
            Behaviour::CrashTempo => args.extend([
                "crash".to_owned(),
                "failed parsing config: /conf/tempo.yaml: field stand_in not found".to_owned(),
            ]),
            _ => args.extend(self.args),
        }
        let image = match behaviour {
            Behaviour::TempoImageMissing => ABSENT_IMAGE,
            _ => IMAGE,
        };
        let ports: Vec<_> = self
            .ports
            .iter()
            .map(|(name, port)| json!({"name": name, "containerPort": port, "protocol": "TCP"}))
            .collect();
        let mut mounts = vec![
            json!({"name": "tempo-conf", "mountPath": "/conf", "readOnly": true}),
            json!({"name": self.data_volume, "mountPath": "/var/tempo"}),
        ];
        let mut volumes =
            vec![json!({"name": "tempo-conf", "configMap": {"name": self.config_map}})];
        for (name, path, source) in self.volumes {
            if path != "/var/tempo" {
                mounts.push(json!({"name": name, "mountPath": path}));
            }
            let mut volume = source;
            volume["name"] = json!(name);
            volumes.push(volume);
        }
        let security = match &self.placement["podSecurityContext"] {
            Value::Null => json!({"fsGroup": 10001}),
            given => given.clone(),
        };
        let affinity = match &self.placement["affinity"] {
            Value::Null => json!({"podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{
                    "weight": 100,
                    "podAffinityTerm": {
                        "labelSelector": {"matchLabels": self.labels},
                        "topologyKey": "kubernetes.io/hostname",
                    },
                }],
            }}),
            given => given.clone(),
        };
        let (probe_port, scheme) = self.probe;
        let hash = hex(&Sha256::digest(self.config));
        without_nulls(json!({
            "metadata": {
                "labels": self.labels,
                "annotations": {"tempo.grafana.com/tempoConfig.hash": hash},
            },
            "spec": {
                "serviceAccountName": self.service_account,
                "securityContext": security,
                "nodeSelector": self.placement["nodeSelector"],
                "tolerations": self.placement["tolerations"],
                "affinity": affinity,
                "containers": [{
                    "name": "tempo",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "args": args,
                    "env": [{
                        "name": MEMORY_VARIABLE,
                        "valueFrom": {"resourceFieldRef": {
                            "containerName": "tempo", "resource": "limits.memory",
                        }},
                    }],
                    "ports": ports,
                    "readinessProbe": {
                        "httpGet": {"path": "/ready", "port": probe_port, "scheme": scheme},
                        "initialDelaySeconds": PROBE_DELAY_SECONDS,
                        "periodSeconds": PROBE_PERIOD_SECONDS,
                    },
                    "resources": self.resources,
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": true,
                    },
                    "volumeMounts": mounts,
                }],
                "volumes": volumes,
            },
        }))
    }
}

/// Arguments of a component that keeps traces.
pub fn store_args(name: &str, rate_limit: u64, burst: u64, behaviour: Behaviour) -> Vec<String> {
    let mut args = vec![
        name.to_owned(),
        format!("--rate-limit={rate_limit}"),
        format!("--burst={burst}"),
    ];
    if behaviour == Behaviour::TempoNeverReady {
        args.push("--never-ready".to_owned());
    }
    args
}

/// A number of the custom resource, which may have become a float on its way.
pub fn number(value: &Value, default: u64) -> u64 {
    match value.as_f64() {
        Some(number) if number > 0.0 => number as u64,
        _ => default,
    }
}
