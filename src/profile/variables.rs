//! The variables that SLO expressions may use.

use crate::nearest::nearest;
use crate::promql_variables;

/// A variable that the plan fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    pub meaning: &'static str,
    /// Whether its value is a number, as `of` needs.
    pub numeric: bool,
}

const fn text(name: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        meaning,
        numeric: false,
    }
}

const fn number(name: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        meaning,
        numeric: true,
    }
}

/// Every variable that an expression may use.
pub const KNOWN: [Variable; 9] = [
    text(
        "sel",
        "label matchers of Tempo's own series, to stand between braces",
    ),
    text(
        "window",
        "the judged window as a PromQL range, for instance 15s",
    ),
    number("window_seconds", "the judged window in seconds"),
    number(
        "target_bytes_per_second",
        "the profile's mbPerSecond in bytes",
    ),
    number(
        "target_spans_per_second",
        "spans that the load sends each second",
    ),
    number(
        "target_requests_per_second",
        "pushes that the load sends each second",
    ),
    number(
        "target_traces_per_second",
        "traces that the load sends each second",
    ),
    number(
        "target_queries_per_second",
        "queries that the load sends each second",
    ),
    text("rp", "the prefix of Tempo's routes in its `route` label"),
];

/// What would be right in place of the unknown variable `name`.
pub fn expected(name: &str) -> String {
    promql_variables::expected(name, KNOWN.iter().map(|v| v.name))
}

/// The variable that `of` names: `${name}` and nothing around it.
///
/// # Errors
/// What would be right: `of` is no variable, or not one of a number.
pub fn factor_of(of: &str) -> Result<&'static Variable, String> {
    let name = of
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    let numeric = || KNOWN.iter().filter(|v| v.numeric);
    if let Some(variable) = numeric().find(|v| Some(v.name) == name) {
        return Ok(variable);
    }
    let all: Vec<String> = numeric().map(|v| format!("${{{}}}", v.name)).collect();
    let bare = name.unwrap_or(of);
    Err(match nearest(bare, numeric().map(|v| v.name)) {
        Some(near) => format!("${{{near}}} (numbers are {})", all.join(", ")),
        None => format!("one of {}", all.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::number("${target_bytes_per_second}", true)]
    #[case::text("${sel}", false)]
    #[case::bare("target_bytes_per_second", false)]
    #[case::sum("${window_seconds} + 1", false)]
    fn of_takes_one_numeric_variable(#[case] of: &str, #[case] fits: bool) {
        assert_eq!(factor_of(of).is_ok(), fits);
    }
}
