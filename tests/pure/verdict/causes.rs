//! What a reader is told to look at.

use tempo_perf::k6;

use super::{PUSH_P99, SAMPLES, SPANS_LOST, Seen, count, cross, of, run, tempo, trend};

/// What a reader is told, for every kind of failure.
#[test]
fn every_failure_tells_its_likely_cause() {
    type Story = (&'static str, &'static str, fn(&mut Seen));
    let stories: Vec<Story> = vec![
        ("Tempo's rate limit", "bytes acknowledged", |it| {
            let summary = of(it, k6::Run::Ingestion);
            count(summary, "acknowledged_bytes{op:push}", 1.0);
            count(summary, "refused_requests{reason:429}", 30.0);
            count(summary, "refused_requests{reason:503}", 3.0);
        }),
        ("503", "operation_failed{op:push}: rate<0.01", |it| {
            cross(of(it, k6::Run::Ingestion), "operation_failed{op:push}");
            count(
                of(it, k6::Run::Ingestion),
                "refused_requests{reason:503}",
                3.0,
            );
        }),
        ("no answers", "operation_failed{op:push}: rate<0.01", |it| {
            cross(of(it, k6::Run::Ingestion), "operation_failed{op:push}");
            count(
                of(it, k6::Run::Ingestion),
                "refused_requests{reason:network}",
                3.0,
            );
        }),
        ("partial", "operation_failed{op:push}: rate<0.01", |it| {
            cross(of(it, k6::Run::Ingestion), "operation_failed{op:push}");
            count(
                of(it, k6::Run::Ingestion),
                "refused_requests{reason:partial}",
                3.0,
            );
        }),
        ("all users wait", "dropped iterations, query", |it| {
            count(of(it, k6::Run::Query), "dropped_iterations", 9.0);
            let slow = trend(SAMPLES, 4000.0);
            of(it, k6::Run::Query)
                .trends
                .insert("http_req_duration".into(), slow);
        }),
        ("a burst", "dropped iterations, query", |it| {
            count(of(it, k6::Run::Query), "dropped_iterations", 9.0);
        }),
        (
            "slow answers",
            "http_req_duration{op:push}: p(99)<1000",
            |it| {
                cross(of(it, k6::Run::Ingestion), "http_req_duration{op:push}");
            },
        ),
        ("lost", SPANS_LOST, |it| tempo(it).spans_received -= 1.0),
        ("gained", SPANS_LOST, |it| tempo(it).spans_received += 1.0),
        ("changed", "bytes lost before Tempo", |it| {
            tempo(it).bytes_received -= 1.0
        }),
        ("discarded", "spans discarded in Tempo", |it| {
            tempo(it).spans_discarded_otherwise = 1.0;
        }),
        ("restart", SPANS_LOST, |it| {
            it.tempo = Err("a counter went backwards".into())
        }),
        ("nothing found", "searches that found traces", |it| {
            count(of(it, k6::Run::Query), "search_hits", 0.0);
        }),
        ("missing", "traces missing", |it| {
            it.read_back.as_mut().unwrap().missing = 1
        }),
        ("exception", "script exceptions, query", |it| {
            count(of(it, k6::Run::Query), "iteration_exceptions", 1.0);
        }),
        ("hanging", "interrupted iterations, query", |it| {
            it.runs
                .get_mut(&k6::Run::Query)
                .unwrap()
                .interrupted_iterations = Ok(1);
        }),
        ("busy k6", "k6 CPU, query", |it| {
            it.runs.get_mut(&k6::Run::Query).unwrap().cores = Ok(1e9);
        }),
        ("busy collector", "collector CPU", |it| {
            it.collector_cores = Ok(1e9)
        }),
        ("no number", PUSH_P99, |it| {
            it.promql.get_mut(PUSH_P99).unwrap().1 = Err("no series".into());
        }),
        ("dead", "traces missing", |it| {
            it.read_back = Err("no answer".into());
            it.ended_components = vec!["Tempo ended during the run\nexit code 1".into()];
        }),
    ];
    let told: Vec<String> = stories
        .into_iter()
        .map(|(story, name, change)| {
            let check = run().with(change).check(name);
            assert!(check.failed(), "{story}: {check:?}");
            format!("{story}: {}", check.likely_cause.unwrap_or_default())
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}
