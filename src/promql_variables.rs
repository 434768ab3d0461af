//! Variables in PromQL: `${sel}`, `${window}`, …, in the SLOs of a profile and
//! in the catalogue of queries alike. Which there are, the callers know.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::nearest::nearest;

/// An expression whose variables cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    #[error("unknown variable ${{{name}}}; expected {expected}")]
    Unknown { name: String, expected: String },
    #[error("a variable without its closing brace at \"{0}\"")]
    Unclosed(String),
}

/// A place where an expression names a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Up to the closing brace; without one, the rest of the expression.
    pub name: &'a str,
    pub closed: bool,
}

/// What would be right in place of `name`: the nearest known name first.
pub fn expected<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let all: Vec<String> = known.iter().map(|name| format!("${{{name}}}")).collect();
    match nearest(name, known) {
        Some(near) => format!("${{{near}}} (known are {})", all.join(", ")),
        None => format!("one of {}", all.join(", ")),
    }
}

/// A stretch of an expression.
enum Piece<'a> {
    Text(&'a str),
    Variable(Reference<'a>),
}

/// Splits an expression at its variables. `${1}` is text: it is how PromQL's
/// `label_replace` names a capture group.
fn pieces(expr: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = expr;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        pieces.push(Piece::Text(before));
        let end = reference.find('}');
        let name = &reference[2..end.unwrap_or(reference.len())];
        let next = end.map_or(reference.len(), |end| end + 1);
        let group = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        pieces.push(if group && end.is_some() {
            Piece::Text(&reference[..next])
        } else {
            let closed = end.is_some();
            Piece::Variable(Reference { name, closed })
        });
        rest = &reference[next..];
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// The variables in `expr`, in order and as often as they occur.
pub fn used(expr: &str) -> Vec<Reference<'_>> {
    pieces(expr)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Variable(reference) => Some(reference),
            Piece::Text(_) => None,
        })
        .collect()
}

/// Fills the variables of `expr` in. An empty value takes a comma behind it
/// along, so that `{${sel},op="x"}` stays PromQL when nothing has to be selected.
///
/// # Errors
/// A variable without an entry in `values`, or without its closing brace.
pub fn substitute<K: Borrow<str> + Ord>(
    expr: &str,
    values: &BTreeMap<K, String>,
) -> Result<String, VariableError> {
    let mut filled = String::with_capacity(expr.len() + 64);
    let mut after_nothing = false;
    for piece in pieces(expr) {
        match piece {
            Piece::Text(text) => {
                let spare = if after_nothing { "," } else { "" };
                filled.push_str(text.strip_prefix(spare).unwrap_or(text));
                after_nothing = false;
            }
            Piece::Variable(Reference {
                name,
                closed: false,
            }) => return Err(VariableError::Unclosed(format!("${{{name}"))),
            Piece::Variable(Reference { name, .. }) => {
                let value = values.get(name).ok_or_else(|| VariableError::Unknown {
                    name: name.to_owned(),
                    expected: expected(name, values.keys().map(Borrow::borrow)),
                })?;
                filled.push_str(value);
                after_nothing = value.is_empty();
            }
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn values() -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("sel", "job=\"tempo\"".into()),
            ("window", "15s".into()),
            ("none", String::new()),
        ])
    }

    #[rstest]
    #[case::none("up", "up")]
    #[case::inside("f{${sel}}[${window}]", "f{job=\"tempo\"}[15s]")]
    #[case::whole("${window}", "15s")]
    #[case::capture_group(
        r#"label_replace(x, "a", "${1}-$2", "b", "(.*)")"#,
        r#"label_replace(x, "a", "${1}-$2", "b", "(.*)")"#
    )]
    #[case::empty("", "")]
    #[case::empty_value_with_a_comma(r#"m{${none},op="x"}"#, r#"m{op="x"}"#)]
    #[case::empty_value_alone("n{${none}}", "n{}")]
    #[case::a_value_keeps_its_comma(r#"m{${sel},op="x"}"#, r#"m{job="tempo",op="x"}"#)]
    #[case::two_empty_values("m{${none},${none},a=\"b\"}", "m{a=\"b\"}")]
    fn variables_are_filled_in(#[case] expr: &str, #[case] filled: &str) {
        assert_eq!(substitute(expr, &values()).as_deref(), Ok(filled));
    }

    #[rstest]
    #[case::typo(
        "x[${windo}]",
        "unknown variable ${windo}; expected ${window} (known are ${none}, ${sel}, ${window})"
    )]
    #[case::nothing_like_it(
        "${}",
        "unknown variable ${}; expected one of ${none}, ${sel}, ${window}"
    )]
    #[case::unclosed("x[${window", "a variable without its closing brace at \"${window\"")]
    #[case::unclosed_group("label_replace(${1", "a variable without its closing brace at \"${1\"")]
    fn what_cannot_be_filled_in_is_named(#[case] expr: &str, #[case] message: &str) {
        let error = substitute(expr, &values()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}
