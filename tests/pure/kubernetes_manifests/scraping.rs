//! What is scraped, worked out on pods and Services as the operators make them.
//! Their labels and ports are those of real ones: Tempo operator 0.22,
//! OpenTelemetry operator 0.156.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use rstest::rstest;
use serde_json::Value;
use tempo_perf::environment::kubernetes::manifests::blueprint::{Blueprint, Flavor};
use tempo_perf::environment::kubernetes::manifests::{minio, monitors, own_prometheus};

use super::blueprints::{blueprint, find, monitored, own, profile};

type Labels = BTreeMap<String, String>;

const NAMESPACE: &str = "tempo-perf-1x";

struct Pod {
    name: String,
    container: String,
    labels: Labels,
    ports: Vec<(String, u16)>,
    phase: &'static str,
}

struct Service {
    name: String,
    labels: Labels,
    ports: Vec<String>,
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn tempo_labels(name: &str, component: &str) -> Labels {
    labels(&[
        ("app.kubernetes.io/component", component),
        ("app.kubernetes.io/instance", "perf"),
        ("app.kubernetes.io/managed-by", "tempo-operator"),
        ("app.kubernetes.io/name", name),
    ])
}

fn collector_labels(name: &str) -> Labels {
    labels(&[
        ("app.kubernetes.io/component", "opentelemetry-collector"),
        ("app.kubernetes.io/instance", "tempo-perf-1x.perf"),
        ("app.kubernetes.io/managed-by", "opentelemetry-operator"),
        ("app.kubernetes.io/name", name),
        ("app.kubernetes.io/part-of", "opentelemetry"),
        ("app.kubernetes.io/version", "0.160.0"),
    ])
}

fn pod(name: &str, container: &str, labels: Labels, ports: &[(&str, u16)]) -> Pod {
    Pod {
        name: name.into(),
        container: container.into(),
        labels,
        ports: ports
            .iter()
            .map(|&(name, port)| (name.to_string(), port))
            .collect(),
        phase: "Running",
    }
}

fn tempo_pods(stack: bool) -> Vec<Pod> {
    if !stack {
        return vec![pod(
            "tempo-perf-0",
            "tempo",
            tempo_labels("tempo-monolithic", "tempo"),
            &[
                ("http", 3200),
                ("tempo-internal", 3101),
                ("otlp-grpc", 4317),
                ("otlp-http", 4318),
            ],
        )];
    }
    let member = ("http-memberlist", 7946);
    [
        (
            "distributor",
            vec![
                ("otlp-http", 4318),
                ("otlp-grpc", 4317),
                ("http", 3200),
                member,
            ],
        ),
        ("ingester", vec![member, ("http", 3200), ("grpc", 9095)]),
        ("querier", vec![("http", 3200), member]),
        ("query-frontend", vec![("http", 3200), ("grpc", 9095)]),
        ("compactor", vec![("http", 3200), member]),
    ]
    .into_iter()
    .map(|(component, ports)| {
        let mut labels = tempo_labels("tempo", component);
        labels.insert("tempo-gossip-member".into(), "true".into());
        pod(
            &format!("tempo-perf-{component}-0"),
            "tempo",
            labels,
            &ports,
        )
    })
    .collect()
}

fn collector_pod() -> Pod {
    pod(
        "perf-collector-0",
        "otc-container",
        collector_labels("perf-collector"),
        &[("metrics", 8888), ("otlp-grpc", 4317), ("otlp-http", 4318)],
    )
}

/// Of a StatefulSet or Deployment of ours.
fn own_pod(workload: &Value) -> Pod {
    let template = &workload["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    Pod {
        name: format!("{}-0", workload["metadata"]["name"].as_str().unwrap()),
        container: container["name"].as_str().unwrap().into(),
        labels: serde_json::from_value(template["metadata"]["labels"].clone()).unwrap(),
        ports: container["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| {
                let number = port["containerPort"].as_u64().unwrap();
                (
                    port["name"].as_str().unwrap().to_string(),
                    u16::try_from(number).unwrap(),
                )
            })
            .collect(),
        phase: "Running",
    }
}

