//! What the scripts are told: one JSON file, named by `TEMPO_PERF_LOAD`. All
//! numbers are resolved here; the scripts compute nothing but functions of the
//! trace number.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::query_mix::Sequence;
use crate::profile::TraceProfile;

/// The variable that names the file.
pub const LOAD_VARIABLE: &str = "TEMPO_PERF_LOAD";

/// One k6 run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// First line of the text summary, for instance the profile's name.
    pub title: String,
    /// Absolute; what [`Corpus::write_to`] wrote.
    pub corpus_dir: PathBuf,
    pub trace_profile: TraceProfile,
    pub seed: u32,
    /// Tells the traces of this run from those of others with the same seed.
    pub run: u32,
    /// When the first iteration is to start; at once when absent or past.
    pub start_at_unix_ms: Option<u64>,
    /// Warm-up included.
    pub duration_ms: u64,
    /// [`scenario_ms`] of the duration.
    pub scenario_ms: u64,
    /// How long k6 may wait for iterations in flight; above every timeout.
    pub graceful_stop_ms: u64,
    pub ingestion: Option<IngestionScenario>,
    pub query: Option<QueryScenario>,
    pub readback: Option<ReadbackScenario>,
    /// k6 thresholds by metric; an empty list makes k6 list the metric.
    /// [`Load::list_metrics`] adds those that the verdict reads.
    pub thresholds: BTreeMap<String, Vec<String>>,
    /// Where `handleSummary` writes its JSON.
    pub summary_path: PathBuf,
    /// Sent with every request, for instance `X-Scope-OrgID`.
    pub headers: BTreeMap<String, String>,
    /// A file with a bearer token that is sent with every request: of the pod's
    /// own service account, so that no token passes through the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestionScenario {
    /// With its path, `…/v1/traces`.
    pub url: Url,
    pub rate_per_1000s: u64,
    /// [`planned_iterations`] of rate and duration, warm-up included.
    pub requests: u64,
    /// At most the corpus' payload count.
    pub traces_per_request: u32,
    /// Size of each VU's request buffer: [`Corpus::max_request_bytes`].
    pub max_request_bytes: u64,
    /// The first so many requests are tagged `op:warmup`.
    pub warmup_requests: u64,
    pub pre_allocated_vus: u32,
    pub max_vus: u32,
    pub timeout_ms: u64,
    /// How many refused requests each VU logs.
    pub log_limit_per_vu: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryScenario {
    /// Of Tempo's HTTP API, without a trailing slash.
    pub base_url: String,
    pub rate_per_1000s: u64,
    /// [`planned_iterations`] of rate and duration, warm-up included.
    pub queries: u64,
    pub warmup_queries: u64,
    pub pre_allocated_vus: u32,
    pub max_vus: u32,
    pub timeout_ms: u64,
    pub mix: Sequence,
    /// Queries ask only for data that is older than this.
    pub visibility_delay_ms: u64,
    /// Length of the time range of a search.
    pub search_window_ms: u64,
    /// Traces that one search returns at most.
    pub search_limit: u32,
    /// Absent when the traces in Tempo are not ours: IDs then come from
    /// earlier search answers.
    pub known_traces: Option<KnownTraces>,
    pub log_limit_per_vu: u32,
}

/// The plan of the ingestion that runs beside the queries, by which they know
/// which traces are there. It starts at the load's own `start_at_unix_ms`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownTraces {
    pub rate_per_1000s: u64,
    pub traces_per_request: u32,
    /// Requests that the whole ingestion sends.
    pub requests: u64,
    /// How long before the queries it started.
    pub head_start_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadbackScenario {
    pub base_url: String,
    /// Numbers of the traces to read, each once.
    pub traces: Vec<u64>,
    pub vus: u32,
    /// Pause before an absent trace is asked for again; it doubles each time.
    pub pause_ms: u64,
    /// An absent trace is asked for again until so long after the start.
    pub deadline_ms: u64,
    pub timeout_ms: u64,
    pub log_limit_per_vu: u32,
}

