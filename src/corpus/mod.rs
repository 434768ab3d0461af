//! The traces that the load is made of: complete OTLP requests, generated from
//! a seed, with the positions at which each trace gets its own IDs and times.

mod attributes;
mod encode;
pub mod files;
pub mod identity;
mod random;
mod services;
mod tree;

use std::ops::Range;

pub use files::CorpusError;
pub use identity::TraceIdentity;

use crate::profile::TraceProfile;
use encode::{Slot, span_layout};
use random::Random;

/// Share of spans that end with an error.
const ERROR_SHARE: f64 = 0.035;

/// The payloads of one trace profile.
#[derive(Debug)]
pub struct Corpus {
    profile: TraceProfile,
    seed: u32,
    payloads: Vec<Payload>,
    /// Bytes and spans before payload `i`; the last entry is the sum of a cycle.
    before: Vec<(u64, u64)>,
}

/// One trace as a complete `ExportTraceServiceRequest`, slots still zero.
/// Times are in microseconds before the end of the trace.
#[derive(Debug)]
pub(crate) struct Payload {
    bytes: Vec<u8>,
    /// The root first.
    spans: Vec<SpanSlot>,
    events: Vec<EventSlot>,
    sessions: Vec<u32>,
    token: u32,
    duration_us: u32,
    links: Vec<(u32, Option<u32>)>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SpanSlot {
    position: u32,
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct EventSlot {
    position: u32,
    time: u32,
}

/// What a trace must look like when it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedTrace {
    pub trace_id: [u8; 16],
    /// Span ID and parent ID; the root first, which has none.
    pub spans: Vec<([u8; 8], Option<[u8; 8]>)>,
    /// `tempo_perf.token` on the root span.
    pub token: String,
}

impl TraceProfile {
    /// Spans of a trace, both ends included.
    pub fn spans(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Small => 8..=15,
            Self::Medium => 25..=40,
            Self::Large => 50..=80,
            Self::Xlarge => 100..=150,
        }
    }

    pub const ALL: [Self; 4] = [Self::Small, Self::Medium, Self::Large, Self::Xlarge];

    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
            Self::Xlarge => "xlarge",
        }
    }

    /// Span counts of the payloads, spread evenly over the range.
    fn span_counts(self) -> Vec<usize> {
        let repeat = |times| {
            self.spans()
                .flat_map(move |count| std::iter::repeat_n(count, times))
        };
        match self {
            Self::Small => repeat(8).collect(),
            Self::Medium => repeat(3).collect(),
            Self::Large => repeat(1).collect(),
            // One for each count would be 6 MiB.
            Self::Xlarge => (0..17).map(|i| 100 + (i * 50 + 8) / 16).collect(),
        }
    }
}

impl Corpus {
    /// The same seed gives the same bytes.
    pub fn generate(profile: TraceProfile, seed: u32) -> Self {
        let mut random = Random::new(u64::from(seed) << 8 | profile as u64);
        let mut counts = profile.span_counts();
        // Payload n of a run is number n modulo the payload count, so this
        // order is the seeded permutation of every cycle.
        random.shuffle(&mut counts);

        let (mut spans_so_far, mut errors_so_far) = (0, 0);
        let payloads: Vec<Payload> = counts
            .into_iter()
            .map(|spans| {
                spans_so_far += spans;
                let due = (spans_so_far as f64 * ERROR_SHARE).floor() as usize;
                let wanted = tree::Wanted {
                    spans,
                    errors: due - errors_so_far,
                };
                let trace = tree::generate(&wanted, &mut random);
                errors_so_far += trace.errors;
                Payload::new(trace)
            })
            .collect();

        let mut before = vec![(0, 0)];
        let (mut bytes, mut spans) = (0, 0);
        for payload in &payloads {
            bytes += payload.bytes.len() as u64;
            spans += payload.spans.len() as u64;
            before.push((bytes, spans));
        }
        Self {
            profile,
            seed,
            payloads,
            before,
        }
    }

    pub fn profile(&self) -> TraceProfile {
        self.profile
    }

    pub fn seed(&self) -> u32 {
        self.seed
    }

    /// Traces after which the payloads begin again.
    pub fn payload_count(&self) -> u64 {
        self.payloads.len() as u64
    }

    /// Which payload trace `n` of a run uses.
    pub fn payload_index(&self, n: u64) -> usize {
        (n % self.payload_count()) as usize
    }

    fn cycle(&self) -> (u64, u64) {
        self.before[self.payloads.len()]
    }

