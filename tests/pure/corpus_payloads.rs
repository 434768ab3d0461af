//! Payloads as a receiver sees them: decoded by the reference protobuf types.

use std::collections::{BTreeMap, HashMap, HashSet};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use tempo_perf::corpus::{Corpus, TraceIdentity};
use tempo_perf::profile::TraceProfile;

const SEED: u32 = 42;
const RUN: u32 = 9;
const END: u64 = 1_795_415_000_123_000_000;

/// All corpora are of this size or less, so that every VU of k6 could hold one.
const MAX_CORPUS_BYTES: u64 = 1_258_291;

fn decode(bytes: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(bytes).expect("a payload must be a valid request")
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<&Span> {
    request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .collect()
}

/// The size by Tempo's own encoding: prost leaves out a root's empty parent
/// (tag and length, two bytes), and nothing else that a payload has.
fn size_by_tempo(request: &ExportTraceServiceRequest) -> u64 {
    let roots = spans(request)
        .iter()
        .filter(|span| span.parent_span_id.is_empty())
        .count();
    for span in spans(request) {
        assert!(span.status.is_some(), "status must be there even if empty");
    }
    for resource in &request.resource_spans {
        assert!(resource.resource.is_some());
        assert!(
            resource
                .scope_spans
                .iter()
                .all(|scope| scope.scope.is_some())
        );
    }
    (request.encoded_len() + 2 * roots) as u64
}

fn text(span: &Span, key: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let pair = span.attributes.iter().find(|pair| pair.key == key)?;
    match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        other => panic!("{key} must be a text, found {other:?}"),
    }
}

fn each_payload(check: impl Fn(&Corpus, u64, &[u8], &ExportTraceServiceRequest)) {
    for profile in TraceProfile::ALL {
        let corpus = Corpus::generate(profile, SEED);
        for n in 0..corpus.payload_count() {
            let bytes = corpus.fill(n, RUN, END);
            check(&corpus, n, &bytes, &decode(&bytes));
        }
    }
}

#[test]
fn bytes_and_spans_are_those_predicted_and_those_that_tempo_counts() {
    each_payload(|corpus, n, bytes, request| {
        assert_eq!(bytes.len() as u64, corpus.bytes_of(n..n + 1));
        assert_eq!(spans(request).len() as u64, corpus.spans_of(n..n + 1));
        assert_eq!(size_by_tempo(request), bytes.len() as u64);
    });
}

#[test]
fn ids_are_those_expected_of_the_trace() {
    each_payload(|corpus, n, _, request| {
        let expected = corpus.expected_trace(n, RUN);
        let wanted: HashMap<Vec<u8>, Vec<u8>> = expected
            .spans
            .iter()
            .map(|(id, parent)| (id.to_vec(), parent.map_or(Vec::new(), |id| id.to_vec())))
            .collect();
        assert_eq!(
            wanted.len(),
            expected.spans.len(),
            "span IDs must be distinct"
        );
        let spans = spans(request);
        let found: HashMap<Vec<u8>, Vec<u8>> = spans
            .iter()
            .map(|span| (span.span_id.clone(), span.parent_span_id.clone()))
            .collect();
        assert_eq!(found, wanted);
        assert!(spans.iter().all(|span| span.trace_id == expected.trace_id));

        let root = spans
            .iter()
            .find(|span| span.parent_span_id.is_empty())
            .expect("a trace must have a root");
        assert_eq!(text(root, "tempo_perf.token"), Some(expected.token));
        let identity = TraceIdentity::new(SEED, RUN, n);
        let session: String = identity.session.iter().copied().map(char::from).collect();
        assert_eq!(text(root, "session.id"), Some(session));
    });
}

