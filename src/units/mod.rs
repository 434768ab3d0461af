//! Quantities with their unit in the type; where a number is bare, its name or the
//! type around it says the unit.

pub mod duration;
mod unit;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use unit::{Unit, with_unit};

/// Bytes in one megabyte of a profile's `mbPerSecond`: a mebibyte, as in the
/// Go program that this project replaces.
pub const BYTES_PER_MB: u64 = 1_048_576;

/// A data rate in bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteRate(f64);

impl ByteRate {
    pub fn from_mb_per_second(mb: f64) -> Self {
        Self(mb * BYTES_PER_MB as f64)
    }

    pub fn from_bytes_per_second(bytes: f64) -> Self {
        Self(bytes)
    }

    pub fn bytes_per_second(self) -> f64 {
        self.0
    }

    pub fn mb_per_second(self) -> f64 {
        self.0 / BYTES_PER_MB as f64
    }

    /// Bytes that pass in `time` at this rate.
    pub fn over(self, time: Duration) -> f64 {
        self.0 * time.as_secs_f64()
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MB/s", Significant(self.mb_per_second()))
    }
}

/// Events (requests, queries) per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventRate(f64);

impl EventRate {
    pub fn per_second(rate: f64) -> Self {
        Self(rate)
    }

    pub fn as_per_second(self) -> f64 {
        self.0
    }

    pub fn over(self, time: Duration) -> f64 {
        self.0 * time.as_secs_f64()
    }

    /// The rate as k6 takes it: whole events in 1,000 s. k6 refuses fractions,
    /// and rounding a rate per second would miss a small one by 10 % and more.
    pub fn per_thousand_seconds(self) -> u64 {
        (self.0 * 1000.0).round() as u64
    }
}

impl fmt::Display for EventRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Significant(self.0))
    }
}

/// Displays a number with about four significant digits, without exponents
/// and without trailing zeros.
#[derive(Debug, Clone, Copy)]
pub struct Significant(pub f64);

impl fmt::Display for Significant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if !value.is_finite() {
            return write!(f, "{value}");
        }
        let magnitude = value.abs();
        let decimals = if magnitude == 0.0 || magnitude >= 1000.0 {
            0
        } else {
            (3 - magnitude.log10().floor() as i32).clamp(0, 9) as usize
        };
        let text = format!("{value:.decimals$}");
        if text.contains('.') {
            f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
        } else {
            f.write_str(&text)
        }
    }
}

/// Displays a whole number with its digits in threes: `1,234,567`.
#[derive(Debug, Clone, Copy)]
pub struct Grouped(pub i64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.unsigned_abs().to_string();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// Displays a duration as its largest units: `300ms`, `1.5s`, `5m`, `1h30m`.
/// [`crate::units::duration::parse`] reads it back, to four digits of the
/// seconds.
#[derive(Debug, Clone, Copy)]
pub struct Pretty(pub Duration);

impl fmt::Display for Pretty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0;
        if total.is_zero() {
            return f.write_str("0s");
        }
        if total < Duration::from_secs(1) {
            return write!(f, "{}ms", Significant(total.as_secs_f64() * 1000.0));
        }
        let (hours, minutes) = (total.as_secs() / 3600, total.as_secs() % 3600 / 60);
        let seconds = (total.as_secs() % 60) as f64 + f64::from(total.subsec_nanos()) / 1e9;
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if seconds > 0.0 {
            write!(f, "{}s", Significant(seconds))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::units::duration;

    #[rstest]
    #[case::zero(0.0, 0.0)]
    #[case::demo(0.05, 52_428.8)]
    #[case::one(1.0, 1_048_576.0)]
    #[case::overflow(f64::MAX, f64::INFINITY)]
    fn a_megabyte_is_a_mebibyte(#[case] mb: f64, #[case] bytes: f64) {
        let rate = ByteRate::from_mb_per_second(mb);
        assert_eq!(rate.bytes_per_second(), bytes);
        if bytes.is_finite() {
            assert_eq!(rate.mb_per_second(), mb);
            assert_eq!(rate, ByteRate::from_bytes_per_second(bytes));
        }
    }

    #[rstest]
    #[case::no_time(Duration::ZERO, 0.0)]
    #[case::second(Duration::from_secs(1), 2_097_152.0)]
    #[case::part_of_a_second(Duration::from_millis(500), 1_048_576.0)]
    #[case::day(Duration::from_secs(86_400), 181_193_932_800.0)]
    fn bytes_pass_in_a_time(#[case] time: Duration, #[case] bytes: f64) {
        assert_eq!(ByteRate::from_mb_per_second(2.0).over(time), bytes);
    }

    #[rstest]
    #[case::zero(0.0, 0)]
    #[case::whole(1400.0, 1_400_000)]
    #[case::fraction(8.333, 8333)]
    #[case::rounded(0.333_333, 333)]
    #[case::below_the_grain(0.0004, 0)]
    #[case::negative(-1.0, 0)]
    #[case::not_a_number(f64::NAN, 0)]
    #[case::overflow(f64::MAX, u64::MAX)]
    fn k6_takes_whole_events_in_a_thousand_seconds(#[case] rate: f64, #[case] expected: u64) {
        assert_eq!(EventRate::per_second(rate).per_thousand_seconds(), expected);
    }

    #[test]
    fn events_happen_in_a_time() {
        assert_eq!(
            EventRate::per_second(2.5).over(Duration::from_secs(4)),
            10.0
        );
        assert_eq!(EventRate::per_second(2.5).over(Duration::ZERO), 0.0);
    }

    #[rstest]
    #[case::zero(0.0, "0")]
    #[case::small(0.05, "0.05")]
    #[case::rounded(1.234_56, "1.235")]
    #[case::negative(-1.5, "-1.5")]
    #[case::hundreds(123.46, "123.5")]
    #[case::thousands(52_428.8, "52429")]
    #[case::tiny(1e-12, "0")]
    #[case::huge(1e20, "100000000000000000000")]
    #[case::not_a_number(f64::NAN, "NaN")]
    #[case::infinite(f64::INFINITY, "inf")]
    fn four_digits_are_shown(#[case] value: f64, #[case] expected: &str) {
        assert_eq!(Significant(value).to_string(), expected);
    }

    #[test]
    fn rates_display_with_their_unit() {
        assert_eq!(ByteRate::from_mb_per_second(5.8).to_string(), "5.8 MB/s");
        assert_eq!(EventRate::per_second(0.5).to_string(), "0.5/s");
    }

    #[rstest]
    #[case::zero(Duration::ZERO, "0s")]
    #[case::nanosecond(Duration::from_nanos(1), "0.000001ms")]
    #[case::milliseconds(Duration::from_millis(300), "300ms")]
    #[case::fraction(Duration::from_millis(1500), "1.5s")]
    #[case::minutes(Duration::from_secs(300), "5m")]
    #[case::hours_and_minutes(Duration::from_secs(5400), "1h30m")]
    #[case::all_units(Duration::from_millis(3_661_500), "1h1m1.5s")]
    #[case::longest(Duration::from_secs(u64::MAX), "5124095576030431h15s")]
    fn a_duration_is_shown_and_read_back(#[case] time: Duration, #[case] expected: &str) {
        assert_eq!(Pretty(time).to_string(), expected);
        assert_eq!(duration::parse(expected), Ok(time));
    }
}
