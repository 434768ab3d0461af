//! Blueprints of the built-in profiles, and all objects that are made of one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempo_perf::environment::kubernetes::cluster::names::S3_SECRET;
use tempo_perf::environment::kubernetes::manifests::blueprint::{
    Blueprint, Flavor, Images, Scraper, StoragePlan,
};
use tempo_perf::environment::kubernetes::manifests::{
    access, collector, minio, monitors, namespace, network_policies, own_prometheus,
    storage_secret, tempo,
};
use tempo_perf::profile::{self, Profile, TaintEffect, Toleration, TolerationOperator};
use tempo_perf::units::{ByteRate, EventRate};

/// About what a trace of a built-in corpus has; the real number is the plan's.
const BYTES_PER_TRACE: f64 = 10_000.0;

pub fn profiles() -> Vec<Profile> {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/profiles"));
    profile::discover(directory)
        .unwrap()
        .into_iter()
        .map(|case| case.profile.unwrap_or_else(|errors| panic!("{errors}")))
        .collect()
}

pub fn profile(name: &str) -> Profile {
    profiles()
        .into_iter()
        .find(|profile| profile.name == name)
        .unwrap_or_else(|| panic!("{name} must be a built-in profile"))
}

pub fn own() -> Scraper {
    Scraper::Own { cadvisor: true }
}

pub fn monitored() -> Scraper {
    Scraper::Monitors {
        labels: BTreeMap::from([("release".into(), "kps".into())]),
        namespaces: vec!["monitoring".into()],
    }
}

/// A run of `profile` with what each flavor usually has for metrics.
pub fn blueprint(profile: &Profile, flavor: Flavor) -> Blueprint {
    let ingestion = ByteRate::from_mb_per_second(profile.k6.ingestion.mb_per_second);
    Blueprint {
        namespace: format!("tempo-perf-{}", profile.name),
        profile: profile.name.clone(),
        run: 7,
        flavor,
        variant: profile.tempo.variant,
        resources: profile.tempo.resources.clone(),
        replication_factor: profile.tempo.replication_factor.unwrap_or(1),
        overrides: profile.tempo.overrides.clone(),
        node_selector: profile.tempo.node_selector.clone(),
        tolerations: profile.tempo.tolerations.clone(),
        storage: StoragePlan::Minio {
            size: profile.storage.size.clone().unwrap(),
        },
        storage_class: None,
        images: Images::default(),
        collector: profile.k6.ingestion.collector,
        scraper: match flavor {
            Flavor::Vanilla => own(),
            Flavor::OpenShift => Scraper::Monitors {
                labels: BTreeMap::new(),
                namespaces: vec!["openshift-user-workload-monitoring".into()],
            },
        },
        ingestion,
        most_ingestion: ingestion,
        most_traces: EventRate::per_second(ingestion.bytes_per_second() / BYTES_PER_TRACE),
        max_vus: profile.k6.vus.max,
        job_timeout: Duration::from_secs(900),
    }
}

/// The same with nodes of its own for Tempo and a bucket on AWS.
pub fn with_nodes_and_s3(mut blueprint: Blueprint) -> Blueprint {
    blueprint.node_selector = BTreeMap::from([
        ("node-role.kubernetes.io/infra".into(), String::new()),
        ("pool".into(), "tempo".into()),
    ]);
    blueprint.tolerations = vec![Toleration {
        key: Some("node-role.kubernetes.io/infra".into()),
        operator: TolerationOperator::Exists,
        value: None,
        effect: Some(TaintEffect::NoSchedule),
    }];
    blueprint.storage = StoragePlan::S3 {
        bucket: "tempo-traces".into(),
        region: Some("us-east-2".into()),
        endpoint: "https://s3.us-east-2.amazonaws.com".into(),
        secret_name: S3_SECRET.into(),
    };
    blueprint
}

/// Every built-in profile on both flavors, with and without nodes and S3, with
/// the metrics of the flavor and with those of the other.
pub fn matrix() -> Vec<Blueprint> {
    let mut all = Vec::new();
    for profile in profiles() {
        for flavor in [Flavor::Vanilla, Flavor::OpenShift] {
            let plain = blueprint(&profile, flavor);
            for options in [plain.clone(), with_nodes_and_s3(plain)] {
                for scraper in [own(), monitored()] {
                    all.push(Blueprint {
                        scraper,
                        ..options.clone()
                    });
                }
            }
        }
    }
    all
}

pub fn objects(blueprint: &Blueprint) -> Vec<Value> {
    let access = access(blueprint);
    let annotations = BTreeMap::from([("tempo-perf/started-by".into(), "test".into())]);
    let mut objects = vec![namespace(blueprint, annotations)];
    objects.extend(access.namespaced);
    objects.extend(access.cluster);
    objects.push(storage_secret(blueprint, "the-id", "the-secret"));
    objects.extend(minio(blueprint));
    objects.push(tempo(blueprint));
    objects.push(collector(blueprint));
    objects.extend(network_policies(blueprint));
    objects.extend(own_prometheus(blueprint));
    objects.extend(monitors(blueprint));
    objects
}

/// `Kind/name`, for messages.
pub fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_string();
    format!(
        "{}/{}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

/// The one object of this kind and name.
pub fn find<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| title(object) == wanted)
        .unwrap_or_else(|| {
            let all: Vec<String> = objects.iter().map(title).collect();
            panic!("{wanted} must be among {all:?}")
        })
}
