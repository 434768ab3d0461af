//! The scripts in a real k6, against a server in this process. Each test takes
//! a few seconds and listens on 127.0.0.1 only.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;
use serde_json::{Value, json};
use tempo_perf::checks::k6_values;
use tempo_perf::corpus::Corpus;
use tempo_perf::corpus::identity::hex;
use tempo_perf::k6::Run;
use tempo_perf::k6::command::k6_command;
use tempo_perf::k6::load::*;
use tempo_perf::k6::log::{self, K6Log, ReadbackKind};
use tempo_perf::k6::query_mix;
use tempo_perf::k6::summary::Summary;
use tempo_perf::process::{Interrupt, Supervisor};
use tempo_perf::profile::TraceProfile;
use tempo_perf::settings::Settings;
use tempo_perf::tools::{Progress, Tool, Toolbox};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const RUN: u32 = 77;
const SEED: u32 = 5;

/// The k6 of the cases, built if need be.
fn k6_binary() -> &'static Path {
    static K6: OnceLock<PathBuf> = OnceLock::new();
    K6.get_or_init(|| {
        // On a thread of its own: tests call it from within a runtime.
        let resolving = std::thread::spawn(|| {
            let settings = Settings::from_args([OsString::from("k6_scripts")])
                .expect("the variables are well-formed")
                .settings;
            let supervisor = Supervisor::new(env!("CARGO_BIN_EXE_tempo-perf"), false);
            let toolbox = Toolbox::new(
                settings.tools,
                supervisor,
                Interrupt::manual(),
                Progress::stderr(),
            );
            tokio::runtime::Runtime::new()
                .expect("a runtime")
                .block_on(toolbox.resolve(Tool::K6))
                .expect("k6 must be there")
                .path
        });
        resolving.join().expect("k6 must be there")
    })
}

/// What the server does with what it is sent.
#[derive(Default)]
struct Server {
    bodies: Mutex<Vec<Vec<u8>>>,
    /// JSON of each trace by hexadecimal ID.
    traces: Mutex<BTreeMap<String, Value>>,
    queries: Mutex<Vec<String>>,
    /// Answers to pushes by arrival; 200 with an empty partial_success after these.
    answers: Mutex<Vec<(u16, Vec<u8>)>>,
}

impl Server {
    async fn start(self: &Arc<Self>) -> String {
        let app = Router::new()
            .route("/v1/traces", post(push))
            .route("/api/v2/traces/{id}", get(trace))
            .fallback(query)
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }
}

async fn push(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    let answer = {
        let mut answers = server.answers.lock().expect("not poisoned");
        (!answers.is_empty()).then(|| answers.remove(0))
    };
    let (status, text) = answer.unwrap_or((200, vec![0x0a, 0]));
    server
        .bodies
        .lock()
        .expect("not poisoned")
        .push(body.to_vec());
    let status = StatusCode::from_u16(status).expect("a status");
    (
        status,
        [(header::CONTENT_TYPE, "application/x-protobuf")],
        text,
    )
        .into_response()
}

async fn trace(State(server): State<Arc<Server>>, UrlPath(id): UrlPath<String>) -> Response {
    let traces = server.traces.lock().expect("not poisoned");
    let found = traces.get(&id).cloned().unwrap_or(json!({}));
    json!({"trace": found, "metrics": {}})
        .to_string()
        .into_response()
}

async fn query(State(server): State<Arc<Server>>, request: axum::extract::Request) -> Response {
    let uri = request.uri().to_string();
    let known: Vec<String> = server
        .traces
        .lock()
        .expect("not poisoned")
        .keys()
        .take(3)
        .cloned()
        .collect();
    let answer = if uri.starts_with("/api/search?") {
        let traces: Vec<_> = known
            .iter()
            // As Tempo does it.
            .map(|id| json!({"traceID": id.trim_start_matches('0')}))
            .collect();
        json!({"traces": traces, "metrics": {}})
    } else if uri.starts_with("/api/v2/search/tags?") {
        json!({"scopes": [], "metrics": {}})
    } else if uri.starts_with("/api/v2/search/tag/") {
        json!({"metrics": {}})
    } else {
        return StatusCode::NOT_FOUND.into_response();
    };
    server.queries.lock().expect("not poisoned").push(uri);
    answer.to_string().into_response()
}

