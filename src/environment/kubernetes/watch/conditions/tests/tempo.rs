use super::*;
use crate::environment::kubernetes::watch::conditions::tempo_ready;
use crate::profile::Variant;

const MONO: (&str, &str) = ("TempoMonolithic", "mono");
const MONO_SET: (&str, &str) = ("StatefulSet", "tempo-mono");
const STACK: (&str, &str) = ("TempoStack", "stk");

/// A recorded resource under the name of the generated workloads.
fn monolithic(file: &str) -> Scene {
    Scene::default().with_renamed(file, &[("name: tempo\n", "name: mono\n")])
}

fn with_workloads(scene: Scene) -> Scene {
    scene
        .with("generated-statefulsets")
        .with("generated-deployments")
}

#[rstest]
#[case::not_there(Scene::default(), "Waiting: TempoMonolithic mono: does not exist yet")]
#[case::not_reconciled(
    Scene::of(&["tempomonolithic-no-status-operator-not-reconciling"]),
    "Waiting: TempoMonolithic mono: the Tempo operator has not looked at it yet")]
#[case::pending(
    with_workloads(monolithic("tempomonolithic-pending")),
    "Waiting: TempoMonolithic mono: Pending: PendingComponents: Some Tempo components \
     are pending on dependencies; StatefulSet tempo-mono: 0 of 1 replicas ready"
)]
#[case::ready(with_workloads(monolithic("tempomonolithic-ready")).all_ready(), "Done")]
#[case::ready_before_its_stateful_set_is_there(
    monolithic("tempomonolithic-ready"),
    "Waiting: TempoMonolithic mono: Ready: All components are operational; StatefulSet \
     tempo-mono: does not exist yet"
)]
#[case::ready_but_its_stateful_set_is_not(
    with_workloads(monolithic("tempomonolithic-ready")),
    "Waiting: TempoMonolithic mono: Ready: All components are operational; StatefulSet \
     tempo-mono: 0 of 1 replicas ready"
)]
#[case::not_ready_but_its_stateful_set_is(
    with_workloads(monolithic("tempomonolithic-pending")).all_ready(),
    "Waiting: TempoMonolithic mono: Pending: PendingComponents: Some Tempo components \
     are pending on dependencies")]
#[case::reconciliation_failed(
    monolithic("tempomonolithic-pending")
        .set(MONO, "/status/conditions/2/status", json!("True"))
        .set(MONO, "/status/conditions/2/reason", json!("FailedReconciliation"))
        .set(MONO, "/status/conditions/2/message", json!("services \"tempo-mono\" is forbidden")),
    "Stuck: TempoMonolithic mono: Failed: FailedReconciliation: services \"tempo-mono\" \
     is forbidden")]
#[case::reconciliation_failed_but_it_works(
    with_workloads(monolithic("tempomonolithic-ready")).all_ready()
        .set(MONO, "/status/conditions/2/status", json!("True")), "Done")]
#[case::being_deleted(
    with_workloads(monolithic("tempomonolithic-ready")).all_ready()
        .set(MONO, "/metadata/deletionTimestamp", json!("2026-11-23T02:07:33Z")),
    "Failed: TempoMonolithic mono: is being deleted")]
#[case::scaled_down_by_somebody(
    with_workloads(monolithic("tempomonolithic-ready")).all_ready()
        .set(MONO_SET, "/spec/replicas", json!(0)),
    "Stuck: StatefulSet tempo-mono: scaled to 0 replicas")]
fn how_far_a_monolithic_is(#[case] scene: Scene, #[case] expected: &str) {
    let progress = tempo_ready(&scene.view(), Variant::Monolithic, "mono");
    assert_eq!(words(Some(progress)), expected);
}

#[rstest]
#[case::without_its_secret(&["tempomonolithic-configuration-error-missing-secret"],
    "Stuck: TempoMonolithic missing: ConfigurationError: InvalidStorageConfig: could not \
     fetch storage configuration secret: Secret \"nosuch\" not found. Tempo will start \
     once the storage secret is available")]
#[case::refused_by_pod_security(
    &["tempomonolithic-pending-psa-rejected", "statefulset-psa-rejected",
      "events-failedcreate-psa-restricted"],
    "Stuck: StatefulSet tempo-missing: cannot create pods: pods \"tempo-missing-0\" is \
     forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true (pod or \
     container \"tempo\" must set securityContext.runAsNonRoot=true), seccompProfile (pod \
     or container \"tempo\" must set securityContext.seccompProfile.type to \
     \"RuntimeDefault\" or \"Localhost\")")]
#[case::refused_but_not_told_yet(
    &["tempomonolithic-pending-psa-rejected", "statefulset-psa-rejected"],
    "Waiting: TempoMonolithic missing: Pending: PendingComponents: Some Tempo components \
     are pending on dependencies; StatefulSet tempo-missing: 0 of 1 replicas ready")]
fn how_far_the_monolithic_missing_is(#[case] files: &[&str], #[case] expected: &str) {
    let progress = tempo_ready(&Scene::of(files).view(), Variant::Monolithic, "missing");
    assert_eq!(words(Some(progress)), expected);
}

/// A ready TempoStack `stk` with all its workloads ready.
fn stack() -> Scene {
    with_workloads(
        Scene::default().with_renamed("tempostack-ready", &[("name: tempo\n", "name: stk\n")]),
    )
    .all_ready()
}

