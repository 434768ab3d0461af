//! Whose a namespace is, and that it is cleaned whatever ends the harness.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::Scenario;
use crate::cluster::Cluster;
use crate::runs::CASE_LIMIT;
use crate::stand_in::StandIn;
use crate::support::front_door::FrontDoor;
use crate::support::scratch::Scratch;

pub const SCENARIOS: [Scenario; 5] = [
    Scenario::new(
        "a_namespace_of_others_is_refused_and_left_as_it_is",
        &["tempo-perf-1x-demo"],
        not_ours,
    ),
    Scenario::new(
        "what_a_killed_run_left_is_cleaned_by_the_next",
        &["tempo-perf-1x-demo"],
        killed,
    )
    .slow(),
    Scenario::new(
        "a_live_run_is_refused_with_who_and_since_when",
        &["tempo-perf-1x-demo"],
        live,
    )
    .slow(),
    Scenario::new(
        "sigint_ends_the_load_and_leaves_nothing",
        &["tempo-perf-1x-demo"],
        interrupted,
    )
    .slow(),
    Scenario::new(
        "a_run_left_running_is_swept",
        &["tempo-perf-1x-demo"],
        left_running,
    )
    .slow(),
];

const NAMESPACE: &str = "tempo-perf-1x-demo";

fn demo<'a>(cluster: &Cluster, scratch: &'a Scratch) -> FrontDoor<'a> {
    cluster.harness(scratch, &["1x-demo"]).seconds(6)
}

fn not_ours(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let theirs: Namespace = serde_json::from_value(json!({
        "metadata": {"name": NAMESPACE, "labels": {"team": "others"}},
    }))?;
    cluster.block_on(namespaces.create(&PostParams::default(), &theirs))?;
    let scratch = Scratch::new();
    demo(cluster, &scratch)
        .start()
        .wait_within(CASE_LIMIT)
        .exits_with(101)
        .says(&["namespace tempo-perf-1x-demo exists and is not tempo-perf's"]);
    let still = cluster.block_on(namespaces.get(NAMESPACE))?;
    assert_eq!(still.metadata.deletion_timestamp, None, "it is left alone");
    cluster.block_on(namespaces.delete(NAMESPACE, &DeleteParams::default()))?;
    cluster.assert_nothing_left()
}

fn killed(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let mut running = demo(cluster, &scratch).seconds(60).log_as("killed").start();
    running.wait_for_load("1x-demo");
    running.signal(Signal::SIGKILL);
    running.wait_within(CASE_LIMIT).killed_by(Signal::SIGKILL);
    assert!(!cluster.block_on(cluster.leftovers())?.is_empty());
    demo(cluster, &scratch)
        .start()
        .wait_within(CASE_LIMIT)
        .passes()
        .says(&["was left behind by run", "removing it first"]);
    cluster.assert_nothing_left()?;
    scratch.assert_nothing_is_left();
    Ok(())
}

fn live(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let (first, second) = (Scratch::new(), Scratch::new());
    let mut running = demo(cluster, &first).seconds(20).start();
    running.wait_for_load("1x-demo");
    let pid = format!("PID {}", running.pid());
    demo(cluster, &second)
        .start()
        .wait_within(CASE_LIMIT)
        .exits_with(101)
        .says(&["namespace tempo-perf-1x-demo is in use by", &pid, "since"]);
    // A sweep passes over it, too.
    let swept = cluster.tempo_perf(&second, &["sweep"]).passes();
    swept.says(&[NAMESPACE, "in use"]);
    running.wait_within(CASE_LIMIT).passes();
    cluster.assert_nothing_left()
}

fn interrupted(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let mut running = demo(cluster, &scratch).seconds(60).start();
    running.wait_for_load("1x-demo");
    running.signal_group(Signal::SIGINT);
    let finished = running
        .wait_within(CASE_LIMIT)
        .exits_with(130)
        .says(&["interrupted by SIGINT"]);
    cluster.assert_nothing_left()?;
    scratch.assert_nothing_is_left();
    finished.report("1x-demo").is_in_state("interrupted");
    // k6 was told, and its last words came through.
    let log = finished.text("1x-demo-k6-ingestion.log");
    assert!(
        log.contains("=== 1x-demo"),
        "k6's summary must be there:\n{log}"
    );
    Ok(())
}

fn left_running(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let finished = cluster
        .harness(&scratch, &["1x-demo", "--skip-cleanup"])
        .seconds(6)
        .start()
        .wait_within(CASE_LIMIT)
        .passes();
    finished.says(&[
        "left running in namespace tempo-perf-1x-demo",
        "kubectl --context testbed get all -n tempo-perf-1x-demo",
        "tempo-perf sweep --context testbed --namespace tempo-perf-1x-demo",
    ]);
    let list = cluster.tempo_perf(&scratch, &["sweep", "--dry-run"]);
    list.says(&[NAMESPACE]);
    assert!(!cluster.block_on(cluster.leftovers())?.is_empty());
    cluster
        .tempo_perf(
            &scratch,
            &["sweep", "--context=testbed", "--namespace", NAMESPACE],
        )
        .passes()
        .says(&[NAMESPACE, "removed"]);
    cluster.assert_nothing_left()
}
