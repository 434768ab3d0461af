//! What may go wrong in a cluster. Each time the error says what it was, in the
//! cluster's own words, and nothing of ours is left.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use libtest_mimic::Failed;

use crate::Scenario;
use crate::cluster::Cluster;
use crate::runs::CASE_LIMIT;
use crate::stand_in::{Behaviour, StandIn};
use crate::support::front_door::{Finished, FrontDoor};
use crate::support::scratch::Scratch;

pub const SCENARIOS: [Scenario; 10] = [
    Scenario::new(
        "missing_crds_are_named_at_once_and_nothing_is_created",
        &["tempo-perf-1x-demo"],
        missing_crds,
    ),
    Scenario::new(
        "a_quota_that_blocks_ends_the_wait_in_its_own_words",
        &["tempo-perf-1x-demo"],
        quota,
    ),
    Scenario::new(
        "an_image_that_cannot_be_pulled_ends_the_wait",
        &["tempo-perf-1x-demo"],
        image,
    ),
    Scenario::new(
        "a_k6_pod_killed_mid_run_is_unmeasured",
        &["tempo-perf-1x-demo"],
        k6_killed,
    ),
    Scenario::new(
        "a_tempo_that_crash_loops_is_shown_with_its_last_words",
        &["tempo-perf-1x-demo"],
        crash_loop,
    ),
    Scenario::new(
        "a_tempo_that_crashes_under_load_is_found_out",
        &["tempo-perf-1x-demo"],
        crash_under_load,
    )
    .slow(),
    Scenario::new(
        "a_finalizer_that_sticks_is_stripped_and_reported",
        &["tempo-perf-1x-demo"],
        stuck_finalizer,
    ),
    Scenario::new(
        "an_api_server_that_restarts_mid_run_costs_nothing",
        &["tempo-perf-1x-demo"],
        api_server,
    )
    .slow(),
    Scenario::new(
        "a_node_selector_that_leaves_no_node_is_told_before_anything_is_created",
        &["tempo-perf-1x-demo"],
        no_node_is_left,
    ),
    Scenario::new(
        "an_unreachable_cluster_is_an_error_and_never_a_fall_back",
        &["tempo-perf-1x-demo"],
        unreachable,
    ),
];

/// The demo, quick to give up.
fn demo<'a>(cluster: &Cluster, scratch: &'a Scratch, args: &[&str]) -> FrontDoor<'a> {
    let mut all = vec!["1x-demo"];
    all.extend(args);
    cluster
        .harness(scratch, &all)
        .env("TEMPO_PERF_POD_READY_TIMEOUT", "60s")
        .seconds(6)
}

#[track_caller]
fn fails(case: FrontDoor, words: &[&str]) -> Finished {
    case.start()
        .wait_within(CASE_LIMIT)
        .exits_with(101)
        .says(words)
}

const NAMESPACE: &str = "tempo-perf-1x-demo";

fn missing_crds(cluster: &Cluster) -> Result<(), Failed> {
    let stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    stand_in.without_crds(cluster, || {
        fails(
            demo(cluster, &scratch, &[]),
            &[
                "prerequisites not met: Tempo=false, OTel=false",
                "tempomonolithics.tempo.grafana.com: no such CustomResourceDefinition; install the \
                 Tempo operator",
                "opentelemetrycollectors.opentelemetry.io: no such CustomResourceDefinition; \
                 install the OpenTelemetry operator",
            ],
        );
        cluster.assert_nothing_left()
    })
}

fn quota(cluster: &Cluster) -> Result<(), Failed> {
    let stand_in = StandIn::start(cluster)?;
    stand_in.in_namespace(NAMESPACE, Behaviour::Quota { pods: 0 });
    let scratch = Scratch::new();
    fails(demo(cluster, &scratch, &[]), &["exceeded quota", "pods=1"]);
    cluster.assert_nothing_left()
}

fn image(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let args = ["--k6-image=registry.invalid/grafana/k6:none"];
    fails(
        demo(cluster, &scratch, &args),
        &[
            "registry.invalid/grafana/k6:none",
            "k6 pods (ingestion, query, readback) will not",
        ],
    );
    cluster.assert_nothing_left()
}

fn pods(cluster: &Cluster) -> Api<Pod> {
    Api::namespaced(cluster.client(), NAMESPACE)
}

fn k6_killed(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let mut running = demo(cluster, &scratch, &[]).seconds(20).start();
    running.wait_for_load("1x-demo");
    cluster.block_on(async {
        let of_ingestion = ListParams::default().labels("job-name=k6-ingestion");
        let now = DeleteParams::default().grace_period(0);
        pods(cluster).delete_collection(&now, &of_ingestion).await
    })?;
    let finished = running
        .wait_within(CASE_LIMIT)
        .exits_with(101)
        .says(&["k6 was ended by", "k6-ingestion"]);
    cluster.assert_nothing_left()?;
    let report = finished.report("1x-demo");
    report.is_in_state("final");
    report.has("bytes acknowledged", "unmeasured");
    report.has("queries done", "passed");
    Ok(())
}

