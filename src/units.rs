//! Quantities with their unit in the type. Nothing else in this crate passes
//! a bare `f64` from one module to another.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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

/// Displays a duration as its largest units: `300ms`, `1.5s`, `5m`, `1h30m`.
/// [`crate::settings::duration::parse`] reads it back.
#[derive(Debug, Clone, Copy)]
pub struct Pretty(pub Duration);

impl fmt::Display for Pretty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0;
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
