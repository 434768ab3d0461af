use super::*;
use crate::environment::kubernetes::watch::conditions::collector_ready;

const COLLECTOR: (&str, &str) = ("OpenTelemetryCollector", "perf");
const DEPLOYMENT: (&str, &str) = ("Deployment", "perf-collector");
const PROBE: &str = "/spec/template/spec/containers/0/readinessProbe";

/// The recorded collector, ready, and its Deployment with a probe.
fn probed() -> Scene {
    Scene::of(&["opentelemetrycollector-ready", "generated-deployments"]).set(
        DEPLOYMENT,
        PROBE,
        json!({"httpGet": {"path": "/", "port": 13133}, "periodSeconds": 1}),
    )
}

#[rstest]
#[case::not_there(
    Scene::default(),
    "Waiting: OpenTelemetryCollector perf: does not exist yet"
)]
#[case::ready(probed(), "Done")]
#[case::without_a_probe(
    Scene::of(&["opentelemetrycollector-ready", "generated-deployments"]),
    "Stuck: Deployment perf-collector: has no readiness probe, so it looks ready whether \
     it works or not; the OpenTelemetry operator should make one for the extension \
     health_check")]
#[case::ready_before_its_deployment_is_there(
    Scene::of(&["opentelemetrycollector-ready"]),
    "Waiting: Deployment perf-collector: does not exist yet")]
#[case::its_deployment_is_not_ready(
    probed().set(DEPLOYMENT, "/status/readyReplicas", json!(0)),
    "Waiting: Deployment perf-collector: 0 of 1 replicas ready")]
#[case::not_looked_at(
    Scene::of(&["opentelemetrycollector-ready"]).set(COLLECTOR, "/status", Value::Null),
    "Waiting: OpenTelemetryCollector perf: the OpenTelemetry operator has not looked at \
     it yet; Deployment perf-collector: does not exist yet")]
#[case::cannot_be_reconciled(
    probed().set(COLLECTOR, "/status/conditions/0", json!({
        "type": "Ready", "status": "False", "reason": "ReconcileError",
        "message": "Error during reconciliation: configmaps is forbidden"})),
    "Stuck: OpenTelemetryCollector perf: not Ready: ReconcileError: Error during \
     reconciliation: configmaps is forbidden")]
#[case::being_deleted(
    probed().set(COLLECTOR, "/metadata/deletionTimestamp", json!("2026-11-23T02:07:33Z")),
    "Failed: OpenTelemetryCollector perf: is being deleted")]
#[case::ready_without_a_pod_that_pod_security_refused(
    Scene::default()
        .with("opentelemetrycollector-ready-without-pods-psa-rejected")
        .with_renamed("deployment-psa-rejected", &[("tempo-stackmiss-distributor", "perf-collector")]),
    "Stuck: Deployment perf-collector: cannot create pods: pods \
     \"perf-collector-597547ddcd-977wn\" is forbidden: violates PodSecurity \
     \"restricted:latest\": runAsNonRoot != true (pod or container \"tempo\" must set \
     securityContext.runAsNonRoot=true), seccompProfile (pod or container \"tempo\" must \
     set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")")]
fn how_far_a_collector_is(#[case] scene: Scene, #[case] expected: &str) {
    assert_eq!(
        words(Some(collector_ready(&scene.view(), "perf"))),
        expected
    );
}

/// The recorded Deployment under another name, with none of its pods ready.
fn unready(name: &str) -> Scene {
    let (deployment, instance) = (format!("{name}-collector"), format!("tempo-perf-a.{name}"));
    let renames = [
        ("perf-collector", deployment.as_str()),
        ("tempo-perf-d.perf", instance.as_str()),
    ];
    let scene = Scene::default().with_renamed("generated-deployments", &renames);
    scene.set(
        ("Deployment", &deployment),
        "/status/readyReplicas",
        json!(0),
    )
}

#[test]
fn a_crash_looping_collector_has_failed_although_it_says_ready() {
    let view = unready("badconfig")
        .with("opentelemetrycollector-ready-but-crashlooping")
        .with("pod-collector-crashloop-bad-config")
        .view();
    insta::assert_snapshot!(words(Some(collector_ready(&view, "badconfig"))), @"Failed: pod badconfig-collector-7fc44d98b6-xhhmv: container otc-container: CrashLoopBackOff: ended with exit code 1, restarted 2 times");
}

#[test]
fn a_collector_whose_image_cannot_be_pulled_has_failed() {
    let view = unready("badimage")
        .with_renamed(
            "opentelemetrycollector-ready",
            &[("name: perf\n", "name: badimage\n")],
        )
        .with("pod-image-pull-backoff")
        .view();
    insta::assert_snapshot!(words(Some(collector_ready(&view, "badimage"))), @r#"Failed: pod badimage-collector-6699b76f8c-bnl54: cannot pull image "docker.io/otel/opentelemetry-collector-contrib:0.0.1": ErrImagePull: failed to pull and unpack image "docker.io/otel/opentelemetry-collector-contrib:0.0.1": failed to resolve reference "docker.io/otel/opentelemetry-collector-contrib:0.0.1": failed to do request: Head "https://registry.example/v2/otel/opentelemetry-collector-contrib/manifests/0.0.1": dial tcp: lookup registry.example on 10.255.255.53:53: dial udp 10.255.255.53:53: connect: network is unreachable"#);
}
