use std::time::Duration;

use super::*;
use crate::environment::kubernetes::watch::conditions::jobs::JobFailure;
use crate::environment::kubernetes::watch::conditions::{
    JobOutcome, job_outcome, job_pods_running,
};

/// The outcome of the only Job of a scene.
fn outcome(scene: &Scene) -> Option<JobOutcome> {
    let view = scene.view();
    let job = view.jobs.values().next().unwrap();
    let pods: Vec<_> = view.pods_of(job.as_ref()).cloned().collect();
    job_outcome(job, &pods)
}

fn failure(scene: &Scene) -> JobFailure {
    match outcome(scene) {
        Some(JobOutcome::Failed(failure)) => failure,
        other => panic!("the Job must have failed: {other:?}"),
    }
}

const POD: (&str, &str) = ("Pod", "k6-threshold-t9m2w");
const STATE: &str = "/status/containerStatuses/0/state";

/// The recorded Job whose k6 ended with 99, and its pod.
fn failed() -> Scene {
    Scene::of(&["job-failed-threshold", "pod-of-job-failed-threshold"])
}

fn killed(reason: &str) -> Scene {
    failed().set(
        POD,
        STATE,
        json!({"terminated": {"exitCode": 137, "reason": reason,
            "startedAt": "2026-11-23T02:04:47Z", "finishedAt": "2026-11-23T02:04:49Z"}}),
    )
}

fn disrupted() -> Scene {
    let mut scene = killed("Error");
    let conditions = &mut scene.find(POD.0, POD.1)["status"]["conditions"];
    conditions.as_array_mut().unwrap().push(json!({
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
        "message": "default-scheduler: preempting to accommodate a higher priority pod",
    }));
    scene
}

#[rstest]
#[case::crossed_threshold(
    failed(),
    Some(99),
    None,
    "Error",
    "Job k6-threshold: pod k6-threshold-t9m2w: container k6: exit code 99"
)]
#[case::script_exception(
    Scene::of(&["job-failed-script-exception-107", "pod-of-job-failed-script-exception-107"]),
    Some(107), None, "Error",
    "Job k6-threshold: pod k6-threshold-pjgqp: container k6: exit code 107")]
#[case::deadline_while_its_pod_still_ends(
    Scene::of(&["job-deadline-exceeded-pod-terminating", "pod-of-job-deadline-exceeded"]),
    None, None, "DeadlineExceeded",
    "Job k6-deadline: DeadlineExceeded: Job was active longer than specified deadline \
     (activeDeadlineSeconds 5)")]
#[case::oom_killed(
    killed("OOMKilled"),
    Some(137),
    Some(9),
    "OOMKilled",
    "Job k6-threshold: pod k6-threshold-t9m2w: container k6: exit code 137, OOM-killed"
)]
#[case::killed(
    killed("Error"),
    Some(137),
    Some(9),
    "Error",
    "Job k6-threshold: pod k6-threshold-t9m2w: container k6: exit code 137 (SIGKILL)"
)]
#[case::evicted(
    killed("Error").set(POD, "/status/reason", json!("Evicted"))
        .set(POD, "/status/message", json!("Pod ephemeral local storage usage exceeds the total limit")),
    Some(137), Some(9), "Evicted",
    "Job k6-threshold: pod k6-threshold-t9m2w: Evicted: Pod ephemeral local storage \
     usage exceeds the total limit")]
#[case::preempted(
    disrupted(),
    Some(137),
    Some(9),
    "PreemptionByScheduler",
    "Job k6-threshold: pod k6-threshold-t9m2w: PreemptionByScheduler: default-scheduler: \
     preempting to accommodate a higher priority pod"
)]
#[case::pod_gone(failed().without(POD), None, None, "Deleted",
    "Job k6-threshold: its pod is gone, deleted before it had ended \
     (BackoffLimitExceeded: Job has reached the specified backoff limit)")]
#[case::pod_being_deleted(
    failed().set(POD, STATE, json!({"running": {"startedAt": "2026-11-23T02:04:47Z"}}))
        .set(POD, "/metadata/deletionTimestamp", json!("2026-11-23T02:05:18Z"))
        .set(POD, "/metadata/deletionGracePeriodSeconds", json!(30)),
    None, None, "Deleted", "Job k6-threshold: pod k6-threshold-t9m2w: was deleted while it ran")]
#[case::killed_by_its_deletion(
    killed("Error").set(POD, "/metadata/deletionTimestamp", json!("2026-11-23T02:05:18Z"))
        .set(POD, "/metadata/deletionGracePeriodSeconds", json!(30)),
    Some(137), Some(9), "Deleted",
    "Job k6-threshold: pod k6-threshold-t9m2w: was deleted while it ran")]
#[case::killed_by_its_deletion_and_deleted_for_good(
    killed("Error").set(POD, "/metadata/deletionTimestamp", json!("2026-11-23T02:04:50Z"))
        .set(POD, "/metadata/deletionGracePeriodSeconds", json!(0)),
    Some(137), Some(9), "Deleted",
    "Job k6-threshold: pod k6-threshold-t9m2w: was deleted while it ran")]
#[case::deleted_long_after_it_had_ended(
    failed().set(POD, "/metadata/deletionTimestamp", json!("2026-11-23T02:06:00Z"))
        .set(POD, "/metadata/deletionGracePeriodSeconds", json!(0)),
    Some(99), None, "Error",
    "Job k6-threshold: pod k6-threshold-t9m2w: container k6: exit code 99")]