fn services(stack: bool, gateway: bool) -> Vec<Service> {
    let service = |name: &str, labels: Labels, ports: &[&str]| Service {
        name: name.into(),
        labels,
        ports: ports.iter().map(|&port| port.to_string()).collect(),
    };
    let collector = |name: &str, kind: &str| {
        let mut labels = collector_labels(name);
        labels.insert(
            "operator.opentelemetry.io/collector-service-type".into(),
            kind.into(),
        );
        labels
    };
    let mut services = vec![
        service(
            "perf-collector",
            collector("perf-collector", "base"),
            &["otlp-grpc", "otlp-http"],
        ),
        service(
            "perf-collector-headless",
            collector("perf-collector", "headless"),
            &["otlp-grpc", "otlp-http"],
        ),
        service(
            "perf-collector-monitoring",
            collector("perf-collector-monitoring", "monitoring"),
            &["monitoring"],
        ),
    ];
    let tempo = |component: &str, ports: &[&str]| {
        service(
            &format!("tempo-perf-{component}"),
            tempo_labels("tempo", component),
            ports,
        )
    };
    match (stack, gateway) {
        (false, false) => services.push(service(
            "tempo-perf",
            tempo_labels("tempo-monolithic", "tempo"),
            &["http", "otlp-grpc", "otlp-http"],
        )),
        (false, true) => services.push(service(
            "tempo-perf-gateway",
            tempo_labels("tempo-monolithic", "gateway"),
            &["public", "internal", "http", "otlp-grpc"],
        )),
        (true, gateway) => {
            services.extend([
                tempo("distributor", &["otlp-http", "otlp-grpc", "http"]),
                tempo("ingester", &["http", "grpc"]),
                tempo("querier", &["http-memberlist", "http", "grpc"]),
                tempo("query-frontend", &["http", "grpc"]),
                tempo("query-frontend-discovery", &["http", "grpc", "grpclb"]),
                tempo("compactor", &["http-memberlist", "http"]),
                tempo("gossip-ring", &["http-memberlist"]),
            ]);
            if gateway {
                services.push(tempo("gateway", &["public", "internal", "grpc-public"]));
            }
        }
    }
    services
}

/// Labels of a port of a pod as Prometheus' discovery gives them.
fn discovered(pod: &Pod, port: &(String, u16)) -> Labels {
    let meta = |name: &str| format!("__meta_kubernetes_{name}");
    let mut found = labels(&[("__address__", &format!("10.0.0.1:{}", port.1))]);
    found.insert(meta("namespace"), NAMESPACE.into());
    found.insert(meta("pod_name"), pod.name.clone());
    found.insert(meta("pod_phase"), pod.phase.into());
    found.insert(meta("pod_node_name"), "node-1".into());
    found.insert(meta("pod_container_name"), pod.container.clone());
    found.insert(meta("pod_container_port_name"), port.0.clone());
    found.insert(meta("pod_container_port_number"), port.1.to_string());
    let unfit = Regex::new("[^a-zA-Z0-9_]").unwrap();
    for (key, value) in &pod.labels {
        let key = unfit.replace_all(key, "_");
        found.insert(meta(&format!("pod_label_{key}")), value.clone());
    }
    found
}

/// Prometheus' relabelling, as far as it is used; none for a dropped target.
fn relabel(rules: &[Value], mut labels: Labels) -> Option<Labels> {
    for rule in rules {
        let sources: Vec<&str> = rule["source_labels"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|label| {
                labels
                    .get(label.as_str().unwrap())
                    .map_or("", String::as_str)
            })
            .collect();
        let value = sources.join(";");
        let regex = rule["regex"].as_str().unwrap_or("(.*)");
        let regex = Regex::new(&format!("^(?:{regex})$")).unwrap();
        let captures = regex.captures(&value);
        match rule["action"].as_str().unwrap_or("replace") {
            "keep" => drop(captures?),
            "drop" if captures.is_some() => return None,
            "drop" => {}
            "replace" => {
                if let Some(captures) = captures {
                    let mut replaced = String::new();
                    captures.expand(rule["replacement"].as_str().unwrap_or("$1"), &mut replaced);
                    labels.insert(rule["target_label"].as_str().unwrap().into(), replaced);
                }
            }
            other => panic!("{other} must be known here"),
        }
    }
    Some(labels)
}

/// `scheme://address/path` of every target with its labels, in order.
fn scraped(blueprint: &Blueprint, pods: &[Pod]) -> BTreeSet<String> {
    let objects = own_prometheus(blueprint);
    let data = &find(&objects, "ConfigMap/prometheus")["data"]["prometheus.yml"];
    let config: Value = serde_yaml::from_str(data.as_str().unwrap()).unwrap();
    let mut targets = BTreeSet::new();
    for job in config["scrape_configs"].as_array().unwrap() {
        let text = |key: &str, default: &str| job[key].as_str().unwrap_or(default).to_string();
        let rules = job["relabel_configs"].as_array().unwrap();
        for pod in pods {
            for port in &pod.ports {
                let mut labels = discovered(pod, port);
                labels.insert("job".into(), text("job_name", ""));
                labels.insert("__scheme__".into(), text("scheme", "http"));
                labels.insert("__metrics_path__".into(), text("metrics_path", "/metrics"));
                let Some(labels) = relabel(rules, labels) else {
                    continue;
                };
                let shown: Vec<String> = labels
                    .iter()
                    .filter(|(key, _)| !key.starts_with("__"))
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                targets.insert(format!(
                    "{}://{}{} {} {}",
                    labels["__scheme__"],
                    labels["__address__"],
                    labels["__metrics_path__"],
                    shown.join(" "),
                    job["tls_config"]["server_name"].as_str().unwrap_or(""),
                ));
            }
        }
    }
    targets
}

