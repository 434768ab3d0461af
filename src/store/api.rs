//! Tempo's HTTP API.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use super::VERSION;
use super::hex;
use super::json;
use super::metrics::{Metrics, Operation};
use super::parameters::{Parameters, Refused};
use super::table::Table;
use super::tags::{self, Inspected, TagScope, ValueLookup};
use super::traceql;
use super::view::TraceView;
use super::wire::{WireError, put_delimited};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";

pub struct Api {
    pub table: Arc<Table>,
    pub metrics: Arc<Metrics>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Ready,
    Metrics,
    Echo,
    BuildInfo,
    Version,
    Search,
    TagsV1,
    TagsV2,
    ValuesV1(String),
    ValuesV2(String),
    TraceV1(String),
    TraceV2(String),
    MetricsQuery,
    MetricsQueryRange,
    Other,
}

impl Route {
    fn of(path: &str) -> Self {
        let decoded = |segment: &str| {
            // A plus stays a plus in a path.
            let escaped = format!("x={}", segment.replace('+', "%2B"));
            url::form_urlencoded::parse(escaped.as_bytes())
                .next()
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        };
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match segments[..] {
            ["ready"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["api", "echo"] => Self::Echo,
            ["api", "status", "buildinfo"] => Self::BuildInfo,
            ["status", "version"] => Self::Version,
            ["api", "search"] => Self::Search,
            ["api", "search", "tags"] => Self::TagsV1,
            ["api", "v2", "search", "tags"] => Self::TagsV2,
            ["api", "search", "tag", tag, "values"] => Self::ValuesV1(decoded(tag)),
            ["api", "v2", "search", "tag", tag, "values"] => Self::ValuesV2(decoded(tag)),
            ["api", "traces", id] if !id.is_empty() => Self::TraceV1(decoded(id)),
            ["api", "v2", "traces", id] if !id.is_empty() => Self::TraceV2(decoded(id)),
            ["api", "metrics", "query"] => Self::MetricsQuery,
            ["api", "metrics", "query_range"] => Self::MetricsQueryRange,
            _ => Self::Other,
        }
    }

    /// The label that Tempo gives the route.
    fn label(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Metrics => "metrics",
            Self::Echo => "api_echo",
            Self::BuildInfo => "api_status_buildinfo",
            Self::Version => "status_endpoint",
            Self::Search => "api_search",
            Self::TagsV1 => "api_search_tags",
            Self::TagsV2 => "api_v2_search_tags",
            Self::ValuesV1(_) => "api_search_tag_tagname_values",
            Self::ValuesV2(_) => "api_v2_search_tag_tagname_values",
            Self::TraceV1(_) => "api_traces_traceid",
            Self::TraceV2(_) => "api_v2_traces_traceid",
            Self::MetricsQuery => "api_metrics_query",
            Self::MetricsQueryRange => "api_metrics_query_range",
            Self::Other => "other",
        }
    }

    fn operation(&self) -> Option<Operation> {
        Some(match self {
            Self::Search => Operation::Search,
            Self::TagsV1 | Self::TagsV2 | Self::ValuesV1(_) | Self::ValuesV2(_) => {
                Operation::Metadata
            }
            Self::TraceV1(_) | Self::TraceV2(_) => Operation::Traces,
            Self::MetricsQuery | Self::MetricsQueryRange => Operation::Metrics,
            _ => return None,
        })
    }
}

/// An answer to a query, with the bytes of spans read for it.
struct Answer {
    response: Response,
    bytes: usize,
}

enum Failure {
    Refused(Refused),
    Broken(WireError),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Broken(error)
    }
}

pub async fn handle(State(api): State<Arc<Api>>, request: Request) -> Response {
    let started = Instant::now();
    let (request, _) = request.into_parts();
    let route = Route::of(request.uri.path());
    let response = if matches!(request.method, Method::GET | Method::HEAD | Method::POST) {
        respond(&api, &route, &request).await
    } else {
        (StatusCode::METHOD_NOT_ALLOWED, "").into_response()
    };
    api.metrics.request(
        request.method.as_str(),
        route.label(),
        response.status().as_u16(),
        started.elapsed().as_secs_f64(),
    );
    response
}

async fn respond(api: &Arc<Api>, route: &Route, request: &Parts) -> Response {
    match route {
        Route::Ready => strict_text(StatusCode::OK, "ready\n"),
        Route::Echo => strict_text(StatusCode::OK, "echo\n"),
        Route::Other => strict_text(StatusCode::NOT_FOUND, "404 page not found\n"),
        Route::Metrics => match api.metrics.render(&api.table) {
            Ok(text) => with_type("text/plain; version=0.0.4; charset=utf-8", text),
            Err(error) => failed(&error),
        },
        Route::BuildInfo => with_type(
            JSON,
            json!({
                "version": VERSION,
                "revision": "",
                "branch": "",
                "buildUser": "",
                "buildDate": "",
                "goVersion": "",
            })
            .to_string(),
        ),
        Route::Version => with_type(
            "text/plain",
            format!(
                "GET /status/version\ntempo, version {VERSION} (branch: , revision: )\n  \
                 build user:       \n  build date:       \n  go version:       \n  \
                 platform:         {}/{}\n  tags:             \n",
                std::env::consts::OS,
                std::env::consts::ARCH
            ),
        ),
        _ => query(api, route, request).await,
    }
}