#[test]
fn a_trace_is_one_connected_tree_in_which_children_keep_their_parents_time() {
    each_payload(|_, n, _, request| {
        let spans = spans(request);
        let by_id: HashMap<_, _> = spans.iter().map(|span| (&span.span_id, *span)).collect();
        let roots: Vec<_> = spans
            .iter()
            .filter(|span| span.parent_span_id.is_empty())
            .collect();
        assert_eq!(roots.len(), 1, "payload {n}");
        assert_eq!(roots[0].end_time_unix_nano, END);

        for span in &spans {
            let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
            assert!(start < end, "a span must last: {}", span.name);
            let mut at = *span;
            for _ in 0..spans.len() {
                let Some(parent) = by_id.get(&at.parent_span_id) else {
                    break;
                };
                assert!(parent.start_time_unix_nano <= at.start_time_unix_nano);
                assert!(parent.end_time_unix_nano >= at.end_time_unix_nano);
                at = parent;
            }
            assert_eq!(
                at.span_id, roots[0].span_id,
                "every span must lead to the root"
            );
            for event in &span.events {
                assert!((start..=end).contains(&event.time_unix_nano));
            }
        }
        let duration = END - roots[0].start_time_unix_nano;
        assert!(
            (40_000_000..=3_500_000_000).contains(&duration),
            "{duration} ns"
        );
    });
}

#[test]
fn kinds_of_a_call_match() {
    use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
    each_payload(|_, _, _, request| {
        let spans = spans(request);
        let by_id: HashMap<_, _> = spans.iter().map(|span| (&span.span_id, *span)).collect();
        for span in spans {
            let Some(parent) = by_id.get(&span.parent_span_id) else {
                assert_eq!(
                    span.kind(),
                    SpanKind::Server,
                    "a root is a request from outside"
                );
                continue;
            };
            match span.kind() {
                SpanKind::Server => assert_eq!(parent.kind(), SpanKind::Client),
                SpanKind::Consumer => assert_eq!(parent.kind(), SpanKind::Producer),
                _ => {}
            }
        }
    });
}

#[test]
fn services_are_resources_once_each() {
    each_payload(|_, _, _, request| {
        let names: Vec<String> = request
            .resource_spans
            .iter()
            .map(|resource| {
                let attributes = &resource
                    .resource
                    .as_ref()
                    .expect("checked above")
                    .attributes;
                let pair = attributes.iter().find(|pair| pair.key == "service.name");
                format!(
                    "{:?}",
                    pair.expect("a resource must name its service").value
                )
            })
            .collect();
        assert!(
            names.len() >= 2,
            "a trace must pass through several services"
        );
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    });
}

#[test]
fn span_counts_are_spread_evenly_over_the_range() {
    for (profile, payloads, times) in [
        (TraceProfile::Small, 64, 8),
        (TraceProfile::Medium, 48, 3),
        (TraceProfile::Large, 31, 1),
        (TraceProfile::Xlarge, 17, 1),
    ] {
        let corpus = Corpus::generate(profile, SEED);
        assert_eq!(corpus.payload_count(), payloads);
        let mut counts = BTreeMap::new();
        for n in 0..payloads {
            *counts
                .entry(corpus.spans_of(n..n + 1) as usize)
                .or_insert(0) += 1;
        }
        assert!(counts.values().all(|&count| count == times), "{counts:?}");
        assert_eq!(counts.keys().next(), Some(profile.spans().start()));
        assert_eq!(counts.keys().last(), Some(profile.spans().end()));
        let middle = (profile.spans().start() + profile.spans().end()) as f64 / 2.0;
        assert!((corpus.mean_spans_per_trace() - middle).abs() < 0.1);
        assert!(
            corpus.cycle_bytes() <= MAX_CORPUS_BYTES,
            "{}",
            corpus.cycle_bytes()
        );
    }
}

#[test]
fn spans_have_400_to_700_bytes() {
    let mut seen = Vec::new();
    each_payload(|_, n, bytes, request| {
        let mean = bytes.len() as f64 / spans(request).len() as f64;
        assert!(
            (400.0..=700.0).contains(&mean),
            "payload {n}: {mean} bytes a span"
        );
    });
    for profile in TraceProfile::ALL {
        let corpus = Corpus::generate(profile, SEED);
        for n in 0..corpus.payload_count() {
            let request = decode(&corpus.fill(n, RUN, END));
            seen.extend(spans(&request).iter().map(|span| span.encoded_len()));
        }
    }
    let outside = seen
        .iter()
        .filter(|size| !(400..=700).contains(*size))
        .count();
    let share = outside as f64 / seen.len() as f64;
    assert!(
        share < 0.01,
        "{share} of spans are outside, max {:?}",
        seen.iter().max()
    );
}

