//! Single choices in the objects, each for a reason of its own.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use tempo_perf::environment::kubernetes::cluster::names::{
    NAMESPACE_LABEL, PROFILE_LABEL, RUN_LABEL,
};
use tempo_perf::environment::kubernetes::manifests::blueprint::{
    Blueprint, Flavor, Scraper, StoragePlan,
};
use tempo_perf::environment::kubernetes::manifests::{
    access, client_certificate, collector, minio, monitors, network_policies, own_prometheus,
    storage_secret, tempo,
};
use tempo_perf::profile::{CollectorMode, IngesterTuning, Overrides, Resources};
use tempo_perf::units::{ByteRate, EventRate};

use super::blueprints::{blueprint, find, matrix, monitored, objects, own, profile, title};

pub fn demo() -> Blueprint {
    blueprint(&profile("1x-demo"), Flavor::Vanilla)
}

pub fn pico() -> Blueprint {
    blueprint(&profile("1x-pico"), Flavor::Vanilla)
}

#[test]
fn everything_carries_the_labels_of_the_run() {
    for blueprint in matrix() {
        for object in objects(&blueprint) {
            let metadata = &object["metadata"];
            let title = title(&object);
            assert_eq!(metadata["labels"][RUN_LABEL], "7", "{title}");
            assert_eq!(
                metadata["labels"][PROFILE_LABEL],
                blueprint.profile.as_str(),
                "{title}"
            );
            let cluster = ["Namespace", "ClusterRole", "ClusterRoleBinding"]
                .iter()
                .any(|kind| object["kind"] == *kind);
            assert_eq!(metadata["namespace"].is_null(), cluster, "{title}");
        }
        for object in access(&blueprint).cluster {
            let metadata = &object["metadata"];
            let namespace = blueprint.namespace.as_str();
            assert_eq!(metadata["labels"][NAMESPACE_LABEL], namespace);
            assert!(metadata["name"].as_str().unwrap().contains(namespace));
        }
    }
}

/// The Tempo operator deletes what carries its labels and is not its own.
#[test]
fn nothing_carries_labels_of_the_operators() {
    for object in matrix().iter().flat_map(objects) {
        for labels in [
            &object["metadata"]["labels"],
            &object["spec"]["template"]["metadata"]["labels"],
        ] {
            let foreign = labels
                .as_object()
                .into_iter()
                .flatten()
                .find(|(key, _)| key.starts_with("app.kubernetes.io/"));
            assert_eq!(foreign, None, "{}", title(&object));
        }
    }
}

#[test]
fn names_are_used_once() {
    for blueprint in matrix() {
        let objects = objects(&blueprint);
        let mut titles: Vec<String> = objects.iter().map(title).collect();
        titles.sort();
        let count = titles.len();
        titles.dedup();
        assert_eq!(titles.len(), count, "{titles:?}");
    }
}

/// Bytes per second, traces per second, the profile's own limit of traces;
/// then rate, burst and live traces.
#[rstest]
#[case::small_load(52_428.8, 5.0, None, [15_000_000, 30_000_000, 10_000])]
#[case::just_above_the_default(8_000_000.0, 5.0, None, [16_000_000, 32_000_000, 10_000])]
#[case::large_load(24_117_248.0, 1400.0, None, [48_234_496, 96_468_992, 84_000])]
#[case::no_limit_asked_for(52_428.8, 5.0, Some(0), [15_000_000, 30_000_000, 0])]
#[case::small_limit_asked_for(52_428.8, 5.0, Some(5), [15_000_000, 30_000_000, 5])]
fn limits_leave_room_for_the_load(
    #[case] bytes: f64,
    #[case] traces: f64,
    #[case] asked: Option<u64>,
    #[case] expected: [u64; 3],
) {
    let load = |blueprint: Blueprint| Blueprint {
        most_ingestion: ByteRate::from_bytes_per_second(bytes),
        most_traces: EventRate::per_second(traces),
        overrides: Some(Overrides {
            max_traces_per_user: asked,
            ingester: None,
        }),
        ..blueprint
    };
    let [rate, burst, live] = expected;

    let monolithic = tempo(&load(demo()));
    assert_eq!(
        monolithic["spec"]["extraConfig"]["tempo"]["overrides"]["defaults"],
        json!({
            "ingestion": {
                "rate_limit_bytes": rate,
                "burst_size_bytes": burst,
                "max_traces_per_user": live,
            },
            "global": {"max_bytes_per_trace": 0},
        })
    );
    let stack = tempo(&load(pico()));
    assert_eq!(
        stack["spec"]["limits"]["global"]["ingestion"],
        json!({
            "ingestionRateLimitBytes": rate,
            "ingestionBurstSizeBytes": burst,
            "maxBytesPerTrace": 0,
            "maxTracesPerUser": live,
        })
    );
    assert_eq!(
        stack["spec"]["extraConfig"]["tempo"]["overrides"],
        Value::Null,
        "both forms of overrides together keep Tempo from starting"
    );
}

