//! The numbers that checks take from summaries of real k6.

use std::path::Path;

use rstest::rstest;
use tempo_perf::checks::k6_values;
use tempo_perf::k6::summary::Summary;

fn recorded(name: &str) -> Summary {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/k6-summary");
    let text = std::fs::read_to_string(dir.join(name)).expect("it is recorded");
    Summary::parse(&text).unwrap_or_else(|err| panic!("{err}"))
}

#[rstest]
fn the_numbers_of_a_recorded_ingestion_are_found(
    #[values(("1.8.1", 250), ("2.2.0", 131))] (version, requests): (&str, u64),
) {
    let summary = recorded(&format!("{version}-ingestion.json"));
    let bytes = k6_values::acknowledged_bytes(&summary).expect("listed");
    assert!(bytes > 0.0);
    // It had no warm-up.
    assert_eq!(k6_values::all_acknowledged_bytes(&summary), Ok(bytes));
    assert!(k6_values::all_acknowledged_spans(&summary).expect("listed") > 0.0);
    assert_eq!(k6_values::sent_requests(&summary), Ok(requests));
    assert_eq!(k6_values::refusals_not_logged(&summary), Ok(0));
    assert!(k6_values::refused_requests(&summary).is_empty());
    assert_eq!(k6_values::dropped_iterations(&summary), Ok(0.0));
    assert_eq!(k6_values::script_exceptions(&summary), Ok(0.0));
    assert_eq!(k6_values::start_lag_ms(&summary), Ok(0.0));
    let lag = k6_values::schedule_lag_p95_ms(&summary).expect("listed");
    assert!(lag < 100.0, "{lag} ms");
    let seconds = k6_values::mean_answer_seconds(&summary).expect("listed");
    assert!(
        (0.001..1.0).contains(&seconds),
        "{seconds} s, not milliseconds"
    );
    let absent = k6_values::searches_with_traces(&summary).expect_err("never a zero");
    assert_eq!(&*absent, "k6's summary has no counter search_hits");
}

#[rstest]
fn the_queries_of_a_recorded_run_are_counted(
    #[values(("1.8.1", 240.0), ("2.2.0", 200.0))] (version, queries): (&str, f64),
) {
    let summary = recorded(&format!("{version}-query.json"));
    let operations = ["search", "trace_by_id", "tags", "tag_values"];
    assert_eq!(k6_values::queries_done(&summary, &operations), Ok(queries));
    assert!(k6_values::searches_with_traces(&summary).expect("listed") > 0.0);
    k6_values::queries_done(&summary, &["push"]).expect_err("this run pushed nothing");
    k6_values::read_back(&summary).expect_err("this run read nothing back");
}
