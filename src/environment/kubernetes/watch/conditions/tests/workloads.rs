use super::*;
use crate::environment::kubernetes::cluster::names::MINIO;
use crate::environment::kubernetes::watch::conditions::{
    Owner, deployment_ready, minio_ready, owner_trouble, stateful_set_ready,
};

const QUOTA: &str = "pods \"minio-0\" is forbidden: exceeded quota: small, requested: \
                     requests.memory=2Gi, used: requests.memory=0, limited: requests.memory=1Gi";

const MINIO_SET: (&str, &str) = ("StatefulSet", MINIO);
const CLAIM: (&str, &str) = ("PersistentVolumeClaim", "tempo-storage-minio-0");

/// A StatefulSet `minio` with its claim, not ready: Tempo's under another name.
fn minio() -> Scene {
    let renames = [
        ("tempo-mono", "minio"),
        ("instance: mono", "instance: minio"),
    ];
    let mut scene = Scene::default()
        .with_renamed("generated-statefulsets", &renames)
        .with_renamed("generated-persistentvolumeclaims", &renames[..1]);
    scene.objects.retain(|object| {
        object["metadata"]["name"]
            .as_str()
            .unwrap()
            .contains("minio")
    });
    scene
}

/// Its pod, not scheduled.
fn minio_pod(scene: Scene) -> Scene {
    let mut pod: Value = serde_yaml::from_str(&recording("pod-unschedulable")).unwrap();
    set(&mut pod, "/metadata/name", json!("minio-0"));
    set(
        &mut pod,
        "/metadata/labels",
        scene.objects[0]["spec"]["template"]["metadata"]["labels"].clone(),
    );
    set(
        &mut pod,
        "/spec/volumes/0",
        json!({"name": "storage", "persistentVolumeClaim": {"claimName": CLAIM.1}}),
    );
    scene.with_object(pod)
}

fn pending(scene: Scene) -> Scene {
    scene.set(CLAIM, "/status/phase", json!("Pending"))
}

#[rstest]
#[case::not_there(Scene::default(), "Waiting: StatefulSet minio: does not exist yet")]
#[case::no_pod_yet(minio().set(MINIO_SET, "/status/replicas", json!(0)),
    "Waiting: StatefulSet minio: 0 of 1 replicas ready")]
#[case::not_ready(minio(), "Waiting: StatefulSet minio: 0 of 1 replicas ready")]
#[case::ready(minio().all_ready(), "Done")]
#[case::no_status(minio().set(MINIO_SET, "/status", Value::Null),
    "Waiting: StatefulSet minio: not looked at by its controller yet")]
#[case::ready_as_it_was_before_a_change(
    minio().all_ready().set(MINIO_SET, "/metadata/generation", json!(2)),
    "Waiting: StatefulSet minio: not looked at by its controller yet")]
#[case::an_old_pod_is_ready(
    minio().all_ready().set(MINIO_SET, "/status/updatedReplicas", json!(0)),
    "Waiting: StatefulSet minio: its old pods are being replaced")]
#[case::scaled_to_none(
    minio().set(MINIO_SET, "/spec/replicas", json!(0)).set(MINIO_SET, "/status/replicas", json!(0)),
    "Stuck: StatefulSet minio: scaled to 0 replicas")]
#[case::unschedulable(
    minio_pod(minio()),
    "Waiting: StatefulSet minio: 0 of 1 replicas ready; pod minio-0: Unschedulable: 0/1 \
     nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: \
     0/1 nodes are available: 1 No preemption victims found for incoming pod."
)]
#[case::no_storage_class(
    pending(minio_pod(minio())).set(CLAIM, "/spec/storageClassName", Value::Null)
        .with_event(CLAIM, "Normal", "FailedBinding",
        "no persistent volumes available for this claim and no storage class is set"),
    "Stuck: claim tempo-storage-minio-0: not bound: \
     FailedBinding: no persistent volumes available for this claim and no storage class \
     is set")]
#[case::no_provisioner(
    pending(minio_pod(minio())).with_event(CLAIM, "Warning", "ProvisioningFailed",
        "storageclass.storage.k8s.io \"standard\" not found"),
    "Stuck: claim tempo-storage-minio-0 (storage class standard): not bound: \
     ProvisioningFailed: storageclass.storage.k8s.io \"standard\" not found")]