#[test]
fn a_slower_ingester_may_hold_more_traces() {
    let mut blueprint = demo();
    blueprint.most_traces = EventRate::per_second(1000.0);
    blueprint.overrides = Some(Overrides {
        max_traces_per_user: None,
        ingester: Some(IngesterTuning {
            flush_check_period: Some(Duration::from_secs(20)),
            trace_idle_period: Some(Duration::from_millis(1500)),
            max_block_duration: Some(Duration::from_secs(300)),
            concurrent_flushes: Some(8),
        }),
    });
    let config = &tempo(&blueprint)["spec"]["extraConfig"]["tempo"];
    assert_eq!(
        config["overrides"]["defaults"]["ingestion"]["max_traces_per_user"],
        4 * 1000 * 43 / 2
    );
    let ingester = json!({
        "flush_check_period": "20s",
        "trace_idle_period": "1.5s",
        "max_block_duration": "5m",
        "concurrent_flushes": 8,
    });
    assert_eq!(config["ingester"], ingester);
    let stack = tempo(&Blueprint {
        overrides: blueprint.overrides,
        ..pico()
    });
    assert_eq!(stack["spec"]["extraConfig"]["tempo"]["ingester"], ingester);
}

#[rstest]
#[case::both(Some("8Gi"), Some("1"), json!({"cpu": "1", "memory": "8Gi"}))]
#[case::memory(Some("8Gi"), None, json!({"memory": "8Gi"}))]
#[case::none(None, None, Value::Null)]
fn resources_are_those_of_the_profile(
    #[case] memory: Option<&str>,
    #[case] cpu: Option<&str>,
    #[case] expected: Value,
) {
    let resources = Some(Resources {
        memory: memory.map(Into::into),
        cpu: cpu.map(Into::into),
    });
    let monolithic = tempo(&Blueprint {
        resources: resources.clone(),
        ..demo()
    });
    assert_eq!(monolithic["spec"]["resources"]["limits"], expected);
    assert_eq!(monolithic["spec"]["resources"]["requests"], expected);
    let stack = tempo(&Blueprint {
        resources,
        ..pico()
    });
    assert_eq!(stack["spec"]["resources"]["total"]["limits"], expected);
}

#[rstest]
#[case::one(1, 1)]
#[case::three(3, 3)]
#[case::none_is_one_ingester(0, 1)]
fn there_are_as_many_ingesters_as_copies(#[case] factor: u32, #[case] ingesters: u32) {
    let stack = tempo(&Blueprint {
        replication_factor: factor,
        ..pico()
    });
    assert_eq!(stack["spec"]["template"]["ingester"]["replicas"], ingesters);
}