async fn query(api: &Arc<Api>, route: &Route, request: &Parts) -> Response {
    let parameters = Parameters::read(request.uri.query());
    let protobuf = accepts_protobuf(&request.headers);
    let (answering, asked) = (Arc::clone(api), route.clone());
    // A search may take a while: pushes must not wait behind it.
    let answer =
        tokio::task::spawn_blocking(move || answer(&answering, &asked, &parameters, protobuf))
            .await;
    let (response, bytes, counts) = match answer {
        Ok(Ok(answer)) => (answer.response, answer.bytes, true),
        Ok(Err(Failure::Refused(refused))) => {
            let response = text(StatusCode::BAD_REQUEST, refused.message);
            (response, 0, refused.is_query)
        }
        Ok(Err(Failure::Broken(error))) => (failed(&error), 0, true),
        Err(error) => (failed(&error), 0, true),
    };
    if let Some(operation) = route.operation().filter(|_| counts) {
        let status = response.status().as_u16();
        api.metrics.query(operation, status, bytes);
    }
    response
}

fn answer(
    api: &Api,
    route: &Route,
    parameters: &Parameters,
    protobuf: bool,
) -> Result<Answer, Failure> {
    match route {
        Route::Search => {
            let found = parameters.search()?.run(&api.table)?;
            Ok(Answer {
                response: with_type(JSON, found.body.to_string()),
                bytes: found.inspected_bytes,
            })
        }
        Route::TraceV1(id) => trace(api, parameters, id, 1, protobuf),
        Route::TraceV2(id) => trace(api, parameters, id, 2, protobuf),
        Route::TagsV1 => tag_names(api, parameters, 1),
        Route::TagsV2 => tag_names(api, parameters, 2),
        Route::ValuesV1(tag) => values_v1(api, parameters, tag),
        Route::ValuesV2(tag) => values_v2(api, parameters, tag),
        _ => Ok(Answer {
            response: text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "error querying metrics: this trace store answers no TraceQL metrics\n",
            ),
            bytes: 0,
        }),
    }
}

