//! For each failed check the likely cause, by the evidence of the run, and what to
//! try. What only one family knows is in its file.

use super::check::{Check, Outcome};
use super::{Facts, Observations, PlannedCheck, k6_values};
use crate::k6::Run;
use crate::k6::solve::Schedule;
use crate::units::Significant;

/// Answer times from which all users being busy explains dropped iterations.
const BUSY_USERS: f64 = 0.8;

/// Sets `likely_cause` of every failed check.
pub(super) fn explain(planned: &[PlannedCheck], facts: Facts<'_>, checks: &mut [Check]) {
    for (check, planned) in checks.iter_mut().zip(planned) {
        if check.failed() {
            check.likely_cause = cause(planned, facts, check);
        }
    }
}

fn cause(planned: &PlannedCheck, facts: Facts<'_>, check: &Check) -> Option<String> {
    let seen = facts.seen;
    if let Some(dead) = seen.ended_components.first() {
        let first_line = dead.lines().next().unwrap_or(dead);
        return Some(format!("{first_line}; its log is beside the report"));
    }
    if seen.tempo_restarted.is_some() && check.reason == seen.tempo_restarted {
        return Some("Tempo restarted during the run; its log may say why".into());
    }
    let family = planned.measure.family();
    match (check.outcome, &check.reason) {
        (Outcome::Unmeasured, Some(why)) => family.cause_of_no_value(why, seen),
        _ => family.cause(check, facts),
    }
}

/// What the refused requests were told, if there were any.
pub(super) fn refusals(seen: &Observations) -> Option<String> {
    let summary = seen.summary(Run::Ingestion).ok()?;
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
pub(super) fn users(Facts { load, seen }: Facts<'_>, run: Run) -> Option<String> {
    let summary = seen.summary(run).ok()?;
    let Schedule {
        rate,
        allocated_vus: allocated,
        max_vus: max,
    } = load.schedule(run)?;
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
