//! What each k6 run of a plan is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use url::Url;

use super::Plan;
use crate::checks::{Measure, PlannedCheck};
use crate::k6::load::{
    IngestionScenario, KnownTraces, Load, QueryScenario, ReadbackScenario, planned_iterations,
    scenario_ms,
};
use crate::k6::{Run, query_mix};
use crate::settings::TestType;

/// The answer to a push may take as long as the collector waits for Tempo.
const PUSH_TIMEOUT: Duration = Duration::from_secs(15);
/// Tempo's HTTP server gives up after 30 s.
const QUERY_TIMEOUT: Duration = Duration::from_secs(35);
/// About so many refusals are logged, the rest is only counted; and so many by
/// each virtual user, since users share nothing.
const LOG_LIMIT: u32 = 2000;
const LOG_LIMIT_PER_VU_MIN: u32 = 20;
const READ_BACK_VUS: u32 = 4;
/// Searches look at this much of the past, as an explorer's first view does.
const SEARCH_WINDOW: Duration = Duration::from_secs(15 * 60);
/// Tempo's own default.
const SEARCH_LIMIT: u32 = 20;
/// How long an accepted trace may take to be readable, beyond the delay after
/// which it should be.
const READ_BACK_PATIENCE: Duration = Duration::from_secs(5);
/// Before a trace that is not there yet is asked for again; then doubled.
const READ_BACK_PAUSE: Duration = Duration::from_millis(50);

/// The k6 runs of a test, in their order. A query test pushes something to find
/// first, where that is its own to do.
pub fn runs(test_type: TestType) -> &'static [Run] {
    match test_type {
        TestType::Ingestion => &[Run::Ingestion, Run::ReadBack],
        TestType::Query => &[Run::Seeding, Run::Query],
        TestType::Combined => &[Run::Ingestion, Run::Query, Run::ReadBack],
    }
}

/// The ingestion of `duration` (warm-up included) from `start_at` on.
pub fn ingestion(
    plan: &Plan,
    corpus_dir: &Path,
    push: &Url,
    start_at: Option<jiff::Timestamp>,
    duration: Duration,
) -> Load {
    let load = &plan.ingestion;
    let rate = load.requests_per_second.per_thousand_seconds();
    let warmup = if plan.seeding.is_some() {
        Duration::ZERO
    } else {
        plan.warmup
    };
    let mut file = Load {
        duration_ms: millis(duration),
        scenario_ms: scenario_ms(millis(duration)),
        graceful_stop_ms: millis(PUSH_TIMEOUT + Duration::from_secs(5)),
        ingestion: Some(IngestionScenario {
            url: push.clone(),
            rate_per_1000s: rate,
            requests: planned_iterations(rate, millis(duration)),
            traces_per_request: load.traces_per_request,
            max_request_bytes: plan.corpus.max_request_bytes(load.traces_per_request),
            warmup_requests: planned_iterations(rate, millis(warmup)),
            pre_allocated_vus: load.allocated_vus,
            max_vus: load.max_vus,
            timeout_ms: millis(PUSH_TIMEOUT),
            log_limit_per_vu: log_limit_per_vu(load.max_vus),
        }),
        thresholds: thresholds(&plan.checks, Run::Ingestion),
        ..empty(plan, corpus_dir, start_at)
    };
    file.list_metrics();
    file
}

