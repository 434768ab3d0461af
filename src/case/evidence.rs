//! What a run leaves behind to judge it by, gathered as it comes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::checks::{
    Check, Measure, Observations, Pushed, ReadBackFound, Reason, RunObserved, TempoCounted, cores,
    judge, k6_values, variable_values,
};
use crate::corpus::Corpus;
use crate::environment::{K6Finished, Surroundings};
use crate::error_chain::chain;
use crate::k6::Run;
use crate::k6::exit::Exit;
use crate::k6::log::{self, K6Log, NotAccepted};
use crate::k6::summary::Summary;
use crate::metrics::exposition::{CounterSnapshot, delta};
use crate::metrics::{self, Catalogue, Collected, Variables};
use crate::plan::Plan;
use crate::profile::{Profile, Variant};
use crate::promql_variables::substitute;
use crate::report::{OutputDir, ReportError, Window};
use crate::settings::{Target, TestType};

/// Lines of a k6 log shown when it ended badly.
const LOG_TAIL_LINES: usize = 8;

use super::Stopped;

/// A k6 run that ended, and what it said.
#[derive(Debug, Clone)]
pub(super) struct FinishedRun {
    pub started: Instant,
    pub k6: K6Finished,
    pub log: K6Log,
    /// The typed summary; or why there is none.
    pub summary: Result<Summary, Reason>,
}

impl FinishedRun {
    pub fn read(started: Instant, k6: K6Finished, log_path: &Path) -> Self {
        let (text, log) = match std::fs::read_to_string(log_path) {
            Ok(text) => {
                let log = log::parse(&text);
                (text, log)
            }
            Err(err) => (
                format!("cannot read {}: {err}", log_path.display()),
                K6Log::default(),
            ),
        };
        let summary = read_summary(&k6, &text).map_err(Reason::from);
        Self {
            started,
            k6,
            log,
            summary,
        }
    }

    /// How long after the planned time its first iteration came.
    pub fn started_late(&self) -> Option<Duration> {
        let late_ms = k6_values::start_lag_ms(self.summary.as_ref().ok()?).ok()?;
        Duration::try_from_secs_f64(late_ms / 1000.0).ok()
    }

    /// For runs that nothing is judged by, such as the seeding.
    pub fn must_have_ended_well(&self, name: &str) -> Result<(), Stopped> {
        match &self.summary {
            Ok(_) => Ok(()),
            Err(why) => Err(Stopped::Failed(format!("{name}: {why}"))),
        }
    }

    /// Which traces must exist follows from the log, so it must be whole.
    pub fn refusals_are_all_logged(&self, summary: &Summary) -> Result<(), Reason> {
        let refused = k6_values::sent_requests(summary)? - k6_values::accepted_requests(summary)?;
        let logged = self.log.not_accepted.len() as u64;
        if refused != logged || !self.log.unreadable.is_empty() {
            return Err(format!(
                "k6 counted {refused} refused requests and its log names {logged}, with {} \
                 unreadable lines",
                self.log.unreadable.len()
            )
            .into());
        }
        Ok(())
    }

    pub fn interrupted_iterations(&self) -> Result<u64, Reason> {
        match (self.log.iterations, &self.summary) {
            (Some(count), _) => Ok(count.interrupted),
            (None, Err(why)) => Err(why.clone()),
            (None, Ok(_)) => Err("k6's log has no line that counts iterations".into()),
        }
    }
}

/// The summary counts first and the exit code second: 99 is a crossed
/// threshold, which the checks judge; any other failure leaves no numbers.
fn read_summary(k6: &K6Finished, log: &str) -> Result<Summary, String> {
    let tail = || {
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(LOG_TAIL_LINES);
        lines[from..].join("\n")
    };
    if let Some(what) = &k6.ended_by {
        return Err(format!(
            "k6 was ended by {what}; its last lines:\n{}",
            tail()
        ));
    }
    if let Some(Exit::Broken { code, why }) = k6.exit_code.map(Exit::from_code) {
        return Err(format!(
            "k6 ended with exit code {code} ({why}); its last lines:\n{}",
            tail()
        ));
    }
    match &k6.summary {
        Ok(text) => Summary::parse(text).map_err(|err| chain(&err)),
        Err(why) => Err(format!("{why}; its last lines:\n{}", tail())),
    }
}

