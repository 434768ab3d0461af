//! Durations as users write them: `30s`, `5m`, `1h30m`, `1.5h`. The syntax is
//! that of Go and k6, since the same text is given to them; so there are no days.

use std::time::Duration;

/// Nanoseconds of each unit, longest first for messages.
const UNITS: [(&str, u64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, the micro sign
    ("μs", 1_000), // U+03BC, the Greek letter: keyboards differ
    ("ns", 1),
];

/// Why a text is not a duration. Displays as the end of `"5", which …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("is empty")]
    Empty,
    #[error("has no unit (is it {0}s or {0}m?)")]
    NoUnit(String),
    #[error("has the unknown unit \"{0}\"")]
    UnknownUnit(String),
    #[error("counts days (write {0})")]
    Days(String),
    #[error("is negative")]
    Negative,
    #[error("is too long to count")]
    TooLong,
    #[error("is not a duration")]
    Nonsense,
}

/// Reads a duration; the error says what was found and what would be right.
/// Zero is a duration: callers that cannot use it refuse it themselves.
pub fn parse(text: &str) -> Result<Duration, String> {
    read(text).map_err(|problem| {
        format!(
            "found {text:?}, which {problem}; expected a duration, for example 30s, 5m or 1h30m"
        )
    })
}

/// Reads a duration; the error is the bare reason.
pub fn read(text: &str) -> Result<Duration, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::Empty);
    }
    if text.starts_with('-') {
        return Err(Problem::Negative);
    }
    let mut nanos: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let (whole, fraction) = decimal(number).ok_or(Problem::Nonsense)?;
        let unit_end = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let unit_nanos = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, nanos)) => u128::from(*nanos),
            None if unit.is_empty() => return Err(Problem::NoUnit(number.to_owned())),
            None if unit == "d" => {
                let hours = whole.checked_mul(24).ok_or(Problem::TooLong)?;
                return Err(Problem::Days(format!("{hours}h")));
            }
            None if unit.contains(char::is_whitespace) => return Err(Problem::Nonsense),
            None => return Err(Problem::UnknownUnit(unit.to_owned())),
        };
        let part = u128::from(whole)
            .checked_mul(unit_nanos)
            .ok_or(Problem::TooLong)?
            // `fraction` counts 1e-9 of a unit.
            + u128::from(fraction) * unit_nanos / 1_000_000_000;
        nanos = nanos.checked_add(part).ok_or(Problem::TooLong)?;
        rest = next;
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).map_err(|_| Problem::TooLong)?;
    Ok(Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// The whole part of a decimal number and its fraction in billionths; further
/// digits cannot matter, as the shortest unit is a nanosecond.
fn decimal(number: &str) -> Option<(u64, u32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole = match whole {
        "" => 0,
        // Too many digits saturate: the caller's sum then overflows.
        digits => digits.parse().unwrap_or(u64::MAX),
    };
    let mut billionths = 0;
    for place in 0..9 {
        let digit = fraction.as_bytes().get(place).map_or(0, |d| d - b'0');
        billionths = billionths * 10 + u32::from(digit);
    }
    Some((whole, billionths))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::zero("0s", Duration::ZERO)]
    #[case::seconds("30s", Duration::from_secs(30))]
    #[case::minutes("5m", Duration::from_secs(300))]
    #[case::compound("1h30m", Duration::from_secs(5400))]
    #[case::fraction("1.5h", Duration::from_secs(5400))]
    #[case::leading_point(".5s", Duration::from_millis(500))]
    #[case::milliseconds("300ms", Duration::from_millis(300))]
    #[case::micro_sign("5µs", Duration::from_micros(5))]
    #[case::greek_mu("5μs", Duration::from_micros(5))]
    #[case::ascii_micro("5us", Duration::from_micros(5))]
    #[case::nanoseconds("7ns", Duration::from_nanos(7))]
    #[case::below_a_nanosecond("0.1ns", Duration::ZERO)]
    #[case::many_digits("0.1234567899s", Duration::from_nanos(123_456_789))]
    #[case::outer_space(" 5m\n", Duration::from_secs(300))]
    fn a_duration_is_read(#[case] text: &str, #[case] expected: Duration) {
        assert_eq!(read(text), Ok(expected));
    }

    #[rstest]
    #[case::empty("", Problem::Empty)]
    #[case::blank("  ", Problem::Empty)]
    #[case::no_unit("5", Problem::NoUnit("5".into()))]
    #[case::bare_zero("0", Problem::NoUnit("0".into()))]
    #[case::no_unit_at_the_end("1h30", Problem::NoUnit("30".into()))]
    #[case::no_number("m", Problem::Nonsense)]
    #[case::inner_space("5 m", Problem::Nonsense)]
    #[case::two_words("5m 3s", Problem::Nonsense)]
    #[case::two_points("1.2.3s", Problem::Nonsense)]
    #[case::point_only(".s", Problem::Nonsense)]
    #[case::days("1d", Problem::Days("24h".into()))]
    #[case::weeks("1w", Problem::UnknownUnit("w".into()))]
    #[case::capital("5M", Problem::UnknownUnit("M".into()))]
    #[case::negative("-5m", Problem::Negative)]
    #[case::plus("+5m", Problem::Nonsense)]
    #[case::iso("PT5M", Problem::Nonsense)]
    #[case::exponent("1e3s", Problem::UnknownUnit("e".into()))]
    #[case::overflow("99999999999999999999h", Problem::TooLong)]
    #[case::sum_overflow("18446744073709551615s1s", Problem::TooLong)]
    fn nonsense_is_refused(#[case] text: &str, #[case] expected: Problem) {
        assert_eq!(read(text), Err(expected));
    }

    #[test]
    fn the_message_says_what_was_found_and_what_would_be_right() {
        assert_eq!(
            parse("5").unwrap_err(),
            "found \"5\", which has no unit (is it 5s or 5m?); expected a duration, for example 30s, 5m or 1h30m"
        );
    }
}
