//! Units of checked values, and how a value in one of them is written.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BYTES_PER_MB, Grouped, Significant};

/// The unit of a value and of what it is compared with. As JSON, its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Unit {
    Seconds,
    Milliseconds,
    Bytes,
    BytesPerSecond,
    /// A share of 1.
    Ratio,
    /// What is counted (`spans`, `cores`), a user's own unit, or nothing at all.
    Other(Cow<'static, str>),
}

impl Unit {
    pub fn as_str(&self) -> &str {
        match self {
            Unit::Seconds => "s",
            Unit::Milliseconds => "ms",
            Unit::Bytes => "B",
            Unit::BytesPerSecond => "B/s",
            Unit::Ratio => "ratio",
            Unit::Other(text) => text,
        }
    }

    /// A number with this unit behind it.
    pub fn after(&self, number: impl fmt::Display) -> String {
        with_unit(number, self.as_str())
    }

    /// The value in the unit that fits its size.
    pub fn scaled(&self, value: f64) -> (f64, &str) {
        const MB: f64 = BYTES_PER_MB as f64;
        let size = value.abs();
        match self {
            Unit::Seconds if size > 0.0 && size < 0.001 => (value * 1e6, "µs"),
            Unit::Seconds if size > 0.0 && size < 1.0 => (value * 1e3, "ms"),
            Unit::Milliseconds if size >= 1000.0 => (value / 1e3, "s"),
            Unit::BytesPerSecond if size >= MB / 100.0 => (value / MB, "MB/s"),
            Unit::Bytes if size >= MB * 1024.0 => (value / MB / 1024.0, "GB"),
            Unit::Bytes if size >= MB / 100.0 => (value / MB, "MB"),
            Unit::Ratio => (value * 100.0, "%"),
            Unit::Other(word) if word == "bytes" && size >= MB / 100.0 => Unit::Bytes.scaled(value),
            _ => (value, self.as_str()),
        }
    }

    /// The value as a reader wants it: scaled, and rounded to four significant
    /// digits where it is no whole number.
    pub fn quantity(&self, value: f64) -> String {
        let (value, unit) = self.scaled(value);
        if value.fract() == 0.0 && value.abs() < 1e15 {
            with_unit(Grouped(value as i64), unit)
        } else {
            with_unit(Significant(value), unit)
        }
    }
}

/// A number with a unit behind it, if that is not empty.
pub fn with_unit(number: impl fmt::Display, unit: &str) -> String {
    if unit.is_empty() {
        number.to_string()
    } else {
        format!("{number} {unit}")
    }
}

impl From<&str> for Unit {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Unit {
    fn from(text: String) -> Self {
        match text.as_str() {
            "s" => Unit::Seconds,
            "ms" => Unit::Milliseconds,
            "B" => Unit::Bytes,
            "B/s" => Unit::BytesPerSecond,
            "ratio" => Unit::Ratio,
            _ => Unit::Other(text.into()),
        }
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.as_str().to_owned()
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

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
    #[case(2_147_483_648.0, "bytes", "2 GB")]
    #[case(100.0, "bytes", "100 bytes")]
    #[case(0.97, "ratio", "97 %")]
    #[case(0.0123, "ratio", "1.23 %")]
    #[case(1_234_567.0, "spans", "1,234,567 spans")]
    #[case(-1234.0, "spans", "-1,234 spans")]
    #[case(2.5, "", "2.5")]
    #[case(f64::INFINITY, "s", "inf s")]
    fn values_read_well(#[case] value: f64, #[case] unit: &str, #[case] expected: &str) {
        assert_eq!(Unit::from(unit).quantity(value), expected);
    }

    #[rstest]
    fn a_unit_is_its_text_as_json(
        #[values("s", "ms", "B", "B/s", "ratio", "spans", "", "bytes")] text: &str,
    ) {
        let json = serde_json::json!(text);
        assert_eq!(serde_json::json!(Unit::from(text)), json);
        assert_eq!(
            serde_json::from_value::<Unit>(json).ok(),
            Some(Unit::from(text))
        );
    }
}
