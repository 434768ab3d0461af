//! The plain HTTP servers of the stand-in's components.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGauge, Opts, Registry, TextEncoder};
use tempo_perf::metrics::http_client;
use url::Url;

use crate::stand_in::TEMPO_VERSION;

/// Queries have no bodies; this is for what a mistaken client may send.
const MAX_BODY: usize = 16 << 20;

/// Serves for as long as the program runs; returns the address.
pub async fn plain(address: SocketAddr, router: Router) -> Result<SocketAddr, String> {
    let listener = super::listen(address).await?;
    let bound = listener
        .local_addr()
        .map_err(|err| format!("cannot tell the address: {err}"))?;
    tokio::spawn(async move {
        if let Err(err) = axum::serve(listener, router).await {
            eprintln!("level=error msg=\"the server of {bound} failed: {err}\"");
        }
    });
    Ok(bound)
}

/// `/ready`, and nothing else.
pub fn readiness(ready: bool) -> Router {
    Router::new().route("/ready", get(move || async move { ready_answer(ready) }))
}

fn ready_answer(ready: bool) -> (StatusCode, &'static str) {
    if ready {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "never ready, as told\n")
    }
}

/// What every component of Tempo tells of its own process.
pub struct OwnMetrics {
    registry: Registry,
}

impl OwnMetrics {
    pub fn new() -> Result<Self, String> {
        let failed = |err| format!("cannot register metrics: {err}");
        let registry = Registry::new();
        let build_info = IntGauge::with_opts(
            Opts::new("tempo_build_info", "What the program was built from.")
                .const_label("version", TEMPO_VERSION),
        )
        .map_err(failed)?;
        build_info.set(1);
        registry.register(Box::new(build_info)).map_err(failed)?;
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .map_err(failed)?;
        Ok(Self { registry })
    }

    fn answer(&self) -> Response {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(err) => (StatusCode::INTERNAL_SERVER_ERROR, err.to_string()).into_response(),
        }
    }
}

/// A component without any API.
pub fn metrics<S: Clone + Send + Sync + 'static>(own: OwnMetrics) -> Router<S> {
    let own = Arc::new(own);
    Router::new()
        .route("/metrics", get(move || async move { own.answer() }))
        .route("/ready", get(|| async { ready_answer(true) }))
}

/// Its own metrics and readiness; all else is the store's to answer.
pub fn query_frontend(own: OwnMetrics, store: Url) -> Result<Router, String> {
    let client = http_client(&store).map_err(|err| err.to_string())?;
    Ok(metrics::<Arc<StoreClient>>(own)
        .fallback(ask_store)
        .with_state(Arc::new(StoreClient { client, store })))
}

struct StoreClient {
    client: reqwest::Client,
    store: Url,
}

async fn ask_store(State(upstream): State<Arc<StoreClient>>, request: Request) -> Response {
    match upstream.pass_on(request).await {
        Ok(response) => response,
        Err(message) => (StatusCode::BAD_GATEWAY, message).into_response(),
    }
}

impl StoreClient {
    async fn pass_on(&self, request: Request) -> Result<Response, String> {
        let (head, body) = request.into_parts();
        let mut url = self.store.clone();
        url.set_path(head.uri.path());
        url.set_query(head.uri.query());
        let body: Bytes = axum::body::to_bytes(body, MAX_BODY)
            .await
            .map_err(|err| format!("cannot read the request: {err}"))?;
        let answer = self
            .client
            .request(head.method, url)
            .headers(end_to_end(head.headers))
            .body(body)
            .send()
            .await
            .map_err(|err| format!("the store does not answer: {err}"))?;
        let status = answer.status();
        let headers = end_to_end(answer.headers().clone());
        let body = answer
            .bytes()
            .await
            .map_err(|err| format!("the store's answer broke off: {err}"))?;
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// Without what concerns one connection, and without the length, which the next
/// one counts itself.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    headers
}
