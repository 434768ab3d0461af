//! For each failed check the likely cause, by the evidence of the run, and
//! what to try.

use super::judge::Observations;
use super::{Check, Outcome, k6_values};
use crate::k6::Run;
use crate::plan::checks::{Measure, PlannedCheck};
use crate::plan::{Plan, Schedule};
use crate::units::Significant;

/// Answer times from which all users being busy explains dropped iterations.
const BUSY_USERS: f64 = 0.8;

/// Sets `likely_cause` of every failed check.
pub(super) fn explain(plan: &Plan, observations: &Observations, checks: &mut [Check]) {
    for (check, planned) in checks.iter_mut().zip(&plan.checks) {
        if check.failed() {
            check.likely_cause = cause(plan, planned, check, observations);
        }
    }
}

fn cause(
    plan: &Plan,
    planned: &PlannedCheck,
    check: &Check,
    observations: &Observations,
) -> Option<String> {
    if let Some(dead) = observations.dead_components.first() {
        let first_line = dead.lines().next().unwrap_or(dead);
        return Some(format!("{first_line}; its log is beside the report"));
    }
    if observations.tempo_restarted.is_some() && check.reason == observations.tempo_restarted {
        return Some("Tempo restarted during the run; its log may say why".into());
    }
    if check.outcome == Outcome::Unmeasured {
        return unmeasured(
            planned,
            check.reason.as_deref().unwrap_or_default(),
            observations,
        );
    }
    match &planned.measure {
        Measure::AcknowledgedBytes | Measure::DroppedIterations(Run::Ingestion) => {
            refusals(observations).or_else(|| users(plan, observations, Run::Ingestion))
        }
        Measure::QueriesDone | Measure::DroppedIterations(Run::Query) => {
            users(plan, observations, Run::Query)
        }
        Measure::Threshold {
            run: Run::Ingestion,
            metric,
            ..
        } if metric.starts_with("operation_failed") => refusals(observations),
        Measure::Threshold { metric, .. } if metric.starts_with("http_req_duration") => Some(
            "Tempo answered more slowly than the bound allows; compare CPU and memory of Tempo in \
             the metrics CSV, and try more resources or a smaller load"
                .into(),
        ),
        Measure::SpansAtTempo => Some(if check.observed.is_some_and(|lost| lost > 0.0) {
            "requests were answered, but Tempo did not count their spans: something between k6 \
             and Tempo drops or merges them; look at the collector's log"
                .into()
        } else {
            "Tempo counted more spans than this run pushed: someone else pushes to it, or a \
             retry sent requests twice"
                .into()
        }),
        Measure::BytesAtTempo => Some(
            "requests reached Tempo changed: a processor or a proxy on the way rewrites them"
                .into(),
        ),
        Measure::OtherDiscardedSpans => Some(
            "Tempo accepted spans and dropped them: its limits on live traces or trace size \
             (tempo.overrides.maxTracesPerUser); the metrics CSV has the reasons"
                .into(),
        ),
        Measure::SearchesWithTraces => Some(
            "all searches came back empty: nothing was searchable yet; try a longer DURATION or \
             a shorter flush period"
                .into(),
        ),
        Measure::ReadBack(_) => Some(
            "Tempo accepted these traces and answers otherwise now; the k6 read-back log names \
             each with what differs"
                .into(),
        ),
        Measure::IterationExceptions(run) => Some(format!(
            "the k6 script failed; the {} log has the exception",
            run.name()
        )),
        Measure::InterruptedIterations(_) => Some(
            "answers were still missing when the load had ended: requests hang longer than k6 \
             waits for them"
                .into(),
        ),
        Measure::MachineCores => Some(
            "everything here shares one machine, and it was busy: run a smaller load, or a Tempo \
             elsewhere with TEMPO_ENDPOINT and TEMPO_QUERY_ENDPOINT"
                .into(),
        ),
        Measure::ScheduleLag(_) | Measure::StartLag(_) | Measure::K6Cores(_) => Some(
            "the load generator got too little CPU: run a smaller load, batch more with \
             k6.ingestion.tracesPerRequest, or use a larger machine"
                .into(),
        ),
        Measure::CollectorCores => {
            Some("the collector used all the CPU it has: use a larger machine".into())
        }
        _ => None,
    }
}

fn unmeasured(planned: &PlannedCheck, reason: &str, observations: &Observations) -> Option<String> {
    match (&planned.measure, &observations.tempo) {
        (Measure::SpansAtTempo | Measure::BytesAtTempo | Measure::OtherDiscardedSpans, Err(_)) => {
            Some("Tempo stopped answering".into())
        }
        (Measure::PromQl { .. }, _) if reason.contains("parse error") => {
            Some("the expression is not PromQL: correct it in the profile's slos".into())
        }
        (Measure::PromQl { .. }, _) => Some(
            "Prometheus has no such number for the window; try the expression on the metrics \
             that --check-metrics lists"
                .into(),
        ),
        _ => None,
    }
}

/// What the refused requests were told, if there were any.
fn refusals(observations: &Observations) -> Option<String> {
    let summary = observations
        .runs
        .get(&Run::Ingestion)?
        .summary
        .as_ref()
        .ok()?;
    let refused = k6_values::refused_requests(summary);
    let worst = refused.iter().max_by(|a, b| a.1.total_cmp(b.1))?;
    let (reason, count) = (*worst.0, Significant(*worst.1));
    Some(match reason {
        "429" => format!(
            "Tempo's rate limit refused {count} requests (HTTP 429): raise ingestion limits, or \
             lower k6.ingestion.mbPerSecond"
        ),
        "network" => format!(
            "{count} requests got no answer (refused or broken connections, time-outs); the \
             ingestion log has the errors"
        ),
        "503" => format!(
            "{count} requests were answered with HTTP 503: Tempo, or the collector's way to it, \
             was not available"
        ),
        "partial" => format!("Tempo accepted {count} requests only in part (partial_success)"),
        other => format!("{count} requests were answered with HTTP {other}"),
    })
}

/// By Little's law, whether all virtual users were busy waiting for answers.
fn users(plan: &Plan, observations: &Observations, run: Run) -> Option<String> {
    let summary = observations.runs.get(&run)?.summary.as_ref().ok()?;
    let Schedule {
        rate,
        allocated_vus: allocated,
        max_vus: max,
    } = plan.schedule(run)?;
    let seconds = k6_values::mean_answer_seconds(summary)?;
    let needed = rate.as_per_second() * seconds;
    if k6_values::dropped_iterations(summary).ok()? == 0.0 {
        return None;
    }
    Some(if needed > f64::from(max) * BUSY_USERS {
        format!(
            "all {max} virtual users were waiting for answers, which took {} s on average: Tempo \
             is slower than this load needs; or raise k6.vus.max",
            Significant(seconds)
        )
    } else {
        format!(
            "answers took {} s on average, for which {} at a time would do, but at moments all \
             {allocated} allocated virtual users were busy: raise k6.vus.min",
            Significant(seconds),
            Significant(needed.ceil())
        )
    })
}
