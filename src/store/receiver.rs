//! The way of a push into the store, whichever transport it came by.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::batch::{Batch, InvalidId};
use super::faults::Faults;
use super::metrics::{Metrics, TENANT, Transport};
use super::table::Table;
use super::wire::WireError;

/// An accepted push is answered with an empty `partial_success`, as by Tempo.
pub const ACCEPTED: &[u8] = &[0x0a, 0x00];

/// Why a push was refused; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Malformed(#[from] WireError),
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    #[error("{0}")]
    RateLimited(String),
}

/// A limit on what is taken in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    pub bytes_per_second: u64,
    /// Bytes that may come at once.
    pub burst: u64,
}

struct Bucket {
    limit: RateLimit,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            tokens: limit.burst as f64,
            filled: Instant::now(),
        }
    }

    /// Takes `bytes`, all or none.
    fn take(&mut self, bytes: usize, now: Instant) -> Result<(), String> {
        let RateLimit {
            bytes_per_second: rate,
            burst,
        } = self.limit;
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate as f64).min(burst as f64);
        self.filled = now;
        if bytes as f64 <= self.tokens {
            self.tokens -= bytes as f64;
            return Ok(());
        }
        let limits = format!("(local: {rate} bytes/s, global: 0 bytes/s, burst: {burst} bytes)");
        let advice = "consider increasing the limit or reducing ingestion rate.";
        Err(if bytes as u64 > burst {
            format!(
                "RATE_LIMITED: batch size ({bytes} bytes) exceeds ingestion limit {limits} \
                 while adding {bytes} bytes for user {TENANT}. {advice}"
            )
        } else {
            format!(
                "RATE_LIMITED: ingestion rate limit {limits} exceeded while adding {bytes} \
                 bytes for user {TENANT}. {advice}"
            )
        })
    }
}

pub struct Receiver {
    table: Arc<Table>,
    metrics: Arc<Metrics>,
    bucket: Option<Mutex<Bucket>>,
    faults: Faults,
}

impl Receiver {
    pub fn new(
        table: Arc<Table>,
        metrics: Arc<Metrics>,
        limit: Option<RateLimit>,
        faults: Faults,
    ) -> Self {
        Self {
            table,
            metrics,
            bucket: limit.map(|limit| Mutex::new(Bucket::new(limit))),
            faults,
        }
    }

    /// Stores an encoded `ExportTraceServiceRequest`. Its traces can be looked
    /// up and found from the moment this returns.
    ///
    /// # Errors
    /// When it is malformed, names an invalid ID or exceeds the rate limit.
    pub fn push(&self, request: &[u8], transport: Transport) -> Result<(), PushError> {
        let batch = Batch::read(request)?;
        let spans = batch.span_count();
        if spans == 0 {
            return Ok(());
        }
        let started = Instant::now();
        let result = self.store(batch);
        self.metrics
            .push_duration
            .observe(started.elapsed().as_secs_f64());
        match &result {
            Ok(()) => self.metrics.pushed(transport, spans, 0),
            Err(_) => self.metrics.pushed(transport, 0, spans),
        }
        result
    }

