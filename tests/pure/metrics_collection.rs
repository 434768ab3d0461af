//! The Prometheus client, the collection and its files against recorded
//! answers, served on a port of this machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::any;
use jiff::Timestamp;
use tempo_perf::metrics::exposition::{CounterSnapshot, CounterWentBackwards, delta, scrape};
use tempo_perf::metrics::{
    Catalogue, NoNumber, PrometheusClient, PrometheusError, Variables, availability_table, collect,
    write_csv,
};
use tempo_perf::settings::Target;
use url::Url;

const EMPTY: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;

#[derive(Clone, Default)]
struct Served {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// Answers by what stands in the query.
async fn answer(
    State(served): State<Served>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let now = served.now.fetch_add(1, Ordering::SeqCst) + 1;
    served.most.fetch_max(now, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(5)).await;
    served.now.fetch_sub(1, Ordering::SeqCst);

    let form = query.unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
    let parameters: BTreeMap<String, String> = url::form_urlencoded::parse(form.as_bytes())
        .into_owned()
        .collect();
    let expr = parameters["query"].as_str();
    let ok = |text: &str| (StatusCode::OK, text.to_owned());
    if expr.starts_with("token_wanted") {
        return match headers.get("authorization") {
            Some(value) if value == "Bearer t0ken" => ok(
                r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1795397801,"1"]}]}}"#,
            ),
            _ => (StatusCode::UNAUTHORIZED, "Unauthorized\n".to_owned()),
        };
    }
    match expr {
        "slow" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            ok(EMPTY)
        }
        "bad(" => (
            StatusCode::BAD_REQUEST,
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis"}"#.to_owned(),
        ),
        "proxy" => (StatusCode::BAD_GATEWAY, "<html>upstream gone</html>".to_owned()),
        "two" => ok(
            r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{"a":"1"},"value":[1795397801,"1"]},{"metric":{"a":"2"},"value":[1795397801,"2"]}]}}"#,
        ),
        "failing" => (
            StatusCode::UNPROCESSABLE_ENTITY,
            r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory"}"#.to_owned(),
        ),
        "series" => ok(
            r#"{"status":"success","data":{"resultType":"matrix","result":[
                {"metric":{"reason":"trace, \"big\"","pod":"b"},"values":[[1795397801,"0.1"],[1795397802.5,"NaN"],[1795397803,"-Inf"]]},
                {"metric":{},"values":[[1795397801,"123456789012"]]}]}}"#,
        ),
        "nan" => ok(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1795397801,"NaN"]]}]}}"#,
        ),
        _ => ok(EMPTY),
    }
}

async fn serve() -> (Url, Served) {
    let served = Served::default();
    let metrics = include_str!("../../fixtures/exposition/tempo-3.0.3-after.txt");
    let router = Router::new()
        .route("/prefix/api/v1/{api}", any(answer))
        .route("/metrics", any(move || async move { metrics }))
        .with_state(served.clone());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}/prefix/").parse().unwrap(), served)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[tokio::test]
async fn errors_carry_the_server_the_expression_and_prometheus_own_words() {
    let (base, _) = serve().await;
    let client = PrometheusClient::new(base.clone(), None).unwrap();
    let error = client.query("bad(", at(1)).await.unwrap_err();
    let PrometheusError::Refused { status, source, .. } = &error else {
        panic!("expected a refusal, got {error:?}");
    };
    assert_eq!(*status, 400);
    assert!(source.to_string().contains("unclosed left parenthesis"));
    assert_eq!(
        error.to_string(),
        format!("{base}api/v1/query: HTTP 400 for \"bad(\"")
    );

    let error = client.query("proxy", at(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{base}api/v1/query: HTTP 502 for \"proxy\": <html>upstream gone</html>")
    );
}

#[tokio::test]
async fn a_bearer_token_is_sent_and_one_that_is_missed_is_an_error() {
    let (base, _) = serve().await;
    let with = PrometheusClient::new(base.clone(), Some("t0ken".into())).unwrap();
    assert_eq!(with.single_value("token_wanted", at(1)).await.unwrap(), 1.0);
    let without = PrometheusClient::new(base, None).unwrap();
    let error = without
        .single_value("token_wanted", at(1))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("HTTP 401"), "{error}");
}

#[tokio::test]
async fn long_expressions_are_posted() {
    let (base, _) = serve().await;
    let client = PrometheusClient::new(base, Some("t0ken".into())).unwrap();
    let long = format!("token_wanted{}", " ".repeat(8000));
    assert_eq!(client.single_value(&long, at(1)).await.unwrap(), 1.0);
}