/// A stack looks at this field, a monolithic at the scheme.
#[rstest]
#[case::https("https://s3.example.com", json!({"enabled": true}))]
#[case::http("http://s3.example.com:9000", Value::Null)]
fn a_stack_is_told_of_tls_to_the_store(#[case] endpoint: &str, #[case] expected: Value) {
    let mut blueprint = pico();
    blueprint.storage = StoragePlan::S3 {
        bucket: "b".into(),
        region: None,
        endpoint: endpoint.into(),
        secret_name: "s".into(),
    };
    let stack = tempo(&blueprint);
    assert_eq!(stack["spec"]["storage"]["tls"], expected);
    assert_eq!(stack["spec"]["extraConfig"], Value::Null);
    assert!(minio(&blueprint).is_empty());
    let secret = storage_secret(&blueprint, "id", "key");
    assert_eq!(
        secret["stringData"],
        json!({
            "bucket": "b",
            "endpoint": endpoint,
            "access_key_id": "id",
            "access_key_secret": "key",
        })
    );
    assert_eq!(secret["metadata"]["name"], "s");
}

#[test]
fn a_storage_class_reaches_every_volume() {
    let classed = |blueprint: Blueprint| Blueprint {
        storage_class: Some("fast".into()),
        ..blueprint
    };
    let volumes = objects(&classed(demo()));
    let claim = find(&volumes, "PersistentVolumeClaim/minio");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    let monolithic = find(&volumes, "TempoMonolithic/perf");
    assert_eq!(
        monolithic["spec"]["storage"]["traces"]["storageClassName"],
        "fast"
    );
    let stack = tempo(&classed(pico()));
    assert_eq!(stack["spec"]["storageClassName"], "fast");
}

#[test]
fn a_queued_collector_has_the_exporters_defaults_and_memory_for_them() {
    let synchronous = collector(&demo());
    let queued = collector(&Blueprint {
        collector: CollectorMode::Queued,
        ..demo()
    });
    let exporter = |collector: &Value| collector["spec"]["config"]["exporters"]["otlp"].clone();
    assert_eq!(exporter(&synchronous)["sending_queue"]["enabled"], false);
    assert_eq!(exporter(&synchronous)["retry_on_failure"]["enabled"], false);
    for key in ["sending_queue", "retry_on_failure"] {
        assert_eq!(exporter(&queued)[key], Value::Null);
    }
    let memory = |collector: &Value| collector["spec"]["resources"]["limits"]["memory"].clone();
    assert_eq!(memory(&synchronous), "552Mi");
    assert_eq!(memory(&queued), "8552Mi");
}

#[test]
fn the_collectors_image_is_the_operators_unless_named() {
    let mut blueprint = demo();
    assert_eq!(collector(&blueprint)["spec"]["image"], Value::Null);
    blueprint.images.collector = Some("example.com/otelcol:1".into());
    let named = collector(&blueprint);
    assert_eq!(named["spec"]["image"], "example.com/otelcol:1");
}

#[test]
fn traces_reach_tempo_verified_where_there_is_a_gateway() {
    for name in ["1x-demo", "1x-pico"] {
        let collector = collector(&blueprint(&profile(name), Flavor::OpenShift));
        let config = &collector["spec"]["config"];
        let tls = &config["exporters"]["otlp"]["tls"];
        let directory = "/var/run/secrets/kubernetes.io/serviceaccount";
        assert_eq!(
            *tls,
            json!({"ca_file": format!("{directory}/service-ca.crt")})
        );
        assert_eq!(
            config["service"]["extensions"],
            json!(["health_check", "bearertokenauth"])
        );
        assert_eq!(collector["spec"]["serviceAccount"], "collector");
    }
}

#[rstest]
#[case::monolithic("1x-demo", Flavor::Vanilla, None)]
#[case::stack("1x-pico", Flavor::Vanilla, Some("tempo-perf-distributor-mtls"))]
#[case::monolithic_gateway("1x-demo", Flavor::OpenShift, Some("tempo-perf-mtls"))]
#[case::stack_gateway("1x-pico", Flavor::OpenShift, Some("tempo-perf-distributor-mtls"))]
fn prometheus_mounts_a_certificate_where_tempo_asks_for_one(
    #[case] name: &str,
    #[case] flavor: Flavor,
    #[case] secret: Option<&str>,
) {
    let blueprint = Blueprint {
        scraper: own(),
        ..blueprint(&profile(name), flavor)
    };
    assert_eq!(client_certificate(&blueprint).as_deref(), secret);
    let objects = own_prometheus(&blueprint);
    let pod = &find(&objects, "Deployment/prometheus")["spec"]["template"]["spec"];
    let mounted = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|volume| volume["secret"]["secretName"].as_str());
    assert_eq!(mounted, secret);
}