#[rstest]
#[case::ready(stack(), "Done")]
#[case::no_status(stack().set(STACK, "/status", Value::Null),
    "Waiting: TempoStack stk: the Tempo operator has not looked at it yet")]
#[case::without_its_compactor(stack().without(("Deployment", "tempo-stk-compactor")),
    "Waiting: TempoStack stk: Ready: All components are operational; no workload yet for \
     compactor")]
#[case::its_ingester_is_not_ready(
    stack().set(("StatefulSet", "tempo-stk-ingester"), "/status/readyReplicas", json!(0)),
    "Waiting: TempoStack stk: Ready: All components are operational; StatefulSet \
     tempo-stk-ingester: 0 of 1 replicas ready")]
#[case::one_ingester_of_two_is_ready(
    stack().set(("StatefulSet", "tempo-stk-ingester"), "/spec/replicas", json!(2)),
    "Waiting: TempoStack stk: Ready: All components are operational; StatefulSet \
     tempo-stk-ingester: 1 of 2 replicas ready")]
#[case::two_components_are_not_ready(
    stack().set(("Deployment", "tempo-stk-querier"), "/status/readyReplicas", json!(0))
        .set(("Deployment", "tempo-stk-compactor"), "/status/readyReplicas", json!(0)),
    "Waiting: TempoStack stk: Ready: All components are operational; Deployment \
     tempo-stk-compactor: 0 of 1 replicas ready; Deployment tempo-stk-querier: 0 of 1 \
     replicas ready")]
#[case::a_gateway_that_is_not_ready(
    stack().with_object({
        let mut gateway: Value = stack().find("Deployment", "tempo-stk-querier").clone();
        set(&mut gateway, "/metadata/name", json!("tempo-stk-gateway"));
        set(&mut gateway, "/metadata/labels/app.kubernetes.io~1component", json!("gateway"));
        set(&mut gateway, "/status/readyReplicas", json!(0));
        gateway
    }),
    "Waiting: TempoStack stk: Ready: All components are operational; Deployment \
     tempo-stk-gateway: 0 of 1 replicas ready")]
#[case::larger_than_the_node(
    with_workloads(Scene::of(&["tempostack-pending-1x-pico-unschedulable", "pod-unschedulable"])),
    "Waiting: TempoStack stk: Pending: PendingComponents: Some Tempo components are pending \
     on dependencies; Deployment tempo-stk-compactor: 0 of 1 replicas ready; \
     pod tempo-stk-compactor-fb5c46fc-6x9cm: Unschedulable: 0/1 nodes are available: \
     1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: \
     1 No preemption victims found for incoming pod.; \
     Deployment tempo-stk-query-frontend: 0 of 1 replicas ready; and 3 more")]
fn how_far_a_stack_is(#[case] scene: Scene, #[case] expected: &str) {
    let progress = tempo_ready(&scene.view(), Variant::Stack, "stk");
    assert_eq!(words(Some(progress)), expected);
}

#[rstest]
#[case::ready_without_a_pod("stackmiss", &["tempostack-ready-without-pods-psa-rejected"],
    "Waiting: TempoStack stackmiss: Ready: All components are operational; no workload \
     yet for distributor, ingester, querier, query-frontend, compactor")]
#[case::ready_without_a_pod_that_pod_security_refused("stackmiss",
    &["tempostack-ready-without-pods-psa-rejected", "deployment-psa-rejected"],
    "Stuck: Deployment tempo-stackmiss-distributor: cannot create pods: pods \
     \"tempo-stackmiss-distributor-597547ddcd-977wn\" is forbidden: violates PodSecurity \
     \"restricted:latest\": runAsNonRoot != true (pod or container \"tempo\" must set \
     securityContext.runAsNonRoot=true), seccompProfile (pod or container \"tempo\" must \
     set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")")]
#[case::without_its_secret("stackmiss", &["tempostack-configuration-error-missing-secret"],
    "Stuck: TempoStack stackmiss: ConfigurationError: InvalidStorageConfig: could not \
     fetch storage configuration secret: Secret \"nosuch\" not found. Tempo will start \
     once the storage secret is available")]
#[case::malformed_secret("tempo", &["tempostack-configuration-error-malformed-secret"],
    "Stuck: TempoStack tempo: ConfigurationError: InvalidStorageConfig: storage secret \
     contains fields for long lived and short lived configuration")]
#[case::being_deleted("tempo", &["tempostack-terminating"],
    "Failed: TempoStack tempo: is being deleted")]
fn how_far_a_broken_stack_is(#[case] name: &str, #[case] files: &[&str], #[case] expected: &str) {
    let progress = tempo_ready(&Scene::of(files).view(), Variant::Stack, name);
    assert_eq!(words(Some(progress)), expected);
}

#[test]
fn a_stack_with_a_crash_looping_ingester_has_failed_by_the_pods_words() {
    let renames = [("-stk", "-tempo"), ("instance: stk", "instance: tempo")];
    let view = Scene::of(&[
        "tempostack-pending-crashloop-bad-config",
        "pod-tempo-crashloop-bad-config",
    ])
    .with_renamed("generated-statefulsets", &renames)
    .with_renamed("generated-deployments", &renames)
    .view();
    let progress = tempo_ready(&view, Variant::Stack, "tempo");
    insta::assert_snapshot!(words(Some(progress)), @"Failed: pod tempo-tempo-ingester-0: container tempo: CrashLoopBackOff: ended with exit code 1, restarted 2 times");
}