#[case::deleted_after_it_had_ended(
    failed().set(POD, "/metadata/deletionTimestamp", json!("2026-11-23T02:06:00Z"))
        .set(POD, "/metadata/deletionGracePeriodSeconds", json!(30)),
    Some(99), None, "Error",
    "Job k6-threshold: pod k6-threshold-t9m2w: container k6: exit code 99")]
fn how_a_job_failed(
    #[case] scene: Scene,
    #[case] exit_code: Option<i32>,
    #[case] signal: Option<i32>,
    #[case] reason: &str,
    #[case] expected: &str,
) {
    let failure = failure(&scene);
    assert_eq!(failure.words, expected);
    assert_eq!(failure.reason, reason);
    assert_eq!(failure.exit_code, exit_code);
    assert_eq!(failure.signal, signal);
}

#[test]
fn a_job_has_failed_as_soon_as_its_failure_is_decided() {
    let decided = failed().set(
        ("Job", "k6-threshold"),
        "/status/conditions/1/status",
        json!("False"),
    );
    assert_eq!(failure(&decided), failure(&failed()));
    assert_eq!(failure(&failed()).ran, Some(Duration::from_secs(2)));
}

#[test]
fn a_failure_whose_exit_code_is_yet_to_be_seen_is_none_yet() {
    let ahead_of_its_pod = failed().set(
        POD,
        STATE,
        json!({"running": {"startedAt": "2026-11-23T02:04:47Z"}}),
    );
    assert_eq!(outcome(&ahead_of_its_pod), None);
}

#[test]
fn a_complete_job_needs_no_pod_and_a_running_one_has_no_outcome() {
    let complete = Scene::of(&["job-complete"]);
    assert_eq!(outcome(&complete), Some(JobOutcome::Complete { ran: None }));
    let criteria_met = complete.clone().set(
        ("Job", "k6-q"),
        "/status/conditions/1/status",
        json!("False"),
    );
    assert_eq!(outcome(&criteria_met), outcome(&complete));
    let running = complete.set(("Job", "k6-q"), "/status/conditions", json!([]));
    assert_eq!(outcome(&running), None);
}

/// A Job `k6-<name>` with a running pod.
fn running(name: &str) -> Scene {
    let job = format!("k6-{name}");
    let uid = format!("{name}-uid");
    Scene::default()
        .with_renamed(
            "job-deadline-exceeded-pod-terminating",
            &[
                ("k6-deadline", &job),
                ("81351f83-7c07-47a3-8001-11d4f70a5863", &uid),
            ],
        )
        .with_renamed(
            "pod-of-job-deadline-exceeded",
            &[
                ("k6-deadline", &job),
                ("81351f83-7c07-47a3-8001-11d4f70a5863", &uid),
            ],
        )
        .set(("Job", &job), "/status/conditions", json!([]))
        .set(
            ("Pod", &format!("{job}-n9tsp")),
            "/metadata/deletionTimestamp",
            Value::Null,
        )
}

fn both() -> Scene {
    let mut scene = running("ingestion");
    scene.objects.extend(running("query").objects);
    scene
}

const QUERY_POD: (&str, &str) = ("Pod", "k6-query-n9tsp");

fn being_created() -> Scene {
    both()
        .set(
            QUERY_POD,
            STATE,
            json!({"waiting": {"reason": "ContainerCreating"}}),
        )
        .set(QUERY_POD, "/status/phase", json!("Pending"))
}

#[rstest]
#[case::both_run(both(), "Done")]
#[case::one_is_not_there(running("ingestion"), "Waiting: Job k6-query: does not exist yet")]
#[case::one_has_no_pod(both().without(QUERY_POD), "Waiting: Job k6-query: has no pod yet")]
#[case::one_is_being_created(
    being_created(),
    "Waiting: pod k6-query-n9tsp: container k6: ContainerCreating"
)]
#[case::one_waits_for_a_node(
    being_created().set(QUERY_POD, "/status/containerStatuses", json!([]))
        .set(QUERY_POD, "/status/conditions", json!([{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu."}])),
    "Waiting: pod k6-query-n9tsp: Unschedulable: 0/1 nodes are available: 1 Insufficient \
     cpu.")]
#[case::one_has_no_image(
    being_created().set(QUERY_POD, STATE, json!({"waiting": {"reason": "ImagePullBackOff",
        "message": "Back-off pulling image \"docker.io/grafana/k6:1.8.1\": ErrImagePull: no such host"}})),
    "Failed: pod k6-query-n9tsp: cannot pull image \"docker.io/grafana/k6:1.8.1\": \
     ErrImagePull: no such host")]
#[case::one_was_refused(
    both().without(QUERY_POD).set(("Job", "k6-query"), "/status/failed", json!(0))
        .with_event(("Job", "k6-query"), "Warning", "FailedCreate",
            "Error creating: pods \"k6-query-x\" is forbidden: exceeded quota: small"),
    "Stuck: Job k6-query: cannot create pods: pods \"k6-query-x\" is forbidden: exceeded \
     quota: small")]
#[case::one_has_failed(
    both().set((
    "Job", "k6-query"), "/status/conditions", json!([{"type": "Failed", "status": "True",
            "reason": "BackoffLimitExceeded", "message":
    "Job has reached the specified backoff limit"}]))
        .set(QUERY_POD, STATE, json!({"terminated": {"exitCode": 107, "reason": "Error"}})),
    "Failed: Job k6-query: pod k6-query-n9tsp: container k6: exit code 107")]
fn whether_the_pods_of_both_jobs_run(#[case] scene: Scene, #[case] expected: &str) {
    let progress = job_pods_running(&scene.view(), &["k6-ingestion", "k6-query"]);
    assert_eq!(words(Some(progress)), expected);
}
