//! The load in numbers: rates, requests and virtual users, solved so that k6
//! sends what the profile asks for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Run, query_mix};
use crate::corpus::Corpus;
use crate::profile::{CollectorMode, K6, QuerySpec, TraceProfile, Vus};
use crate::units::{ByteRate, EventRate};

/// Largest body that is sent: proxies and gRPC servers in the way often stop
/// at 4 MiB and some at 1 MiB.
pub const MAX_REQUEST_BYTES: u64 = 1 << 20;

/// The answer time that the allocated virtual users can stand without a
/// dropped iteration: by Little's law, users = rate × time.
const ANSWER_TIME_PLANNED_FOR: Duration = Duration::from_secs(1);

/// The ingestion load of one k6 run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IngestionLoad {
    pub target_bytes_per_second: ByteRate,
    pub trace_profile: TraceProfile,
    pub collector: CollectorMode,
    pub traces_per_request: u32,
    pub mean_request_bytes: f64,
    pub mean_spans_per_trace: f64,
    pub requests_per_second: EventRate,
    pub allocated_vus: u32,
    pub max_vus: u32,
}

impl IngestionLoad {
    pub fn traces_per_second(&self) -> EventRate {
        EventRate::per_second(
            self.requests_per_second.as_per_second() * f64::from(self.traces_per_request),
        )
    }

    pub fn spans_per_second(&self) -> EventRate {
        EventRate::per_second(self.traces_per_second().as_per_second() * self.mean_spans_per_trace)
    }
}

/// The query load of one k6 run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryLoad {
    pub queries_per_second: EventRate,
    pub queries: Vec<QuerySpec>,
    /// Whether `queries` is the built-in mix.
    pub built_in_mix: bool,
    pub allocated_vus: u32,
    pub max_vus: u32,
}

/// The load of a case, and for how long it is judged.
#[derive(Debug, Clone, Copy)]
pub struct SolvedLoad<'a> {
    pub ingestion: &'a IngestionLoad,
    pub query: &'a QueryLoad,
    /// Of the window; the warm-up is not in it.
    pub duration: Duration,
}

/// The schedule of a k6 run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Of iterations.
    pub rate: EventRate,
    pub allocated_vus: u32,
    pub max_vus: u32,
}

impl SolvedLoad<'_> {
    /// When iterations of a run are due, and who is there to do them; none where
    /// nothing is due at a time.
    pub fn schedule(&self, run: Run) -> Option<Schedule> {
        match run {
            Run::Seeding | Run::Ingestion => Some(Schedule {
                rate: self.ingestion.requests_per_second,
                allocated_vus: self.ingestion.allocated_vus,
                max_vus: self.ingestion.max_vus,
            }),
            Run::Query => Some(Schedule {
                rate: self.query.queries_per_second,
                allocated_vus: self.query.allocated_vus,
                max_vus: self.query.max_vus,
            }),
            Run::ReadBack => None,
        }
    }
}

/// A load that no k6 run could put on.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum LoadError {
    #[error(
        "k6.ingestion.tracesPerRequest: found {found}; expected at most {most}: {found} {profile} \
         traces make requests of up to {bytes} bytes, over the limit of {MAX_REQUEST_BYTES}"
    )]
    RequestTooLarge {
        found: u32,
        profile: TraceProfile,
        bytes: u64,
        most: u32,
    },
    #[error("{what}: found {found}; the smallest rate that k6 can hold is 0.001 per second")]
    TooSlow { what: &'static str, found: String },
}

/// Solves the ingestion load: the request rate follows from the exact mean size
/// of the corpus' payloads, so that bytes per second are the profile's.
pub fn ingestion(k6: &K6, corpus: &Corpus) -> Result<IngestionLoad, LoadError> {
    let target = ByteRate::from_mb_per_second(k6.ingestion.mb_per_second);
    let most = most_traces(corpus);
    if let Some(given) = k6
        .ingestion
        .traces_per_request
        .filter(|&given| given > most)
    {
        return Err(LoadError::RequestTooLarge {
            found: given,
            profile: k6.ingestion.trace_profile,
            bytes: corpus.max_request_bytes(given),
            most,
        });
    }
    let solved = solve_ingestion(corpus, target, k6.ingestion.traces_per_request);
    let (traces_per_request, requests) = (solved.traces_per_request, solved.requests);
    if requests.per_thousand_seconds() == 0 {
        return Err(LoadError::TooSlow {
            what: "k6.ingestion.mbPerSecond",
            found: format!("{target}, which is {requests} requests"),
        });
    }
    Ok(IngestionLoad {
        target_bytes_per_second: target,
        trace_profile: k6.ingestion.trace_profile,
        collector: k6.ingestion.collector,
        traces_per_request,
        mean_request_bytes: corpus.mean_bytes_per_trace() * f64::from(traces_per_request),
        mean_spans_per_trace: corpus.mean_spans_per_trace(),
        requests_per_second: requests,
        allocated_vus: allocated_vus(requests, k6.vus),
        max_vus: k6.vus.max,
    })
}

