//! k6's threshold syntax: `http_req_duration{op:search}` and `p(95)<2000`.
//! k6 stops at a threshold that it cannot read, after the set-up is done; so
//! it is read here first.

use std::fmt;

use crate::nearest::nearest;

/// A metric of k6, narrowed by tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    pub name: String,
    pub tags: Vec<(String, String)>,
}

/// What k6 computes over a metric's samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aggregation {
    Avg,
    Min,
    Med,
    Max,
    Count,
    Rate,
    Value,
    /// From 0 to 100.
    Percentile(f64),
}

/// Displays as k6 writes it and as it names the value in a summary: `p(95)`.
impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(rank) => write!(f, "p({rank})"),
            named => f.write_str(
                NAMED
                    .iter()
                    .find(|(_, aggregation)| aggregation == named)
                    .map_or("", |(name, _)| name),
            ),
        }
    }
}

const NAMED: [(&str, Aggregation); 7] = [
    ("avg", Aggregation::Avg),
    ("min", Aggregation::Min),
    ("med", Aggregation::Med),
    ("max", Aggregation::Max),
    ("count", Aggregation::Count),
    ("rate", Aggregation::Rate),
    ("value", Aggregation::Value),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// Longer spellings first: `<=` starts with `<`.
const COMPARATORS: [(&str, Comparator); 7] = [
    ("<=", Comparator::LessOrEqual),
    (">=", Comparator::GreaterOrEqual),
    ("===", Comparator::Equal),
    ("==", Comparator::Equal),
    ("!=", Comparator::NotEqual),
    ("<", Comparator::Less),
    (">", Comparator::Greater),
];

/// One threshold expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    pub aggregation: Aggregation,
    pub comparator: Comparator,
    /// Milliseconds for times, as everywhere in k6.
    pub bound: f64,
}

/// What would be right in place of a text that is no threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Expected(pub String);

/// Reads `p(95)<2000`.
///
/// # Errors
/// What would be right.
pub fn parse(text: &str) -> Result<Threshold, Expected> {
    let Some(at) = text.find(['<', '>', '=', '!']) else {
        return Err(Expected(
            "an aggregation, a comparator and a number, for example p(95)<2000".into(),
        ));
    };
    let (left, right) = text.split_at(at);
    let aggregation = aggregation(left.trim())?;
    let (sign, comparator) = COMPARATORS
        .iter()
        .find(|(sign, _)| right.starts_with(sign))
        .ok_or_else(|| Expected("one of the comparators <, <=, >, >=, == and !=".into()))?;
    let bound = number(right[sign.len()..].trim()).ok_or_else(|| {
        let example = match aggregation {
            Aggregation::Rate => "0.01",
            Aggregation::Count | Aggregation::Value => "10",
            _ => "2000 (k6 counts times in milliseconds)",
        };
        Expected(format!(
            "a plain number after {sign}, for example {aggregation}{sign}{example}"
        ))
    })?;
    Ok(Threshold {
        aggregation,
        comparator: *comparator,
        bound,
    })
}

fn aggregation(text: &str) -> Result<Aggregation, Expected> {
    if let Some((_, known)) = NAMED.iter().find(|(name, _)| *name == text) {
        return Ok(*known);
    }
    if let Some(rank) = text
        .strip_prefix("p(")
        .and_then(|rest| rest.strip_suffix(')'))
    {
        return number(rank)
            .filter(|rank| (0.0..=100.0).contains(rank))
            .map(Aggregation::Percentile)
            .ok_or_else(|| {
                Expected("a percentile from 0 to 100, for example p(95) or p(99.9)".into())
            });
    }
    let all = "avg, min, med, max, count, rate, value, p(95)";
    let percentile = text.strip_prefix('p').and_then(number);
    Err(Expected(
        match (percentile, nearest(text, NAMED.map(|(name, _)| name))) {
            (Some(rank), _) => format!("p({rank}) (aggregations are {all})"),
            (None, Some(near)) => format!("{near} (aggregations are {all})"),
            (None, None) => format!("one of the aggregations {all}"),
        },
    ))
}

/// A decimal number without an exponent, infinity and the like.
fn number(text: &str) -> Option<f64> {
    let plain = text.strip_prefix('-').unwrap_or(text);
    let digits = plain
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
    (digits && !plain.is_empty()).then_some(value)
}

/// Reads `http_req_duration{op:search}`.
///
/// # Errors
/// What would be right.
pub fn parse_metric(text: &str) -> Result<Metric, Expected> {
    let shape = || {
        Expected(
            "a k6 metric, narrowed by tags if need be, for example http_req_duration{op:search}"
                .into(),
        )
    };
    let (name, tags) = match text.split_once('{') {
        None => (text, None),
        Some((name, rest)) => (name, Some(rest.strip_suffix('}').ok_or_else(shape)?)),
    };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty()
        || name.len() > 128
        || !name.bytes().all(word)
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(shape());
    }
    let tags = tags
        .map(|tags| {
            tags.split(',')
                .map(|pair| {
                    let (key, value) = pair.split_once(':')?;
                    let clean = |part: &str| part.trim().trim_matches(['"', '\'']).to_owned();
                    let (key, value) = (clean(key), clean(value));
                    let fits = !key.is_empty() && !value.is_empty();
                    (fits && !value.contains(['{', '}'])).then_some((key, value))
                })
                .collect::<Option<Vec<_>>>()
                .ok_or_else(shape)
        })
        .transpose()?
        .unwrap_or_default();
    Ok(Metric {
        name: name.to_owned(),
        tags,
    })
}

