use super::*;
use crate::environment::kubernetes::watch::conditions::{pod_trouble, pod_trouble_in};

#[rstest]
#[case::image_pull_backoff(
    "pod-image-pull-backoff",
    "Failed: pod badimage-collector-6699b76f8c-bnl54: cannot pull image \
     \"docker.io/otel/opentelemetry-collector-contrib:0.0.1\": ErrImagePull: failed to \
     pull and unpack image \"docker.io/otel/opentelemetry-collector-contrib:0.0.1\": \
     failed to resolve reference \
     \"docker.io/otel/opentelemetry-collector-contrib:0.0.1\": failed to do request: Head \
     \"https://registry.example/v2/otel/opentelemetry-collector-contrib/manifests/0.0.1\": \
     dial tcp: lookup registry.example on 10.255.255.53:53: dial udp \
     10.255.255.53:53: connect: network is unreachable"
)]
#[case::crash_loop_seen_between_restarts(
    "pod-collector-crashloop-bad-config",
    "Failed: pod badconfig-collector-7fc44d98b6-xhhmv: container otc-container: \
     CrashLoopBackOff: ended with exit code 1, restarted 2 times"
)]
#[case::crash_loop(
    "pod-tempo-crashloop-bad-config",
    "Failed: pod tempo-tempo-ingester-0: container tempo: CrashLoopBackOff: ended with \
     exit code 1, restarted 2 times"
)]
#[case::unschedulable(
    "pod-unschedulable",
    "Waiting: pod tempo-stk-compactor-fb5c46fc-6x9cm: Unschedulable: 0/1 nodes are \
     available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes \
     are available: 1 No preemption victims found for incoming pod."
)]
#[case::oom_killed(
    "pod-oomkilled",
    "Failed: pod oom: failed: container c: exit code 137, OOM-killed (memory limit 20Mi)"
)]
#[case::crossed_threshold(
    "pod-of-job-failed-threshold",
    "Failed: pod k6-threshold-t9m2w: failed: container k6: exit code 99"
)]
#[case::script_exception(
    "pod-of-job-failed-script-exception-107",
    "Failed: pod k6-threshold-pjgqp: failed: container k6: exit code 107"
)]
#[case::being_deleted(
    "pod-of-job-deadline-exceeded",
    "Waiting: pod k6-deadline-n9tsp: is being deleted"
)]
fn trouble_of_a_recorded_pod(#[case] file: &str, #[case] expected: &str) {
    assert_eq!(words(pod_trouble(&object(file))), expected);
}

const COLLECTOR: (&str, &str) = ("Pod", "badimage-collector-6699b76f8c-bnl54");
const STATE: &str = "/status/containerStatuses/0/state";
const LAST_STATE: &str = "/status/containerStatuses/0/lastState";

/// The recorded collector pod with another container state.
fn in_state(state: Value) -> Scene {
    Scene::of(&["pod-image-pull-backoff"]).set(COLLECTOR, STATE, state)
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

#[rstest]
#[case::first_attempt_to_pull(
    waiting("ErrImagePull", "failed to resolve reference: not found"),
    "Waiting: pod badimage-collector-6699b76f8c-bnl54: cannot pull image \
     \"docker.io/otel/opentelemetry-collector-contrib:0.0.1\": ErrImagePull: failed to \
     resolve reference: not found"
)]
#[case::image_name_is_none(
    waiting("InvalidImageName", "couldn't parse image name \"X:Y:Z\""),
    "Failed: pod badimage-collector-6699b76f8c-bnl54: cannot pull image \
     \"docker.io/otel/opentelemetry-collector-contrib:0.0.1\": InvalidImageName: couldn't \
     parse image name \"X:Y:Z\""
)]
#[case::image_must_be_there(
    waiting(
        "ErrImageNeverPull",
        "Container image is not present with pull policy of Never"
    ),
    "Failed: pod badimage-collector-6699b76f8c-bnl54: cannot pull image \
     \"docker.io/otel/opentelemetry-collector-contrib:0.0.1\": ErrImageNeverPull: \
     Container image is not present with pull policy of Never"
)]
#[case::secret_is_missing(
    waiting("CreateContainerConfigError", "secret \"minio\" not found"),
    "Stuck: pod badimage-collector-6699b76f8c-bnl54: container otc-container: \
     CreateContainerConfigError: secret \"minio\" not found"
)]
#[case::runs_as_root(
    waiting(
        "CreateContainerConfigError",
        "container has runAsNonRoot and image will run as root"
    ),
    "Stuck: pod badimage-collector-6699b76f8c-bnl54: container otc-container: \
     CreateContainerConfigError: container has runAsNonRoot and image will run as root"
)]
#[case::being_created(json!({"waiting": {"reason": "ContainerCreating"}}),
    "Waiting: pod badimage-collector-6699b76f8c-bnl54: container otc-container: \
     ContainerCreating")]
#[case::ended_for_the_first_time(
    json!({"terminated": {"exitCode": 2, "reason": "Error"}}),
    "Waiting: pod badimage-collector-6699b76f8c-bnl54: container otc-container: ended \
     with exit code 2"
)]
#[case::runs_but_is_not_ready(json!({"running": {"startedAt": "2026-11-23T01:58:24Z"}}),
    "Waiting: pod badimage-collector-6699b76f8c-bnl54: running, not ready yet")]
fn trouble_of_a_container_state(#[case] state: Value, #[case] expected: &str) {
    // A pod with a running container has another phase.
    let phase = match state.get("running") {
        Some(_) => "Running",
        None => "Pending",
    };
    let view = in_state(state)
        .set(COLLECTOR, "/status/phase", json!(phase))
        .view();
    assert_eq!(words(pod_trouble(&view.pods[COLLECTOR.1])), expected);
}

