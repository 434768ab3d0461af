//! Runs the catalogue against a Prometheus.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::catalogue::{Catalogue, CatalogueQuery, QueryKind, Variables};
use super::prometheus_client::PrometheusClient;
use super::query_answer::{Answer, Series};
use crate::error_chain::chain;
use crate::promql_variables::substitute;
use crate::settings::Target;

/// Everything that the catalogue asked and was told, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    pub target: Target,
    pub start: Timestamp,
    pub end: Timestamp,
    pub step: Duration,
    pub results: Vec<QueryResult>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    pub query: CatalogueQuery,
    pub outcome: QueryOutcome,
}

#[derive(Debug, Clone, PartialEq)]
pub enum QueryOutcome {
    /// No series at all is an answer, too.
    Answered {
        expression: String,
        answer: Answer,
    },
    /// With the whole chain of causes.
    Failed(String),
    NotOnThisTarget,
}

impl QueryResult {
    /// The series of the answer; none when it failed or was not asked.
    pub fn series(&self) -> &[Series] {
        match &self.outcome {
            QueryOutcome::Answered { answer, .. } => &answer.series,
            QueryOutcome::Failed(_) | QueryOutcome::NotOnThisTarget => &[],
        }
    }

    pub fn sample_count(&self) -> usize {
        self.series()
            .iter()
            .map(|series| series.samples.len())
            .sum()
    }
}

impl Collected {
    /// The queries that failed, each with its reason.
    pub fn failures(&self) -> impl Iterator<Item = (&CatalogueQuery, &str)> {
        self.results
            .iter()
            .filter_map(|result| match &result.outcome {
                QueryOutcome::Failed(reason) => Some((&result.query, reason.as_str())),
                QueryOutcome::Answered { .. } | QueryOutcome::NotOnThisTarget => None,
            })
    }
}

/// Asks all queries of the catalogue that apply to `target`, at most
/// `concurrency` at a time. A query that fails is recorded and stops nothing.
/// `${window}` and `${step}` are added to `variables`.
pub async fn collect(
    client: &PrometheusClient,
    catalogue: &Catalogue,
    target: Target,
    variables: &Variables,
    (start, end): (Timestamp, Timestamp),
    step: Duration,
    concurrency: usize,
) -> Collected {
    let mut variables = variables.clone();
    let window = end.duration_since(start);
    variables.insert("window".into(), promql_duration(window.unsigned_abs()));
    variables.insert("step".into(), promql_duration(step));
    let variables = Arc::new(variables);

    // Owned futures, and the index beside each: `buffered` alone would hold
    // back later queries behind a slow one.
    let questions: Vec<_> = catalogue
        .queries
        .iter()
        .cloned()
        .enumerate()
        .map(|(index, query)| {
            let client = client.clone();
            let variables = Arc::clone(&variables);
            async move {
                let outcome = ask(&client, &query, target, &variables, (start, end), step).await;
                (index, QueryResult { query, outcome })
            }
        })
        .collect();
    let mut results: Vec<(usize, QueryResult)> = stream::iter(questions)
        .buffer_unordered(concurrency.max(1))
        .collect()
        .await;
    results.sort_by_key(|(index, _)| *index);
    Collected {
        target,
        start,
        end,
        step,
        results: results.into_iter().map(|(_, result)| result).collect(),
    }
}

async fn ask(
    client: &PrometheusClient,
    query: &CatalogueQuery,
    target: Target,
    variables: &Variables,
    (start, end): (Timestamp, Timestamp),
    step: Duration,
) -> QueryOutcome {
    if !query.targets.contains(&target) {
        return QueryOutcome::NotOnThisTarget;
    }
    let expression = match substitute(&query.expr, variables) {
        Ok(expression) => expression,
        Err(error) => return QueryOutcome::Failed(error.to_string()),
    };
    let answer = match query.kind {
        QueryKind::Range => client.query_range(&expression, start, end, step).await,
        QueryKind::Instant => client.query(&expression, end).await,
    };
    match answer {
        Ok(answer) => QueryOutcome::Answered { expression, answer },
        Err(error) => QueryOutcome::Failed(chain(&error)),
    }
}

/// A step for the range queries over `window`: at least `finest` (the scrape
/// interval), and whole seconds so long that a series has 2,000 points at most;
/// Prometheus refuses more than 11,000.
pub fn step_for(window: Duration, finest: Duration) -> Duration {
    const MOST_POINTS: f64 = 2000.0;
    let coarse = Duration::from_secs((window.as_secs_f64() / MOST_POINTS).ceil() as u64);
    coarse.max(finest).max(Duration::from_secs(1))
}

/// Milliseconds, so that nothing is lost; PromQL knows no fractions of a unit.
fn promql_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis().max(1);
    if milliseconds.is_multiple_of(1000) {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::short(15, 1, 1)]
    #[case::five_minutes(300, 1, 1)]
    #[case::hour(3600, 1, 2)]
    #[case::day(86_400, 1, 44)]
    #[case::slow_scrape(300, 30, 30)]
    fn steps_keep_the_number_of_points_bounded(
        #[case] window: u64,
        #[case] finest: u64,
        #[case] expected: u64,
    ) {
        assert_eq!(
            step_for(Duration::from_secs(window), Duration::from_secs(finest)),
            Duration::from_secs(expected)
        );
    }

    #[rstest]
    #[case(Duration::from_secs(60), "60s")]
    #[case(Duration::from_millis(15_250), "15250ms")]
    #[case(Duration::ZERO, "1ms")]
    fn durations_are_promql(#[case] duration: Duration, #[case] expected: &str) {
        assert_eq!(promql_duration(duration), expected);
    }
}
