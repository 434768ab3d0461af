//! The table of checks at the end of a case, and the part of it that failed.

use std::fmt::Write;
use std::io::IsTerminal;

use crate::checks::{Check, Outcome, Source};

/// Whether the table may have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Colour,
}

impl Style {
    /// Colour when stderr is a terminal and NO_COLOR is unset or empty
    /// (<https://no-color.org>).
    pub fn for_stderr() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if !unwanted && std::io::stderr().is_terminal() {
            Self::Colour
        } else {
            Self::Plain
        }
    }
}

/// All checks in aligned columns, what to know of each that failed or did not
/// apply, and a line that counts. Ends with a newline.
pub fn table(checks: &[Check], style: Style) -> String {
    if checks.is_empty() {
        return "no checks were made\n".into();
    }
    let mut out = rows(&checks.iter().collect::<Vec<_>>(), style);
    for check in checks.iter().filter(|check| check.failed()) {
        details(&mut out, check);
    }
    let not_applicable: Vec<&Check> = checks
        .iter()
        .filter(|check| check.outcome == Outcome::NotApplicable)
        .collect();
    if !not_applicable.is_empty() {
        out.push_str("\nnot applicable:\n");
        for check in not_applicable {
            let reason = check.reason.as_deref().unwrap_or("no reason given");
            line(&mut out, &format!("  {}: {reason}", check.name));
        }
    }
    out.push('\n');
    line(&mut out, &counts_line(checks));
    out
}

/// What failed: a line that counts, the failed rows and what to know of each.
/// Plain text, because it ends in JUnit as well.
pub fn failure_message(checks: &[Check]) -> String {
    let failed: Vec<&Check> = checks.iter().filter(|check| check.failed()).collect();
    let mut out = String::new();
    line(&mut out, &failure_line(checks));
    if !failed.is_empty() {
        out.push('\n');
        out.push_str(&rows(&failed, Style::Plain));
    }
    for check in failed {
        details(&mut out, check);
    }
    out
}

/// `2 violated, 1 unmeasured of 14 checks`
pub(super) fn failure_line(checks: &[Check]) -> String {
    let parts: Vec<String> = [Outcome::Violated, Outcome::Unmeasured]
        .into_iter()
        .filter_map(|outcome| counted(checks, outcome))
        .collect();
    if parts.is_empty() {
        format!("none failed of {}", total(checks))
    } else {
        format!("{} of {}", parts.join(", "), total(checks))
    }
}

/// `14 checks: 10 passed, 2 violated, 1 unmeasured, 1 not applicable`
pub fn counts_line(checks: &[Check]) -> String {
    let parts: Vec<String> = [
        Outcome::Passed,
        Outcome::Violated,
        Outcome::Unmeasured,
        Outcome::NotApplicable,
    ]
    .into_iter()
    .filter_map(|outcome| counted(checks, outcome))
    .collect();
    if parts.is_empty() {
        return total(checks);
    }
    format!("{}: {}", total(checks), parts.join(", "))
}

fn counted(checks: &[Check], outcome: Outcome) -> Option<String> {
    let count = checks
        .iter()
        .filter(|check| check.outcome == outcome)
        .count();
    (count > 0).then(|| format!("{count} {}", outcome_word(outcome)))
}

fn total(checks: &[Check]) -> String {
    match checks.len() {
        1 => "1 check".into(),
        count => format!("{count} checks"),
    }
}

fn rows(checks: &[&Check], style: Style) -> String {
    let header = ["check", "source", "observed", "bound", "outcome"].map(str::to_owned);
    let cells: Vec<[String; 5]> = checks
        .iter()
        .map(|check| {
            let (observed, bound) = check.observed_and_bound();
            [
                check.name.clone(),
                source_word(check.source).to_owned(),
                observed,
                bound,
                outcome_word(check.outcome).to_owned(),
            ]
        })
        .collect();
    let mut widths = [0; 5];
    for row in std::iter::once(&header).chain(&cells) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let [name_width, source_width, observed_width, bound_width, _] = widths;
    let mut out = String::new();
    let mut push = |[name, source, observed, bound, outcome]: &[String; 5], colour: &str| {
        let (on, off) = if colour.is_empty() {
            ("", "")
        } else {
            (colour, "\u{1b}[0m")
        };
        // Numbers to the right, so that sizes compare at a glance.
        line(
            &mut out,
            &format!(
                "{name:name_width$}  {source:source_width$}  {observed:>observed_width$}  {bound:bound_width$}  {on}{outcome}{off}"
            ),
        );
    };
    push(&header, "");
    for (check, row) in checks.iter().zip(&cells) {
        push(row, colour(check.outcome, style));
    }
    out
}

fn details(out: &mut String, check: &Check) {
    out.push('\n');
    line(
        out,
        &format!("{} ({})", check.name, outcome_word(check.outcome)),
    );
    let paragraphs = [
        ("expression", Some(check.expression.as_str())),
        ("reason", check.reason.as_deref()),
        ("likely cause", check.likely_cause.as_deref()),
    ];
    for (what, text) in paragraphs {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
            continue;
        };
        let mut lines = text.lines();
        line(
            out,
            &format!("    {what}: {}", lines.next().unwrap_or_default()),
        );
        for more in lines {
            line(out, &format!("      {more}"));
        }
    }
}

/// One line without spaces at its end.
fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", text.trim_end());
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Violated => "violated",
        Outcome::Unmeasured => "unmeasured",
        Outcome::NotApplicable => "not applicable",
    }
}

fn source_word(source: Source) -> &'static str {
    match source {
        Source::K6 => "k6",
        Source::Prometheus => "Prometheus",
        Source::Load => "load",
        Source::ReadBack => "read-back",
        Source::Generator => "generator",
    }
}

fn colour(outcome: Outcome, style: Style) -> &'static str {
    match (style, outcome) {
        (Style::Plain, _) => "",
        (Style::Colour, Outcome::Passed) => "\u{1b}[32m",
        (Style::Colour, Outcome::Violated) => "\u{1b}[31m",
        (Style::Colour, Outcome::Unmeasured) => "\u{1b}[33m",
        (Style::Colour, Outcome::NotApplicable) => "\u{1b}[2m",
    }
}
