//! The scripts that query: the mix of a load, and the reading back.

use std::sync::Arc;

use serde_json::json;
use tempo_perf::corpus::Corpus;
use tempo_perf::corpus::identity::hex;
use tempo_perf::k6::load::{KnownTraces, QueryScenario, ReadbackScenario, planned_iterations};
use tempo_perf::k6::log::ReadbackKind;
use tempo_perf::k6::query_mix;
use tempo_perf::profile::TraceProfile;

use super::server::{Server, trace_json};
use super::{RUN, SEED, load, run};

#[tokio::test(flavor = "multi_thread")]
async fn queries_follow_the_mix_and_ask_for_known_traces() {
    let dir = tempfile::tempdir().expect("a directory");
    let corpus = Corpus::generate(TraceProfile::Small, SEED);
    let server = Arc::new(Server::default());
    for n in 0..400 {
        let body = corpus.fill(n, RUN, 1_795_415_000_123_000_000);
        let id = hex(&corpus.expected_trace(n, RUN).trace_id);
        server
            .traces
            .lock()
            .expect("not poisoned")
            .insert(id, trace_json(&body));
    }
    let base = server.start().await;
    let known = KnownTraces {
        rate_per_1000s: 20_000,
        traces_per_request: 10,
        requests: 40,
        head_start_ms: 0,
    };
    for known_traces in [Some(known), None] {
        let mut load = load(dir.path(), TraceProfile::Small, 2000);
        load.query = Some(QueryScenario {
            base_url: base.clone(),
            rate_per_1000s: 40_000,
            queries: planned_iterations(40_000, 2000),
            warmup_queries: 0,
            pre_allocated_vus: 2,
            max_vus: 2,
            timeout_ms: 5000,
            mix: query_mix::sequence(None, SEED),
            visibility_delay_ms: 500,
            search_window_ms: 60_000,
            search_limit: 20,
            known_traces,
            log_limit_per_vu: 5,
        });
        let outcome = run("query-test.js", load).await;
        assert_eq!(outcome.code, Some(0), "{}", outcome.text);
        let summary = &outcome.summary;
        let mut total = 0;
        for operation in ["search", "trace_by_id", "tags", "tag_values"] {
            let rate = summary
                .rate(&format!("operation_failed{{op:{operation}}}"))
                .expect("listed");
            assert_eq!(
                rate.hits, 0,
                "{operation}: {:?}",
                outcome.log.failed_queries
            );
            assert!(rate.misses > 0, "{operation} must have been asked");
            total += rate.misses;
        }
        assert_eq!(total, 80, "the rate must be held");
        let substituted = summary.counter("queries_substituted").expect("listed");
        assert!(
            substituted.count > 0.0,
            "no trace is known in the beginning"
        );
    }
    let queries = server.queries.lock().expect("not poisoned");
    assert!(
        queries
            .iter()
            .any(|uri| uri.contains("q=%7B%20status%20%3D%20error%20%7D"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn read_back_tells_missing_partial_and_altered_apart() {
    let dir = tempfile::tempdir().expect("a directory");
    let corpus = Corpus::generate(TraceProfile::Medium, SEED);
    corpus.write_to(dir.path()).expect("writable");
    let server = Arc::new(Server::default());
    for n in 0..8 {
        let body = corpus.fill(n, RUN, 1_795_415_000_123_000_000);
        let mut trace = trace_json(&body);
        let spans = &mut trace["resourceSpans"][0]["scopeSpans"][0]["spans"];
        match n {
            1 => continue,
            2 => drop(spans.as_array_mut().expect("spans").pop()),
            3 => {
                let attributes = spans[0]["attributes"].as_array_mut().expect("attributes");
                for pair in attributes {
                    if pair["key"] == "tempo_perf.token" {
                        pair["value"]["stringValue"] = json!("tampered with");
                    }
                }
            }
            4 => spans[1]["parentSpanId"] = json!("AAAAAAAAAAE="),
            5 => trace = json!({}),
            _ => {}
        }
        let id = hex(&corpus.expected_trace(n, RUN).trace_id);
        server
            .traces
            .lock()
            .expect("not poisoned")
            .insert(id, trace);
    }
    let base = server.start().await;
    let mut load = load(dir.path(), TraceProfile::Medium, 10_000);
    load.readback = Some(ReadbackScenario {
        base_url: base,
        traces: (0..8).collect(),
        vus: 2,
        pause_ms: 10,
        deadline_ms: 500,
        timeout_ms: 1000,
        log_limit_per_vu: 50,
    });
    let outcome = run("readback-test.js", load).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.text);
    let count = |name: &str| outcome.summary.counter(name).expect("listed").count as u64;
    assert_eq!(count("readback_found"), 3);
    assert_eq!(count("readback_missing"), 2);
    assert_eq!(count("readback_partial"), 1);
    assert_eq!(count("readback_altered"), 2);
    assert_eq!(count("readback_unreadable"), 0);
    let finding = |n: u64| {
        outcome
            .log
            .readback
            .iter()
            .find(|finding| finding.trace == n)
            .expect("each bad trace must be logged")
    };
    assert_eq!(finding(1).kind, ReadbackKind::Missing);
    assert_eq!(finding(2).kind, ReadbackKind::Partial);
    assert_eq!(finding(3).kind, ReadbackKind::Altered);
    assert!(
        finding(3).text.contains("tampered with"),
        "{:?}",
        finding(3)
    );
    assert!(finding(4).text.contains("parent"), "{:?}", finding(4));
    assert_eq!(finding(5).kind, ReadbackKind::Missing);
    assert_eq!(
        finding(1).trace_id,
        hex(&corpus.expected_trace(1, RUN).trace_id)
    );
}