fn case(name: &str, flavor: Flavor) -> Blueprint {
    Blueprint {
        namespace: NAMESPACE.into(),
        ..blueprint(&profile(name), flavor)
    }
}

fn all_targets(blueprint: &Blueprint, stack: bool) -> String {
    let mut pods = tempo_pods(stack);
    pods.push(collector_pod());
    pods.push(own_pod(find(&minio(blueprint), "StatefulSet/minio")));
    let objects = own_prometheus(blueprint);
    pods.push(own_pod(find(&objects, "Deployment/prometheus")));
    let mut ended = collector_pod();
    ended.phase = "Failed";
    ended.name = "ended".into();
    pods.push(ended);
    scraped(blueprint, &pods)
        .into_iter()
        .map(|target| format!("{}\n", target.trim_end()))
        .collect()
}

#[test]
fn our_prometheus_scrapes_a_monolithic() {
    insta::assert_snapshot!(all_targets(&case("1x-demo", Flavor::Vanilla), false));
}

#[test]
fn our_prometheus_scrapes_a_stack() {
    insta::assert_snapshot!(all_targets(&case("1x-pico", Flavor::Vanilla), true));
}

#[test]
fn our_prometheus_scrapes_behind_gateways() {
    for (name, stack) in [("1x-demo", false), ("1x-pico", true)] {
        let blueprint = Blueprint {
            scraper: own(),
            ..case(name, Flavor::OpenShift)
        };
        let all = all_targets(&blueprint, stack);
        let tempo: Vec<&str> = all.lines().filter(|line| line.contains(":3200")).collect();
        assert_eq!(tempo.len(), if stack { 5 } else { 1 }, "{all}");
        for line in tempo {
            assert!(line.starts_with("https://"), "{line}");
        }
    }
}

#[rstest]
#[case::monolithic("1x-demo", Flavor::Vanilla, false, &["tempo-perf"])]
#[case::monolithic_gateway("1x-demo", Flavor::OpenShift, false, &["tempo-perf-gateway"])]
#[case::stack("1x-pico", Flavor::Vanilla, true, STACK)]
#[case::stack_gateway("1x-pico", Flavor::OpenShift, true, STACK)]
fn every_monitor_finds_its_one_service(
    #[case] name: &str,
    #[case] flavor: Flavor,
    #[case] stack: bool,
    #[case] tempo: &[&str],
) {
    let blueprint = Blueprint {
        scraper: monitored(),
        ..case(name, flavor)
    };
    let mut services = services(stack, blueprint.has_gateway());
    let own = minio(&blueprint);
    let service = find(&own, "Service/minio");
    services.push(Service {
        name: "minio".into(),
        labels: serde_json::from_value(service["metadata"]["labels"].clone()).unwrap(),
        ports: vec![service["spec"]["ports"][0]["name"].as_str().unwrap().into()],
    });
    let mut found = Vec::new();
    for monitor in monitors(&blueprint) {
        let wanted: Labels =
            serde_json::from_value(monitor["spec"]["selector"]["matchLabels"].clone()).unwrap();
        let selected: Vec<&Service> = services
            .iter()
            .filter(|service| wanted.iter().all(|(k, v)| service.labels.get(k) == Some(v)))
            .collect();
        let [service] = selected[..] else {
            panic!(
                "{monitor:#} must select one Service, not {}",
                selected.len()
            )
        };
        let port = monitor["spec"]["endpoints"][0]["port"].as_str().unwrap();
        assert!(
            service.ports.iter().any(|known| known == port),
            "{} must have a port {port}",
            service.name
        );
        found.push(service.name.as_str());
    }
    let expected = [tempo, &["perf-collector-monitoring", "minio"]].concat();
    assert_eq!(found, expected);
}

const STACK: &[&str] = &[
    "tempo-perf-distributor",
    "tempo-perf-ingester",
    "tempo-perf-querier",
    "tempo-perf-query-frontend",
    "tempo-perf-compactor",
];
