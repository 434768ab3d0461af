//! The script that pushes: identities, bodies, refusals, and its start.

use std::path::Path;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tempo_perf::checks::k6_values;
use tempo_perf::corpus::Corpus;
use tempo_perf::k6::Run;
use tempo_perf::k6::command::k6_command;
use tempo_perf::k6::load::IngestionScenario;
use tempo_perf::profile::TraceProfile;

use super::server::Server;
use super::{ROOT, RUN, SEED, ingestion, k6_binary, load, run};

#[tokio::test(flavor = "multi_thread")]
async fn javascript_and_rust_agree_on_identities() {
    let output = tokio::process::Command::new(k6_binary())
        .args(["run", "--no-usage-report", "--address", ""])
        .arg(Path::new(ROOT).join("tests/processes/k6_scripts/trace_identity.js"))
        .output()
        .await
        .expect("k6 must start");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("CHECKED 45"), "{text}");
    assert!(!text.contains("DIFFERENT"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_percentile_that_a_threshold_names_is_in_the_summary() {
    let dir = tempfile::tempdir().expect("a directory");
    let corpus = Corpus::generate(TraceProfile::Small, SEED);
    corpus.write_to(dir.path()).expect("writable");
    let base = Arc::new(Server::default()).start().await;
    let mut load = load(dir.path(), TraceProfile::Small, 2000);
    load.ingestion = Some(ingestion(&corpus, &base, 2000, 1));
    let metric = "http_req_duration{op:push}";
    let never = "dropped_iterations";
    load.thresholds.insert(
        metric.into(),
        vec!["p(99.90)<9999".into(), "p(75)<0".into()],
    );
    load.thresholds
        .insert(never.into(), vec!["count==0".into()]);
    let outcome = run("ingestion-test.js", load).await;
    assert_eq!(outcome.code, Some(99), "p(75) is crossed: {}", outcome.text);
    let judged = |metric, expression| {
        k6_values::threshold(&outcome.summary, metric, expression)
            .unwrap_or_else(|why| panic!("{why}: {}", outcome.text))
    };
    let (upper, passed) = judged(metric, "p(99.90)<9999");
    assert!(passed && upper > 0.0, "{upper} ms");
    let (lower, passed) = judged(metric, "p(75)<0");
    assert!(!passed && lower <= upper, "{lower} ms");
    assert_eq!(judged(never, "count==0"), (0.0, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_byte_for_byte_those_that_rust_fills() {
    let dir = tempfile::tempdir().expect("a directory");
    for (profile, traces) in [(TraceProfile::Small, 5), (TraceProfile::Xlarge, 1)] {
        let corpus = Corpus::generate(profile, SEED);
        corpus.write_to(dir.path()).expect("writable");
        let server = Arc::new(Server::default());
        let base = server.start().await;
        let mut load = load(dir.path(), profile, 2000);
        load.ingestion = Some(IngestionScenario {
            warmup_requests: 10,
            ..ingestion(&corpus, &base, 2000, traces)
        });
        let outcome = run("ingestion-test.js", load).await;
        assert_eq!(outcome.code, Some(0), "{}", outcome.text);

        let mut bodies = std::mem::take(&mut *server.bodies.lock().expect("not poisoned"));
        assert_eq!(bodies.len(), 40, "2 s at 20 requests/s");
        for request in 0..40 {
            let size = u64::from(traces);
            let numbers = request * size..(request + 1) * size;
            let first = corpus.expected_trace(numbers.start, RUN).trace_id;
            let position = bodies
                .iter()
                .position(|body| body.windows(16).any(|window| window == first))
                .expect("each request must arrive");
            let body = bodies.swap_remove(position);
            let end = ExportTraceServiceRequest::decode(&body[..])
                .expect("a valid request")
                .resource_spans[0]
                .scope_spans[0]
                .spans[0]
                .end_time_unix_nano;
            let wanted: Vec<u8> = numbers.flat_map(|n| corpus.fill(n, RUN, end)).collect();
            assert!(body == wanted, "request {request} differs from Rust's");
        }

        let summary = &outcome.summary;
        let total = 40 * u64::from(traces);
        let count = |name: &str| summary.counter(name).expect("listed").count as u64;
        assert_eq!(count("acknowledged_bytes"), corpus.bytes_of(0..total));
        assert_eq!(count("sent_spans"), corpus.spans_of(0..total));
        assert_eq!(count("acknowledged_requests{op:warmup}"), 10);
        assert_eq!(count("acknowledged_requests{op:push}"), 30);
        assert_eq!(summary.trends["http_req_duration{op:push}"].count, 30);
        assert_eq!(count("iteration_exceptions"), 0);
        let iterations = outcome.log.iterations.expect("k6 must say how many");
        assert!(iterations.complete >= 40);
        assert_eq!(iterations.interrupted, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_by_reason_and_logged_within_bounds() {
    let dir = tempfile::tempdir().expect("a directory");
    let corpus = Corpus::generate(TraceProfile::Small, SEED);
    corpus.write_to(dir.path()).expect("writable");
    let server = Arc::new(Server::default());
    let partial = vec![0x0a, 0x02, 0x08, 0x01];
    *server.answers.lock().expect("not poisoned") = (0..10)
        .map(|_| (429, b"RATE_LIMITED: too much".to_vec()))
        .chain([(503, vec![]), (500, vec![]), (400, vec![]), (200, partial)])
        .collect();
    let base = server.start().await;
    let mut load = load(dir.path(), TraceProfile::Small, 1500);
    load.ingestion = Some(ingestion(&corpus, &base, 1500, 2));
    load.thresholds
        .insert("operation_failed{op:push}".into(), vec!["rate<0.01".into()]);
    let outcome = run("ingestion-test.js", load).await;
    assert_eq!(outcome.code, Some(99), "{}", outcome.text);

    let count = |name: &str| outcome.summary.counter(name).expect("listed").count as u64;
    for (reason, times) in [
        ("429", 10),
        ("503", 1),
        ("5xx", 1),
        ("4xx", 1),
        ("partial", 1),
    ] {
        assert_eq!(
            count(&format!("refused_requests{{reason:{reason}}}")),
            times
        );
    }
    assert_eq!(count("refused_requests"), 14);
    assert_eq!(count("acknowledged_requests"), 16);
    let logged = outcome.log.not_accepted.len() as u64;
    assert!(logged <= 6, "3 lines for each of 2 VUs, found {logged}");
    assert_eq!(logged + count("not_logged"), 14);
    let first = &outcome.log.not_accepted[0];
    assert_eq!((first.status, first.traces), (429, 2));
    assert_eq!(first.first_trace, 2 * first.request);
    assert_eq!(first.text, "RATE_LIMITED: too much");
    let rate = outcome
        .summary
        .rate("operation_failed{op:push}")
        .expect("listed");
    assert_eq!((rate.hits, rate.misses), (14, 16));
    assert!(outcome.summary.thresholds.iter().any(|each| !each.ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_in_the_future_is_awaited() {
    let dir = tempfile::tempdir().expect("a directory");
    let corpus = Corpus::generate(TraceProfile::Small, SEED);
    corpus.write_to(dir.path()).expect("writable");
    let server = Arc::new(Server::default());
    let base = server.start().await;
    // Where it has to be built, that is over before the time of the start is chosen.
    k6_binary();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_millis() as u64;
    let mut load = load(dir.path(), TraceProfile::Small, 1500);
    // Eight k6 start side by side here, which takes over 3 s on a busy machine.
    load.start_at_unix_ms = Some(now + 6000);
    load.ingestion = Some(ingestion(&corpus, &base, 1500, 1));
    let outcome = run("ingestion-test.js", load).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.text);
    assert_eq!(
        outcome.summary.gauge("start_late").expect("listed").value,
        0.0
    );
    let bodies = server.bodies.lock().expect("not poisoned");
    let end = ExportTraceServiceRequest::decode(&bodies[0][..])
        .expect("a valid request")
        .resource_spans[0]
        .scope_spans[0]
        .spans[0]
        .end_time_unix_nano;
    assert!(
        end / 1_000_000 >= now + 5999,
        "the first trace must end after the start"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corpus_that_is_not_there_stops_the_script_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let corpus = Corpus::generate(TraceProfile::Small, SEED);
    let mut load = load(dir.path(), TraceProfile::Small, 1500);
    load.ingestion = Some(ingestion(&corpus, "http://127.0.0.1:9", 500, 1));
    let file = dir.path().join("x.load");
    std::fs::write(&file, serde_json::to_string(&load).expect("plain values")).expect("writable");
    let command = k6_command(
        &Path::new(ROOT).join("k6/ingestion-test.js"),
        &file,
        Run::Ingestion,
        None,
    );
    let output = tokio::process::Command::new(k6_binary())
        .args(&command.args)
        .envs(command.env)
        .output()
        .await
        .expect("k6 must start");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(text.contains("tempo-perf corpus"), "{text}");
}