    fn store(&self, batch: Batch<'_>) -> Result<(), PushError> {
        let (bytes, spans) = (batch.bytes, batch.span_count());
        self.metrics.ingress(bytes);
        if let Some(bucket) = &self.bucket {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(message) = bucket.take(bytes, Instant::now()) {
                self.metrics.discarded("rate_limited", spans);
                return Err(PushError::RateLimited(message));
            }
        }
        self.metrics.received(bytes, spans);
        let fragments = batch.into_fragments().inspect_err(|invalid| {
            let reason = match invalid {
                InvalidId::Trace => "invalid_trace_id",
                InvalidId::Span => "invalid_span_id",
            };
            self.metrics.discarded(reason, spans);
        })?;
        self.metrics
            .traces_per_batch
            .observe(fragments.len() as f64);
        for (id, fragment) in fragments {
            if let Some(fragment) = self.faults.apply(&id, fragment) {
                self.metrics.evicted(self.table.add(id, fragment));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_lets_through_what_its_rate_refills() {
        let mut bucket = Bucket::new(RateLimit {
            bytes_per_second: 50_000,
            burst: 60_000,
        });
        let start = bucket.filled;
        assert_eq!(bucket.take(60_000, start), Ok(()));
        assert_eq!(
            bucket.take(14_448, start).unwrap_err(),
            "RATE_LIMITED: ingestion rate limit (local: 50000 bytes/s, global: 0 bytes/s, \
             burst: 60000 bytes) exceeded while adding 14448 bytes for user single-tenant. \
             consider increasing the limit or reducing ingestion rate."
        );
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.take(14_448, later), Ok(()));
        assert!(
            bucket
                .take(60_001, later)
                .unwrap_err()
                .contains("batch size (60001 bytes)")
        );
    }

    /// One trace of 32 spans and about 15 kB, as the corpus has them.
    fn push_of_15_kb(number: u64) -> Vec<u8> {
        use crate::store::wire::put_delimited;

        let mut id = [7; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let mut request = Vec::new();
        for service in 0..4u64 {
            let attribute = |key: &str, value: &str| {
                let mut any = Vec::new();
                put_delimited(&mut any, 1, value.as_bytes());
                let mut pair = Vec::new();
                put_delimited(&mut pair, 1, key.as_bytes());
                put_delimited(&mut pair, 2, &any);
                pair
            };
            let mut scope_spans = vec![0x0a, 0x00];
            for place in 0..8u64 {
                let mut span = Vec::new();
                put_delimited(&mut span, 1, &id);
                put_delimited(&mut span, 2, &(service * 8 + place + 1).to_be_bytes());
                put_delimited(&mut span, 4, &(service * 8 + place).to_be_bytes());
                put_delimited(&mut span, 5, b"GET /api/orders/{id}");
                span.extend([0x30, 2]);
                for (tag, time) in [(0x39, 1_000_000_000u64), (0x41, 1_030_000_000)] {
                    span.push(tag);
                    span.extend(time.to_le_bytes());
                }
                for key in 0..8 {
                    let value = format!("some-value-of-{key}-{number:08}");
                    let pair = attribute(&format!("http.request.header.{key}"), &value);
                    put_delimited(&mut span, 9, &pair);
                }
                span.extend([0x7a, 0x00]);
                put_delimited(&mut scope_spans, 2, &span);
            }
            let mut resource = Vec::new();
            let service = attribute("service.name", &format!("svc-{service}"));
            put_delimited(&mut resource, 1, &service);
            let mut resource_spans = Vec::new();
            put_delimited(&mut resource_spans, 1, &resource);
            put_delimited(&mut resource_spans, 2, &scope_spans);
            put_delimited(&mut request, 1, &resource_spans);
        }
        request
    }

    #[test]
    #[ignore = "a measurement: run it alone, with --nocapture"]
    fn how_fast_a_core_stores_pushes() {
        let receiver = Receiver::new(
            Arc::new(Table::new(256 << 20)),
            Arc::new(Metrics::new().unwrap()),
            None,
            Faults::new(Vec::new()),
        );
        let (mut bytes, mut elapsed) = (0, Duration::ZERO);
        for round in 0..30 {
            // New traces each time, so that old ones have to leave.
            let pushes: Vec<Vec<u8>> = (0..2_000)
                .map(|number| push_of_15_kb(round * 2_000 + number))
                .collect();
            let started = Instant::now();
            for push in &pushes {
                bytes += push.len();
                receiver.push(push, Transport::Http).unwrap();
            }
            elapsed += started.elapsed();
        }
        let seconds = elapsed.as_secs_f64();
        println!("{:.0} MB/s", bytes as f64 / 1_048_576.0 / seconds);
    }
}
