//! OTLP over gRPC. The message stays bytes: the receiver reads it in place.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Body, BoxFuture, Context, Poll, Service, StdError, http};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Request, Response, Status};

use super::metrics::Transport;
use super::receiver::{ACCEPTED, PushError, Receiver};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const MAX_MESSAGE: usize = 64 << 20;

/// The server of `TraceService`.
#[derive(Clone)]
pub struct TraceService {
    receiver: Arc<Receiver>,
}

impl TraceService {
    pub fn new(receiver: Arc<Receiver>) -> Self {
        Self { receiver }
    }
}

impl<B> Service<http::Request<B>> for TraceService
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
    B::Data: Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let receiver = Arc::clone(&self.receiver);
        Box::pin(async move {
            if request.uri().path() != EXPORT {
                return Ok(Status::unimplemented("unknown service or method").into_http());
            }
            let mut grpc = Grpc::new(RawCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_MESSAGE);
            Ok(grpc.unary(Export(receiver), request).await)
        })
    }
}

struct Export(Arc<Receiver>);

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let pushed = self.0.push(&request.into_inner(), Transport::Grpc);
        std::future::ready(match pushed {
            Ok(()) => Ok(Response::new(Bytes::from_static(ACCEPTED))),
            Err(error) => Err(Status::new(code(&error), error.to_string())),
        })
    }
}

/// The gRPC code of a refusal.
pub fn code(error: &PushError) -> Code {
    match error {
        PushError::Malformed(_) | PushError::InvalidId(_) => Code::InvalidArgument,
        PushError::RateLimited(_) => Code::ResourceExhausted,
    }
}

/// Passes messages on as they are.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
