//! What the scripts and k6 say in the log, line by line.
//!
//! Lines of the scripts begin with `tempo-perf/KIND` and go on with `key=value`
//! words; text values are percent-encoded, so that no value holds a space.

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything of interest in a log.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct K6Log {
    /// Requests of traces that Tempo did not accept.
    pub not_accepted: Vec<NotAccepted>,
    /// Traces that were not read back as they were sent.
    pub readback: Vec<ReadbackFinding>,
    /// Exceptions in iterations, the first few of each VU.
    pub exceptions: Vec<String>,
    /// Failed queries, the first few of each VU.
    pub failed_queries: Vec<String>,
    /// Flushes that Prometheus did not take.
    pub remote_write_failures: u64,
    /// Of k6's last progress line.
    pub iterations: Option<IterationCount>,
    /// Lines of this module's own prefix that make no sense.
    pub unreadable: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotAccepted {
    pub request: u64,
    pub first_trace: u64,
    pub traces: u64,
    /// 0 when there was no answer.
    pub status: u16,
    /// One of [`super::load::REFUSAL_REASONS`].
    pub reason: String,
    /// Error text, or the beginning of the answer.
    pub text: String,
}

impl NotAccepted {
    /// Numbers of its traces.
    pub fn traces(&self) -> std::ops::Range<u64> {
        self.first_trace..self.first_trace + self.traces
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadbackFinding {
    pub kind: ReadbackKind,
    pub trace: u64,
    pub trace_id: String,
    /// What differs.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadbackKind {
    Missing,
    Partial,
    Altered,
    /// The query failed: neither found nor missing.
    Unreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct IterationCount {
    pub complete: u64,
    pub interrupted: u64,
}

const PREFIX: &str = "tempo-perf/";

/// Reads a whole log, stdout and stderr of k6 in any order.
pub fn parse(text: &str) -> K6Log {
    let mut log = K6Log::default();
    for line in text.lines() {
        if let Some(at) = line.find(PREFIX) {
            if read_own(&line[at + PREFIX.len()..], &mut log).is_none() {
                log.unreadable.push(line.to_owned());
            }
        } else if line.contains("output=\"Prometheus remote write\"")
            && line.contains("level=error")
        {
            log.remote_write_failures += 1;
        } else if let Some(count) = iteration_count(line) {
            log.iterations = Some(count);
        }
    }
    log
}

fn read_own(rest: &str, log: &mut K6Log) -> Option<()> {
    // In logfmt the message is quoted; the quote ends it.
    let rest = rest.split('"').next()?;
    let mut words = rest.split_whitespace();
    let kind = words.next()?;
    let values: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
    let number = |key: &str| values.get(key)?.parse::<u64>().ok();
    let text = |key: &str| values.get(key).map(|value| decode(value));
    match kind {
        "not-accepted" => log.not_accepted.push(NotAccepted {
            request: number("request")?,
            first_trace: number("first")?,
            traces: number("traces")?,
            status: u16::try_from(number("status")?).ok()?,
            reason: text("reason")?,
            text: text("text")?,
        }),
        "readback" => log.readback.push(ReadbackFinding {
            kind: match *values.get("kind")? {
                "missing" => ReadbackKind::Missing,
                "partial" => ReadbackKind::Partial,
                "altered" => ReadbackKind::Altered,
                "unreadable" => ReadbackKind::Unreadable,
                _ => return None,
            },
            trace: number("n")?,
            trace_id: text("id")?,
            text: text("text")?,
        }),
        "exception" => log.exceptions.push(text("text")?),
        "query-failed" => log.failed_queries.push(format!(
            "{} {}: {}",
            text("query")?,
            number("status")?,
            text("text")?
        )),
        _ => return None,
    }
    Some(())
}

/// `… 100 complete and 0 interrupted iterations`.
fn iteration_count(line: &str) -> Option<IterationCount> {
    let (before, after) = line.split_once(" complete and ")?;
    let interrupted = after.strip_suffix(" interrupted iterations").or_else(|| {
        after
            .split_once(" interrupted iterations")
            .map(|(number, _)| number)
    })?;
    Some(IterationCount {
        complete: before.rsplit([' ', ',']).next()?.parse().ok()?,
        interrupted: interrupted.parse().ok()?,
    })
}

/// Undoes `encodeURIComponent`; what is no valid escape stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escape {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_is_read_from_logfmt() {
        let log = parse(
            r#"time="2026-11-23T06:26:11Z" level=warning msg="tempo-perf/not-accepted request=12 first=84 traces=7 status=429 reason=429 text=RATE_LIMITED%3A%20%22x%22" source=console"#,
        );
        assert_eq!(
            log.not_accepted,
            [NotAccepted {
                request: 12,
                first_trace: 84,
                traces: 7,
                status: 429,
                reason: "429".to_owned(),
                text: "RATE_LIMITED: \"x\"".to_owned(),
            }]
        );
        assert!(log.unreadable.is_empty());
    }

    #[test]
    fn a_finding_names_the_trace_and_what_differs() {
        let log = parse("tempo-perf/readback kind=altered n=5 id=00ff text=token%20a%2C%20not%20b");
        assert_eq!(log.readback[0].kind, ReadbackKind::Altered);
        assert_eq!(log.readback[0].trace, 5);
        assert_eq!(log.readback[0].text, "token a, not b");
    }

    #[test]
    fn the_last_iteration_count_wins() {
        let log = parse(
            "running (0m01.0s), 00/10 VUs, 10 complete and 2 interrupted iterations\n\
             running (0m02.0s), 00/10 VUs, 100 complete and 0 interrupted iterations\n",
        );
        let expected = IterationCount {
            complete: 100,
            interrupted: 0,
        };
        assert_eq!(log.iterations, Some(expected));
    }

    #[test]
    fn an_own_line_that_makes_no_sense_is_kept() {
        let log = parse("tempo-perf/not-accepted request=x\ntempo-perf/unknown a=b\n");
        assert_eq!(log.unreadable.len(), 2);
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(decode("50%"), "50%");
        assert_eq!(decode("%zz%41"), "%zzA");
    }
}
