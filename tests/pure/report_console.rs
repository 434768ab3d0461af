//! The words and columns that a reader of the console and of JUnit gets.

use tempo_perf::checks::{Bound, Check, Outcome, Source};
use tempo_perf::report::{Style, failure_message, table};

fn at_most(max: f64) -> Bound {
    Bound {
        min: None,
        max: Some(max),
        exclusive: false,
    }
}

fn below(max: f64) -> Bound {
    Bound {
        exclusive: true,
        ..at_most(max)
    }
}

fn at_least(min: f64) -> Bound {
    Bound {
        min: Some(min),
        max: None,
        exclusive: false,
    }
}

fn check(name: &str, source: Source, observed: f64, bound: Bound, unit: &str) -> Check {
    Check {
        name: name.into(),
        source,
        expression: format!("expression of {name}"),
        observed: Some(observed),
        bound,
        unit: unit.into(),
        outcome: Outcome::Passed,
        reason: None,
        likely_cause: None,
    }
}

fn passed() -> Vec<Check> {
    vec![
        check("search p95", Source::K6, 412.0, below(5000.0), "ms"),
        check(
            "push latency p99",
            Source::Prometheus,
            0.0235,
            at_most(1.0),
            "s",
        ),
        check(
            "bytes accepted",
            Source::Prometheus,
            6_081_000.0,
            at_least(5_899_288.0),
            "B/s",
        ),
        check("push failures", Source::K6, 0.000_12, below(0.01), "ratio"),
        check(
            "spans delivered",
            Source::Load,
            1_234_567.0,
            at_least(1_234_567.0),
            "spans",
        ),
        check(
            "read-back missing",
            Source::ReadBack,
            0.0,
            at_most(0.0),
            "traces",
        ),
    ]
}

fn violated() -> Check {
    Check {
        outcome: Outcome::Violated,
        likely_cause: Some(
            "Tempo discarded 31 spans: rate_limited.\nRaise ingestion.rate_limit_bytes, or lower mbPerSecond.".into(),
        ),
        ..check("discarded spans", Source::Prometheus, 31.0, at_most(0.0), "spans")
    }
}

fn unmeasured() -> Check {
    Check {
        outcome: Outcome::Unmeasured,
        observed: None,
        reason: Some("no series matches".into()),
        likely_cause: Some("k6 used 3.9 of 4 cores; give it more, or lower the load".into()),
        ..check("tags p95", Source::K6, 0.0, below(2000.0), "ms")
    }
}

fn not_applicable() -> Check {
    Check {
        outcome: Outcome::NotApplicable,
        observed: None,
        reason: Some("test type ingestion has no queries".into()),
        ..check("trace by ID p95", Source::K6, 0.0, below(1000.0), "ms")
    }
}

#[test]
fn all_passed() {
    insta::assert_snapshot!(table(&passed(), Style::Plain));
}

#[test]
fn mixed() {
    let mut checks = passed();
    checks.insert(1, violated());
    checks.push(unmeasured());
    checks.push(not_applicable());
    insta::assert_snapshot!(table(&checks, Style::Plain));
    insta::assert_snapshot!(failure_message(&checks));
}

#[test]
fn unmeasured_only() {
    insta::assert_snapshot!(failure_message(&[passed().remove(0), unmeasured()]));
}

#[test]
fn not_applicable_with_its_reason() {
    insta::assert_snapshot!(table(&[passed().remove(0), not_applicable()], Style::Plain));
}

#[test]
fn a_long_expression_stays_whole_and_out_of_the_columns() {
    let long = Check {
        expression: format!(
            "sum(rate(tempo_distributor_bytes_received_total{{namespace=\"tempo-perf-1x-small\",{}}}[300s])) / 1048576",
            "pod=~\"tempo-.*-distributor-.*\",".repeat(3)
        ),
        ..violated()
    };
    insta::assert_snapshot!(table(&[long], Style::Plain));
}

#[test]
fn a_near_miss_is_not_rounded_into_a_pass() {
    let near = Check {
        outcome: Outcome::Violated,
        ..check(
            "read-back found",
            Source::ReadBack,
            0.999_99,
            at_least(1.0),
            "ratio",
        )
    };
    insta::assert_snapshot!(failure_message(&[near]));
}

#[test]
fn nothing_failed() {
    assert_eq!(failure_message(&passed()), "none failed of 6 checks\n");
}

#[test]
fn colour_is_only_in_the_outcomes() {
    let checks = [violated()];
    let coloured = table(&checks, Style::Colour);
    assert!(
        coloured.contains("\u{1b}[31mviolated\u{1b}[0m"),
        "{coloured}"
    );
    let stripped = coloured.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
    assert_eq!(stripped, table(&checks, Style::Plain));
}