#[case::claim_waits_for_its_pod(
    pending(minio_pod(minio())).with_event(CLAIM, "Normal", "WaitForFirstConsumer",
        "waiting for first consumer to be created before binding"),
    "Waiting: StatefulSet minio: 0 of 1 replicas ready; pod minio-0: Unschedulable: 0/1 \
     nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: \
     0/1 nodes are available: 1 No preemption victims found for incoming pod.")]
#[case::lost_volume(minio_pod(minio()).set(CLAIM, "/status/phase", json!("Lost")),
    "Failed: claim tempo-storage-minio-0: Lost: the volume it was bound to is gone")]
#[case::quota(
    minio().set(MINIO_SET, "/status/replicas", json!(0)).with_event(MINIO_SET, "Warning",
    "FailedCreate",
        &format!("create Pod minio-0 in StatefulSet minio failed error: {QUOTA}")),
    "Stuck: StatefulSet minio: cannot create pods: pods \"minio-0\" is forbidden: \
     exceeded quota: small, requested: requests.memory=2Gi, used: requests.memory=0, \
     limited: requests.memory=1Gi")]
#[case::quota_that_was_lifted(
    minio().with_event(MINIO_SET, "Warning", "FailedCreate",
        &format!("create Pod minio-0 in StatefulSet minio failed error: {QUOTA}")),
    "Waiting: StatefulSet minio: 0 of 1 replicas ready")]
fn how_far_minio_is(#[case] scene: Scene, #[case] expected: &str) {
    assert_eq!(words(Some(minio_ready(&scene.view()))), expected);
}

const DISTRIBUTOR: (&str, &str) = ("Deployment", "tempo-stackmiss-distributor");

#[test]
fn a_stateful_set_that_pod_security_refuses_is_stuck() {
    let view = Scene::of(&[
        "statefulset-psa-rejected",
        "events-failedcreate-psa-restricted",
    ])
    .view();
    insta::assert_snapshot!(words(Some(stateful_set_ready(&view, "tempo-missing"))), @r#"Stuck: StatefulSet tempo-missing: cannot create pods: pods "tempo-missing-0" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "tempo" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "tempo" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#);
}

#[test]
fn an_event_of_an_earlier_object_of_that_name_does_not_count() {
    let view = Scene::of(&[
        "statefulset-psa-rejected",
        "events-failedcreate-psa-restricted",
    ])
    .set(
        ("StatefulSet", "tempo-missing"),
        "/metadata/uid",
        json!("another"),
    )
    .view();
    insta::assert_snapshot!(words(Some(stateful_set_ready(&view, "tempo-missing"))), @"Waiting: StatefulSet tempo-missing: 0 of 1 replicas ready");
}

#[test]
fn a_deployment_that_pod_security_refuses_is_stuck() {
    let view = Scene::of(&["deployment-psa-rejected"]).view();
    insta::assert_snapshot!(words(Some(deployment_ready(&view, DISTRIBUTOR.1))), @r#"Stuck: Deployment tempo-stackmiss-distributor: cannot create pods: pods "tempo-stackmiss-distributor-597547ddcd-977wn" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "tempo" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "tempo" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#);
}

#[test]
fn the_events_of_its_replica_set_tell_it_without_the_condition() {
    let view = Scene::of(&[
        "deployment-psa-rejected",
        "events-failedcreate-psa-restricted",
    ])
    .set(DISTRIBUTOR, "/status/conditions/2/status", json!("False"))
    .view();
    insta::assert_snapshot!(words(owner_trouble(&view, Owner::Deployment, DISTRIBUTOR.1)), @r#"Stuck: Deployment tempo-stackmiss-distributor: cannot create pods: pods "tempo-stackmiss-distributor-597547ddcd-977wn" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "tempo" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "tempo" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#);
}

#[test]
fn a_job_that_pod_security_refuses_is_stuck_by_its_event_alone() {
    let scene = Scene::of(&["job-psa-rejected"]);
    assert_eq!(
        words(owner_trouble(&scene.view(), Owner::Job, "k6-psa")),
        "nothing"
    );
    let view = scene
        .with_event(
            ("Job", "k6-psa"),
            "Warning",
            "FailedCreate",
            "Error creating: pods \"k6-psa-x2v4q\" is forbidden: violates PodSecurity \
             \"restricted:latest\": seccompProfile (pod or container \"k6\" must set \
             securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        )
        .view();
    insta::assert_snapshot!(words(owner_trouble(&view, Owner::Job, "k6-psa")), @r#"Stuck: Job k6-psa: cannot create pods: pods "k6-psa-x2v4q" is forbidden: violates PodSecurity "restricted:latest": seccompProfile (pod or container "k6" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#);
}
