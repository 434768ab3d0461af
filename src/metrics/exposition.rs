//! Raw counters from a `/metrics` text, for checks that must count exactly:
//! `rate` and `increase` lose the first jump of a new series and extrapolate.
//!
//! Strict, unlike a scraper: a line that cannot be read is an error, because a
//! counter that is skipped would look like one that is zero.

use std::collections::BTreeMap;

use jiff::Timestamp;
use url::Url;

use super::prometheus_client::{ClientError, http_client, presentable};

/// Set once by client libraries; another value is another process.
const START_TIME: &str = "process_start_time_seconds";

type Labels = BTreeMap<String, String>;

/// The samples of one process at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct CounterSnapshot {
    pub at: Timestamp,
    /// By name, then by labels. Types are not kept: Tempo's receiver counters
    /// have no `_total`, and OpenMetrics calls them `unknown`.
    pub values: BTreeMap<String, BTreeMap<Labels, f64>>,
}

/// A line of `/metrics` that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the metrics: {problem}: {text:?}")]
pub struct ExpositionError {
    pub line: usize,
    pub problem: &'static str,
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{url}: no metrics")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("{url}: HTTP {status} instead of metrics")]
    Status { url: String, status: u16 },
    #[error("{url}: unreadable metrics")]
    Unreadable {
        url: String,
        source: ExpositionError,
    },
}

/// The process restarted between two snapshots: its counts are lost.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CounterWentBackwards {
    #[error("{series} went from {before} to {after}: the process restarted")]
    Decreased {
        series: String,
        before: f64,
        after: f64,
    },
    #[error("{series} was {before} and is gone: the process restarted")]
    Gone { series: String, before: f64 },
    #[error("the process started at {after} (Unix seconds), it was {before}: it restarted")]
    Restarted { before: f64, after: f64 },
    #[error("{series} is {value}, which is no count")]
    NotACount { series: String, value: f64 },
}

impl CounterSnapshot {
    /// Parses the text format, 0.0.4 or OpenMetrics.
    pub fn parse(text: &str, at: Timestamp) -> Result<Self, ExpositionError> {
        let mut values: BTreeMap<String, BTreeMap<Labels, f64>> = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let (name, labels, value) = sample(trimmed).map_err(|problem| ExpositionError {
                line: index + 1,
                problem,
                text: line.chars().take(200).collect(),
            })?;
            values.entry(name).or_default().insert(labels, value);
        }
        Ok(Self { at, values })
    }

    /// The same samples with a label that tells their process from others.
    pub fn of_instance(mut self, label: &str, value: &str) -> Self {
        for series in self.values.values_mut() {
            *series = std::mem::take(series)
                .into_iter()
                .map(|(mut labels, sample)| {
                    labels.insert(label.to_owned(), value.to_owned());
                    (labels, sample)
                })
                .collect();
        }
        self
    }

    /// The samples of several processes, which must differ in a label; as of the
    /// latest of them.
    pub fn merged(all: impl IntoIterator<Item = Self>) -> Self {
        let mut merged = Self {
            at: Timestamp::MIN,
            values: BTreeMap::new(),
        };
        for snapshot in all {
            merged.at = merged.at.max(snapshot.at);
            for (name, series) in snapshot.values {
                merged.values.entry(name).or_default().extend(series);
            }
        }
        merged
    }

    /// The sum of the series of `name` whose labels have all of `filters`;
    /// 0 when there is none, since vectors begin with their first event.
    pub fn sum(&self, name: &str, filters: &[(&str, &str)]) -> f64 {
        self.matching(name, filters).map(|(_, value)| value).sum()
    }

    /// Whether any series of `name` exists.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn matching<'a>(
        &'a self,
        name: &str,
        filters: &'a [(&str, &str)],
    ) -> impl Iterator<Item = (&'a Labels, f64)> {
        self.values
            .get(name)
            .into_iter()
            .flatten()
            .filter(|(labels, _)| {
                filters
                    .iter()
                    .all(|(key, value)| labels.get(*key).map_or("", String::as_str) == *value)
            })
            .map(|(labels, value)| (labels, *value))
    }
}

/// Fetches `url` and parses it. `at` is the time after the answer.
pub async fn scrape(url: &Url) -> Result<CounterSnapshot, ScrapeError> {
    const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
    let shown = presentable(url);
    let unreachable = |source: reqwest::Error| ScrapeError::Unreachable {
        url: shown.clone(),
        source: source.without_url(),
    };
    let response = http_client(url)?
        .get(url.clone())
        .timeout(TIMEOUT)
        .send()
        .await
        .map_err(unreachable)?;
    if !response.status().is_success() {
        return Err(ScrapeError::Status {
            status: response.status().as_u16(),
            url: shown,
        });
    }
    let text = response.text().await.map_err(unreachable)?;
    CounterSnapshot::parse(&text, Timestamp::now())
        .map_err(|source| ScrapeError::Unreadable { url: shown, source })
}