    fn before(&self, n: u64) -> (u64, u64) {
        let (cycles, rest) = (n / self.payload_count(), self.payload_index(n));
        let (bytes, spans) = self.cycle();
        let (more_bytes, more_spans) = self.before[rest];
        (cycles * bytes + more_bytes, cycles * spans + more_spans)
    }

    /// Body bytes of these traces of a run.
    pub fn bytes_of(&self, traces: Range<u64>) -> u64 {
        self.before(traces.end).0 - self.before(traces.start).0
    }

    pub fn spans_of(&self, traces: Range<u64>) -> u64 {
        self.before(traces.end).1 - self.before(traces.start).1
    }

    /// Body bytes of the largest request of this many traces.
    pub fn max_request_bytes(&self, traces_per_request: u32) -> u64 {
        (0..self.payload_count())
            .map(|first| self.bytes_of(first..first + u64::from(traces_per_request)))
            .max()
            .unwrap_or(0)
    }

    pub fn max_payload_bytes(&self) -> u64 {
        self.max_request_bytes(1)
    }

    /// Exact over every whole cycle.
    pub fn mean_bytes_per_trace(&self) -> f64 {
        self.cycle().0 as f64 / self.payload_count() as f64
    }

    pub fn mean_spans_per_trace(&self) -> f64 {
        self.cycle().1 as f64 / self.payload_count() as f64
    }

    /// Bytes of all payloads together.
    pub fn cycle_bytes(&self) -> u64 {
        self.cycle().0
    }

    /// Spans of all payloads together.
    pub fn cycle_spans(&self) -> u64 {
        self.cycle().1
    }

    /// Trace `n` of a run as it is sent when its last span ends at this time.
    pub fn fill(&self, n: u64, run: u32, end_time_unix_nano: u64) -> Vec<u8> {
        let payload = &self.payloads[self.payload_index(n)];
        let identity = TraceIdentity::new(self.seed, run, n);
        let mut bytes = payload.bytes.clone();
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let time =
            |before_end: u32| (end_time_unix_nano - u64::from(before_end) * 1000).to_le_bytes();

        for (index, span) in payload.spans.iter().enumerate() {
            let at = span.position as usize;
            put(at, &identity.trace_id);
            put(at + span_layout::SPAN_ID, &identity.span_prefix);
            put(at + span_layout::START, &time(span.start));
            put(at + span_layout::END, &time(span.end));
            if index > 0 {
                put(at + span_layout::PARENT_ID, &identity.span_prefix);
            }
        }
        for event in &payload.events {
            put(event.position as usize, &time(event.time));
        }
        for &session in &payload.sessions {
            put(session as usize, &identity.session);
        }
        put(payload.token as usize, &identity.token);
        bytes
    }

    /// What trace `n` of a run must look like when it is read back.
    pub fn expected_trace(&self, n: u64, run: u32) -> ExpectedTrace {
        let identity = TraceIdentity::new(self.seed, run, n);
        let id = |fixed: u32| {
            let mut id = [0; 8];
            id[..4].copy_from_slice(&identity.span_prefix);
            id[4..].copy_from_slice(&fixed.to_le_bytes());
            id
        };
        ExpectedTrace {
            trace_id: identity.trace_id,
            spans: self.payloads[self.payload_index(n)]
                .links
                .iter()
                .map(|&(own, parent)| (id(own), parent.map(id)))
                .collect(),
            token: identity.token_text(),
        }
    }
}

impl Payload {
    fn new(trace: tree::Trace) -> Self {
        let mut spans = vec![None; trace.links.len()];
        let (mut events, mut sessions, mut token) = (Vec::new(), Vec::new(), None);
        for (at, slot) in trace.message.slots {
            let position = at as u32;
            match slot {
                Slot::Span { index, start, end } => {
                    spans[index as usize] = Some(SpanSlot {
                        position,
                        start,
                        end,
                    });
                }
                Slot::Event { time } => events.push(EventSlot { position, time }),
                Slot::Session => sessions.push(position),
                Slot::Token => token = Some(position),
            }
        }
        Self {
            bytes: trace.message.bytes,
            spans: spans
                .into_iter()
                .map(|span| span.expect("every span of the tree is encoded once"))
                .collect(),
            events,
            sessions,
            token: token.expect("the root carries the token"),
            duration_us: trace.duration_us,
            links: trace.links,
        }
    }
}

/// Puts `items` into an order that follows from `seed`.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u32) {
    Random::new(u64::from(seed)).shuffle(items);
}
