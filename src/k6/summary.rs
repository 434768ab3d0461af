//! k6's summary, as `handleSummary` wrote it: typed, and never a zero that k6
//! did not report.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum SummaryError {
    #[error("k6's summary is not JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// Its shape is not that of k6 1.8 to 2.2.
    #[error("k6's summary: {at} must be {expected}, found {found}")]
    Shape {
        at: String,
        expected: &'static str,
        found: String,
    },
    /// The run's thresholds did not name it, or k6 dropped it.
    #[error("k6's summary has no {kind} {name}")]
    Absent { kind: &'static str, name: String },
}

/// The end-of-run numbers of one k6.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Setup included.
    #[serde(rename = "duration_seconds", serialize_with = "as_seconds")]
    pub duration: Duration,
    pub trends: BTreeMap<String, Trend>,
    pub counters: BTreeMap<String, Counter>,
    pub rates: BTreeMap<String, Rate>,
    pub gauges: BTreeMap<String, Gauge>,
    /// Metric and expression, as in the script's options.
    pub thresholds: Vec<Threshold>,
}

/// Of a trend without samples only the count means anything: 0. As JSON, values
/// that are times have keys that end in `_ms`.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    pub count: u64,
    /// Whether the values are times, which are in milliseconds.
    pub is_time: bool,
    pub min: f64,
    pub avg: f64,
    pub max: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    /// Percentiles that only a threshold asked for, as k6 names them: `p(99.9)`.
    pub further: BTreeMap<String, f64>,
}

