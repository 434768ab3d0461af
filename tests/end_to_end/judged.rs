//! Cases that must fail, and say of what.

use crate::support::front_door::{FrontDoor, Turn};
use crate::support::proc::is_running;
use crate::support::scratch::Scratch;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const IMPOSSIBLE: &str = "\
k6:
  vus: {min: 2, max: 5}
  ingestion: {mbPerSecond: 0.05, traceProfile: small}
  query: {queriesPerSecond: 2}
slos:
  - name: impossible
    expr: sum(process_resident_memory_bytes{${sel}})
    max: 1
    unit: B
";

#[test]
fn an_slo_that_cannot_hold_fails_its_case_and_is_named_everywhere() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let profiles = scratch.profile("strict", IMPOSSIBLE);
    scratch.profiles(&["1x-demo"]);
    let junit = scratch.path().join("all.xml");
    let finished = FrontDoor::new(&scratch, &["--junit", &junit.display().to_string()])
        .profiles_dir(&profiles)
        .seconds(6)
        .run()
        .exits_with(101)
        .says(&[
            "impossible (violated)",
            "1 violated of",
            "1 passed; 1 failed",
        ]);
    scratch.assert_nothing_is_left();
    let strict = finished.report("strict");
    strict.is_in_state("final");
    assert_eq!(strict.all("violated"), ["impossible"]);
    assert_eq!(strict.all("unmeasured"), [""; 0]);
    finished.leaves_evidence_of("strict");
    assert_eq!(finished.report("1x-demo").all("violated"), [""; 0]);

    let all = std::fs::read_to_string(junit).expect("the file over all cases");
    let all = quick_junit::Report::deserialize_from_str(&all).expect("JUnit");
    let cases: Vec<(&str, bool)> = all
        .test_suites
        .iter()
        .flat_map(|suite| &suite.test_cases)
        .map(|case| {
            let passed = matches!(case.status, quick_junit::TestCaseStatus::Success { .. });
            (case.name.as_str(), passed)
        })
        .collect();
    assert_eq!(cases, [("1x-demo", true), ("strict", false)]);
}

#[test]
fn a_store_that_loses_and_alters_spans_is_found_out_trace_by_trace() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let finished = FrontDoor::new(&scratch, &["1x-demo", "--test-type=ingestion"])
        .env(
            "TEMPO_PERF_STORE_FAULTS",
            "drop-span:7,drop-trace:11,alter-attribute:13",
        )
        .seconds(6)
        .run()
        .exits_with(101)
        .says(&[
            "traces missing (violated)",
            "traces partial (violated)",
            "traces altered (violated)",
        ]);
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    assert_eq!(
        report.all("violated"),
        ["traces missing", "traces partial", "traces altered"],
        "Tempo's counters must not give it away: the store counts what it drops"
    );
    // 47 traces after the first, which proves the way.
    assert_eq!(report.check("traces missing")["observed"], 4.0);
    assert_eq!(report.check("traces partial")["observed"], 6.0);
    assert_eq!(report.check("traces altered")["observed"], 3.0);
    let log = tempo_perf::k6::log::parse(&finished.text("1x-demo-k6-readback.log"));
    let of = |kind| {
        let found = log
            .readback
            .iter()
            .filter(move |finding| finding.kind == kind);
        found
            .map(|finding| finding.trace_id.as_str())
            .collect::<Vec<_>>()
    };
    use tempo_perf::k6::log::ReadbackKind;
    for (kind, count, words) in [
        (ReadbackKind::Missing, 4, "no spans"),
        (ReadbackKind::Partial, 6, "spans are missing"),
        (ReadbackKind::Altered, 3, "tempo_perf.token"),
    ] {
        let ids = of(kind);
        assert_eq!(ids.len(), count, "{kind:?}: {ids:?}");
        assert!(ids.iter().all(|id| id.len() == 32));
        let texts = log.readback.iter().filter(|finding| finding.kind == kind);
        assert!(
            texts
                .into_iter()
                .all(|finding| finding.text.contains(words))
        );
    }
    let shown = log
        .readback
        .iter()
        .filter(|it| finished.stderr.contains(&it.trace_id));
    assert_eq!(
        shown.count(),
        5,
        "the first findings are shown with their IDs"
    );
}

#[test]
fn a_backend_killed_under_load_fails_the_case_and_is_named_as_the_cause() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let mut running = FrontDoor::new(&scratch, &["1x-demo"]).seconds(6).start();
    running.wait_for_load("1x-demo");
    let store = scratch.process("trace-store");
    kill(Pid::from_raw(store.pid), Signal::SIGKILL).expect("the store can be signalled");
    let finished = running
        .wait()
        .exits_with(101)
        .says(&["Tempo ended during the run", "unmeasured"]);
    assert!(!is_running(store.pid));
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    report.is_in_state("final");
    report.has("bytes acknowledged", "violated");
    report.has("spans lost before Tempo", "unmeasured");
    report.has("traces missing", "unmeasured");
    let failed = [report.all("violated"), report.all("unmeasured")].concat();
    for name in failed {
        let cause = report.check(name)["likely_cause"]
            .as_str()
            .unwrap_or_default();
        assert!(
            cause.contains("Tempo ended during the run"),
            "{name}: {cause}"
        );
    }
    finished.leaves_evidence_of("1x-demo");
}

#[test]
fn a_load_beyond_the_generator_leaves_performance_unmeasured() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let profiles = scratch.profile(
        "beyond",
        "k6:\n  vus: {min: 4, max: 4}\n  ingestion: {mbPerSecond: 3000, traceProfile: small, \
         tracesPerRequest: 1}\n  query: {queriesPerSecond: 2}\n",
    );
    let finished = FrontDoor::new(&scratch, &["beyond", "--test-type=ingestion"])
        .profiles_dir(&profiles)
        .seconds(5)
        .run()
        .exits_with(101)
        .says(&["was the bottleneck; it reached"]);
    scratch.assert_nothing_is_left();
    let report = finished.report("beyond");
    for check in [
        "bytes acknowledged",
        "http_req_duration{op:push}: p(99)<1000",
        "push latency p99",
    ] {
        report.has(check, "unmeasured");
        let reason = report.check(check)["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("MB/s of"), "{check}: {reason}");
    }
    report.has("spans lost before Tempo", "passed");
    finished.leaves_evidence_of("beyond");
}
