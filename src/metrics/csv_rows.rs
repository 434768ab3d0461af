//! `{profile}-metrics.csv`: one row a sample.

use std::io;

use super::collect::Collected;

/// The columns, in order; those of the Go program.
pub const COLUMNS: [&str; 7] = [
    "query_id",
    "metric_name",
    "category",
    "description",
    "timestamp",
    "value",
    "labels",
];

/// Writes all samples: times in RFC 3339 UTC, labels as a JSON object with
/// sorted keys, values finite or `NaN`, `+Inf`, `-Inf` as Prometheus writes
/// them. Fails when `out` does.
pub fn write_csv(collected: &Collected, out: impl io::Write) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(COLUMNS)?;
    for result in &collected.results {
        let query = &result.query;
        for series in result.series() {
            // A BTreeMap of text always becomes an object, in the order of keys.
            let labels = serde_json::to_string(&series.labels)
                .map_err(|error| csv::Error::from(io::Error::other(error)))?;
            for (at, value) in &series.samples {
                csv.write_record([
                    &query.id,
                    &query.name,
                    &query.category,
                    &query.description,
                    &at.to_string(),
                    &number(*value),
                    &labels,
                ])?;
            }
        }
    }
    csv.flush()?;
    Ok(())
}

fn number(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else if value.is_nan() {
        "NaN".into()
    } else if value > 0.0 {
        "+Inf".into()
    } else {
        "-Inf".into()
    }
}