fn crash_loop(cluster: &Cluster) -> Result<(), Failed> {
    let stand_in = StandIn::start(cluster)?;
    stand_in.in_namespace(NAMESPACE, Behaviour::CrashTempo);
    let scratch = Scratch::new();
    fails(
        demo(cluster, &scratch, &[]),
        &[
            "pod tempo-perf-0",
            "exit code 1",
            "last words of tempo-perf-0",
        ],
    );
    cluster.assert_nothing_left()
}

fn crash_under_load(cluster: &Cluster) -> Result<(), Failed> {
    let stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let mut running = demo(cluster, &scratch, &[]).seconds(15).start();
    running.wait_for_load("1x-demo");
    stand_in.in_namespace(NAMESPACE, Behaviour::CrashTempo);
    let finished = running.wait_within(CASE_LIMIT).exits_with(101);
    cluster.assert_nothing_left()?;
    let report = finished.report("1x-demo");
    report.is_in_state("final");
    report.has("components that ended", "violated");
    let reason = report.check("components that ended").to_string();
    assert!(reason.contains("tempo-perf-0"), "{reason}");
    Ok(())
}

fn stuck_finalizer(cluster: &Cluster) -> Result<(), Failed> {
    let stand_in = StandIn::start(cluster)?;
    stand_in.in_namespace(NAMESPACE, Behaviour::KeepFinalizer);
    let scratch = Scratch::new();
    demo(cluster, &scratch, &["--cr-deletion-timeout=4s"])
        .start()
        .wait_within(CASE_LIMIT)
        .passes()
        .says(&["tempo.grafana.com/finalizer"]);
    cluster.assert_nothing_left()
}

fn api_server(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let mut running = demo(cluster, &scratch, &[]).seconds(25).start();
    running.wait_for_load("1x-demo");
    cluster.restart_api_server()?;
    let finished = running.wait_within(CASE_LIMIT);
    cluster.assert_nothing_left()?;
    let report = finished.report("1x-demo");
    report.is_in_state("final");
    // k6 and Tempo do not notice; that the machine was busy is another matter.
    for name in [
        "spans lost before Tempo",
        "bytes lost before Tempo",
        "traces missing",
        "interrupted iterations, ingestion",
        "components that ended",
    ] {
        report.has(name, "passed");
    }
    let log = finished.text("1x-demo-k6-ingestion.log");
    let seconds = log
        .lines()
        .filter(|line| line.starts_with("running ("))
        .count();
    assert!(
        seconds >= 25,
        "the log must have no gap: {seconds} progress lines"
    );
    Ok(())
}

fn no_node_is_left(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let args = ["--node-selector=kubernetes.io/os=linux"];
    fails(
        demo(cluster, &scratch, &args),
        &[
            "prerequisites not met: Tempo=true, OTel=true",
            "nodes: all 1 that are ready have the labels kubernetes.io/os=linux",
        ],
    );
    let args = ["--node-selector=tier=dedicated"];
    fails(
        demo(cluster, &scratch, &args).log_as("none"),
        &["nodes: none of the 1 that are ready has the labels of the node selector tier=dedicated"],
    );
    cluster.assert_nothing_left()
}

fn unreachable(cluster: &Cluster) -> Result<(), Failed> {
    let scratch = Scratch::new();
    let text = std::fs::read_to_string(cluster.kubeconfig())?;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let server = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("server: "))
        .ok_or("a kubeconfig names a server")?;
    let kubeconfig = scratch.path().join("kubeconfig");
    std::fs::write(
        &kubeconfig,
        text.replace(server, &format!("https://{nobody}")),
    )?;
    let began = std::time::Instant::now();
    // Without a target: a kubeconfig that was asked for is not passed over.
    FrontDoor::new(&scratch, &["1x-demo"])
        .env("KUBECONFIG", &kubeconfig)
        .seconds(6)
        .start()
        .wait_within(CASE_LIMIT)
        .exits_with(101)
        .says(&["does not answer", &nobody.to_string(), "context testbed"])
        .never_says(&["the built-in trace store"]);
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "it must not hang"
    );
    FrontDoor::new(&scratch, &["1x-demo", "--context=nowhere"])
        .env("KUBECONFIG", cluster.kubeconfig())
        .seconds(6)
        .log_as("context")
        .run()
        .exits_with(101)
        .says(&["no context \"nowhere\"", "testbed"]);
    Ok(())
}
