//! The numbers of k6's summary that checks are made of, by their meaning.

use std::collections::BTreeMap;

use super::{ReadBackFound, Reason};
use crate::k6::load::REFUSAL_REASONS;
use crate::k6::summary::{Summary, Trend};
use crate::profile::threshold::{self, Aggregation};

type Value<T> = Result<T, Reason>;

fn count(summary: &Summary, name: &str) -> Value<f64> {
    Ok(summary.counter(name)?.count)
}

/// Body bytes of accepted requests, warm-up left out.
pub fn acknowledged_bytes(summary: &Summary) -> Value<f64> {
    count(summary, "acknowledged_bytes{op:push}")
}

/// The same with the warm-up.
pub fn all_acknowledged_bytes(summary: &Summary) -> Value<f64> {
    count(summary, "acknowledged_bytes")
}

/// Spans of accepted requests, warm-up included.
pub fn all_acknowledged_spans(summary: &Summary) -> Value<f64> {
    count(summary, "acknowledged_spans")
}

pub fn sent_requests(summary: &Summary) -> Value<u64> {
    count(summary, "sent_requests").map(|count| count as u64)
}

/// Requests that Tempo accepted, warm-up included.
pub fn accepted_requests(summary: &Summary) -> Value<u64> {
    count(summary, "acknowledged_requests").map(|count| count as u64)
}

pub fn refusals_not_logged(summary: &Summary) -> Value<u64> {
    count(summary, "not_logged").map(|count| count as u64)
}

/// Refused requests by status class; `network` where there was no answer.
pub fn refused_requests(summary: &Summary) -> BTreeMap<&'static str, f64> {
    REFUSAL_REASONS
        .into_iter()
        .filter_map(|reason| {
            let count = count(summary, &format!("refused_requests{{reason:{reason}}}")).ok()?;
            (count > 0.0).then_some((reason, count))
        })
        .collect()
}

/// Queries that were answered as they should be, warm-up left out.
pub fn queries_done(summary: &Summary, operations: &[&str]) -> Value<f64> {
    let mut done = 0;
    for operation in operations {
        done += summary
            .rate(&format!("operation_failed{{op:{operation}}}"))?
            .misses;
    }
    Ok(done as f64)
}

pub fn searches_with_traces(summary: &Summary) -> Value<f64> {
    count(summary, "search_hits")
}

pub fn dropped_iterations(summary: &Summary) -> Value<f64> {
    count(summary, "dropped_iterations")
}

pub fn script_exceptions(summary: &Summary) -> Value<f64> {
    count(summary, "iteration_exceptions")
}

pub fn schedule_lag_p95_ms(summary: &Summary) -> Value<f64> {
    let worst = summary
        .trends
        .iter()
        .filter(|(name, trend)| name.starts_with("schedule_lag{op:") && trend.count > 0)
        .map(|(_, trend)| trend.p95)
        .reduce(f64::max);
    worst.ok_or_else(|| "no iteration told when it started".into())
}

pub fn start_lag_ms(summary: &Summary) -> Value<f64> {
    Ok(summary.gauge("start_late")?.value)
}

/// Mean time to an answer, in seconds.
pub fn mean_answer_seconds(summary: &Summary) -> Option<f64> {
    let trend = summary.trends.get("http_req_duration")?;
    (trend.count > 0).then(|| Trend::seconds(trend.avg))
}

/// The share of an iteration's time that passes waiting for its answer.
pub fn share_of_waiting(summary: &Summary) -> Option<f64> {
    let iteration = summary.trends.get("iteration_duration")?;
    let share = mean_answer_seconds(summary)? / Trend::seconds(iteration.avg);
    (iteration.count > 0 && share.is_finite()).then_some(share)
}

/// Of a read-back run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadBackCounts {
    pub found: u64,
    pub missing: u64,
    pub partial: u64,
    pub altered: u64,
    pub unreadable: u64,
}

pub fn read_back(summary: &Summary) -> Value<ReadBackCounts> {
    let of = |kind: &str| count(summary, &format!("readback_{kind}")).map(|count| count as u64);
    Ok(ReadBackCounts {
        found: of("found")?,
        missing: of("missing")?,
        partial: of("partial")?,
        altered: of("altered")?,
        unreadable: of("unreadable")?,
    })
}

/// The value that a threshold looked at, and k6's verdict on it; an error where
/// k6 judged nothing ([`Summary::is_measured`]).
pub fn threshold(summary: &Summary, metric: &str, expression: &str) -> Value<(f64, bool)> {
    if !summary.is_measured(metric)? {
        return Err(
            format!("k6 has no sample of {metric}, and passes what it has no sample of").into(),
        );
    }
    let passed = summary
        .thresholds
        .iter()
        .find(|threshold| threshold.metric == metric && threshold.expression == expression)
        .ok_or_else(|| format!("k6 did not judge {metric}: {expression}"))?
        .ok;
    let parsed = threshold::parse(expression).map_err(|err| err.to_string())?;
    Ok((value(summary, metric, parsed.aggregation)?, passed))
}

fn value(summary: &Summary, metric: &str, aggregation: Aggregation) -> Value<f64> {
    let unknown = || Reason::from(format!("k6's summary has no {aggregation} of {metric}"));
    if let Some(trend) = summary.trends.get(metric) {
        return match aggregation {
            Aggregation::Avg => Some(trend.avg),
            Aggregation::Min => Some(trend.min),
            Aggregation::Med => Some(trend.p50),
            Aggregation::Max => Some(trend.max),
            Aggregation::Count => Some(trend.count as f64),
            Aggregation::Percentile(rank) => trend.percentile(rank),
            Aggregation::Rate | Aggregation::Value => None,
        }
        .ok_or_else(unknown);
    }
    if let Some(rate) = summary.rates.get(metric) {
        return rate.share().ok_or_else(unknown);
    }
    if let Some(counter) = summary.counters.get(metric) {
        return Ok(if aggregation == Aggregation::Rate {
            counter.per_second
        } else {
            counter.count
        });
    }
    summary
        .gauges
        .get(metric)
        .map(|gauge| gauge.value)
        .ok_or_else(unknown)
}

impl From<ReadBackCounts> for ReadBackFound {
    fn from(counts: ReadBackCounts) -> Self {
        Self {
            sampled: counts.found + counts.missing + counts.partial + counts.altered,
            missing: counts.missing,
            partial: counts.partial,
            altered: counts.altered,
        }
    }
}
