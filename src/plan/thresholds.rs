//! Bounds and units of k6 threshold expressions.

use crate::profile::threshold::{self, Aggregation, Comparator};
use crate::verdict::Bound;

/// What `expression` on `metric` demands. k6 knows times in milliseconds,
/// data in bytes, and rates as shares of 1.
pub fn bound_and_unit(metric: &str, expression: &str) -> (Bound, String) {
    let none = Bound {
        min: None,
        max: None,
        exclusive: false,
    };
    let Ok(parsed) = threshold::parse(expression) else {
        // Profiles are checked when they are read; k6 has the last word.
        return (none, String::new());
    };
    let limit = Some(parsed.bound);
    let bound = match parsed.comparator {
        Comparator::Less => Bound {
            max: limit,
            exclusive: true,
            ..none
        },
        Comparator::LessOrEqual => Bound { max: limit, ..none },
        Comparator::Greater => Bound {
            min: limit,
            exclusive: true,
            ..none
        },
        Comparator::GreaterOrEqual => Bound { min: limit, ..none },
        Comparator::Equal => Bound {
            min: limit,
            max: limit,
            ..none
        },
        // Nothing that a bound can say; the expression does.
        Comparator::NotEqual => none,
    };
    (bound, unit(metric, parsed.aggregation).to_string())
}

fn unit(metric: &str, aggregation: Aggregation) -> &'static str {
    let name = metric.split('{').next().unwrap_or(metric);
    let time = matches!(
        name,
        "iteration_duration" | "group_duration" | "schedule_lag"
    ) || name
        .strip_prefix("http_req_")
        .is_some_and(|part| part != "failed");
    match aggregation {
        Aggregation::Count => "",
        Aggregation::Rate if name.ends_with("_failed") || name == "checks" => "ratio",
        Aggregation::Rate => "per s",
        _ if time => "ms",
        _ if name.starts_with("data_") => "B",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::latency(
        "http_req_duration{op:search}",
        "p(95)<2000",
        None,
        Some(2000.0),
        true,
        "ms"
    )]
    #[case::failures(
        "operation_failed{op:push}",
        "rate<=0.01",
        None,
        Some(0.01),
        false,
        "ratio"
    )]
    #[case::at_least("iterations", "count>=10", Some(10.0), None, false, "")]
    #[case::rate_of_a_counter("http_reqs", "rate>5", Some(5.0), None, true, "per s")]
    #[case::exactly("dropped_iterations", "count==0", Some(0.0), Some(0.0), false, "")]
    fn thresholds_become_bounds(
        #[case] metric: &str,
        #[case] expression: &str,
        #[case] min: Option<f64>,
        #[case] max: Option<f64>,
        #[case] exclusive: bool,
        #[case] unit: &str,
    ) {
        let expected = (
            Bound {
                min,
                max,
                exclusive,
            },
            unit.to_string(),
        );
        assert_eq!(bound_and_unit(metric, expression), expected);
    }
}