/// Why Tempo's counters tell nothing.
#[derive(Debug)]
enum Uncounted {
    Restarted(Reason),
    Unreadable(Reason),
}

impl Uncounted {
    fn why(&self) -> Reason {
        match self {
            Uncounted::Restarted(why) | Uncounted::Unreadable(why) => why.clone(),
        }
    }
}

/// Everything that was gathered; what is missing says why.
#[derive(Debug)]
pub(super) struct Evidence {
    pub window: Option<Window>,
    pub runs: BTreeMap<Run, FinishedRun>,
    pub counters: Result<(CounterSnapshot, CounterSnapshot), Reason>,
    pub collector_cores: Result<f64, Reason>,
    pub machine_cores: Result<f64, Reason>,
    /// What went wrong without a check to tell it.
    pub further_notes: Vec<String>,
    pub read_back: Result<ReadBackFound, Reason>,
    pub promql: BTreeMap<String, (String, Result<f64, Reason>)>,
    pub ended_components: Vec<String>,
}

impl Default for Evidence {
    fn default() -> Self {
        let not_yet = || Reason::from("the run did not get so far");
        Self {
            window: None,
            runs: BTreeMap::new(),
            counters: Err(not_yet()),
            collector_cores: Err(not_yet()),
            machine_cores: Err(not_yet()),
            further_notes: Vec::new(),
            read_back: Err(not_yet()),
            promql: BTreeMap::new(),
            ended_components: Vec::new(),
        }
    }
}

impl Evidence {
    /// Spans of accepted requests.
    pub fn spans_acknowledged(&self) -> Option<f64> {
        let summary = self.runs.get(&Run::Ingestion)?.summary.as_ref().ok()?;
        k6_values::all_acknowledged_spans(summary).ok()
    }

    pub fn judge(&self, plan: &Plan) -> Vec<Check> {
        let runs = self
            .runs
            .iter()
            .map(|(run, finished)| {
                let k6 = &finished.k6;
                let observed = RunObserved {
                    summary: finished.summary.clone(),
                    interrupted_iterations: finished.interrupted_iterations(),
                    cores: match &k6.ended_by {
                        // Its end told nothing of what it had used.
                        Some(why) if k6.cpu.is_zero() => Err(format!(
                            "k6 was ended by {why}, and its CPU time is not known"
                        )
                        .into()),
                        _ => cores(k6.cpu, k6.wall),
                    },
                };
                (*run, observed)
            })
            .collect();
        let counted = match &self.counters {
            Ok(snapshots) => counted(snapshots).map_err(Uncounted::Restarted),
            Err(why) => Err(Uncounted::Unreadable(why.clone())),
        };
        let observations = Observations {
            runs,
            tempo: counted.as_ref().copied().map_err(Uncounted::why),
            promql: self.promql.clone(),
            read_back: self.read_back.clone(),
            collector_cores: self.collector_cores.clone(),
            machine_cores: self.machine_cores.clone(),
            tempo_restarted: match &counted {
                Err(Uncounted::Restarted(why)) => Some(why.clone()),
                _ => None,
            },
            pushed: self.pushed(&plan.corpus),
            ended_components: self.ended_components.clone(),
        };
        judge(&plan.checks, plan.load(), &observations)
    }

