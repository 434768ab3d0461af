//! What the store counts, under Tempo's names and with Tempo's meanings, and
//! under `tempo_perf_store_` what only this store has.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{
    CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    Opts, Registry, TextEncoder,
};

use super::table::{Evicted, Table};

/// The tenant when there are no tenants.
pub const TENANT: &str = "single-tenant";
const RECEIVER: &str = "otlp/otlp_receiver";

const REQUEST_BUCKETS: [f64; 14] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0,
];
const PUSH_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const TRACES_BUCKETS: [f64; 10] = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Which way a push came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Grpc,
    Http,
}

impl Transport {
    fn label(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// Which kind of query, as Tempo's query frontend tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Traces,
    Search,
    Metadata,
    Metrics,
}

impl Operation {
    fn label(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Search => "search",
            Self::Metadata => "metadata",
            Self::Metrics => "metrics",
        }
    }
}

pub struct Metrics {
    registry: Registry,
    accepted_spans: IntCounterVec,
    refused_spans: IntCounterVec,
    ingress_bytes: IntCounterVec,
    bytes_received: IntCounterVec,
    spans_received: IntCounterVec,
    discarded_spans: IntCounterVec,
    pub traces_per_batch: Histogram,
    /// In seconds.
    pub push_duration: Histogram,
    request_duration: HistogramVec,
    queries: CounterVec,
    queries_within_slo: CounterVec,
    bytes_inspected: CounterVec,
    live_traces: GaugeVec,
    live_trace_bytes: GaugeVec,
    traces_created: CounterVec,
    store_bytes: Gauge,
    store_limit: Gauge,
    store_traces: Gauge,
    evicted_spans: IntCounter,
    evicted_traces: IntCounter,
}

