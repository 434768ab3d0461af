//! The variables of SLO expressions: `${sel}`, `${window}`, ….

use std::collections::BTreeMap;

use super::nearest;

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

/// An expression names a variable that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown variable ${{{name}}}; expected {}", expected(name))]
pub struct UnknownVariable {
    pub name: String,
}

impl UnknownVariable {
    /// What would be right, with the nearest known variable first.
    pub fn expected(&self) -> String {
        expected(&self.name)
    }
}

fn expected(name: &str) -> String {
    let all: Vec<String> = KNOWN.iter().map(|v| format!("${{{}}}", v.name)).collect();
    match nearest(name, KNOWN.iter().map(|v| v.name)) {
        Some(near) => format!("${{{near}}} (known are {})", all.join(", ")),
        None => format!("one of {}", all.join(", ")),
    }
}

/// A stretch of an expression.
enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// Splits an expression at its variables. `${1}` is text: it is how PromQL's
/// `label_replace` names a capture group.
fn pieces(expr: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = expr;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        pieces.push(Piece::Text(before));
        let end = reference.find('}').unwrap_or(reference.len());
        let name = &reference[2..end];
        let next = (end + 1).min(reference.len());
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
            pieces.push(Piece::Text(&reference[..next]));
        } else {
            pieces.push(Piece::Variable(name));
        }
        rest = &reference[next..];
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// The names of the variables in `expr`, in order and as often as they occur.
pub fn used(expr: &str) -> Vec<&str> {
    pieces(expr)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name),
            Piece::Text(_) => None,
        })
        .collect()
}

/// Fills the variables of `expr` in.
///
/// # Errors
/// A variable without an entry in `values`.
pub fn substitute(expr: &str, values: &BTreeMap<&str, String>) -> Result<String, UnknownVariable> {
    let mut filled = String::with_capacity(expr.len());
    for piece in pieces(expr) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Variable(name) => match values.get(name) {
                Some(value) => filled.push_str(value),
                None => {
                    return Err(UnknownVariable {
                        name: name.to_owned(),
                    });
                }
            },
        }
    }
    Ok(filled)
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
    #[case::none("up", "up")]
    #[case::inside("f{${sel}}[${window}]", "f{job=\"tempo\"}[15s]")]
    #[case::whole("${window}", "15s")]
    #[case::capture_group(
        r#"label_replace(x, "a", "${1}-$2", "b", "(.*)")"#,
        r#"label_replace(x, "a", "${1}-$2", "b", "(.*)")"#
    )]
    #[case::empty("", "")]
    fn variables_are_filled_in(#[case] expr: &str, #[case] expected: &str) {
        let values = BTreeMap::from([("sel", "job=\"tempo\"".into()), ("window", "15s".into())]);
        assert_eq!(substitute(expr, &values).as_deref(), Ok(expected));
    }

    #[rstest]
    #[case::typo("x[${windo}]", "windo")]
    #[case::unclosed("x[${window", "windo?")]
    #[case::empty("${}", "")]
    fn an_unknown_variable_is_an_error(#[case] expr: &str, #[case] name: &str) {
        let error = substitute(expr, &BTreeMap::new()).unwrap_err();
        assert!(
            error.name.starts_with(name.trim_end_matches('?')),
            "{error}"
        );
    }

    #[test]
    fn the_message_names_the_nearest_variable() {
        let error = UnknownVariable {
            name: "windw".into(),
        };
        assert!(
            error
                .to_string()
                .starts_with("unknown variable ${windw}; expected ${window} (known are ${sel}, "),
            "{error}"
        );
    }

    #[rstest]
    #[case::number("${target_bytes_per_second}", true)]
    #[case::text("${sel}", false)]
    #[case::bare("target_bytes_per_second", false)]
    #[case::sum("${window_seconds} + 1", false)]
    fn of_takes_one_numeric_variable(#[case] of: &str, #[case] fits: bool) {
        assert_eq!(factor_of(of).is_ok(), fits);
    }
}