    fn pushed(&self, corpus: &Corpus) -> Result<Pushed, Reason> {
        let run = self
            .runs
            .get(&Run::Ingestion)
            .ok_or("there was no ingestion run")?;
        let summary = run.summary.as_ref().map_err(Clone::clone)?;
        let unlogged = k6_values::refusals_not_logged(summary)?;
        if unlogged > 0 {
            return Err(format!("{unlogged} refused requests are not in the log").into());
        }
        run.refusals_are_all_logged(summary)?;
        let (limited, uncertain): (Vec<_>, Vec<_>) = run
            .log
            .not_accepted
            .iter()
            .partition(|refusal| refusal.reason == "429");
        let spans = |refusals: &[&NotAccepted]| -> u64 {
            let each = refusals.iter();
            each.map(|refusal| corpus.spans_of(refusal.traces())).sum()
        };
        let bytes_uncertain: u64 = uncertain
            .iter()
            .map(|refusal| corpus.bytes_of(refusal.traces()))
            .sum();
        Ok(Pushed {
            spans_acknowledged: k6_values::all_acknowledged_spans(summary)?,
            spans_rate_limited: spans(&limited) as f64,
            spans_uncertain: spans(&uncertain) as f64,
            bytes_uncertain: bytes_uncertain as f64,
            bytes_acknowledged: k6_values::all_acknowledged_bytes(summary)?,
        })
    }

    /// What no check tells but a reader should know.
    pub fn notes(&self) -> Vec<String> {
        let failures = |(run, finished): (&Run, &FinishedRun)| {
            let count = finished.log.remote_write_failures;
            (count > 0).then(|| {
                format!(
                    "Prometheus refused {count} of the {run} run's flushes: k6's series in the \
                     CSV have gaps; its log has the reason"
                )
            })
        };
        let noted = self.further_notes.iter().cloned();
        noted.chain(self.runs.iter().filter_map(failures)).collect()
    }

    /// What the load was in the end, for the report.
    pub fn load_as_json(&self) -> serde_json::Value {
        let ended = |finished: &FinishedRun| {
            json!({
                "exit_code": finished.k6.exit_code,
                "ended_by": finished.k6.ended_by,
                "wall_seconds": finished.k6.wall.as_secs_f64(),
                "cpu_seconds": finished.k6.cpu.as_secs_f64(),
                "max_rss_bytes": finished.k6.max_rss_bytes,
                "requests_not_accepted_logged": finished.log.not_accepted.len(),
            })
        };
        let runs: serde_json::Map<String, serde_json::Value> = self
            .runs
            .iter()
            .map(|(run, finished)| (run.name().to_string(), ended(finished)))
            .collect();
        serde_json::Value::Object(runs)
    }

    pub fn summaries(&self) -> BTreeMap<Run, Result<Summary, String>> {
        self.runs
            .iter()
            .map(|(run, finished)| {
                let summary = finished.summary.as_ref();
                (*run, summary.cloned().map_err(Reason::to_string))
            })
            .collect()
    }

    /// The typed summaries as files, `…-metrics.json`.
    pub fn write_summaries(&self, output: &OutputDir) -> Result<(), ReportError> {
        for (run, finished) in &self.runs {
            if let Ok(summary) = &finished.summary {
                output.write_json(&output.k6_metrics(*run), summary)?;
            }
        }
        Ok(())
    }
}

/// Gains of the counters that delivery is judged by. A counter that went
/// backwards is a restart: what it had counted is lost.
fn counted((before, after): &(CounterSnapshot, CounterSnapshot)) -> Result<TempoCounted, Reason> {
    let gain = |name: &str, filters: &[(&str, &str)]| {
        delta(before, after, name, filters).map_err(|err| chain(&err))
    };
    let discarded = "tempo_discarded_spans_total";
    let rate_limited = gain(discarded, &[("reason", "rate_limited")])?;
    Ok(TempoCounted {
        spans_received: gain("tempo_distributor_spans_received_total", &[])?,
        bytes_received: gain("tempo_distributor_bytes_received_total", &[])?,
        spans_rate_limited: rate_limited,
        spans_discarded_otherwise: gain(discarded, &[])? - rate_limited,
    })
}