/// Iterations that k6 starts in `duration_ms`: the first at once, then one in
/// every period, which k6 truncates to whole nanoseconds.
pub fn planned_iterations(rate_per_1000s: u64, duration_ms: u64) -> u64 {
    (duration_ms * 1_000_000).div_ceil(period_ns(rate_per_1000s))
}

/// The duration to give the scenarios of a load.
///
/// An iteration that is due at the very end is a race in k6: whichever of two
/// timers is first. So scenarios last a little longer, and the scripts leave
/// iterations beyond the planned number empty.
pub fn scenario_ms(duration_ms: u64) -> u64 {
    duration_ms + 250
}

/// k6's ticker: whole nanoseconds. A rate of 0 counts as the lowest there is.
fn period_ns(rate_per_1000s: u64) -> u64 {
    1_000_000_000_000 / rate_per_1000s.max(1)
}

impl Load {
    /// Names in [`Load::thresholds`] every metric that [`super::summary::Summary`] is
    /// asked for: k6 reports a sub-metric only then, and a counter that was
    /// never touched only then, too.
    pub fn list_metrics(&mut self) {
        let mut wanted: BTreeSet<String> = [
            "iteration_exceptions",
            "dropped_iterations",
            "iterations",
            "start_late",
            "not_logged",
        ]
        .map(str::to_owned)
        .into();
        if self.ingestion.is_some() {
            wanted.extend(
                [
                    "sent_bytes",
                    "sent_spans",
                    "sent_traces",
                    "sent_requests",
                    "acknowledged_bytes",
                    "acknowledged_spans",
                    "acknowledged_traces",
                    "acknowledged_requests",
                ]
                .iter()
                .flat_map(|name| {
                    [
                        (*name).to_owned(),
                        format!("{name}{{op:push}}"),
                        format!("{name}{{op:warmup}}"),
                    ]
                }),
            );
            wanted.extend(
                REFUSAL_REASONS.map(|reason| format!("refused_requests{{reason:{reason}}}")),
            );
            wanted.insert("refused_requests".to_owned());
            wanted.extend(of_operation("push"));
        }
        if let Some(query) = &self.query {
            let asked: BTreeSet<&str> = query
                .mix
                .order
                .iter()
                .filter_map(|&index| query.mix.queries.get(index as usize))
                .map(|spec| operation_tag(spec.operation))
                .collect();
            for operation in &asked {
                wanted.extend(of_operation(operation));
            }
            for spec in &query.mix.queries {
                wanted.insert(format!("http_req_duration{{query:{}}}", spec.name));
            }
            wanted
                .extend(["search_hits", "search_empty", "queries_substituted"].map(str::to_owned));
        }
        if self.readback.is_some() {
            wanted.extend(of_operation("readback"));
            wanted.extend(
                [
                    "readback_found",
                    "readback_missing",
                    "readback_partial",
                    "readback_altered",
                    "readback_unreadable",
                ]
                .map(str::to_owned),
            );
        }
        for name in wanted {
            self.thresholds.entry(name).or_default();
        }
    }
}

/// Values of the tag `reason` of `refused_requests`.
pub const REFUSAL_REASONS: [&str; 7] = ["429", "503", "4xx", "5xx", "partial", "network", "other"];

fn of_operation(operation: &str) -> Vec<String> {
    let mut metrics = vec![
        format!("http_req_duration{{op:{operation}}}"),
        format!("operation_failed{{op:{operation}}}"),
    ];
    // A read-back has no schedule.
    if operation != "readback" {
        metrics.push(format!("schedule_lag{{op:{operation}}}"));
    }
    metrics
}

/// The value of the tag `op` for a query.
pub fn operation_tag(operation: crate::profile::Operation) -> &'static str {
    use crate::profile::Operation;
    match operation {
        Operation::Search => "search",
        Operation::TraceById => "trace_by_id",
        Operation::Tags => "tags",
        Operation::TagValues => "tag_values",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_count_the_first_one() {
        assert_eq!(planned_iterations(8333, 10_000), 84);
        assert_eq!(planned_iterations(10_000, 10_000), 100);
        assert_eq!(planned_iterations(1, 10_000), 1);
    }
}