fn trace(
    api: &Api,
    parameters: &Parameters,
    id: &str,
    version: u8,
    protobuf: bool,
) -> Result<Answer, Failure> {
    let id = hex::parse_trace_id(id).map_err(|message| Refused {
        message,
        is_query: false,
    })?;
    let window = parameters.window()?;
    let found = api.table.get(&id).filter(|trace| window.overlaps(trace));
    let Some(trace) = found else {
        let response = match (version, protobuf) {
            (1, _) => StatusCode::NOT_FOUND.into_response(),
            (_, true) => with_type(PROTOBUF, vec![0x0a, 0x00, 0x12, 0x00]),
            (_, false) => with_type(JSON, r#"{"trace":{},"metrics":{}}"#),
        };
        return Ok(Answer { response, bytes: 0 });
    };
    let bytes = trace.encoded_size();
    let view = TraceView::read(&trace)?;
    let response = if protobuf {
        let encoded = if view.repeated == 0 {
            trace
                .fragments
                .iter()
                .flat_map(|fragment| fragment.bytes.iter().copied())
                .collect()
        } else {
            without_repeats(&trace)?
        };
        if version == 1 {
            with_type(PROTOBUF, encoded)
        } else {
            let mut body = Vec::with_capacity(encoded.len() + 20);
            put_delimited(&mut body, 1, &encoded);
            // `metrics.inspectedBytes`
            let mut metrics = vec![0x08];
            super::wire::put_varint(&mut metrics, bytes as u64);
            put_delimited(&mut body, 2, &metrics);
            with_type(PROTOBUF, body)
        }
    } else if version == 1 {
        with_type(JSON, json::trace(&view, "batches")?)
    } else {
        let trace = json::trace(&view, "resourceSpans")?;
        with_type(
            JSON,
            format!(r#"{{"trace":{trace},"metrics":{{"inspectedBytes":"{bytes}"}}}}"#),
        )
    };
    Ok(Answer { response, bytes })
}

/// The bytes of a trace of which some spans were pushed twice.
fn without_repeats(trace: &super::fragment::StoredTrace) -> Result<Vec<u8>, WireError> {
    use opentelemetry_proto::tonic::trace::v1::TracesData;
    use prost::Message;

    let mut seen = std::collections::HashSet::new();
    let mut all = Vec::new();
    for fragment in &trace.fragments {
        let mut data =
            TracesData::decode(&fragment.bytes[..]).map_err(|_| WireError::UnexpectedEnd)?;
        for resource in &mut data.resource_spans {
            for scope in &mut resource.scope_spans {
                scope
                    .spans
                    .retain(|span| seen.insert((span.span_id.clone(), span.kind)));
            }
            resource.scope_spans.retain(|scope| !scope.spans.is_empty());
        }
        data.resource_spans
            .retain(|resource| !resource.scope_spans.is_empty());
        data.encode(&mut all)
            .map_err(|_| WireError::UnexpectedEnd)?;
    }
    Ok(all)
}

fn tag_names(api: &Api, parameters: &Parameters, version: u8) -> Result<Answer, Failure> {
    const SCOPES: [TagScope; 5] = [
        TagScope::Span,
        TagScope::Resource,
        TagScope::Event,
        TagScope::Link,
        TagScope::Instrumentation,
    ];
    let scope = parameters.get("scope").unwrap_or("none");
    let wanted: Vec<TagScope> = match scope {
        "none" | "" => SCOPES.to_vec(),
        "intrinsic" => Vec::new(),
        name => {
            let found = SCOPES.into_iter().find(|scope| scope.name() == name);
            vec![found.ok_or_else(|| Refused {
                message: format!("invalid scope: {name}"),
                is_query: false,
            })?]
        }
    };
    let window = parameters.window()?;
    let query = parameters.query()?;
    let names = if wanted.is_empty() {
        Inspected {
            found: tags::Names::new(),
            bytes: 0,
        }
    } else {
        tags::names(&api.table, window, query.as_ref())?
    };
    let mut body = serde_json::Map::new();
    if version == 1 {
        let mut all: Vec<&str> = names
            .found
            .iter()
            .filter(|(scope, _)| wanted.contains(scope))
            .flat_map(|(_, names)| names.iter().map(String::as_str))
            .collect();
        if scope == "intrinsic" {
            all.extend(tags::INTRINSICS);
        }
        all.sort_unstable();
        all.dedup();
        body.insert("tagNames".into(), json!(all));
    } else {
        let mut scopes: Vec<Json> = Vec::new();
        if matches!(scope, "none" | "" | "intrinsic") {
            scopes.push(json!({ "name": "intrinsic", "tags": tags::INTRINSICS }));
        }
        for (scope, names) in &names.found {
            if wanted.contains(scope) {
                scopes.push(json!({ "name": scope.name(), "tags": names }));
            }
        }
        body.insert("scopes".into(), Json::Array(scopes));
    }
    Ok(metadata(body, names.bytes))
}

/// Version 1 names the attribute alone, without a scope.
fn values_v1(api: &Api, parameters: &Parameters, tag: &str) -> Result<Answer, Failure> {
    use super::traceql::ast::{Attribute, Intrinsic, Scope};

    let attribute = match tag {
        "name" => Attribute::Intrinsic(Intrinsic::Name),
        "root.name" => Attribute::Intrinsic(Intrinsic::RootName),
        "root.service.name" => Attribute::Intrinsic(Intrinsic::RootService),
        name => Attribute::Named {
            scope: Scope::Any,
            name: name.to_owned(),
        },
    };
    let found = ValueLookup {
        attribute: &attribute,
        window: parameters.window()?,
        query: None,
        limit: parameters.limit()?,
    }
    .run(&api.table)?;
    let mut values: Vec<String> = found.found.into_iter().map(|(_, value)| value).collect();
    values.sort_unstable();
    values.dedup();
    let mut body = serde_json::Map::new();
    body.insert("tagValues".into(), json!(values));
    Ok(metadata(body, found.bytes))
}

fn values_v2(api: &Api, parameters: &Parameters, tag: &str) -> Result<Answer, Failure> {
    let attribute = traceql::parse_attribute(tag).map_err(|error| Refused {
        message: format!(
            "please provide a valid tagName: failed to parse identifier {tag}: {error}"
        ),
        is_query: false,
    })?;
    let query = parameters.query()?;
    let found = ValueLookup {
        attribute: &attribute,
        window: parameters.window()?,
        query: query.as_ref(),
        limit: parameters.limit()?,
    }
    .run(&api.table)?;
    let values: Vec<Json> = found
        .found
        .into_iter()
        .map(|(kind, value)| {
            if value.is_empty() {
                json!({ "type": kind })
            } else {
                json!({ "type": kind, "value": value })
            }
        })
        .collect();
    let mut body = serde_json::Map::new();
    body.insert("tagValues".into(), Json::Array(values));
    Ok(metadata(body, found.bytes))
}

fn metadata(mut body: serde_json::Map<String, Json>, bytes: usize) -> Answer {
    let metrics = if bytes == 0 {
        json!({})
    } else {
        json!({ "inspectedBytes": bytes.to_string() })
    };
    body.insert("metrics".into(), metrics);
    Answer {
        response: with_type(JSON, Json::Object(body).to_string()),
        bytes,
    }
}

fn accepts_protobuf(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains(PROTOBUF))
}

fn with_type(media_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn text(status: StatusCode, message: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, TEXT)], message.into()).into_response()
}

fn strict_text(status: StatusCode, message: &'static str) -> Response {
    let mut response = text(status, message);
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "the trace store failed to answer");
    text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}