/// The queries, beside the ingestion or after the seeding.
pub fn query(
    plan: &Plan,
    corpus_dir: &Path,
    base: &Url,
    visibility_delay: Duration,
    start_at: Option<jiff::Timestamp>,
    ingestion_started: Option<jiff::Timestamp>,
) -> Load {
    let load = &plan.query;
    let rate = load.queries_per_second.per_thousand_seconds();
    let ingested = plan
        .seeding
        .map_or(plan.warmup + plan.duration, |seeding| seeding.duration);
    let push_rate = plan.ingestion.requests_per_second.per_thousand_seconds();
    let head_start = match (start_at, ingestion_started) {
        (Some(start), Some(earlier)) => {
            u64::try_from(start.duration_since(earlier).as_millis()).unwrap_or(0)
        }
        _ => 0,
    };
    let mut file = Load {
        duration_ms: millis(plan.warmup + plan.duration),
        scenario_ms: scenario_ms(millis(plan.warmup + plan.duration)),
        graceful_stop_ms: millis(QUERY_TIMEOUT + Duration::from_secs(5)),
        query: Some(QueryScenario {
            base_url: base.as_str().trim_end_matches('/').to_string(),
            rate_per_1000s: rate,
            queries: planned_iterations(rate, millis(plan.warmup + plan.duration)),
            warmup_queries: planned_iterations(rate, millis(plan.warmup)),
            pre_allocated_vus: load.allocated_vus,
            max_vus: load.max_vus,
            timeout_ms: millis(QUERY_TIMEOUT),
            mix: query_mix::sequence(Some(&load.queries), plan.seed),
            visibility_delay_ms: millis(visibility_delay),
            search_window_ms: millis(SEARCH_WINDOW),
            search_limit: SEARCH_LIMIT,
            known_traces: plan.ingests().then(|| KnownTraces {
                rate_per_1000s: push_rate,
                traces_per_request: plan.ingestion.traces_per_request,
                requests: planned_iterations(push_rate, millis(ingested)),
                head_start_ms: head_start,
            }),
            log_limit_per_vu: log_limit_per_vu(load.max_vus),
        }),
        thresholds: thresholds(&plan.checks, Run::Query),
        ..empty(plan, corpus_dir, start_at)
    };
    file.list_metrics();
    file
}

/// Reading back the traces of the given numbers.
pub fn read_back(
    plan: &Plan,
    corpus_dir: &Path,
    base: &Url,
    visibility_delay: Duration,
    traces: Vec<u64>,
) -> Load {
    let deadline = visibility_delay + READ_BACK_PATIENCE;
    let mut file = Load {
        duration_ms: millis(deadline + QUERY_TIMEOUT),
        scenario_ms: scenario_ms(millis(deadline + QUERY_TIMEOUT)),
        graceful_stop_ms: millis(QUERY_TIMEOUT),
        readback: Some(ReadbackScenario {
            base_url: base.as_str().trim_end_matches('/').to_string(),
            traces,
            vus: READ_BACK_VUS,
            pause_ms: millis(READ_BACK_PAUSE),
            deadline_ms: millis(deadline),
            timeout_ms: millis(QUERY_TIMEOUT),
            log_limit_per_vu: log_limit_per_vu(READ_BACK_VUS),
        }),
        ..empty(plan, corpus_dir, None)
    };
    file.list_metrics();
    file
}

fn empty(plan: &Plan, corpus_dir: &Path, start_at: Option<jiff::Timestamp>) -> Load {
    Load {
        title: plan.profile.name.clone(),
        corpus_dir: corpus_dir.to_path_buf(),
        trace_profile: plan.ingestion.trace_profile,
        seed: plan.seed,
        run: plan.run,
        start_at_unix_ms: start_at.and_then(|at| u64::try_from(at.as_millisecond()).ok()),
        duration_ms: 0,
        scenario_ms: 0,
        graceful_stop_ms: 0,
        ingestion: None,
        query: None,
        readback: None,
        thresholds: BTreeMap::new(),
        // Set by whoever starts k6.
        summary_path: "summary.json".into(),
        headers: BTreeMap::new(),
        bearer_token_file: None,
    }
}

/// The planned thresholds of a run, as k6 takes them.
fn thresholds(checks: &[PlannedCheck], of: Run) -> BTreeMap<String, Vec<String>> {
    let mut thresholds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for check in checks.iter().filter(|check| check.applies()) {
        if let Measure::Threshold(threshold) = &check.measure
            && threshold.run == of
        {
            thresholds
                .entry(threshold.metric.clone())
                .or_default()
                .push(threshold.expression.clone());
        }
    }
    thresholds
}

fn log_limit_per_vu(vus: u32) -> u32 {
    (LOG_LIMIT / vus).max(LOG_LIMIT_PER_VU_MIN)
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
