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
}
