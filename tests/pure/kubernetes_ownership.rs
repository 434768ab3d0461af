//! Namespaces acquired, torn down and swept against an API server that is a map of
//! objects: what is asked of it, and in which order. What real controllers do is
//! for the tests on a cluster.

use std::time::Duration;

use crate::kubernetes_api::{FakeApi, cluster_role, custom_resource, job, namespace};
use serde_json::json;
use tempo_perf::environment::kubernetes::clean_up::sweep::{SweepOptions, SweepReport, sweep};
use tempo_perf::environment::kubernetes::clean_up::tear_down::{
    TeardownLimits, TeardownTarget, tear_down,
};
use tempo_perf::environment::kubernetes::holder::process::Holder;
use tempo_perf::environment::kubernetes::set_up::acquire::{
    AcquireError, AcquireRequest, NamespaceHold, acquire,
};
use tempo_perf::process::Interrupt;

const LIMITS: TeardownLimits = TeardownLimits {
    cr_deletion: Duration::from_secs(2),
    namespace_deletion: Duration::from_secs(2),
};
const NAMESPACES: &str = "/api/v1/namespaces";
const STACKS: &str = "/apis/tempo.grafana.com/v1alpha1/namespaces/n/tempostacks";

/// A process of this machine that has ended.
fn ended_holder(run: u32) -> Holder {
    let mut holder = Holder::this_process(run);
    holder.process_start = Some(0);
    holder
}

async fn acquire_as(api: &FakeApi, run: u32) -> Result<NamespaceHold, AcquireError> {
    acquire(
        &api.client(),
        AcquireRequest {
            manifest: namespace("tempo-perf-small", Some(run), None),
            holder: Holder::this_process(run),
            limits: LIMITS,
            interrupt: &Interrupt::manual(),
            progress: &|_| {},
        },
    )
    .await
}

#[tokio::test]
async fn a_teardown_removes_the_run_and_nothing_else() {
    let api = FakeApi::start().await;
    api.put(NAMESPACES, namespace("n", Some(7), None));
    let inside = "/apis/batch/v1/namespaces/n/jobs";
    api.put(inside, job("k6-ingestion", Some(7)));
    api.put(inside, job("somebody-elses", None));
    let monolithics = "/apis/tempo.grafana.com/v1alpha1/namespaces/n/tempomonolithics";
    api.put(monolithics, custom_resource("perf", &[]));
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    api.put(roles, cluster_role("ours", Some((7, "n"))));
    api.put(roles, cluster_role("of-a-later-run", Some((8, "n"))));
    api.put(roles, cluster_role("of-another-namespace", Some((7, "m"))));
    api.put(roles, cluster_role("view", None));

    let removed = tear_down(&api.client(), &TeardownTarget::new("n", 7), LIMITS, &|_| {})
        .await
        .expect("nothing holds these objects");
    assert_eq!(removed.warnings, Vec::<String>::new());
    assert_eq!(
        removed.objects,
        [
            "Job k6-ingestion",
            "TempoMonolithic perf",
            "ClusterRole ours",
            "Namespace n"
        ]
    );
    let deleted = api.deleted();
    let at = |end: &str| deleted.iter().position(|path| path.ends_with(end));
    assert!(
        at("tempomonolithics/perf") < at("namespaces/n"),
        "the custom resource must go before its namespace: {deleted:?}"
    );
    assert_eq!(deleted.len(), 4, "{deleted:?}");
}

#[tokio::test]
async fn a_run_that_was_never_set_up_is_torn_down_too() {
    let api = FakeApi::start().await;
    let removed = tear_down(&api.client(), &TeardownTarget::new("n", 7), LIMITS, &|_| {})
        .await
        .expect("there is nothing to remove");
    assert_eq!(removed.objects, Vec::<String>::new());
}

#[rstest::rstest]
#[case::not_ours(None, None)]
#[case::another_runs(Some(8), None)]
#[case::another_runs_by_uid(Some(8), Some("uid-of-before"))]
#[tokio::test]
async fn a_namespace_of_somebody_else_is_never_deleted(
    #[case] run: Option<u32>,
    #[case] uid: Option<&str>,
) {
    let api = FakeApi::start().await;
    api.put(NAMESPACES, namespace("n", run, None));
    api.put(STACKS, custom_resource("perf", &[]));
    let mut target = TeardownTarget::new("n", 7);
    target.namespace_uid = uid.map(str::to_owned);
    let removed = tear_down(&api.client(), &target, LIMITS, &|_| {})
        .await
        .expect("of this run there is nothing");
    assert_eq!(removed.objects, Vec::<String>::new());
    assert_eq!(api.deleted(), Vec::<String>::new());
}

/// Two runs that clean up the same abandoned namespace: the faster one is through,
/// and has made its own of the same name, while the slower one is at work.
#[rstest::rstest]
#[case::before_the_lists("/api/v1/namespaces/n")]
#[case::between_list_and_deletion(STACKS)]
#[tokio::test]
async fn a_namespace_that_takes_the_place_of_ours_is_left_alone(#[case] after_reading: &str) {
    let api = FakeApi::start().await;
    api.put(NAMESPACES, namespace("n", Some(7), None));
    api.put(STACKS, custom_resource("perf", &[]));
    api.after_reading(after_reading, |objects| {
        objects.drop_namespace("n");
        objects.create(NAMESPACES, namespace("n", Some(8), None));
        objects.create(STACKS, custom_resource("perf", &[]));
    });
    tear_down(&api.client(), &TeardownTarget::new("n", 7), LIMITS, &|_| {})
        .await
        .map(|_| ())
        .expect("ours is gone");
    assert_eq!(api.deleted(), Vec::<String>::new());
}

