//! Prometheus's answers to `/api/v1/query` and `/api/v1/query_range`, as values.
//! The format is that of <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// One time series of an answer; an instant query gives one sample each.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    pub samples: Vec<(Timestamp, f64)>,
}

/// The series of a query and what Prometheus had to say about them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    pub series: Vec<Series>,
    /// Reasons to doubt the series: parts missing (Thanos), mixed types.
    pub warnings: Vec<String>,
}

/// Why a body is not a usable answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadAnswer {
    /// Prometheus's own words.
    #[error("{kind}: {message}")]
    Refused { kind: String, message: String },
    #[error("not an answer of Prometheus ({problem}): {excerpt}")]
    Malformed { problem: String, excerpt: String },
    #[error(
        "the result is a {0}, not numbers; wrap a native histogram in histogram_quantile or histogram_count"
    )]
    NotNumbers(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status: String,
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<InstantSeries>),
    Matrix(Vec<RangeSeries>),
    Scalar(RawSample),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct InstantSeries {
    metric: BTreeMap<String, String>,
    value: Option<RawSample>,
}

#[derive(Deserialize)]
struct RangeSeries {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<RawSample>,
    histograms: Option<serde::de::IgnoredAny>,
}

/// Unix seconds with a fraction, and the value as text because JSON has
/// neither NaN nor infinities.
#[derive(Deserialize)]
struct RawSample(f64, String);

impl Answer {
    /// Reads the body of an answer, whatever its HTTP status: refusals carry
    /// their reason in the same envelope.
    pub fn parse(body: &[u8]) -> Result<Self, BadAnswer> {
        let malformed = |problem: String| BadAnswer::Malformed {
            problem,
            excerpt: excerpt(body),
        };
        let envelope: Envelope =
            serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
        if envelope.status != "success" {
            return Err(BadAnswer::Refused {
                kind: envelope.error_type.unwrap_or(envelope.status),
                message: envelope.error.unwrap_or_else(|| "no reason given".into()),
            });
        }
        let series = match envelope.data {
            None => return Err(malformed("success without data".into())),
            Some(Data::String(_)) => return Err(BadAnswer::NotNumbers("string")),
            Some(Data::Scalar(raw)) => vec![Series {
                labels: BTreeMap::new(),
                samples: vec![sample(&raw).map_err(malformed)?],
            }],
            Some(Data::Vector(vector)) => vector
                .into_iter()
                .map(|series| {
                    let raw = series
                        .value
                        .ok_or(BadAnswer::NotNumbers("native histogram"))?;
                    Ok(Series {
                        labels: series.metric,
                        samples: vec![sample(&raw).map_err(malformed)?],
                    })
                })
                .collect::<Result<_, BadAnswer>>()?,
            Some(Data::Matrix(matrix)) => matrix
                .into_iter()
                .map(|series| {
                    if series.histograms.is_some() {
                        return Err(BadAnswer::NotNumbers("native histogram"));
                    }
                    Ok(Series {
                        labels: series.metric,
                        samples: series
                            .values
                            .iter()
                            .map(sample)
                            .collect::<Result<_, String>>()
                            .map_err(malformed)?,
                    })
                })
                .collect::<Result<_, BadAnswer>>()?,
        };
        // Before 3.0, Prometheus mixed hints on style into the warnings.
        let warnings = envelope
            .warnings
            .into_iter()
            .filter(|warning| !warning.starts_with("PromQL info:"))
            .collect();
        Ok(Self { series, warnings })
    }
}

fn sample(raw: &RawSample) -> Result<(Timestamp, f64), String> {
    let RawSample(seconds, text) = raw;
    let at = Timestamp::from_millisecond((seconds * 1000.0).round() as i64)
        .map_err(|error| format!("timestamp {seconds}: {error}"))?;
    // Go writes `NaN`, `+Inf` and `-Inf`, all of which Rust reads.
    let value = text
        .parse()
        .map_err(|error| format!("value {text:?}: {error}"))?;
    Ok((at, value))
}

/// The start of a body for a message; a proxy may answer with a whole page.
pub(super) fn excerpt(body: &[u8]) -> String {
    const LONGEST: usize = 300;
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return "(empty body)".into();
    }
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Answer, BadAnswer> {
        Answer::parse(body.as_bytes())
    }

    #[test]
    fn a_matrix_keeps_labels_and_fractions_of_seconds() {
        let answer = parse(
            r#"{"status":"success","data":{"resultType":"matrix","result":[
                {"metric":{"op":"search"},"values":[[1795397801.5,"0.25"],[1795397802,"NaN"],[1795397803,"+Inf"]]}]}}"#,
        )
        .unwrap();
        let [series] = answer.series.as_slice() else {
            panic!("expected one series, got {:?}", answer.series);
        };
        assert_eq!(series.labels["op"], "search");
        assert_eq!(series.samples[0].0.as_millisecond(), 1_795_397_801_500);
        assert_eq!(series.samples[0].1, 0.25);
        assert!(series.samples[1].1.is_nan());
        assert_eq!(series.samples[2].1, f64::INFINITY);
    }

    #[test]
    fn a_scalar_is_one_series_without_labels() {
        let answer = parse(
            r#"{"status":"success","data":{"resultType":"scalar","result":[1795397801,"2"]}}"#,
        )
        .unwrap();
        assert_eq!(answer.series.len(), 1);
        assert_eq!(answer.series[0].samples[0].1, 2.0);
    }

    #[test]
    fn a_native_histogram_is_not_taken_for_an_empty_series() {
        let vector = parse(
            r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{},"histogram":[1795397801,{"count":"1","sum":"2","buckets":[]}]}]}}"#,
        );
        assert_eq!(vector, Err(BadAnswer::NotNumbers("native histogram")));
        let matrix = parse(
            r#"{"status":"success","data":{"resultType":"matrix","result":[
                {"metric":{},"histograms":[[1795397801,{"count":"1","sum":"2","buckets":[]}]]}]}}"#,
        );
        assert_eq!(matrix, Err(BadAnswer::NotNumbers("native histogram")));
    }

    #[test]
    fn a_refusal_is_in_the_words_of_prometheus() {
        let error = parse(
            r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\": 1:5: parse error: unexpected end of input"}"#,
        )
        .unwrap_err();
        insta::assert_snapshot!(error, @r#"bad_data: invalid parameter "query": 1:5: parse error: unexpected end of input"#);
    }

    #[test]
    fn what_is_not_prometheus_says_so_and_shows_its_start() {
        let error = parse("<html>Log in</html>").unwrap_err();
        insta::assert_snapshot!(error, @"not an answer of Prometheus (expected value at line 1 column 1): <html>Log in</html>");
        let error = parse(r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"a lot"]}]}}"#).unwrap_err();
        insta::assert_snapshot!(error, @r#"not an answer of Prometheus (value "a lot": invalid float literal): {"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"a lot"]}]}}"#);
    }

    #[test]
    fn hints_are_not_warnings() {
        let answer = parse(
            r#"{"status":"success","warnings":["PromQL info: metric might not be a counter","fetch from store b: timeout"],
                "data":{"resultType":"vector","result":[]}}"#,
        )
        .unwrap();
        assert_eq!(answer.warnings, ["fetch from store b: timeout"]);
    }
}
