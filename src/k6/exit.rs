//! What an exit code of k6 says.

/// SIGINT or SIGTERM, whoever sent it.
pub const STOPPED_BY_SIGNAL: i32 = 105;

/// Why k6 ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0.
    Finished,
    /// 99: a bound of the load was crossed. The summary is complete.
    ThresholdsCrossed,
    /// Any other code: what was to be measured was not.
    Broken { code: i32, why: &'static str },
}

impl Exit {
    /// By k6's `errext/exitcodes`.
    pub fn from_code(code: i32) -> Self {
        let why = match code {
            0 => return Self::Finished,
            99 => return Self::ThresholdsCrossed,
            100 => "setup did not end in time",
            101 => "teardown did not end in time",
            102 => "a timeout",
            103 => "stopped through the REST API",
            104 => "invalid configuration",
            STOPPED_BY_SIGNAL => "stopped by a signal",
            106 => "the REST API could not be started",
            107 => "an exception in the script",
            108 => "the script ended the run itself",
            109 => "a panic inside k6",
            110 => "the script marked the run as failed",
            255 => "an error before the run, see its log",
            _ => "an unknown reason",
        };
        Self::Broken { code, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_99_is_a_crossed_threshold() {
        assert_eq!(Exit::from_code(0), Exit::Finished);
        assert_eq!(Exit::from_code(99), Exit::ThresholdsCrossed);
        for code in [1, 97, 100, 104, 105, 107, 108, 109, 255] {
            assert!(
                matches!(Exit::from_code(code), Exit::Broken { .. }),
                "{code}"
            );
        }
    }
}
