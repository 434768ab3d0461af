//! Whole cases on the cluster, as users run them.

use std::time::Duration;

use libtest_mimic::Failed;

use crate::Scenario;
use crate::cluster::Cluster;
use crate::stand_in::StandIn;
use crate::support::built::built;
use crate::support::front_door::{Finished, FrontDoor};
use crate::support::scratch::Scratch;

pub const SCENARIOS: [Scenario; 5] = [
    Scenario::new(
        "the_demo_runs_from_an_empty_cluster_to_an_empty_cluster",
        &["tempo-perf-1x-demo"],
        demo,
    ),
    Scenario::new(
        "a_stack_is_measured_over_mutual_tls",
        &["tempo-perf-quick-stack"],
        stack,
    ),
    Scenario::new(
        "two_profiles_run_at_once_and_do_not_meet",
        &["tempo-perf-first", "tempo-perf-second"],
        two_at_once,
    )
    .slow(),
    Scenario::new(
        "a_bucket_outside_is_tried_before_tempo_is_created",
        &["tempo-perf-elsewhere", "store-of-others"],
        external_store,
    )
    .slow(),
    Scenario::new(
        "the_library_takes_the_steps_of_the_go_api",
        &["tempo-perf-my-perf-test"],
        library,
    )
    .slow(),
];

/// For set-up, load and teardown on a busy machine of two cores.
pub const CASE_LIMIT: Duration = Duration::from_secs(300);

/// A stack whose traces can be searched after 3 s.
const STACK: &str = "\
name: quick-stack
description: test
tempo:
  variant: stack
  overrides:
    ingester: {traceIdlePeriod: 1s, flushCheckPeriod: 1s}
storage: {size: 1Gi}
k6:
  vus: {min: 2, max: 5}
  ingestion: {mbPerSecond: 0.2, traceProfile: medium}
  query: {queriesPerSecond: 4}
";

fn demo(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let finished = cluster
        .harness(&scratch, &["1x-demo"])
        // A rate of CPU wants two looks of the kubelet at the container, which are
        // 10 to 20 s apart.
        .seconds(20)
        .start()
        .wait_within(CASE_LIMIT)
        .passes()
        .says(&[
            "cluster     https://127.0.0.1:",
            "context testbed",
            "prometheus  our own, in the namespace",
            "the built-in trace store, which is not Tempo",
            "own share",
            "0 failed",
        ]);
    cluster.assert_nothing_left()?;
    scratch.assert_nothing_is_left();
    finished.leaves_evidence_of("1x-demo");
    let report = finished.report("1x-demo");
    report.is_in_state("final");
    for name in [
        "bytes acknowledged",
        "spans lost before Tempo",
        "bytes lost before Tempo",
        "traces missing",
        "push latency p99",
        "k6 CPU, ingestion",
        "collector CPU",
        "components that ended",
    ] {
        report.has(name, "passed");
    }
    // Whose CPU that is says nothing of this machine.
    report.has("machine CPU", "not_applicable");
    let csv = finished.text("1x-demo-metrics.csv");
    for row in [
        "memory_usage_total",
        "cpu_usage_total",
        "distributor_push_duration_p99",
    ] {
        let samples = csv
            .lines()
            .filter(|line| line.contains(&format!(",{row},")));
        assert!(samples.count() > 0, "{row} must be in the CSV");
    }
    for name in [
        "events.json",
        "objects.json",
        "k6-readback.log",
        "tempo.tempo-perf-0.tempo.log",
    ] {
        finished.text(&format!("1x-demo-{name}"));
    }
    no_secret_is_in(&finished, "1x-demo");
    Ok(())
}

/// Secrets never reach a log or a result.
fn no_secret_is_in(finished: &Finished, profile: &str) {
    let objects = finished.text(&format!("{profile}-objects.json"));
    let parsed: serde_json::Value = serde_json::from_str(&objects).expect("JSON");
    assert!(
        parsed["pods"]
            .as_array()
            .is_some_and(|pods| !pods.is_empty())
    );
    assert_eq!(parsed.get("secrets"), None);
    for text in [&objects, &finished.stderr] {
        assert!(!text.contains("access_key_secret\":"), "no credentials");
    }
}

