//! A value that cannot be used: what was found and what would be right.

use std::fmt;

/// A flag or variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The flag or variable as the user gave it: `--duration` or `DURATION`.
    pub source: String,
    pub found: String,
    pub expected: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: found {}; expected {}",
            self.source, self.found, self.expected
        )
    }
}

/// Why a value is refused by what reads it, which knows no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct Unfit {
    /// Goes on after "which"; empty when what is expected says it all.
    pub which: String,
    pub expected: String,
}