#[test]
fn a_crash_loop_for_want_of_memory_names_the_limit() {
    let view = in_state(waiting(
        "CrashLoopBackOff",
        "back-off 20s restarting failed container",
    ))
    .set(
        COLLECTOR,
        LAST_STATE,
        json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
    )
    .set(
        COLLECTOR,
        "/status/containerStatuses/0/restartCount",
        json!(3),
    )
    .view();
    insta::assert_snapshot!(words(pod_trouble(&view.pods[COLLECTOR.1])), @"Failed: pod badimage-collector-6699b76f8c-bnl54: container otc-container: CrashLoopBackOff: ended with exit code 137, OOM-killed (memory limit 512Mi), restarted 3 times");
}

#[test]
fn a_restarted_container_that_runs_again_tells_how_it_ended() {
    let view = in_state(json!({"running": {"startedAt": "2026-11-23T01:58:24Z"}}))
        .set(
            COLLECTOR,
            LAST_STATE,
            json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "no such host"}}),
        )
        .set(
            COLLECTOR,
            "/status/containerStatuses/0/restartCount",
            json!(1),
        )
        .view();
    insta::assert_snapshot!(words(pod_trouble(&view.pods[COLLECTOR.1])), @"Waiting: pod badimage-collector-6699b76f8c-bnl54: container otc-container: restarted once, last ended with exit code 1: no such host; running, not ready yet");
}

#[test]
fn a_ready_pod_and_one_that_ended_well_have_no_trouble() {
    let ready = in_state(json!({"running": {"startedAt": "2026-11-23T01:58:24Z"}}))
        .set(COLLECTOR, "/status/phase", json!("Running"))
        .set(COLLECTOR, "/status/containerStatuses/0/ready", json!(true))
        .set(COLLECTOR, "/status/conditions/2/status", json!("True"))
        .view();
    assert_eq!(words(pod_trouble(&ready.pods[COLLECTOR.1])), "nothing");
    let ended = in_state(json!({"terminated": {"exitCode": 0}}))
        .set(COLLECTOR, "/status/phase", json!("Succeeded"))
        .view();
    assert_eq!(words(pod_trouble(&ended.pods[COLLECTOR.1])), "nothing");
}

#[rstest]
#[case::of_a_deployment(
    false,
    "Waiting: pod badimage-collector-6699b76f8c-bnl54: failed: Evicted: The node was low \
     on resource: memory."
)]
#[case::of_its_own(
    true,
    "Failed: pod badimage-collector-6699b76f8c-bnl54: failed: Evicted: The node was low \
     on resource: memory."
)]
fn an_evicted_pod_is_replaced_by_its_owner_only(#[case] alone: bool, #[case] expected: &str) {
    let mut scene = Scene::of(&["pod-image-pull-backoff"])
        .set(COLLECTOR, "/status/phase", json!("Failed"))
        .set(COLLECTOR, "/status/reason", json!("Evicted"))
        .set(
            COLLECTOR,
            "/status/message",
            json!("The node was low on resource: memory."),
        );
    if alone {
        scene = scene.set(COLLECTOR, "/metadata/ownerReferences", json!([]));
    }
    let view = scene.view();
    assert_eq!(words(pod_trouble(&view.pods[COLLECTOR.1])), expected);
}

#[test]
fn an_older_kubelets_cause_is_taken_from_the_events() {
    let back_off =
        "Back-off pulling image \"docker.io/otel/opentelemetry-collector-contrib:0.0.1\"";
    let view = in_state(waiting("ImagePullBackOff", back_off))
        .with("events-image-pull-failed")
        .view();
    let pod = &view.pods[COLLECTOR.1];
    insta::assert_snapshot!(words(pod_trouble(pod)), @r#"Failed: pod badimage-collector-6699b76f8c-bnl54: cannot pull image "docker.io/otel/opentelemetry-collector-contrib:0.0.1": ImagePullBackOff"#);
    insta::assert_snapshot!(words(pod_trouble_in(&view, pod)), @r#"Failed: pod badimage-collector-6699b76f8c-bnl54: cannot pull image "docker.io/otel/opentelemetry-collector-contrib:0.0.1": ImagePullBackOff: failed to pull and unpack image "docker.io/otel/opentelemetry-collector-contrib:0.0.1": failed to resolve reference "docker.io/otel/opentelemetry-collector-contrib:0.0.1": failed to do request: Head "https://registry.example/v2/otel/opentelemetry-collector-contrib/manifests/0.0.1": dial tcp: lookup registry.example on 10.255.255.53:53: dial udp 10.255.255.53:53: connect: network is unreachable"#);
}

#[test]
fn a_volume_that_cannot_be_mounted_is_told_while_the_container_is_created() {
    let view = in_state(json!({"waiting": {"reason": "ContainerCreating"}}))
        .with_event(
            COLLECTOR,
            "Warning",
            "FailedMount",
            "MountVolume.SetUp failed for volume \"tls\" : secret \"tempo-perf-mtls\" not found",
        )
        .view();
    let pod = &view.pods[COLLECTOR.1];
    insta::assert_snapshot!(words(pod_trouble_in(&view, pod)), @r#"Waiting: pod badimage-collector-6699b76f8c-bnl54: container otc-container: ContainerCreating; FailedMount: MountVolume.SetUp failed for volume "tls" : secret "tempo-perf-mtls" not found"#);
}
