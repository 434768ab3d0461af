//! `--check-metrics`: which queries of the catalogue had data.

use std::fmt::Write;

use super::collect::{Collected, QueryOutcome};

/// A table of all queries with the number of series and samples, or why there
/// are none, and a last line that counts.
pub fn availability_table(collected: &Collected) -> String {
    let rows: Vec<[String; 4]> = collected
        .results
        .iter()
        .map(|result| {
            let query = &result.query;
            [
                query.id.clone(),
                query.name.clone(),
                query.category.clone(),
                status(collected, result),
            ]
        })
        .collect();
    let mut widths = ["query".len(), "name".len(), "category".len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header = ["query", "name", "category", "data"].map(str::to_owned);
    let mut out = String::new();
    for [id, name, category, status] in std::iter::once(&header).chain(&rows) {
        let [a, b, c] = widths;
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{id:a$}  {name:b$}  {category:c$}  {status}");
    }

    let (mut with_data, mut empty, mut failed, mut elsewhere) = (0, 0, 0, 0);
    for result in &collected.results {
        match &result.outcome {
            QueryOutcome::Answered { .. } if result.sample_count() > 0 => with_data += 1,
            QueryOutcome::Answered { .. } => empty += 1,
            QueryOutcome::Failed(_) => failed += 1,
            QueryOutcome::NotOnThisTarget => elsewhere += 1,
        }
    }
    let _ = writeln!(
        out,
        "{} queries: {with_data} with data, {empty} empty, {failed} failed, {elsewhere} not on target {}",
        collected.results.len(),
        collected.target
    );
    out
}

fn status(collected: &Collected, result: &super::collect::QueryResult) -> String {
    match &result.outcome {
        QueryOutcome::NotOnThisTarget => format!("not on target {}", collected.target),
        QueryOutcome::Failed(reason) => format!("FAILED: {reason}"),
        QueryOutcome::Answered { answer, .. } => {
            let samples = result.sample_count();
            let mut text = match (samples, &result.query.empty_means) {
                (0, Some(reason)) => format!("empty ({reason})"),
                (0, None) => "EMPTY".to_owned(),
                _ => format!("{} series, {samples} samples", answer.series.len()),
            };
            let all_nan = samples > 0
                && result
                    .series()
                    .iter()
                    .flat_map(|series| &series.samples)
                    .all(|(_, value)| value.is_nan());
            if all_nan {
                text.push_str(", all NaN (nothing happened)");
            }
            for warning in &answer.warnings {
                text.push_str("; warning: ");
                text.push_str(warning);
            }
            text
        }
    }
}
