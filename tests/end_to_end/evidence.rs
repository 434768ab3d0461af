//! A case that passes, and all that it leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::front_door::{FrontDoor, Turn};
use crate::support::ports::listening;
use crate::support::scratch::Scratch;

/// From the start of the trial to the first iteration: 3 s on a machine of its
/// own. Tests share theirs.
const TO_START_LIMIT: f64 = 8.0;

#[test]
fn a_combined_case_passes_and_leaves_all_its_evidence() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let mut running = FrontDoor::new(&scratch, &["1x-demo", "--check-metrics"])
        .seconds(15)
        .start();
    running.wait_for_load("1x-demo");
    let ports = running.ports();
    assert!(
        ports.len() >= 5,
        "store, collector and Prometheus must listen: {ports:?}"
    );
    let finished = running.wait().passes().says(&[
        "the built-in trace store, which is not Tempo",
        "bytes acknowledged",
        "until load",
        "results in",
    ]);

    scratch.assert_nothing_is_left();
    for (port, _) in listening() {
        assert!(!ports.contains(&port), "port {port} must be free again");
    }

    let report = finished.report("1x-demo");
    report.is_in_state("final");
    assert_eq!(report.json["schema_version"], 1);
    assert_eq!(report.json["test_type"], "combined");
    assert_eq!(report.json["built_in_trace_store"], true);
    assert_eq!(report.all("violated"), [""; 0]);
    assert_eq!(report.all("unmeasured"), [""; 0]);
    assert_eq!(report.all("not_applicable"), [""; 0]);
    assert!(report.all("passed").len() > 30);
    for check in [
        "bytes acknowledged",
        "queries done",
        "spans lost before Tempo",
        "searches that found traces",
        "push latency p99",
        "traces missing",
        "traces altered",
    ] {
        report.has(check, "passed");
        assert!(report.check(check)["observed"].is_number());
    }
    let window = |end: &str| -> jiff::Timestamp {
        let text = report.json["window"][end].as_str().expect("a time");
        text.parse().expect("RFC 3339")
    };
    assert_eq!(
        window("end").duration_since(window("start")).as_secs_f64(),
        15.0
    );
    for stage in [
        "tools",
        "set-up",
        "first trace",
        "drain",
        "read-back",
        "metrics",
        "teardown",
    ] {
        report.stage(stage);
    }
    assert!(report.stage("load") >= 15.0);
    assert!(report.stage("until load") < TO_START_LIMIT);

    let files: Vec<&str> = report.json["files"]
        .as_array()
        .expect("a list of files")
        .iter()
        .filter_map(|name| name.as_str())
        .collect();
    for name in [
        "k6-ingestion.log",
        "k6-query.log",
        "k6-readback.log",
        "k6-ingestion-metrics.json",
        "k6-query-metrics.json",
        "metrics.csv",
        "junit.xml",
        "report.json",
        "trace-store.log",
        "otelcol.log",
        "prometheus.log",
    ] {
        let name = format!("1x-demo-{name}");
        assert!(files.contains(&name.as_str()), "{name} is not in {files:?}");
        assert!(finished.file(&name).is_file(), "{name} must be there");
    }

    for (log, scenario) in [
        ("k6-ingestion.log", "ingestion"),
        ("k6-query.log", "queries"),
    ] {
        let text = finished.text(&format!("1x-demo-{log}"));
        for part in [
            "scenarios: (100.00%)",
            "complete and 0 interrupted iterations",
            "http_req_duration",
            "=== 1x-demo",
        ] {
            assert!(
                text.contains(part),
                "{log} of {scenario} must have \"{part}\":\n{text}"
            );
        }
    }
    for name in ["k6-ingestion-metrics.json", "k6-query-metrics.json"] {
        let text = finished.text(&format!("1x-demo-{name}"));
        let summary: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let duration = &summary["trends"]["http_req_duration"];
        assert!(duration["count"].as_u64() > Some(25), "{name}: {duration}");
        assert!(
            duration["p99_ms"].as_f64() > Some(0.0),
            "{name}: {duration}"
        );
        assert!(summary["counters"].is_object() && summary["rates"].is_object());
    }

    let mut csv = csv::Reader::from_path(finished.file("1x-demo-metrics.csv")).expect("a CSV file");
    let header: Vec<String> = csv
        .headers()
        .expect("a header")
        .iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(
        header,
        [
            "query_id",
            "metric_name",
            "category",
            "description",
            "timestamp",
            "value",
            "labels"
        ]
    );
    let mut rows: BTreeMap<String, usize> = BTreeMap::new();
    for row in csv.records() {
        let row = row.expect("a row of seven fields");
        let _: jiff::Timestamp = row[4].parse().expect("a time");
        let _: f64 = row[5].parse().expect("a number");
        let labels: serde_json::Value = serde_json::from_str(&row[6]).expect("labels are JSON");
        assert!(labels.is_object());
        *rows.entry(row[1].to_owned()).or_default() += 1;
    }
    assert!(
        rows.len() > 20,
        "most of the catalogue must have data: {rows:?}"
    );
    assert!(rows["accepted_spans_rate"] >= 10, "{rows:?}");

    let junit = quick_junit::Report::deserialize_from_str(&finished.text("1x-demo-junit.xml"))
        .expect("JUnit");
    let case = &junit.test_suites[0].test_cases[0];
    assert_eq!(case.name.as_str(), "1x-demo");
    assert!(matches!(
        case.status,
        quick_junit::TestCaseStatus::Success { .. }
    ));
    assert!(case.time.is_some_and(|time| time > Duration::from_secs(15)));
}

#[test]
fn an_ingestion_case_passes_without_queries() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let finished = FrontDoor::new(&scratch, &["1x-demo", "--test-type", "ingestion"])
        .seconds(6)
        .run()
        .passes();
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    assert_eq!(report.json["test_type"], "ingestion");
    report.has("bytes acknowledged", "passed");
    report.has("traces missing", "passed");
    finished.text("1x-demo-k6-ingestion-metrics.json");
    assert!(!finished.file("1x-demo-k6-query.log").exists());
}

#[test]
fn a_query_case_ingests_first_what_it_then_finds() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let finished = FrontDoor::new(&scratch, &["1x-demo", "--test-type=query"])
        .seconds(6)
        .run()
        .passes();
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    report.stage("seeding");
    report.has("queries done", "passed");
    report.has("searches that found traces", "passed");
    report.has("http_req_duration{op:trace_by_id}: p(95)<1000", "passed");
    report.has("push latency p99", "not_applicable");
    finished.text("1x-demo-k6-query-metrics.json");
}
