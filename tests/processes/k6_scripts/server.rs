//! The server that the scripts load: it keeps what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;
use serde_json::{Value, json};

/// What the server does with what it is sent.
#[derive(Default)]
pub struct Server {
    pub bodies: Mutex<Vec<Vec<u8>>>,
    /// JSON of each trace by hexadecimal ID.
    pub traces: Mutex<BTreeMap<String, Value>>,
    pub queries: Mutex<Vec<String>>,
    /// Answers to pushes by arrival; 200 with an empty partial_success after these.
    pub answers: Mutex<Vec<(u16, Vec<u8>)>>,
}

impl Server {
    pub async fn start(self: &Arc<Self>) -> String {
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

async fn trace(State(server): State<Arc<Server>>, Path(id): Path<String>) -> Response {
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
pub fn trace_json(body: &[u8]) -> Value {
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