#[tokio::test]
async fn a_finalizer_is_stripped_after_its_time_and_told() {
    let api = FakeApi::start().await;
    api.put(NAMESPACES, namespace("n", Some(7), None));
    api.put(
        STACKS,
        custom_resource("perf", &["tempo.grafana.com/finalizer"]),
    );
    let removed = tear_down(&api.client(), &TeardownTarget::new("n", 7), LIMITS, &|_| {})
        .await
        .expect("the finalizer is the only thing in the way");
    assert_eq!(
        removed.warnings,
        [
            "TempoStack perf was still there after 2 s, held by its finalizer \
             tempo.grafana.com/finalizer: the finalizer was removed by force (nothing of its \
             operator was left in the cluster); does its operator run?"
        ]
    );
}

#[tokio::test]
async fn an_api_server_that_is_away_is_asked_again() {
    let api = FakeApi::start().await;
    api.put(NAMESPACES, namespace("n", Some(7), None));
    api.put(
        "/apis/batch/v1/namespaces/n/jobs",
        job("k6-ingestion", Some(7)),
    );
    api.be_flaky();
    let removed = tear_down(&api.client(), &TeardownTarget::new("n", 7), LIMITS, &|_| {})
        .await
        .expect("a second attempt succeeds");
    assert_eq!(removed.objects, ["Job k6-ingestion", "Namespace n"]);
}

#[tokio::test]
async fn a_namespace_is_acquired_with_its_lease() {
    let api = FakeApi::start().await;
    let held = acquire_as(&api, 7_000_001).await.expect("it is free");
    let lease = api
        .get("/apis/coordination.k8s.io/v1/namespaces/tempo-perf-small/leases/tempo-perf")
        .expect("it comes with a Lease");
    assert_eq!(lease["metadata"]["labels"]["tempo-perf/run"], "7000001");
    assert_eq!(held.lease.lost(), None);
}

#[tokio::test]
async fn a_namespace_without_our_label_is_refused() {
    let api = FakeApi::start().await;
    api.put(NAMESPACES, namespace("tempo-perf-small", None, None));
    let error = acquire_as(&api, 7_000_002)
        .await
        .err()
        .expect("it is not ours");
    assert_eq!(
        error.to_string(),
        "namespace tempo-perf-small exists and is not tempo-perf's (no label tempo-perf/run): it \
         is left alone; remove or rename it yourself, or choose another --namespace-prefix"
    );
    assert_eq!(api.deleted(), Vec::<String>::new());
}

#[tokio::test]
async fn of_two_that_want_it_one_wins_and_the_other_learns_who() {
    let api = FakeApi::start().await;
    let (one, other) = tokio::join!(acquire_as(&api, 7_000_003), acquire_as(&api, 7_000_004));
    let (won, lost) = match (one, other) {
        (Ok(held), Err(error)) => (held, error),
        (Err(error), Ok(held)) => (held, error),
        (one, other) => panic!(
            "exactly one must win, but of two {} did",
            usize::from(one.is_ok()) + usize::from(other.is_ok())
        ),
    };
    assert_eq!(won.lease.lost(), None);
    let pid = std::process::id();
    let text = lost.to_string();
    assert!(
        text.starts_with("namespace tempo-perf-small is in use by run 700000")
            && text.contains(&format!("PID {pid}, since 20")),
        "{text}"
    );
    assert_eq!(api.deleted(), Vec::<String>::new());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_killed_run_left_is_removed_before_the_next() {
    let api = FakeApi::start().await;
    let holder = ended_holder(1);
    api.put(
        NAMESPACES,
        namespace("tempo-perf-small", Some(1), Some(&holder)),
    );
    let old = api
        .get("/api/v1/namespaces/tempo-perf-small")
        .expect("it was put there");
    let held = acquire_as(&api, 7_000_005)
        .await
        .expect("its holder is gone");
    assert_ne!(json!(held.uid), old["metadata"]["uid"]);
    assert_eq!(api.deleted(), ["/api/v1/namespaces/tempo-perf-small"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_sweep_removes_the_dead_and_leaves_the_living() {
    let api = FakeApi::start().await;
    let _live = acquire_as(&api, 7_000_006).await.expect("it is free");
    let dead = ended_holder(1);
    api.put(
        NAMESPACES,
        namespace("tempo-perf-dead", Some(1), Some(&dead)),
    );
    api.put(NAMESPACES, namespace("default", None, None));
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    api.put(
        roles,
        cluster_role("live", Some((7_000_006, "tempo-perf-small"))),
    );
    api.put(roles, cluster_role("dead", Some((1, "tempo-perf-dead"))));
    api.put(roles, cluster_role("orphan", Some((2, "tempo-perf-gone"))));
    api.put(roles, cluster_role("view", None));
    let interrupt = Interrupt::manual();
    let mut options = SweepOptions {
        namespace: None,
        dry_run: true,
        limits: LIMITS,
        interrupt: &interrupt,
    };
    let expected = SweepReport {
        removed: 2,
        live: 1,
        failed: Vec::new(),
    };
    let swept = sweep(&api.client(), &options, &|_| {}).await;
    assert_eq!(swept.expect("the server answers"), expected);
    assert_eq!(api.deleted(), Vec::<String>::new(), "it was a dry run");
    options.dry_run = false;
    let swept = sweep(&api.client(), &options, &|_| {}).await;
    assert_eq!(swept.expect("the server answers"), expected);
    let mut deleted = api.deleted();
    // The namespace and its role go at the same time.
    deleted.sort();
    assert_eq!(
        deleted,
        [
            "/api/v1/namespaces/tempo-perf-dead",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/dead",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/orphan"
        ]
    );
}
