//! OTLP over HTTP: `POST /v1/traces` with protobuf bodies.

use std::io::{self, Read};
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use tonic::Code;

use super::metrics::Transport;
use super::otlp_grpc::code;
use super::receiver::{ACCEPTED, PushError, Receiver};
use super::wire::{put_delimited, put_varint};

const PROTOBUF: &str = "application/x-protobuf";
/// Of a body, and of what it decompresses to.
const MAX_BODY: usize = 64 << 20;

pub async fn handle(State(receiver): State<Arc<Receiver>>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    if request.uri.path() != "/v1/traces" {
        return (
            StatusCode::NOT_FOUND,
            [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
            "404 page not found\n",
        )
            .into_response();
    }
    if request.method != Method::POST {
        let text = "405 method not allowed, supported: [POST]";
        return plain(StatusCode::METHOD_NOT_ALLOWED, text);
    }
    let header = |name: header::HeaderName| {
        let value = request.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    };
    let media_type = header(header::CONTENT_TYPE)
        .split(';')
        .next()
        .unwrap_or("")
        .trim();
    if media_type != PROTOBUF {
        return plain(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "415 unsupported media type, supported: [application/x-protobuf]",
        );
    }
    let gzip = match header(header::CONTENT_ENCODING) {
        "" | "identity" => false,
        "gzip" => true,
        other => {
            let message = format!("unsupported Content-Encoding: {other}");
            return refused(StatusCode::BAD_REQUEST, Code::InvalidArgument, &message);
        }
    };
    let body = match to_bytes(body, MAX_BODY).await {
        Ok(body) => body,
        Err(error) => {
            let message = format!("cannot read the request body: {error}");
            return refused(StatusCode::BAD_REQUEST, Code::InvalidArgument, &message);
        }
    };
    let body = if gzip {
        match unpack(&body) {
            Ok(body) => body,
            Err(error) => {
                let message = format!("cannot unpack the request body: {error}");
                return refused(StatusCode::BAD_REQUEST, Code::InvalidArgument, &message);
            }
        }
    } else {
        body
    };
    match receiver.push(&body, Transport::Http) {
        Ok(()) => ([(header::CONTENT_TYPE, PROTOBUF)], ACCEPTED).into_response(),
        Err(error) => {
            let status = match &error {
                PushError::Malformed(_) | PushError::InvalidId(_) => StatusCode::BAD_REQUEST,
                PushError::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            };
            refused(status, code(&error), &error.to_string())
        }
    }
}

fn unpack(body: &[u8]) -> io::Result<Bytes> {
    let mut unpacked = Vec::with_capacity(body.len() * 4);
    let limit = MAX_BODY as u64 + 1;
    GzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut unpacked)?;
    if unpacked.len() > MAX_BODY {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    Ok(unpacked.into())
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain")], text).into_response()
}

/// A refusal carries a `google.rpc.Status` in the encoding of the request.
fn refused(status: StatusCode, code: Code, message: &str) -> Response {
    let mut body = vec![0x08];
    put_varint(&mut body, code as u64);
    put_delimited(&mut body, 2, message.as_bytes());
    (status, [(header::CONTENT_TYPE, PROTOBUF)], Body::from(body)).into_response()
}