/// Solves the query load.
pub fn query(k6: &K6) -> Result<QueryLoad, LoadError> {
    let rate = EventRate::per_second(k6.query.queries_per_second);
    if rate.per_thousand_seconds() == 0 {
        return Err(LoadError::TooSlow {
            what: "k6.query.queriesPerSecond",
            found: rate.to_string(),
        });
    }
    Ok(QueryLoad {
        queries_per_second: rate,
        queries: k6
            .query
            .queries
            .clone()
            .unwrap_or_else(query_mix::default_mix),
        built_in_mix: k6.query.queries.is_none(),
        allocated_vus: allocated_vus(rate, k6.vus),
        max_vus: k6.vus.max,
    })
}

/// A target rate turned into requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SolvedIngestion {
    pub traces_per_request: u32,
    pub requests: EventRate,
}

/// Spans that a request holds at most, unless the profile says otherwise.
const MAX_SPANS_PER_REQUEST: f64 = 512.0;
/// Requests a second below which a request holds fewer traces.
const MIN_REQUESTS_PER_SECOND: f64 = 10.0;

/// How to send this corpus at this rate. The rate is exact over whole cycles
/// of the corpus. Traces per request: as many as 512 spans and ten requests a
/// second allow, at least one, at most the corpus.
pub fn solve_ingestion(
    corpus: &Corpus,
    rate: ByteRate,
    traces_per_request: Option<u32>,
) -> SolvedIngestion {
    let traces = rate.bytes_per_second() / corpus.mean_bytes_per_trace();
    let solved = traces_per_request.unwrap_or_else(|| {
        (MAX_SPANS_PER_REQUEST / corpus.mean_spans_per_trace())
            .min(traces / MIN_REQUESTS_PER_SECOND)
            .floor() as u32
    });
    let traces_per_request = solved.clamp(1, corpus.payload_count() as u32);
    SolvedIngestion {
        traces_per_request,
        requests: EventRate::per_second(traces / f64::from(traces_per_request)),
    }
}

/// The most traces whose request keeps the limit whichever they are.
fn most_traces(corpus: &Corpus) -> u32 {
    (1..=corpus.payload_count() as u32)
        .take_while(|&traces| corpus.max_request_bytes(traces) <= MAX_REQUEST_BYTES)
        .last()
        .unwrap_or(1)
}

/// k6 counts an iteration as dropped at the moment it needs a user that is not
/// there, even if it may still make one: so what is likely to be needed is
/// allocated before the start, within the profile's bounds.
fn allocated_vus(rate: EventRate, vus: Vus) -> u32 {
    let needed = rate.over(ANSWER_TIME_PLANNED_FOR).ceil();
    (needed.min(f64::from(u32::MAX)) as u32).clamp(vus.min, vus.max)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::below_min(0.5, 2)]
    #[case::one_second_of_answers(4.2, 5)]
    #[case::above_max(1400.0, 20)]
    fn users_for_answers_of_a_second_within_the_profile(#[case] rate: f64, #[case] expected: u32) {
        let vus = Vus { min: 2, max: 20 };
        assert_eq!(allocated_vus(EventRate::per_second(rate), vus), expected);
    }

    #[test]
    fn the_solved_rate_carries_the_target() {
        let corpus = Corpus::generate(TraceProfile::Large, 1);
        for mb in [0.1, 1.0, 5.0, 23.0] {
            let solved = solve_ingestion(&corpus, ByteRate::from_mb_per_second(mb), None);
            let rate = solved.requests.per_thousand_seconds() as f64 / 1000.0;
            let bytes = rate * f64::from(solved.traces_per_request) * corpus.mean_bytes_per_trace();
            let target = ByteRate::from_mb_per_second(mb).bytes_per_second();
            assert!(
                (bytes / target - 1.0).abs() < 0.001,
                "{mb} MB/s: {bytes} B/s"
            );
        }
    }

    #[test]
    fn a_slow_load_sends_one_trace_a_request() {
        let corpus = Corpus::generate(TraceProfile::Large, 1);
        let slow = solve_ingestion(&corpus, ByteRate::from_mb_per_second(0.1), None);
        assert_eq!(slow.traces_per_request, 1);
        let fast = solve_ingestion(&corpus, ByteRate::from_mb_per_second(23.0), None);
        assert_eq!(fast.traces_per_request, 7, "512 spans of 65 a trace");
    }

    #[test]
    fn a_request_is_never_larger_than_the_corpus() {
        let corpus = Corpus::generate(TraceProfile::Xlarge, 1);
        let solved = solve_ingestion(&corpus, ByteRate::from_mb_per_second(5.0), Some(1000));
        assert_eq!(solved.traces_per_request, 17);
    }
}