fn stack(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let profiles = scratch.profiles(&[]);
    std::fs::write(profiles.join("quick-stack.yaml"), STACK)?;
    let finished = cluster
        .harness(&scratch, &["quick-stack", "--prometheus=own"])
        .profiles_dir(&profiles)
        .seconds(12)
        .start()
        .wait_within(CASE_LIMIT)
        .passes();
    cluster.assert_nothing_left()?;
    let report = finished.report("quick-stack");
    for name in [
        "spans lost before Tempo",
        "bytes lost before Tempo",
        "searches that found traces",
        "traces missing",
        "push latency p99",
        "Tempo restarts",
    ] {
        report.has(name, "passed");
    }
    // The mTLS ports were scraped: each component has its log and its series.
    for component in [
        "distributor",
        "ingester",
        "querier",
        "query-frontend",
        "compactor",
    ] {
        let prefix = format!("quick-stack-{component}.");
        let files = report.json["files"].as_array().expect("a list of files");
        let there = files
            .iter()
            .filter_map(|file| file.as_str())
            .any(|file| file.starts_with(&prefix));
        assert!(there, "there must be a log of {component}: {files:#?}");
    }
    Ok(())
}

fn two_at_once(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let (one, other) = (Scratch::new(), Scratch::new());
    // Both are small: two cores carry the cluster as well.
    let start = |scratch: &Scratch, name: &str| {
        let text = STACK
            .replace("quick-stack", name)
            .replace("variant: stack", "variant: monolithic")
            .replace("0.2", "0.05");
        let profiles = scratch.profiles(&[]);
        std::fs::write(profiles.join(format!("{name}.yaml")), text).map(|()| profiles)
    };
    let (dir_one, dir_other) = (start(&one, "first")?, start(&other, "second")?);
    let first = cluster
        .harness(&one, &["first"])
        .profiles_dir(&dir_one)
        .seconds(10)
        .start();
    let second = cluster
        .harness(&other, &["second"])
        .profiles_dir(&dir_other)
        .seconds(10)
        .start();
    let (first, second) = (
        first.wait_within(CASE_LIMIT),
        second.wait_within(CASE_LIMIT),
    );
    cluster.assert_nothing_left()?;
    for (finished, name) in [(first, "first"), (second, "second")] {
        let report = finished.report(name);
        report.is_in_state("final");
        assert_eq!(report.json.get("error"), None, "{name}");
        // Speed is not judged here: two loads at once measure each other.
        for check in [
            "spans lost before Tempo",
            "bytes lost before Tempo",
            "traces missing",
        ] {
            report.has(check, "passed");
        }
    }
    Ok(())
}

/// The example program: check_prerequisites, setup_minio, setup_tempo,
/// setup_otel_collector, run_k6_parallel_tests, collect_metrics, cleanup.
fn library(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    // The watcher of child processes is looked for beside the example.
    let example = built(&["build", "--example", "framework"], "framework");
    FrontDoor::through(&scratch, example, &[])
        .env("KUBECONFIG", cluster.kubeconfig())
        .start()
        .wait_within(CASE_LIMIT)
        .passes()
        .says(&["Tests passed!", "samples in "]);
    cluster.assert_nothing_left()?;
    scratch.assert_nothing_is_left();
    Ok(())
}

const EXTERNAL: &str = "\
name: elsewhere
description: test
tempo: {variant: monolithic}
storage:
  type: s3
  bucket: traces
  endpoint: http://minio.store-of-others.svc:9000
k6:
  vus: {min: 2, max: 5}
  ingestion: {mbPerSecond: 0.05, traceProfile: small}
  query: {queriesPerSecond: 2}
";

fn external_store(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let store = crate::store_of_others::StoreOfOthers::start(cluster, "store-of-others", "traces")?;
    let scratch = Scratch::new();
    let profiles = scratch.profiles(&[]);
    std::fs::write(profiles.join("elsewhere.yaml"), EXTERNAL)?;
    let harness = |secret: &str, log: &str| {
        cluster
            .harness(&scratch, &["elsewhere"])
            .profiles_dir(&profiles)
            .env("AWS_ACCESS_KEY_ID", store.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .seconds(6)
            .log_as(log)
            .start()
            .wait_within(CASE_LIMIT)
    };
    harness("not-the-secret", "wrong")
        .exits_with(101)
        .says(&[
            "storage: the bucket cannot be used: PUT traces/",
            "HTTP 403 SignatureDoesNotMatch",
        ])
        .never_says(&["not-the-secret"]);
    cluster.assert_nothing_left()?;
    let finished = harness(store.secret_access_key(), "right").passes();
    cluster.assert_nothing_left()?;
    finished.never_says(&[store.secret_access_key()]);
    store.assert_bucket_is_empty()?;
    Ok(())
}