/// A trace as Tempo's JSON shows it, as far as the scripts look.
fn trace_json(body: &[u8]) -> Value {
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let request = ExportTraceServiceRequest::decode(body).expect("a valid request");
    let resources: Vec<_> = request
        .resource_spans
        .iter()
        .map(|resource| {
            let spans: Vec<_> = resource.scope_spans[0]
                .spans
                .iter()
                .map(|span| {
                    let attributes: Vec<_> = span
                        .attributes
                        .iter()
                        .filter_map(|pair| match pair.value.as_ref()?.value.as_ref()? {
                            Any::StringValue(text) => {
                                Some(json!({"key": pair.key, "value": {"stringValue": text}}))
                            }
                            _ => None,
                        })
                        .collect();
                    json!({
                        "traceId": base64(&span.trace_id),
                        "spanId": base64(&span.span_id),
                        "parentSpanId": base64(&span.parent_span_id),
                        "attributes": attributes,
                    })
                })
                .collect();
            json!({"scopeSpans": [{"spans": spans}]})
        })
        .collect();
    json!({ "resourceSpans": resources })
}

struct Outcome {
    code: Option<i32>,
    log: K6Log,
    text: String,
    summary: Summary,
}

async fn run(script: &str, mut load: Load) -> Outcome {
    load.list_metrics();
    let file = load.summary_path.with_extension("load");
    std::fs::write(&file, serde_json::to_string(&load).expect("plain values")).expect("writable");
    let command = k6_command(
        &Path::new(ROOT).join("k6").join(script),
        &file,
        Run::Ingestion,
        None,
    );
    let output = tokio::process::Command::new(k6_binary())
        .args(&command.args)
        .envs(command.env)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("k6 must start");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Outcome {
        code: output.status.code(),
        log: log::parse(&text),
        summary: Summary::read(&load.summary_path)
            .unwrap_or_else(|error| panic!("{error:#}: {text}")),
        text,
    }
}

fn load(dir: &Path, profile: TraceProfile, duration_ms: u64) -> Load {
    Load {
        title: "test".to_owned(),
        corpus_dir: dir.to_owned(),
        trace_profile: profile,
        seed: SEED,
        run: RUN,
        start_at_unix_ms: None,
        duration_ms,
        scenario_ms: scenario_ms(duration_ms),
        graceful_stop_ms: 10_000,
        ingestion: None,
        query: None,
        readback: None,
        thresholds: BTreeMap::from([("iteration_exceptions".into(), vec!["count==0".into()])]),
        summary_path: dir.join("summary.json"),
        headers: BTreeMap::from([("X-Scope-OrgID".into(), "t".into())]),
        bearer_token_file: None,
    }
}

fn ingestion(corpus: &Corpus, base: &str, duration_ms: u64, traces: u32) -> IngestionScenario {
    IngestionScenario {
        url: format!("{base}/v1/traces").parse().expect("a URL"),
        rate_per_1000s: 20_000,
        requests: planned_iterations(20_000, duration_ms),
        traces_per_request: traces,
        max_request_bytes: corpus.max_request_bytes(traces),
        warmup_requests: 0,
        pre_allocated_vus: 2,
        max_vus: 2,
        timeout_ms: 5000,
        log_limit_per_vu: 3,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_and_rust_agree_on_identities() {
    let output = tokio::process::Command::new(k6_binary())
        .args(["run", "--no-usage-report", "--address", ""])
        .arg(Path::new(ROOT).join("tests/processes/trace_identity.js"))
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
        let trend = summary.trend("http_req_duration{op:push}").expect("listed");
        assert_eq!(trend.count, 30);
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
