//! The plan as text, for `--dry-run` and the head of each case.

use std::fmt::Write;

use super::{Plan, Seeding};
use crate::settings::TestType;
use crate::units::{Pretty, Significant};

/// The whole plan with its checks; ends with a newline.
pub fn render(plan: &Plan) -> String {
    let mut text = head(plan);
    for (index, check) in plan.checks.iter().enumerate() {
        let label = if index == 0 { "checks" } else { "" };
        let _ = writeln!(text, "  {label:<12}{}", check.text(plan.target));
    }
    text
}

/// The plan without its checks.
pub fn head(plan: &Plan) -> String {
    let mut text = String::new();
    let profile = &plan.profile;
    let mut line = |label: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {label:<12}{value}");
    };
    line("profile", {
        let described = profile.description.as_deref().unwrap_or("no description");
        format!("{} ({described})", profile.name)
    });
    line(
        "target",
        format!("{}, test type {}", plan.target, plan.test_type),
    );
    for (label, value) in plan
        .site
        .kubernetes()
        .into_iter()
        .flat_map(|kubernetes| kubernetes.lines(profile))
    {
        line(label, value);
    }
    line("time", {
        let warmup = if plan.warmup.is_zero() {
            String::new()
        } else {
            format!(" after a warm-up of {}", Pretty(plan.warmup))
        };
        format!(
            "{}{warmup}, timeout {}",
            Pretty(plan.duration),
            Pretty(plan.job_timeout)
        )
    });
    if let Some(Seeding { duration }) = plan.seeding {
        line(
            "seeding",
            format!("{} of ingestion before the queries", Pretty(duration)),
        );
    }
    if plan.ingests() {
        let load = &plan.ingestion;
        line(
            "ingestion",
            format!(
                "{} as {} requests/s of {} {} trace{} ({} B, {} spans a trace), {} to {} VUs",
                load.target_bytes_per_second,
                Significant(load.requests_per_second.as_per_second()),
                load.traces_per_request,
                load.trace_profile,
                if load.traces_per_request == 1 {
                    ""
                } else {
                    "s"
                },
                Significant(load.mean_request_bytes),
                Significant(load.mean_spans_per_trace),
                load.allocated_vus,
                load.max_vus,
            ),
        );
    }
    if plan.test_type != TestType::Ingestion {
        let load = &plan.query;
        let total: u32 = load.queries.iter().map(|query| query.weight).sum();
        line(
            "queries",
            format!(
                "{}, {} to {} VUs; {}",
                load.queries_per_second,
                load.allocated_vus,
                load.max_vus,
                load.queries
                    .iter()
                    .map(|query| {
                        let share = f64::from(query.weight) * 100.0 / f64::from(total);
                        format!("{} {} %", query.name, Significant(share))
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        );
    }
    line("seed", format!("{}, run {}", plan.seed, plan.run));
    for (index, field) in plan.not_applied.iter().enumerate() {
        let label = if index == 0 { "not applied" } else { "" };
        line(label, format!("{}: {}", field.field, field.reason));
    }
    text
}