/// Asks Prometheus for the SLOs and for the catalogue, and writes the CSV.
pub(super) async fn collect_metrics(
    plan: &Plan,
    output: &OutputDir,
    surroundings: &Surroundings,
    evidence: &mut Evidence,
    report_availability: bool,
) -> Result<(), ReportError> {
    evidence.write_summaries(output)?;
    let Some(window) = evidence.window else {
        return Ok(());
    };
    let prometheus = &surroundings.prometheus;
    let tempo_metrics = surroundings.capabilities.tempo_metrics.as_deref();
    let selector = tempo_metrics.unwrap_or_default();
    for check in plan.checks.iter().filter(|check| check.applies()) {
        let Measure::PromQl(slo) = &check.measure else {
            continue;
        };
        let value = match substitute(&slo.expression, &variable_values(plan.load(), selector)) {
            Ok(sent) => {
                let value = prometheus.single_value(&sent, window.end).await;
                (sent, value.map_err(|err| chain(&err).into()))
            }
            Err(err) => (slo.expression.clone(), Err(chain(&err).into())),
        };
        evidence.promql.insert(check.name.clone(), value);
    }
    let collected = catalogue_answers(
        surroundings,
        plan.target,
        &plan.profile,
        plan.max_concurrent_queries,
        window,
    )
    .await;
    output.write_metrics_csv(&collected)?;
    for (query, reason) in collected.failures() {
        eprintln!("  metric {} is not in the CSV: {reason}", query.id);
    }
    if report_availability {
        eprintln!("{}", metrics::availability_table(&collected));
    }
    Ok(())
}

/// Asks the catalogue over a window.
pub(crate) async fn catalogue_answers(
    surroundings: &Surroundings,
    target: Target,
    profile: &Profile,
    max_concurrent_queries: usize,
    window: Window,
) -> Collected {
    let mut catalogue = match Catalogue::built_in() {
        Ok(catalogue) => catalogue,
        Err(err) => unreachable!("a test reads the built-in catalogue: {err}"),
    };
    if surroundings.capabilities.container_metrics.is_err() {
        catalogue.leave_out("ksel");
    }
    let length = window.end.duration_since(window.start).unsigned_abs();
    metrics::collect(
        &surroundings.prometheus,
        &catalogue,
        target,
        &catalogue_variables(surroundings, target, profile),
        (window.start, window.end),
        metrics::step_for(length, surroundings.scrape_interval),
        max_concurrent_queries,
    )
    .await
}

fn catalogue_variables(
    surroundings: &Surroundings,
    target: Target,
    profile: &Profile,
) -> Variables {
    let capabilities = surroundings.capabilities.clone();
    let selector = capabilities.tempo_metrics.unwrap_or_default();
    // A range of four scrapes has at least three samples.
    let range_seconds = (surroundings.scrape_interval * 4).as_secs();
    let replication = profile.tempo.replication_factor.unwrap_or(1);
    let one_process = profile.tempo.variant == Variant::Monolithic;
    let alone = target == Target::Local || (target == Target::Kubernetes && one_process);
    [
        ("sel", selector),
        // Queries of it are left out where there are none.
        ("ksel", capabilities.container_metrics.unwrap_or_default()),
        ("csel", capabilities.collector_metrics),
        ("k6sel", String::new()),
        ("w", format!("{range_seconds}s")),
        ("rp", String::new()),
        ("rf", if alone { 1 } else { replication }.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value))
    .collect()
}

impl Plan {
    /// Whether accepted traces are read back after the load.
    pub(super) fn reads_back(&self) -> bool {
        self.test_type != TestType::Query
            && self
                .checks
                .iter()
                .any(|check| matches!(check.measure, Measure::ReadBack(_)) && check.applies())
    }
}