#[test]
fn any_seed_keeps_the_bounds_of_size() {
    for seed in (0..40).chain([u32::MAX]) {
        for profile in TraceProfile::ALL {
            let corpus = Corpus::generate(profile, seed);
            assert!(corpus.cycle_bytes() <= MAX_CORPUS_BYTES);
            for n in 0..corpus.payload_count() {
                let bytes = corpus.bytes_of(n..n + 1) as f64;
                let mean = bytes / corpus.spans_of(n..n + 1) as f64;
                assert!(
                    (400.0..=700.0).contains(&mean),
                    "seed {seed}, payload {n}: {mean} bytes a span"
                );
            }
        }
    }
}

#[test]
fn two_to_five_per_cent_of_spans_fail_with_a_message() {
    for profile in TraceProfile::ALL {
        let corpus = Corpus::generate(profile, SEED);
        let mut failed = 0;
        for n in 0..corpus.payload_count() {
            for span in spans(&decode(&corpus.fill(n, RUN, END))) {
                let status = span.status.as_ref().expect("checked above");
                if status.code() == StatusCode::Error {
                    failed += 1;
                    assert!(!status.message.is_empty());
                    assert!(span.events.iter().any(|event| event.name == "exception"));
                }
            }
        }
        let share = f64::from(failed) / corpus.cycle_spans() as f64;
        assert!((0.02..=0.05).contains(&share), "{profile:?}: {share}");
    }
}

#[test]
fn every_cycle_holds_each_payload_once() {
    for seed in [0, 1, u32::MAX] {
        let corpus = Corpus::generate(TraceProfile::Medium, seed);
        let count = corpus.payload_count();
        for cycle in [0, 1, 1000] {
            let used: HashSet<_> = (cycle * count..(cycle + 1) * count)
                .map(|n| corpus.payload_index(n))
                .collect();
            assert_eq!(used.len() as u64, count);
        }
        assert_eq!(corpus.bytes_of(5..5 + 3 * count), 3 * corpus.cycle_bytes());
        let sum: u64 = (7..90).map(|n| corpus.bytes_of(n..n + 1)).sum();
        assert_eq!(corpus.bytes_of(7..90), sum);
    }
}

#[test]
fn the_seed_decides_everything() {
    let fill = |seed, run, n| Corpus::generate(TraceProfile::Small, seed).fill(n, run, END);
    assert_eq!(fill(1, 1, 3), fill(1, 1, 3));
    assert_ne!(fill(1, 1, 3), fill(2, 1, 3));
    assert_ne!(fill(1, 1, 3), fill(1, 2, 3));
}

#[test]
fn several_traces_in_one_body_are_one_request() {
    let corpus = Corpus::generate(TraceProfile::Small, SEED);
    let body: Vec<u8> = (60..70).flat_map(|n| corpus.fill(n, RUN, END)).collect();
    assert_eq!(body.len() as u64, corpus.bytes_of(60..70));
    let request = decode(&body);
    assert_eq!(spans(&request).len() as u64, corpus.spans_of(60..70));
    assert_eq!(size_by_tempo(&request), body.len() as u64);
    let traces: HashSet<_> = spans(&request)
        .iter()
        .map(|span| span.trace_id.clone())
        .collect();
    assert_eq!(traces.len(), 10);
}

#[test]
fn files_hold_the_payloads_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let corpus = Corpus::generate(TraceProfile::Small, SEED);
    corpus.write_to(dir.path()).expect("must write");
    let bytes = std::fs::read(dir.path().join("small.bin")).expect("must be there");
    assert_eq!(bytes.len() as u64, 2 * corpus.cycle_bytes());
    let (first, second) = bytes.split_at(bytes.len() / 2);
    assert_eq!(first, second);
    assert_eq!(spans(&decode(first)).len() as u64, corpus.cycle_spans());
}
