//! From what was observed to outcomes and likely causes.

mod causes;
mod outcomes;
mod recorded;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tempo_perf::checks::{
    Check, Measure, Observations, Pushed, ReadBackFound, RunObserved, TempoCounted,
    ThresholdMeasure, judge,
};
use tempo_perf::k6;
use tempo_perf::k6::summary::{Counter, Gauge, Rate, Summary, Threshold, Trend};
use tempo_perf::plan::{Plan, plan};
use tempo_perf::profile::{self, Profile};
use tempo_perf::settings::{Settings, Target};

const SPANS: f64 = 1000.0;
const BYTES: f64 = 500_000.0;
const SECONDS: f64 = 10.0;
const SAMPLES: u64 = 100;

/// A run of 1x-demo for 10 s in which everything went as planned, until a test
/// changes something.
struct Run {
    plan: Plan,
    observed: Observations,
}

fn run() -> Run {
    run_of(|_| {})
}

fn run_of(change: impl FnOnce(&mut Profile)) -> Run {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/1x-demo.yaml");
    let mut profile = profile::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    change(&mut profile);
    let settings = Settings {
        duration: Some(Duration::from_secs_f64(SECONDS)),
        ..Settings::default()
    };
    let plan = plan(&profile, &settings, Target::Local, 2, &[], 7).expect("a plan");
    let runs = [k6::Run::Ingestion, k6::Run::Query].map(|run| {
        let observed = RunObserved {
            summary: Ok(summary(&plan, run)),
            interrupted_iterations: Ok(0),
            cores: Ok(0.1),
        };
        (run, observed)
    });
    let observed = Observations {
        runs: runs.into(),
        tempo: Ok(TempoCounted {
            spans_received: SPANS,
            bytes_received: BYTES,
            spans_rate_limited: 0.0,
            spans_discarded_otherwise: 0.0,
        }),
        promql: plan
            .checks
            .iter()
            .filter(|check| matches!(check.measure, Measure::PromQl(_)))
            .map(|check| (check.name.clone(), ("sent".to_string(), Ok(0.0))))
            .collect(),
        tempo_restarted: None,
        machine_cores: Ok(0.5),
        read_back: Ok(ReadBackFound {
            sampled: 459,
            missing: 0,
            partial: 0,
            altered: 0,
        }),
        collector_cores: Ok(0.1),
        pushed: Ok(Pushed {
            spans_acknowledged: SPANS,
            spans_rate_limited: 0.0,
            spans_uncertain: 0.0,
            bytes_acknowledged: BYTES,
            bytes_uncertain: 0.0,
        }),
        ended_components: Vec::new(),
    };
    Run { plan, observed }
}

fn trend(count: u64, value: f64) -> Trend {
    Trend {
        count,
        is_time: true,
        min: value,
        avg: value,
        max: value,
        p50: value,
        p90: value,
        p95: value,
        p99: value,
        further: BTreeMap::new(),
    }
}

/// What k6 would say of a run that held its load and every threshold.
fn summary(plan: &Plan, run: k6::Run) -> Summary {
    let counter = |count: f64| Counter {
        count,
        per_second: count / SECONDS,
    };
    let mut summary = Summary {
        duration: Duration::from_secs_f64(SECONDS),
        trends: BTreeMap::from([
            ("schedule_lag{op:push}".into(), trend(SAMPLES, 1.0)),
            ("iteration_duration".into(), trend(SAMPLES, 5.0)),
            ("http_req_duration".into(), trend(SAMPLES, 4.9)),
        ]),
        counters: ["dropped_iterations", "iteration_exceptions"]
            .map(|name| (name.to_string(), counter(0.0)))
            .into(),
        rates: BTreeMap::new(),
        gauges: BTreeMap::from([(
            "start_late".into(),
            Gauge {
                is_time: true,
                value: 0.0,
                min: 0.0,
                max: 0.0,
            },
        )]),
        thresholds: Vec::new(),
    };
    let target = plan.ingestion.target_bytes_per_second.bytes_per_second();
    summary.counters.insert(
        "acknowledged_bytes{op:push}".into(),
        counter(target * SECONDS),
    );
    summary.counters.insert("search_hits".into(), counter(3.0));
    for check in &plan.checks {
        let Measure::Threshold(ThresholdMeasure {
            run: of,
            metric,
            expression,
        }) = &check.measure
        else {
            continue;
        };
        if *of != run {
            continue;
        }
        if metric.starts_with("http_req_duration") {
            summary.trends.insert(metric.clone(), trend(SAMPLES, 5.0));
        } else if metric.starts_with("operation_failed") {
            let rate = Rate {
                hits: 0,
                misses: SAMPLES,
            };
            summary.rates.insert(metric.clone(), rate);
        }
        summary.thresholds.push(Threshold {
            metric: metric.clone(),
            expression: expression.clone(),
            ok: true,
        });
    }
    // 20 queries in all.
    for operation in ["search", "trace_by_id", "tags", "tag_values"] {
        let name = format!("operation_failed{{op:{operation}}}");
        if let Some(rate) = summary.rates.get_mut(&name) {
            rate.misses = 5;
        }
    }
    summary
}

impl Run {
    fn with(mut self, change: impl FnOnce(&mut Observations)) -> Self {
        change(&mut self.observed);
        self
    }

    fn judged(&self) -> Vec<Check> {
        judge(&self.plan.checks, self.plan.load(), &self.observed)
    }

    #[track_caller]
    fn check(&self, name: &str) -> Check {
        self.judged()
            .into_iter()
            .find(|check| check.name == name)
            .unwrap_or_else(|| panic!("no check {name}"))
    }
}

fn of(observed: &mut Observations, run: k6::Run) -> &mut Summary {
    let run = observed.runs.get_mut(&run).expect("both ran");
    run.summary.as_mut().expect("k6 ended well")
}

fn count(summary: &mut Summary, name: &str, count: f64) {
    let per_second = count / SECONDS;
    let counter = Counter { count, per_second };
    summary.counters.insert(name.into(), counter);
}

fn cross(summary: &mut Summary, metric: &str) {
    let threshold = summary.thresholds.iter_mut().find(|it| it.metric == metric);
    threshold.expect("planned").ok = false;
}

fn tempo(observed: &mut Observations) -> &mut TempoCounted {
    observed.tempo.as_mut().expect("counted")
}

/// A closure among the cases must say what it takes.
type Seen = Observations;

const SPANS_LOST: &str = "spans lost before Tempo";
const PUSH_P99: &str = "push latency p99";