/// How much a counter grew, series by series; a series that is absent is 0.
/// A series that shrank or vanished, and a process with another start time,
/// are a restart: then the growth is not known.
pub fn delta(
    before: &CounterSnapshot,
    after: &CounterSnapshot,
    name: &str,
    filters: &[(&str, &str)],
) -> Result<f64, CounterWentBackwards> {
    restart(before, after)?;
    let earlier: BTreeMap<&Labels, f64> = before.matching(name, filters).collect();
    let later: BTreeMap<&Labels, f64> = after.matching(name, filters).collect();
    for (labels, value) in earlier.iter().chain(&later) {
        if !value.is_finite() {
            return Err(CounterWentBackwards::NotACount {
                series: series(name, labels),
                value: *value,
            });
        }
    }
    for (labels, value) in &earlier {
        match later.get(labels) {
            Some(now) if now < value => {
                return Err(CounterWentBackwards::Decreased {
                    series: series(name, labels),
                    before: *value,
                    after: *now,
                });
            }
            None if *value > 0.0 => {
                return Err(CounterWentBackwards::Gone {
                    series: series(name, labels),
                    before: *value,
                });
            }
            Some(_) | None => {}
        }
    }
    Ok(later
        .iter()
        .map(|(labels, value)| value - earlier.get(labels).copied().unwrap_or(0.0))
        .sum())
}

/// An error if the process behind the two snapshots is not the same. Finds
/// restarts after which the counters have already caught up.
pub fn restart(
    before: &CounterSnapshot,
    after: &CounterSnapshot,
) -> Result<(), CounterWentBackwards> {
    if before.has(START_TIME) && after.has(START_TIME) {
        let (then, now) = (before.sum(START_TIME, &[]), after.sum(START_TIME, &[]));
        // Derived from the boot time, it may move by a clock tick.
        if (then - now).abs() > 0.5 {
            return Err(CounterWentBackwards::Restarted {
                before: then,
                after: now,
            });
        }
    }
    Ok(())
}

fn series(name: &str, labels: &Labels) -> String {
    let labels: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}

/// `name{label="value",…} value [timestamp] [# exemplar]`
fn sample(line: &str) -> Result<(String, Labels, f64), &'static str> {
    let name_end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .ok_or("no value")?;
    if name_end == 0 || line.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("no metric name");
    }
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (Labels::new(), rest),
    };
    // An exemplar may follow the value in OpenMetrics.
    let mut words = rest.split('#').next().unwrap_or(rest).split_whitespace();
    let value = words
        .next()
        .ok_or("no value")?
        .parse()
        .map_err(|_| "the value is no number")?;
    if words
        .next()
        .is_some_and(|time| time.parse::<f64>().is_err())
    {
        return Err("the timestamp is no number");
    }
    if words.next().is_some() {
        return Err("something behind the timestamp");
    }
    Ok((name.to_owned(), labels, value))
}

