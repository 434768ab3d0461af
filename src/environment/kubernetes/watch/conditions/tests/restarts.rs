use super::*;
use crate::environment::kubernetes::watch::conditions::restarted_or_ended;

const INGESTER: (&str, &str) = ("Pod", "tempo-tempo-ingester-0");
const COLLECTOR: (&str, &str) = ("Pod", "badconfig-collector-7fc44d98b6-xhhmv");
const STATE: &str = "/status/containerStatuses/0/state";
const LAST_STATE: &str = "/status/containerStatuses/0/lastState";
const RESTARTS: &str = "/status/containerStatuses/0/restartCount";

/// An ingester and a collector that run, and a k6 pod.
fn set_up() -> Scene {
    let runs = json!({"running": {"startedAt": "2026-11-23T02:06:55Z"}});
    Scene::of(&[
        "pod-tempo-crashloop-bad-config",
        "pod-collector-crashloop-bad-config",
        "pod-of-job-failed-threshold",
    ])
    .set(INGESTER, STATE, runs.clone())
    .set(INGESTER, RESTARTS, json!(0))
    .set(COLLECTOR, STATE, runs)
    .set(COLLECTOR, RESTARTS, json!(1))
}

fn ended(exit_code: i32, reason: &str) -> Value {
    json!({"terminated": {"exitCode": exit_code, "reason": reason}})
}

/// Another pod of the collector's Deployment.
fn with_successor(scene: Scene) -> Scene {
    scene
        .with_renamed(
            "pod-collector-crashloop-bad-config",
            &[("xhhmv", "abcde"), ("36d498d3", "00000000")],
        )
        .set(
            ("Pod", "badconfig-collector-7fc44d98b6-abcde"),
            "/metadata/creationTimestamp",
            json!("2026-11-23T03:00:00Z"),
        )
}

#[rstest]
#[case::nothing_happened(set_up(), "")]
#[case::a_k6_pod_that_went(set_up().without(("Pod", "k6-threshold-t9m2w")), "")]
#[case::oom_killed(
    set_up().set(INGESTER, RESTARTS, json!(1)).set(INGESTER, LAST_STATE, ended(137, "OOMKilled"))
        .set(INGESTER, "/spec/containers/0/resources", json!({"limits": {"memory": "2Gi"}})),
    "pod tempo-tempo-ingester-0: container tempo restarted once, last ended with exit \
     code 137, OOM-killed (memory limit 2Gi)")]
#[case::restarted_more_often_than_in_set_up(
    set_up().set(COLLECTOR, RESTARTS, json!(3)),
    "pod badconfig-collector-7fc44d98b6-xhhmv: container otc-container restarted 2 \
     times, last ended with exit code 1")]
#[case::ended_and_not_restarted_yet(set_up().set(COLLECTOR, STATE, ended(2, "Error")),
    "pod badconfig-collector-7fc44d98b6-xhhmv: container otc-container ended with exit \
     code 2")]
#[case::replaced_by_one_of_the_same_name(
    set_up().set(INGESTER, "/metadata/uid", json!("another"))
        .set(INGESTER, "/metadata/creationTimestamp", json!("2026-11-23T03:00:00Z")),
    "pod tempo-tempo-ingester-0 is gone, replaced by one of the same name")]
#[case::replaced_by_another(
    with_successor(set_up().with_event(COLLECTOR, "Normal", "Killing", "Stopping container otc-container"))
        .without(COLLECTOR),
    "pod badconfig-collector-7fc44d98b6-xhhmv is gone (Killing: Stopping container \
     otc-container), replaced by badconfig-collector-7fc44d98b6-abcde")]
#[case::gone(set_up().without(COLLECTOR),
    "pod badconfig-collector-7fc44d98b6-xhhmv is gone, with no other in its place")]
#[case::being_deleted(
    set_up().set(INGESTER, "/metadata/deletionTimestamp", json!("2026-11-23T03:00:00Z"))
        .with_event(INGESTER, "Warning", "TaintManagerEviction", "Marking for deletion Pod"),
    "pod tempo-tempo-ingester-0 is being deleted (TaintManagerEviction: Marking for \
     deletion Pod)")]
#[case::evicted(
    set_up().set(INGESTER, "/status/phase", json!("Failed"))
        .set(INGESTER, "/status/reason", json!("Evicted"))
        .set(INGESTER, "/status/message", json!("The node was low on resource: memory.")),
    "pod tempo-tempo-ingester-0 failed: Evicted: The node was low on resource: memory.")]
#[case::two_at_once(
    set_up().set(INGESTER, RESTARTS, json!(1)).set(COLLECTOR, RESTARTS, json!(2)),
    "pod badconfig-collector-7fc44d98b6-xhhmv: container otc-container restarted once, \
     last ended with exit code 1\npod tempo-tempo-ingester-0: container tempo restarted \
     once, last ended with exit code 1")]
fn what_did_not_last(#[case] now: Scene, #[case] expected: &str) {
    let words = restarted_or_ended(&set_up().view(), &now.view());
    assert_eq!(words.join("\n"), expected);
}
