//! Observed values and bounds as a reader wants them: with a unit that fits
//! the size, and never so rounded that a violation looks like a pass.

use crate::units::{BYTES_PER_MB, Significant};
use crate::verdict::{Bound, Check};

/// A value of `unit`, scaled and rounded to four significant digits.
pub fn quantity(value: f64, unit: &str) -> String {
    let (value, unit) = scaled(value, unit);
    with_unit(&rounded(value), unit)
}

/// The observed value and the bound of a check, as text. Where rounding would
/// make the two look alike although they differ, the observed value has more
/// digits.
pub fn observed_and_bound(check: &Check) -> (String, String) {
    let unit = check.unit.as_str();
    let bound_text = bound(&check.bound, unit);
    let Some(observed) = check.observed else {
        return ("–".into(), bound_text);
    };
    let hidden = |text: &str| {
        [check.bound.min, check.bound.max]
            .into_iter()
            .flatten()
            .any(|limit| limit != observed && quantity(limit, unit) == text)
    };
    let mut text = quantity(observed, unit);
    let (value, scaled_unit) = scaled(observed, unit);
    let mut decimals = 3;
    while hidden(&text) {
        decimals += 1;
        let digits = format!("{value:.decimals$}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        text = with_unit(digits, scaled_unit);
        if decimals == 17 {
            // Closer than an f64 shows; the exact value is all there is.
            return (with_unit(&observed.to_string(), unit), bound_text);
        }
    }
    (text, bound_text)
}

fn bound(bound: &Bound, unit: &str) -> String {
    let (at_least, at_most) = if bound.exclusive {
        (">", "<")
    } else {
        ("≥", "≤")
    };
    match (bound.min, bound.max) {
        (None, None) => "–".into(),
        (Some(min), Some(max)) if min == max => format!("= {}", quantity(min, unit)),
        (min, max) => [(at_least, min), (at_most, max)]
            .into_iter()
            .filter_map(|(sign, limit)| Some(format!("{sign} {}", quantity(limit?, unit))))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn scaled(value: f64, unit: &str) -> (f64, &str) {
    const MB: f64 = BYTES_PER_MB as f64;
    let size = value.abs();
    match unit {
        "s" if size > 0.0 && size < 0.001 => (value * 1e6, "µs"),
        "s" if size > 0.0 && size < 1.0 => (value * 1e3, "ms"),
        "ms" if size >= 1000.0 => (value / 1e3, "s"),
        "B/s" if size >= MB / 100.0 => (value / MB, "MB/s"),
        "B" | "bytes" if size >= MB * 1024.0 => (value / MB / 1024.0, "GB"),
        "B" | "bytes" if size >= MB / 100.0 => (value / MB, "MB"),
        "ratio" => (value * 100.0, "%"),
        _ => (value, unit),
    }
}

fn rounded(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        grouped(value as i64)
    } else {
        Significant(value).to_string()
    }
}

/// Digits in threes: `1,234,567`.
fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn with_unit(number: &str, unit: &str) -> String {
    if unit.is_empty() {
        number.to_owned()
    } else {
        format!("{number} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::verdict::{Outcome, Source};

    #[rstest]
    #[case(0.0, "s", "0 s")]
    #[case(0.00042, "s", "420 µs")]
    #[case(0.8512, "s", "851.2 ms")]
    #[case(1.25, "s", "1.25 s")]
    #[case(250.0, "ms", "250 ms")]
    #[case(1834.4, "ms", "1.834 s")]
    #[case(6_081_740.8, "B/s", "5.8 MB/s")]
    #[case(100.0, "B/s", "100 B/s")]
    #[case(2_147_483_648.0, "B", "2 GB")]
    #[case(0.97, "ratio", "97 %")]
    #[case(0.0123, "ratio", "1.23 %")]
    #[case(1_234_567.0, "spans", "1,234,567 spans")]
    #[case(-1234.0, "spans", "-1,234 spans")]
    #[case(2.5, "", "2.5")]
    #[case(f64::INFINITY, "s", "inf s")]
    fn values_read_well(#[case] value: f64, #[case] unit: &str, #[case] expected: &str) {
        assert_eq!(quantity(value, unit), expected);
    }

    fn check(observed: f64, bound: Bound, unit: &str) -> Check {
        Check {
            name: "x".into(),
            source: Source::Load,
            expression: String::new(),
            observed: Some(observed),
            bound,
            unit: unit.into(),
            outcome: Outcome::Violated,
            reason: None,
            likely_cause: None,
        }
    }

    #[test]
    fn rounding_never_hides_a_violation() {
        let bound = Bound {
            min: Some(1.0),
            max: None,
            exclusive: false,
        };
        assert_eq!(
            observed_and_bound(&check(0.999_999, bound, "ratio")),
            ("99.9999 %".into(), "≥ 100 %".into())
        );
    }

    #[test]
    fn bounds_say_whether_they_may_be_reached() {
        let show = |min, max, exclusive| {
            bound(
                &Bound {
                    min,
                    max,
                    exclusive,
                },
                "s",
            )
        };
        assert_eq!(show(None, Some(1.0), true), "< 1 s");
        assert_eq!(show(Some(1.0), None, false), "≥ 1 s");
        assert_eq!(show(Some(1.0), Some(2.0), false), "≥ 1 s, ≤ 2 s");
        assert_eq!(show(Some(0.0), Some(0.0), false), "= 0 s");
        assert_eq!(show(None, None, false), "–");
    }
}