/// A user must hold every right that is given here.
#[rstest]
#[case::own(Flavor::Vanilla, own(), &["nodes/proxy"])]
#[case::own_without_nodes(Flavor::Vanilla, Scraper::Own { cadvisor: false }, &[])]
#[case::of_the_cluster(Flavor::Vanilla, monitored(), &[])]
#[case::found_by_itself(Flavor::Vanilla, Scraper::Foreign, &[])]
#[case::thanos(Flavor::OpenShift, monitored(), &["perf", "perf", "cluster-monitoring-view"])]
#[case::openshift_own(Flavor::OpenShift, own(), &["perf", "perf", "nodes/proxy"])]
#[case::openshift_other(Flavor::OpenShift, Scraper::Foreign, &["perf", "perf"])]
fn no_more_rights_in_the_cluster_than_needed(
    #[case] flavor: Flavor,
    #[case] scraper: Scraper,
    #[case] expected: &[&str],
) {
    let blueprint = Blueprint {
        scraper,
        ..blueprint(&profile("1x-demo"), flavor)
    };
    let cluster = access(&blueprint).cluster;
    let ours: Vec<&Value> = cluster
        .iter()
        .filter(|object| object["kind"] == "ClusterRole")
        .map(|role| &role["metadata"]["name"])
        .collect();
    let mut given: Vec<&str> = Vec::new();
    for object in &cluster {
        if object["kind"] == "ClusterRole" {
            given.push(object["rules"][0]["resources"][0].as_str().unwrap());
        } else if !ours.contains(&&object["roleRef"]["name"]) {
            given.push(object["roleRef"]["name"].as_str().unwrap());
        }
    }
    assert_eq!(given, expected);
}

#[rstest]
#[case::monolithic("1x-demo", own(), None)]
#[case::own("1x-pico", own(), Some(json!([{"from": [{"podSelector": {}}]}])))]
#[case::of_the_cluster("1x-pico", monitored(), Some(json!([
    {"from": [{"podSelector": {}}]},
    {
        "from": [{"namespaceSelector": {"matchExpressions": [{
            "key": "kubernetes.io/metadata.name",
            "operator": "In",
            "values": ["monitoring"],
        }]}}],
        "ports": [{"protocol": "TCP", "port": 3200}],
    },
])))]
#[case::unknown_namespace("1x-pico", Scraper::Foreign, Some(json!([
    {"from": [{"podSelector": {}}]},
    {
        "from": [{"namespaceSelector": {}}],
        "ports": [{"protocol": "TCP", "port": 3200}],
    },
])))]
fn whoever_scrapes_is_let_in(
    #[case] name: &str,
    #[case] scraper: Scraper,
    #[case] ingress: Option<Value>,
) {
    let blueprint = Blueprint {
        scraper,
        ..blueprint(&profile(name), Flavor::Vanilla)
    };
    let policies = network_policies(&blueprint);
    let found: Vec<&Value> = policies
        .iter()
        .map(|policy| &policy["spec"]["ingress"])
        .collect();
    assert_eq!(found, ingress.iter().collect::<Vec<_>>());
}

#[test]
fn only_one_prometheus_is_told_to_scrape() {
    assert!(monitors(&demo()).is_empty());
    let monitored = Blueprint {
        scraper: monitored(),
        ..demo()
    };
    assert!(own_prometheus(&monitored).is_empty());
    for monitor in monitors(&monitored) {
        assert_eq!(monitor["metadata"]["labels"]["release"], "kps");
    }
    let foreign = Blueprint {
        scraper: Scraper::Foreign,
        ..demo()
    };
    assert!(monitors(&foreign).is_empty() && own_prometheus(&foreign).is_empty());
}