#[tokio::test]
async fn no_series_and_several_series_are_told_apart() {
    let (base, _) = serve().await;
    let client = PrometheusClient::new(base, None).unwrap();
    let none = client.single_value("absent", at(1)).await;
    assert!(matches!(none, Err(NoNumber::Empty)), "{none:?}");
    let many = client.single_value("two", at(1)).await;
    assert!(
        matches!(many, Err(NoNumber::Many { count: 2, .. })),
        "{many:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_slow_or_gone_is_an_error_in_time() {
    let (base, _) = serve().await;
    let client = PrometheusClient::new(base, None)
        .unwrap()
        .with_timeout(Duration::from_millis(50));
    let slow = client.query("slow", at(1)).await.unwrap_err();
    assert!(
        matches!(slow, PrometheusError::Unreachable { .. }),
        "{slow}"
    );

    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let base = format!("http://{address}").parse().unwrap();
    let gone = PrometheusClient::new(base, None).unwrap();
    let error = gone.query("up", at(1)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("http://{address}/api/v1/query: no answer to \"up\"")
    );
}

fn catalogue() -> Catalogue {
    let entry = |id: &str, expr: &str, more: &str| {
        format!(
            "- {{id: '{id}', name: metric_{id}, category: test, description: 'What {id} is, said', unit: s, expr: '{expr}'{more}}}\n"
        )
    };
    let yaml = [
        entry("1", "series", ", targets: [local]"),
        entry("2", "failing", ", targets: [local]"),
        entry("3", "absent", ", targets: [local]"),
        entry(
            "4",
            "absent",
            ", targets: [local], empty_means: nothing failed",
        ),
        entry("5", "series", ", targets: [kubernetes]"),
        entry("6", "m{${sel}}", ", targets: [local]"),
        entry("7", "nan", ", targets: [local]"),
    ];
    Catalogue::parse(&yaml.concat()).unwrap()
}

#[tokio::test]
async fn a_failing_query_is_recorded_and_stops_nothing() {
    let (base, _) = serve().await;
    let client = PrometheusClient::new(base.clone(), None).unwrap();
    let collected = collect(
        &client,
        &catalogue(),
        Target::Local,
        &Variables::new(),
        (at(1_795_397_801), at(1_795_397_804)),
        Duration::from_secs(1),
        3,
    )
    .await;

    let mut csv = Vec::new();
    write_csv(&collected, &mut csv).unwrap();
    insta::assert_snapshot!("csv", String::from_utf8(csv).unwrap());
    let table = availability_table(&collected).replace(base.as_str(), "http://prometheus/");
    insta::assert_snapshot!("availability", table);
}

#[tokio::test]
async fn the_limit_on_concurrent_queries_holds() {
    let (base, served) = serve().await;
    let client = PrometheusClient::new(base, None).unwrap();
    let variables: Variables = [
        ("sel", "job=\"tempo\""),
        ("csel", "job=\"otelcol\""),
        ("k6sel", ""),
        ("w", "10s"),
        ("rp", ""),
        ("rf", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let collected = collect(
        &client,
        &Catalogue::built_in().unwrap(),
        Target::Local,
        &variables,
        (at(1_795_397_801), at(1_795_397_816)),
        Duration::from_secs(1),
        4,
    )
    .await;
    let failures: Vec<_> = collected.failures().collect();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(served.most.load(Ordering::SeqCst), 4);
}

fn recording(name: &str) -> CounterSnapshot {
    let path = format!(
        "{}/fixtures/exposition/{name}.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    CounterSnapshot::parse(&std::fs::read_to_string(path).unwrap(), at(0)).unwrap()
}

#[rstest::rstest]
fn counters_of_tempo_add_up(#[values("2.10.8", "3.0.3")] version: &str) {
    let before = recording(&format!("tempo-{version}-before"));
    let after = recording(&format!("tempo-{version}-after"));
    let grown = |name: &str| delta(&before, &after, name, &[]).unwrap();
    assert_eq!(grown("tempo_distributor_spans_received_total"), 9883.0);
    // Without `_total`, and absent before the first push.
    assert_eq!(grown("tempo_receiver_accepted_spans"), 9883.0);
    assert_eq!(grown("tempo_distributor_ingress_bytes_total"), 4_576_385.0);
    assert_eq!(
        grown("tempo_distributor_push_duration_seconds_count"),
        300.0
    );
    assert_eq!(grown("tempo_discarded_spans_total"), 0.0);
}

#[rstest::rstest]
fn rate_limited_spans_are_counted_apart(#[values("2.10.8", "3.0.3")] version: &str) {
    let limited = recording(&format!("tempo-{version}-rate-limited"));
    let by_reason = [("reason", "rate_limited")];
    assert_eq!(limited.sum("tempo_discarded_spans_total", &by_reason), 31.0);
    assert_eq!(
        limited.sum("tempo_receiver_refused_spans", &[("transport", "http")]),
        31.0
    );
}

#[rstest::rstest]
fn snapshots_of_two_processes_are_no_delta(#[values("2.10.8", "3.0.3")] version: &str) {
    let first = recording(&format!("tempo-{version}-after"));
    let second = recording(&format!("tempo-{version}-rate-limited"));
    let error = delta(
        &first,
        &second,
        "tempo_distributor_spans_received_total",
        &[],
    )
    .unwrap_err();
    assert!(
        matches!(error, CounterWentBackwards::Restarted { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn metrics_are_scraped_and_a_missing_page_is_an_error() {
    let (base, _) = serve().await;
    let snapshot = scrape(&base.join("/metrics").unwrap()).await.unwrap();
    assert!(snapshot.has("tempo_build_info"));
    let error = scrape(&base.join("/nothing").unwrap()).await.unwrap_err();
    assert!(
        error.to_string().ends_with("HTTP 404 instead of metrics"),
        "{error}"
    );
}