impl Serialize for Trend {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unit = if self.is_time { "_ms" } else { "" };
        let named = [
            ("min", self.min),
            ("avg", self.avg),
            ("max", self.max),
            ("p50", self.p50),
            ("p90", self.p90),
            ("p95", self.p95),
            ("p99", self.p99),
        ];
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("count", &self.count)?;
        for (name, value) in named {
            map.serialize_entry(&format!("{name}{unit}"), &value)?;
        }
        for (name, value) in &self.further {
            // `p(99.9)` becomes `p99.9_ms`.
            let name = name.replace(['(', ')'], "");
            map.serialize_entry(&format!("{name}{unit}"), value)?;
        }
        map.end()
    }
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Trend {
    /// The value at a percentile, if the summary has it.
    pub fn percentile(&self, rank: f64) -> Option<f64> {
        match rank {
            50.0 => Some(self.p50),
            90.0 => Some(self.p90),
            95.0 => Some(self.p95),
            99.0 => Some(self.p99),
            _ => self.further.get(&format!("p({rank})")).copied(),
        }
    }

    /// Seconds of a value of a time trend.
    pub fn seconds(milliseconds: f64) -> f64 {
        milliseconds / 1000.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Counter {
    pub count: f64,
    /// Over the whole run with set-up, so no rate of the load: not written.
    #[serde(skip)]
    pub per_second: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Samples that were true; for `operation_failed`, failures.
    pub hits: u64,
    pub misses: u64,
}

impl Rate {
    /// Absent when there was no sample.
    pub fn share(&self) -> Option<f64> {
        let total = self.hits + self.misses;
        (total > 0).then(|| self.hits as f64 / total as f64)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gauge {
    /// Whether the values are times, which are in milliseconds.
    pub is_time: bool,
    pub value: f64,
    pub min: f64,
    pub max: f64,
}

impl Serialize for Gauge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unit = if self.is_time { "_ms" } else { "" };
        let mut map = serializer.serialize_map(Some(3))?;
        for (name, value) in [("value", self.value), ("min", self.min), ("max", self.max)] {
            map.serialize_entry(&format!("{name}{unit}"), &value)?;
        }
        map.end()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Threshold {
    pub metric: String,
    pub expression: String,
    pub ok: bool,
}

impl Summary {
    pub fn parse(text: &str) -> Result<Self, SummaryError> {
        let root: Value = serde_json::from_str(text).map_err(SummaryError::NotJson)?;
        let root = Node {
            value: &root,
            at: "$".to_owned(),
        };
        let milliseconds = root.get("state")?.get("testRunDurationMs")?.number()?;
        let mut summary = Self {
            duration: Duration::try_from_secs_f64(milliseconds / 1000.0)
                .map_err(|_| root.wrong("a duration", &milliseconds.to_string()))?,
            trends: BTreeMap::new(),
            counters: BTreeMap::new(),
            rates: BTreeMap::new(),
            gauges: BTreeMap::new(),
            thresholds: Vec::new(),
        };
        for (name, metric) in root.get("metrics")?.entries()? {
            summary.add(name, &metric)?;
        }
        Ok(summary)
    }

    fn add(&mut self, name: &str, metric: &Node<'_>) -> Result<(), SummaryError> {
        let values = metric.get("values")?;
        match metric.get("type")?.text()? {
            "trend" => {
                let trend = Trend {
                    count: values.get("count")?.count()?,
                    is_time: metric.get("contains")?.text()? == "time",
                    min: values.get("min")?.number()?,
                    avg: values.get("avg")?.number()?,
                    max: values.get("max")?.number()?,
                    p50: values.get("p(50)")?.number()?,
                    p90: values.get("p(90)")?.number()?,
                    p95: values.get("p(95)")?.number()?,
                    p99: values.get("p(99)")?.number()?,
                    further: further_percentiles(&values)?,
                };
                self.trends.insert(name.to_owned(), trend);
            }
            "counter" => {
                let counter = Counter {
                    count: values.get("count")?.number()?,
                    per_second: values.get("rate")?.number()?,
                };
                self.counters.insert(name.to_owned(), counter);
            }
            "rate" => {
                let rate = Rate {
                    hits: values.get("passes")?.count()?,
                    misses: values.get("fails")?.count()?,
                };
                self.rates.insert(name.to_owned(), rate);
            }
            "gauge" => {
                let gauge = Gauge {
                    is_time: metric.get("contains")?.text()? == "time",
                    value: values.get("value")?.number()?,
                    min: values.get("min")?.number()?,
                    max: values.get("max")?.number()?,
                };
                self.gauges.insert(name.to_owned(), gauge);
            }
            other => {
                return Err(metric
                    .get("type")?
                    .wrong("trend, counter, rate or gauge", other));
            }
        }
        if metric.value.get("thresholds").is_some() {
            for (expression, threshold) in metric.get("thresholds")?.entries()? {
                self.thresholds.push(Threshold {
                    metric: name.to_owned(),
                    expression: expression.to_owned(),
                    ok: threshold.get("ok")?.boolean()?,
                });
            }
        }
        Ok(())
    }

    pub fn counter(&self, name: &str) -> Result<Counter, SummaryError> {
        find(&self.counters, "counter", name)
    }

    pub fn rate(&self, name: &str) -> Result<Rate, SummaryError> {
        find(&self.rates, "rate", name)
    }

    pub fn gauge(&self, name: &str) -> Result<Gauge, SummaryError> {
        find(&self.gauges, "gauge", name)
    }

    /// Whether there is something that a threshold on the metric can judge; k6
    /// passes any threshold on a metric without samples.
    ///
    /// Trends and rates must have a sample: there is no percentile and no share
    /// of nothing. A counter need only be there, since the sum of no samples is
    /// 0: k6 touches `dropped_iterations` only when it drops one, and
    /// `count==0` is the wish that it never does. A gauge need only be there as
    /// well: k6 does not tell how often it was set.
    ///
    /// # Errors
    /// The summary does not list the metric.
    pub fn is_measured(&self, name: &str) -> Result<bool, SummaryError> {
        if let Some(trend) = self.trends.get(name) {
            return Ok(trend.count > 0);
        }
        if let Some(rate) = self.rates.get(name) {
            return Ok(rate.share().is_some());
        }
        if self.counters.contains_key(name) || self.gauges.contains_key(name) {
            return Ok(true);
        }
        Err(SummaryError::Absent {
            kind: "metric",
            name: name.to_owned(),
        })
    }
}

/// The percentiles of a trend beyond those that every summary has.
fn further_percentiles(values: &Node<'_>) -> Result<BTreeMap<String, f64>, SummaryError> {
    const ALWAYS: [&str; 4] = ["p(50)", "p(90)", "p(95)", "p(99)"];
    values
        .entries()?
        .into_iter()
        .filter(|(name, _)| name.starts_with("p(") && !ALWAYS.contains(name))
        .map(|(name, value)| Ok((name.to_owned(), value.number()?)))
        .collect()
}

fn find<T: Clone>(
    metrics: &BTreeMap<String, T>,
    kind: &'static str,
    name: &str,
) -> Result<T, SummaryError> {
    metrics
        .get(name)
        .cloned()
        .ok_or_else(|| SummaryError::Absent {
            kind,
            name: name.to_owned(),
        })
}

/// A JSON value that knows where it is.
struct Node<'a> {
    value: &'a Value,
    at: String,
}

impl<'a> Node<'a> {
    fn wrong(&self, expected: &'static str, found: &str) -> SummaryError {
        SummaryError::Shape {
            at: self.at.clone(),
            expected,
            found: found.to_owned(),
        }
    }

    fn mismatch(&self, expected: &'static str) -> SummaryError {
        let mut found = self.value.to_string();
        if let Some((end, _)) = found.char_indices().nth(60) {
            found.truncate(end);
            found.push('…');
        }
        self.wrong(expected, &found)
    }

    fn get(&self, key: &str) -> Result<Node<'a>, SummaryError> {
        let at = if key.contains(['.', '{', '(']) {
            format!("{}[\"{key}\"]", self.at)
        } else {
            format!("{}.{key}", self.at)
        };
        match self.value.get(key) {
            Some(value) => Ok(Node { value, at }),
            None => Err(SummaryError::Shape {
                at,
                expected: "there",
                found: "nothing".to_owned(),
            }),
        }
    }

    fn entries(&self) -> Result<Vec<(&'a str, Node<'a>)>, SummaryError> {
        let object = self
            .value
            .as_object()
            .ok_or_else(|| self.mismatch("an object"))?;
        Ok(object
            .iter()
            .map(|(key, value)| {
                let at = format!("{}[\"{key}\"]", self.at);
                (key.as_str(), Node { value, at })
            })
            .collect())
    }

    fn number(&self) -> Result<f64, SummaryError> {
        self.value
            .as_f64()
            .filter(|number| number.is_finite())
            .ok_or_else(|| self.mismatch("a number"))
    }

    fn count(&self) -> Result<u64, SummaryError> {
        let number = self.number()?;
        if number < 0.0 || number.fract() != 0.0 {
            return Err(self.mismatch("a whole number of samples"));
        }
        Ok(number as u64)
    }

    fn text(&self) -> Result<&'a str, SummaryError> {
        self.value.as_str().ok_or_else(|| self.mismatch("a text"))
    }

    fn boolean(&self) -> Result<bool, SummaryError> {
        self.value
            .as_bool()
            .ok_or_else(|| self.mismatch("true or false"))
    }
}