impl Metrics {
    /// # Errors
    /// When two metrics have one name, which is a mistake of this module.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(
                &registry,
                IntCounterVec::new(Opts::new(name, help), labels)?,
            )
        };
        let sums = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, CounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, GaugeVec::new(Opts::new(name, help), labels)?)
        };
        let gauge = |name: &str, help: &str| register(&registry, Gauge::new(name, help)?);
        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help)?);
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            register(&registry, Histogram::with_opts(options)?)
        };

        let build = gauges(
            "tempo_build_info",
            "What answers here; the version says that it is not Tempo.",
            &[
                "branch",
                "goarch",
                "goos",
                "goversion",
                "revision",
                "tags",
                "version",
            ],
        )?;
        build
            .with_label_values(&["", "", "", "", "", "", super::VERSION])
            .set(1.0);
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(Self {
            accepted_spans: counters(
                "tempo_receiver_accepted_spans",
                "Spans of pushes that were accepted.",
                &["receiver", "transport"],
            )?,
            refused_spans: counters(
                "tempo_receiver_refused_spans",
                "Spans of pushes that were refused.",
                &["receiver", "transport"],
            )?,
            ingress_bytes: counters(
                "tempo_distributor_ingress_bytes_total",
                "Bytes of pushes in Tempo's encoding, before the rate limit.",
                &["tenant"],
            )?,
            bytes_received: counters(
                "tempo_distributor_bytes_received_total",
                "Bytes of pushes in Tempo's encoding, after the rate limit.",
                &["tenant"],
            )?,
            spans_received: counters(
                "tempo_distributor_spans_received_total",
                "Spans of pushes, after the rate limit.",
                &["tenant"],
            )?,
            discarded_spans: counters(
                "tempo_discarded_spans_total",
                "Spans that were not stored.",
                &["reason", "tenant"],
            )?,
            traces_per_batch: histogram(
                "tempo_distributor_traces_per_batch",
                "Traces of each push.",
                &TRACES_BUCKETS,
            )?,
            push_duration: histogram(
                "tempo_distributor_push_duration_seconds",
                "Time to store a push.",
                &PUSH_BUCKETS,
            )?,
            request_duration: register(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "tempo_request_duration_seconds",
                        "Time to answer a request.",
                    )
                    .buckets(REQUEST_BUCKETS.to_vec()),
                    &["method", "route", "status_code", "ws"],
                )?,
            )?,
            queries: sums(
                "tempo_query_frontend_queries_total",
                "Queries.",
                &["op", "result", "tenant"],
            )?,
            queries_within_slo: sums(
                "tempo_query_frontend_queries_within_slo_total",
                "Queries that were answered without a fault of the server.",
                &["op", "result", "tenant"],
            )?,
            bytes_inspected: sums(
                "tempo_query_frontend_bytes_inspected_total",
                "Bytes of spans read for queries.",
                &["op", "tenant"],
            )?,
            live_traces: gauges(
                "tempo_live_store_live_traces",
                "Traces in memory.",
                &["tenant"],
            )?,
            live_trace_bytes: gauges(
                "tempo_live_store_live_trace_bytes",
                "Bytes of spans in memory.",
                &["tenant"],
            )?,
            traces_created: sums(
                "tempo_live_store_traces_created_total",
                "Traces that arrived.",
                &["tenant"],
            )?,
            store_bytes: gauge(
                "tempo_perf_store_bytes",
                "Memory that traces take, indexes included.",
            )?,
            store_limit: gauge(
                "tempo_perf_store_memory_limit_bytes",
                "Memory that traces may take.",
            )?,
            store_traces: gauge("tempo_perf_store_traces", "Traces in memory.")?,
            evicted_spans: counter(
                "tempo_perf_store_evicted_spans_total",
                "Spans that left, the oldest first, to keep the memory limit.",
            )?,
            evicted_traces: counter(
                "tempo_perf_store_evicted_traces_total",
                "Traces that left, the oldest first, to keep the memory limit.",
            )?,
            registry,
        })
    }

    pub fn ingress(&self, bytes: usize) {
        let counter = self.ingress_bytes.with_label_values(&[TENANT]);
        counter.inc_by(bytes as u64);
    }

    pub fn received(&self, bytes: usize, spans: usize) {
        let counter = self.bytes_received.with_label_values(&[TENANT]);
        counter.inc_by(bytes as u64);
        let counter = self.spans_received.with_label_values(&[TENANT]);
        counter.inc_by(spans as u64);
    }

    pub fn discarded(&self, reason: &str, spans: usize) {
        let counter = self.discarded_spans.with_label_values(&[reason, TENANT]);
        counter.inc_by(spans as u64);
    }

    /// Tempo has both series from a receiver's first push on.
    pub fn pushed(&self, transport: Transport, accepted: usize, refused: usize) {
        let labels = [RECEIVER, transport.label()];
        let counter = self.accepted_spans.with_label_values(&labels);
        counter.inc_by(accepted as u64);
        let counter = self.refused_spans.with_label_values(&labels);
        counter.inc_by(refused as u64);
    }

    pub fn evicted(&self, evicted: Evicted) {
        self.evicted_traces.inc_by(evicted.traces);
        self.evicted_spans.inc_by(evicted.spans);
    }

    pub fn request(&self, method: &str, route: &str, status: u16, seconds: f64) {
        self.request_duration
            .with_label_values(&[method, route, &status.to_string(), "false"])
            .observe(seconds);
    }

    pub fn query(&self, operation: Operation, status: u16, bytes: usize) {
        let labels = [operation.label(), "completed", TENANT];
        self.queries.with_label_values(&labels).inc();
        if status < 500 {
            self.queries_within_slo.with_label_values(&labels).inc();
        }
        self.bytes_inspected
            .with_label_values(&[operation.label(), TENANT])
            .inc_by(bytes as f64);
    }

    /// All metrics as text, those of the table as they are now.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn render(&self, table: &Table) -> Result<String, prometheus::Error> {
        self.store_bytes.set(table.size() as f64);
        self.store_limit.set(table.limit() as f64);
        self.store_traces.set(table.traces() as f64);
        let created = table.created();
        if created > 0 {
            self.live_traces
                .with_label_values(&[TENANT])
                .set(table.traces() as f64);
            self.live_trace_bytes
                .with_label_values(&[TENANT])
                .set(table.encoded_size() as f64);
            let counter = self.traces_created.with_label_values(&[TENANT]);
            counter.inc_by((created as f64 - counter.get()).max(0.0));
        }
        // Tempo's process collector has no threads.
        let families: Vec<MetricFamily> = self
            .registry
            .gather()
            .into_iter()
            .filter(|family| family.name() != "process_threads")
            .collect();
        TextEncoder::new().encode_to_string(&families)
    }
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
