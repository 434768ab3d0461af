//! Where pods run, and as whom.

use std::collections::BTreeMap;

use rstest::rstest;
use serde_json::{Value, json};
use tempo_perf::environment::kubernetes::manifests::blueprint::Flavor;
use tempo_perf::environment::kubernetes::manifests::{node_anti_affinity, pod_security, tempo};

use super::blueprints::{blueprint, find, objects, profile, with_nodes_and_s3};
use super::choices::{demo, pico};

#[test]
fn ids_are_given_by_us_or_by_openshift() {
    let vanilla = pod_security(&demo(), 12345).pod;
    assert_eq!(
        vanilla,
        json!({
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
            "runAsUser": 12345,
            "runAsGroup": 12345,
            "fsGroup": 12345,
        })
    );
    let demo = profile("1x-demo");
    let openshift = pod_security(&blueprint(&demo, Flavor::OpenShift), 12345).pod;
    assert_eq!(
        openshift,
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
    );
}

/// Whether a node with these labels fits what scheduling requires.
fn fits(affinity: &Value, node: &BTreeMap<&str, &str>) -> bool {
    let required = &affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = required["nodeSelectorTerms"].as_array().unwrap();
    terms.iter().any(|term| {
        let expressions = term["matchExpressions"].as_array().unwrap();
        expressions.iter().all(|expression| {
            assert_eq!(expression["operator"], "NotIn");
            let value = node.get(expression["key"].as_str().unwrap());
            let values = expression["values"].as_array().unwrap();
            value.is_none_or(|value| !values.contains(&json!(value)))
        })
    })
}

#[rstest]
#[case::tempos_node(&[("node-role.kubernetes.io/infra", ""), ("pool", "tempo")], false)]
#[case::one_label(&[("node-role.kubernetes.io/infra", "")], true)]
#[case::other_value(&[("node-role.kubernetes.io/infra", ""), ("pool", "apps")], true)]
#[case::no_label(&[], true)]
fn our_pods_keep_off_tempos_nodes(#[case] labels: &[(&str, &str)], #[case] fit: bool) {
    let affinity = node_anti_affinity(&with_nodes_and_s3(demo())).unwrap();
    assert_eq!(fits(&affinity, &labels.iter().copied().collect()), fit);
}

#[test]
fn affinity_and_node_selector_are_on_the_right_pods() {
    for case in [demo(), pico()] {
        let plain = objects(&case);
        let mut selected = with_nodes_and_s3(case.clone());
        selected.storage = case.storage.clone();
        let affinity = node_anti_affinity(&selected).unwrap();
        let selected = objects(&selected);
        for (title, place) in [
            ("StatefulSet/minio", "/spec/template/spec"),
            ("Deployment/prometheus", "/spec/template/spec"),
            ("OpenTelemetryCollector/perf", "/spec"),
        ] {
            let spec = find(&selected, title).pointer(place).unwrap();
            assert_eq!(spec["affinity"], affinity, "{title}");
            let spec = find(&plain, title).pointer(place).unwrap();
            assert_eq!(spec["affinity"], Value::Null, "{title}");
        }
    }
    let stack = tempo(&with_nodes_and_s3(blueprint(
        &profile("1x-pico"),
        Flavor::OpenShift,
    )));
    let template = stack["spec"]["template"].as_object().unwrap();
    let mut seen = Vec::new();
    for (name, component) in template {
        let nested = ["distributor", "queryFrontend", "gateway"].contains(&name.as_str());
        let pods = if nested {
            &component["component"]
        } else {
            component
        };
        assert_eq!(pods["nodeSelector"]["pool"], "tempo", "{name}");
        assert_eq!(pods["tolerations"][0]["operator"], "Exists", "{name}");
        seen.push(name.as_str());
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            "compactor",
            "distributor",
            "gateway",
            "ingester",
            "querier",
            "queryFrontend"
        ]
    );
}