/// The kinds of k6's own metrics, by the aggregations that each can give.
const BUILT_IN: [(&str, &[&str]); 4] = [
    (
        "avg, min, med, max and p(N)",
        &[
            "http_req_duration",
            "http_req_blocked",
            "http_req_connecting",
            "http_req_tls_handshaking",
            "http_req_sending",
            "http_req_waiting",
            "http_req_receiving",
            "iteration_duration",
            "group_duration",
        ],
    ),
    (
        "count and rate",
        &[
            "http_reqs",
            "iterations",
            "dropped_iterations",
            "data_sent",
            "data_received",
        ],
    ),
    ("rate", &["http_req_failed", "checks"]),
    ("value", &["vus", "vus_max"]),
];

/// Whether one of k6's own metrics can give the aggregation; a script's own
/// metrics are known only to k6.
///
/// # Errors
/// The aggregations that the metric can give.
pub fn fits(metric: &Metric, aggregation: Aggregation) -> Result<(), Expected> {
    use Aggregation::{Avg, Count, Max, Med, Min, Percentile, Rate, Value};
    let kind = BUILT_IN
        .iter()
        .find(|(_, names)| names.contains(&metric.name.as_str()));
    let Some((can, _)) = kind else { return Ok(()) };
    let fits = match aggregation {
        Avg | Min | Med | Max | Percentile(_) => can.starts_with("avg"),
        Count => can.starts_with("count"),
        Rate => can.ends_with("rate"),
        Value => *can == "value",
    };
    if fits {
        return Ok(());
    }
    Err(Expected(format!(
        "an aggregation that {} has: {can}",
        metric.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::percentile("p(95)<2000", Aggregation::Percentile(95.0), Comparator::Less, 2000.0)]
    #[case::fine_percentile(
        "p(99.9) <= 1.5",
        Aggregation::Percentile(99.9),
        Comparator::LessOrEqual,
        1.5
    )]
    #[case::rate("rate<0.01", Aggregation::Rate, Comparator::Less, 0.01)]
    #[case::count(" count == 0 ", Aggregation::Count, Comparator::Equal, 0.0)]
    #[case::strict_equal("value===3", Aggregation::Value, Comparator::Equal, 3.0)]
    #[case::negative("min>-1", Aggregation::Min, Comparator::Greater, -1.0)]
    #[case::not_equal("med!=5", Aggregation::Med, Comparator::NotEqual, 5.0)]
    fn a_threshold_is_read(
        #[case] text: &str,
        #[case] aggregation: Aggregation,
        #[case] comparator: Comparator,
        #[case] bound: f64,
    ) {
        assert_eq!(
            parse(text),
            Ok(Threshold {
                aggregation,
                comparator,
                bound
            })
        );
    }

    #[rstest]
    #[case::empty("", "for example p(95)<2000")]
    #[case::k6_v02_style("p95<200", "expected p(95) (")]
    #[case::typo("averge<3", "one of the aggregations avg")]
    #[case::near("mde<3", "expected med (")]
    #[case::unit("p(95)<2s", "a plain number after <")]
    #[case::exponent("avg<1e3", "a plain number after <")]
    #[case::infinity("avg<inf", "a plain number after <")]
    #[case::no_number("avg<", "a plain number after <")]
    #[case::range("p(101)<3", "from 0 to 100")]
    #[case::compound("avg<3 && max<4", "a plain number after <")]
    #[case::assignment("avg=3", "one of the comparators")]
    fn nonsense_is_refused(#[case] text: &str, #[case] part: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error:?} must contain {part:?}");
    }

    #[rstest]
    #[case::bare("http_reqs", &[])]
    #[case::tag("http_req_duration{op:search}", &[("op", "search")])]
    #[case::tags("http_req_failed{op:search, status:500}", &[("op", "search"), ("status", "500")])]
    #[case::colon("x{url:http://a}", &[("url", "http://a")])]
    fn a_metric_is_read(#[case] text: &str, #[case] tags: &[(&str, &str)]) {
        let found = parse_metric(text).unwrap();
        let found: Vec<(&str, &str)> = found
            .tags
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(found, tags);
    }

    #[rstest]
    #[case::empty("")]
    #[case::unclosed("a{b:c")]
    #[case::no_tags("a{}")]
    #[case::prometheus_style("a{op=\"search\"}")]
    #[case::tail("a{b:c}d")]
    #[case::digit("1a")]
    #[case::hyphen("http-reqs")]
    fn a_bad_metric_is_refused(#[case] text: &str) {
        parse_metric(text).unwrap_err();
    }

    #[rstest]
    #[case("http_req_duration", "p(95)<1", true)]
    #[case("http_req_duration", "rate<1", false)]
    #[case("http_req_failed", "rate<1", true)]
    #[case("http_req_failed", "count<1", false)]
    #[case("dropped_iterations", "count<1", true)]
    #[case("dropped_iterations", "rate<1", true)]
    #[case("vus", "value<1", true)]
    #[case("a_script_own_metric", "value<1", true)]
    fn an_aggregation_must_fit_its_metric(
        #[case] metric: &str,
        #[case] text: &str,
        #[case] expected: bool,
    ) {
        let metric = parse_metric(metric).unwrap();
        assert_eq!(
            fits(&metric, parse(text).unwrap().aggregation).is_ok(),
            expected
        );
    }

    #[test]
    fn an_aggregation_displays_as_k6_writes_it() {
        for text in ["avg", "count", "p(95)", "p(99.9)"] {
            assert_eq!(
                parse(&format!("{text}<1")).unwrap().aggregation.to_string(),
                text
            );
        }
    }
}
