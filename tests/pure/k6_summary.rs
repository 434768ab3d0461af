//! Summaries that real k6 wrote, and broken ones.

use std::path::Path;

use rstest::rstest;
use tempo_perf::k6::summary::{Summary, SummaryError};

fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/k6-summary")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[rstest]
fn an_ingestion_is_read_with_its_units(#[values("1.8.1", "2.2.0")] version: &str) {
    let summary =
        Summary::parse(&recorded(&format!("{version}-ingestion.json"))).expect("a known shape");
    let push = &summary.trends["http_req_duration{op:push}"];
    assert!(push.is_time);
    assert!(push.count > 0);
    assert!(push.min <= push.p50 && push.p50 <= push.p95);
    assert!(push.p95 <= push.p99 && push.p99 <= push.max);
    let sent = summary.counter("sent_bytes").expect("listed");
    let acknowledged = summary.counter("acknowledged_bytes").expect("listed");
    assert_eq!(sent.count, acknowledged.count);
    assert_eq!(
        summary.counter("dropped_iterations").expect("listed").count,
        0.0
    );
    assert_eq!(
        summary
            .counter("sent_bytes{op:warmup}")
            .expect("listed")
            .count,
        0.0
    );
    let failed = summary.rate("operation_failed{op:push}").expect("listed");
    assert_eq!(failed.share(), Some(0.0));
    assert_eq!(failed.hits + failed.misses, push.count);
    assert!(summary.duration.as_secs() >= 5);
}

#[rstest]
fn a_query_run_has_its_operations(#[values("1.8.1", "2.2.0")] version: &str) {
    let summary =
        Summary::parse(&recorded(&format!("{version}-query.json"))).expect("a known shape");
    for operation in ["search", "trace_by_id", "tags", "tag_values"] {
        let name = format!("http_req_duration{{op:{operation}}}");
        assert!(summary.trends[&name].count > 0, "{name}");
    }
    assert!(summary.counter("search_hits").expect("listed").count > 0.0);
}

#[test]
fn a_rate_without_samples_has_no_share() {
    let text = r#"{"state":{"testRunDurationMs":1000},"metrics":{"x":
        {"type":"rate","contains":"default","values":{"rate":0,"passes":0,"fails":0}}}}"#;
    let summary = Summary::parse(text).expect("a known shape");
    assert_eq!(summary.rate("x").expect("listed").share(), None);
}

#[test]
fn a_metric_that_was_not_listed_is_an_error() {
    let summary = Summary::parse(&recorded("1.8.1-ingestion.json")).expect("a known shape");
    let error = summary
        .rate("operation_failed{op:nothing}")
        .expect_err("not listed");
    assert_eq!(
        error.to_string(),
        "k6's summary has no rate operation_failed{op:nothing}"
    );
    assert!(matches!(error, SummaryError::Absent { .. }));
}

#[rstest]
#[case::no_metrics(
    r#"{"state":{"testRunDurationMs":1}}"#,
    "$.metrics must be there, found nothing"
)]
#[case::no_state(r#"{"metrics":{}}"#, "$.state must be there, found nothing")]
#[case::text_for_a_number(
    r#"{"state":{"testRunDurationMs":1},"metrics":{"m":{"type":"counter","contains":"default","values":{"count":"7","rate":1}}}}"#,
    r#"$.metrics["m"].values.count must be a number, found "7""#
)]
#[case::a_percentile_is_missing(
    r#"{"state":{"testRunDurationMs":1},"metrics":{"m":{"type":"trend","contains":"time","values":{"count":1,"min":1,"avg":1,"max":1,"p(50)":1,"p(90)":1,"p(95)":1}}}}"#,
    r#"$.metrics["m"].values["p(99)"] must be there, found nothing"#
)]
#[case::flat_values_of_summary_export(
    r#"{"state":{"testRunDurationMs":1},"metrics":{"m":{"count":1,"rate":1}}}"#,
    r#"$.metrics["m"].values must be there, found nothing"#
)]
#[case::unknown_type(
    r#"{"state":{"testRunDurationMs":1},"metrics":{"m":{"type":"histogram","contains":"time","values":{}}}}"#,
    r#"$.metrics["m"].type must be trend, counter, rate or gauge, found histogram"#
)]
#[case::a_count_that_is_no_count(
    r#"{"state":{"testRunDurationMs":1},"metrics":{"m":{"type":"rate","contains":"default","values":{"rate":1,"passes":-1,"fails":0}}}}"#,
    r#"$.metrics["m"].values.passes must be a whole number of samples, found -1"#
)]
fn an_unexpected_shape_is_told_with_its_place(#[case] text: &str, #[case] message: &str) {
    let error = Summary::parse(text).expect_err("must not be read");
    assert_eq!(error.to_string(), format!("k6's summary: {message}"));
}