/// Reads labels up to the closing brace, and returns what is behind it.
fn labels(mut rest: &str) -> Result<(Labels, &str), &'static str> {
    let mut labels = Labels::new();
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('}') {
            return Ok((labels, behind));
        }
        let (key, after) = rest.split_once('=').ok_or("a label without \"=\"")?;
        let quoted = after
            .trim_start()
            .strip_prefix('"')
            .ok_or("a label value without quotes")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next() {
                None => return Err("a label value without an end"),
                Some((position, '"')) => break position,
                Some((_, '\\')) => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped @ ('\\' | '"'))) => value.push(escaped),
                    Some(_) | None => return Err("an unknown escape in a label value"),
                },
                Some((_, other)) => value.push(other),
            }
        };
        if labels.insert(key.trim().to_owned(), value).is_some() {
            return Err("a label given twice");
        }
        rest = quoted[end + 1..].trim_start();
        rest = match rest.strip_prefix(',') {
            Some(behind) => behind,
            None if rest.starts_with('}') => rest,
            None => return Err("labels without a comma between them"),
        };
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn snapshot(text: &str) -> CounterSnapshot {
        CounterSnapshot::parse(text, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn labels_may_hold_commas_braces_equals_and_escapes() {
        let line = r#"m{a="x,y={z}",b="say \"hi\"\\\n",} 1.5e+06 1795397801000"#;
        let snapshot = snapshot(line);
        let (labels, value) = snapshot.values["m"].first_key_value().unwrap();
        assert_eq!(labels["a"], "x,y={z}");
        assert_eq!(labels["b"], "say \"hi\"\\\n");
        assert_eq!(*value, 1_500_000.0);
    }

    #[test]
    fn exemplars_and_special_values_are_read() {
        let snapshot =
            snapshot("# HELP a 1\na_total 17 # {trace_id=\"x\"} 0.5\nb +Inf\nc NaN\n# EOF\n");
        assert_eq!(snapshot.sum("a_total", &[]), 17.0);
        assert_eq!(snapshot.sum("b", &[]), f64::INFINITY);
        assert!(snapshot.sum("c", &[]).is_nan());
    }

    #[rstest]
    #[case("m", "no value")]
    #[case("m{a=\"b\"}", "no value")]
    #[case("m one", "the value is no number")]
    #[case("{a=\"b\"} 1", "no metric name")]
    #[case("m{a=\"b} 1", "a label value without an end")]
    #[case("m{a=b} 1", "a label value without quotes")]
    #[case("m{a=\"b\" c=\"d\"} 1", "labels without a comma between them")]
    #[case("m{a=\"b\",a=\"c\"} 1", "a label given twice")]
    #[case("m 1 2 3", "something behind the timestamp")]
    #[case("<html>", "no metric name")]
    fn unreadable_lines_are_errors(#[case] line: &str, #[case] problem: &str) {
        let text = format!("fine 1\n{line}\n");
        let error = CounterSnapshot::parse(&text, Timestamp::UNIX_EPOCH).unwrap_err();
        assert_eq!((error.line, error.problem), (2, problem));
    }

    #[test]
    fn a_filter_selects_series_and_absent_is_zero() {
        let before = snapshot("other 1");
        let after = snapshot("d{reason=\"rate_limited\"} 3\nd{reason=\"trace_too_large\"} 4");
        assert_eq!(delta(&before, &after, "d", &[]), Ok(7.0));
        assert_eq!(
            delta(&before, &after, "d", &[("reason", "rate_limited")]),
            Ok(3.0)
        );
        assert_eq!(delta(&before, &after, "e", &[]), Ok(0.0));
    }

    #[test]
    fn one_series_that_shrank_is_a_restart_even_if_the_sum_grew() {
        let before = snapshot("c{t=\"a\"} 5\nc{t=\"b\"} 5");
        let after = snapshot("c{t=\"a\"} 3\nc{t=\"b\"} 50");
        let error = delta(&before, &after, "c", &[]).unwrap_err();
        insta::assert_snapshot!(error, @r#"c{t="a"} went from 5 to 3: the process restarted"#);
    }

    #[test]
    fn a_series_that_vanished_is_a_restart() {
        let error = delta(&snapshot("c{t=\"a\"} 5"), &snapshot(""), "c", &[]).unwrap_err();
        insta::assert_snapshot!(error, @r#"c{t="a"} was 5 and is gone: the process restarted"#);
        assert_eq!(delta(&snapshot("c 0"), &snapshot(""), "c", &[]), Ok(0.0));
    }

    #[test]
    fn a_restart_shows_even_when_the_counter_has_caught_up() {
        let before = snapshot("c 5\nprocess_start_time_seconds 1.7953978014e+09");
        let after = snapshot("c 9\nprocess_start_time_seconds 1.7953979014e+09");
        let error = delta(&before, &after, "c", &[]).unwrap_err();
        insta::assert_snapshot!(error, @"the process started at 1795397901.4 (Unix seconds), it was 1795397801.4: it restarted");
    }

    #[test]
    fn counters_of_several_processes_are_told_apart_and_summed() {
        let of = |pod: &str, text: &str| snapshot(text).of_instance("pod", pod);
        let before = CounterSnapshot::merged([of("a", "c 5"), of("b", "c 7")]);
        let after = CounterSnapshot::merged([of("a", "c 6"), of("b", "c 9")]);
        assert_eq!(delta(&before, &after, "c", &[]), Ok(3.0));
        let replaced = CounterSnapshot::merged([of("a", "c 6"), of("c", "c 9")]);
        let error = delta(&before, &replaced, "c", &[]).unwrap_err();
        insta::assert_snapshot!(error, @r#"c{pod="b"} was 7 and is gone: the process restarted"#);
    }

    #[test]
    fn nan_is_no_count() {
        let error = delta(&snapshot("c 1"), &snapshot("c NaN"), "c", &[]).unwrap_err();
        insta::assert_snapshot!(error, @"c{} is NaN, which is no count");
    }
}
