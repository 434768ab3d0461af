//! Putting the load on: both k6 runs start at one instant, between two looks
//! at Tempo's counters.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::evidence::{Evidence, FinishedRun};
use super::stages::progress;
use super::{Place, Running, Stopped};
use crate::checks::{Reason, cores};
use crate::environment::{Environment, EnvironmentError, K6Start};
use crate::error_chain::chain;
use crate::k6::Run;
use crate::k6::load::Load;
use crate::machine;
use crate::metrics::exposition::CounterSnapshot;
use crate::plan::{Plan, k6_load};
use crate::profile::CollectorMode;
use crate::report::Window;
use crate::settings::TestType;

/// What k6 needs before its first iteration: itself, and each virtual user.
const K6_START: Duration = Duration::from_millis(1000);
const K6_START_PER_VU: Duration = Duration::from_millis(6);

/// How long a queued collector may still send after the load.
const DRAIN_LIMIT: Duration = Duration::from_secs(60);
const DRAIN_POLL: Duration = Duration::from_millis(250);
/// Counters that stand still for so long will not move again.
const DRAINED_AFTER: Duration = Duration::from_secs(5);

/// Number of the trace that proves the way to Tempo; far from those of the load.
const PROBE_TRACE: u64 = 1 << 52;

pub(super) async fn put_on(
    running: &mut Running,
    place: Place<'_>,
    evidence: &mut Evidence,
) -> Result<(), Stopped> {
    let environment = place.environment;
    let corpus = &running.plan.corpus;
    corpus
        .write_to(&corpus_dir(place))
        .map_err(|err| Stopped::Failed(chain(&err)))?;
    if running.plan.ingests() {
        let proving = prove_the_way(&running.plan, place);
        running.stages.timed("first trace", proving).await?;
    }
    let mut seeded_at = None;
    if let Some(seeding) = running.plan.seeding {
        let start = start_at(&running.plan, place);
        seeded_at = Some(start);
        let load = ingestion_load(&running.plan, place, Some(start), seeding.duration)?;
        let seed = run_one(running, environment, Run::Seeding, load);
        let finished = seed.await?;
        running
            .stages
            .note(Run::Seeding.name(), finished.started, finished.k6.wall);
        finished.must_have_ended_well(Run::Seeding.name())?;
    }
    let collector_before = environment.collector_cpu().await;
    let machine_before = machine::busy_time();
    let start = start_at(&running.plan, place);
    let trial_until_start = running.stages.since_start()
        + Duration::try_from(start.duration_since(Timestamp::now())).unwrap_or_default();
    let begun = Instant::now();
    let runs = both_runs(running, place, start, seeded_at)?;
    let (from, to) = running.plan.window();
    evidence.window = Some(Window {
        start: later(start, from),
        end: later(start, to),
    });
    let loading = wait_for_runs(&running.plan, environment, runs, start);
    let (finished, before) = tokio::join!(loading, baseline(place, start));
    let finished = finished?;
    let late = finished.iter().filter_map(|(_, run)| run.started_late());
    let trial_until_start = trial_until_start + late.max().unwrap_or_default();
    running.stages.note_at("until load", trial_until_start);
    running.stages.note("load", begun, begun.elapsed());
    running.load_ended = Some(Instant::now());
    evidence.machine_cores = match (machine_before, machine::busy_time()) {
        (Ok(before), Ok(after)) => cores(after.saturating_sub(before), begun.elapsed()),
        (Err(why), _) | (_, Err(why)) => Err(why.into()),
    };
    evidence.collector_cores =
        collector_cores(environment, collector_before, begun.elapsed()).await;
    for (role, run) in finished {
        evidence.runs.insert(role, run);
    }
    if place.interrupt.is_set() {
        return Ok(());
    }
    let draining = drain(running, place, &before, evidence);
    let began = Instant::now();
    let after = draining.await;
    running.stages.note("drain", began, began.elapsed());
    evidence.counters = before
        .and_then(|before| Ok((before, after?)))
        .map_err(|err| chain(&err).into());
    Ok(())
}

/// Pushes one trace the way that the load goes. It proves the way, and makes
/// Tempo's series exist before the window, which `increase` needs.
async fn prove_the_way(
    plan: &Plan,
    Place {
        environment,
        surroundings,
        interrupt,
    }: Place<'_>,
) -> Result<(), Stopped> {
    let Some(url) = &surroundings.addresses.push_from_here else {
        return Ok(());
    };
    let now = Timestamp::now().as_nanosecond() as u64;
    let body = plan.corpus.fill(PROBE_TRACE, plan.run, now);
    let pushing = crate::environment::push_until_accepted(url, &body, plan.ready_timeout, || {
        environment.ended_components().into_iter().next()
    });
    tokio::select! {
        pushed = pushing => Ok(pushed?),
        signal = interrupt.wait() => Err(Stopped::Interrupted(signal.to_string())),
    }
}

/// Tempo's counters before the load, and the wait until Prometheus has its
/// series: done while k6 starts, because the load waits for its time anyway.
async fn baseline(place: Place<'_>, start: Timestamp) -> Result<CounterSnapshot, EnvironmentError> {
    let early = place.environment.tempo_counters().await?;
    place.surroundings.wait_for_scrape(Timestamp::now()).await?;
    // What a queued collector still had of the first trace is in this one; but
    // after a late scrape it may have traces of the load, too.
    let late = place.environment.tempo_counters().await?;
    Ok(if Timestamp::now() < start {
        late
    } else {
        early
    })
}

fn corpus_dir(place: Place<'_>) -> PathBuf {
    place.surroundings.work_dir.join("corpus")
}

fn start_at(plan: &Plan, place: Place<'_>) -> Timestamp {
    let vus = match plan.test_type {
        TestType::Ingestion => plan.ingestion.allocated_vus,
        TestType::Query => plan.query.allocated_vus,
        TestType::Combined => plan.ingestion.allocated_vus + plan.query.allocated_vus,
    };
    let until_told = place.surroundings.k6_start;
    later(
        Timestamp::now(),
        until_told + K6_START + K6_START_PER_VU * vus,
    )
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    // Durations of a plan are at most days.
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn ingestion_load(
    plan: &Plan,
    place: Place<'_>,
    start: Option<Timestamp>,
    duration: Duration,
) -> Result<Load, Stopped> {
    let url = place.surroundings.addresses.push.as_ref().ok_or_else(|| {
        Stopped::Failed("TEMPO_ENDPOINT is not set, so there is nowhere to push traces".into())
    })?;
    let dir = corpus_dir(place);
    Ok(k6_load::ingestion(plan, &dir, url, start, duration))
}

fn both_runs(
    running: &Running,
    place: Place<'_>,
    start: Timestamp,
    seeded_at: Option<Timestamp>,
) -> Result<Vec<K6Start>, Stopped> {
    let plan = &running.plan;
    let mut runs = Vec::new();
    for &run in plan.k6_runs() {
        let load = match run {
            Run::Ingestion => {
                let duration = plan.warmup + plan.duration;
                ingestion_load(plan, place, Some(start), duration)?
            }
            Run::Query => {
                let base = place.surroundings.addresses.query.as_ref().ok_or_else(|| {
                    Stopped::Failed(
                        "TEMPO_QUERY_ENDPOINT is not set, so there is nothing to query".into(),
                    )
                })?;
                let dir = corpus_dir(place);
                let delay = place.surroundings.capabilities.visibility_delay;
                k6_load::query(plan, &dir, base, delay, Some(start), seeded_at)
            }
            // Before the load, and after it.
            Run::Seeding | Run::ReadBack => continue,
        };
        runs.push(k6_start(running, run, load));
    }
    Ok(runs)
}

fn k6_start(running: &Running, run: Run, load: Load) -> K6Start {
    K6Start {
        run,
        load,
        log: running.output.k6_log(run),
        timeout: running.plan.job_timeout,
    }
}

async fn run_one(
    running: &Running,
    environment: &dyn Environment,
    run: Run,
    load: Load,
) -> Result<FinishedRun, Stopped> {
    run_to_its_end(environment, k6_start(running, run, load)).await
}

async fn run_to_its_end(
    environment: &dyn Environment,
    start: K6Start,
) -> Result<FinishedRun, Stopped> {
    let started = Instant::now();
    let log = start.log.clone();
    let k6 = environment.run_k6(start).await?;
    Ok(FinishedRun::read(started, k6, &log))
}

async fn wait_for_runs(
    plan: &Plan,
    environment: &dyn Environment,
    runs: Vec<K6Start>,
    start: Timestamp,
) -> Result<Vec<(Run, FinishedRun)>, Stopped> {
    let logs = runs
        .iter()
        .map(|start| (start.run.name(), start.log.clone()))
        .collect();
    let total = plan.warmup + plan.duration;
    let all = futures::future::try_join_all(runs.into_iter().map(|start| async move {
        let run = start.run;
        Ok::<_, Stopped>((run, run_to_its_end(environment, start).await?))
    }));
    tokio::select! {
        finished = all => finished,
        () = progress::show(total, start, logs) => unreachable!("progress goes on until the end"),
    }
}

/// Waits until Tempo has counted what was pushed. Through a synchronous
/// collector it has when the last push was answered.
async fn drain(
    running: &Running,
    Place {
        environment,
        surroundings,
        ..
    }: Place<'_>,
    before: &Result<CounterSnapshot, EnvironmentError>,
    evidence: &mut Evidence,
) -> Result<CounterSnapshot, EnvironmentError> {
    let mut snapshot = environment.tempo_counters().await?;
    if running.plan.ingestion.collector == CollectorMode::Queued
        && let (Ok(before), Some(sent)) = (before, evidence.spans_acknowledged())
    {
        let received = |snapshot: &CounterSnapshot| {
            snapshot.sum("tempo_distributor_spans_received_total", &[])
        };
        let goal = received(before) + sent;
        let began = Instant::now();
        let mut moved = (received(&snapshot), Instant::now());
        while received(&snapshot) < goal
            && moved.1.elapsed() < DRAINED_AFTER
            && began.elapsed() < DRAIN_LIMIT
        {
            tokio::time::sleep(DRAIN_POLL).await;
            snapshot = environment.tempo_counters().await?;
            if received(&snapshot) != moved.0 {
                moved = (received(&snapshot), Instant::now());
            }
        }
    }
    if let Some(window) = &evidence.window
        && let Err(err) = surroundings.wait_for_scrape(window.end).await
    {
        // The counters are there; the PromQL checks will tell what they miss.
        evidence.further_notes.push(chain(&err));
    }
    Ok(snapshot)
}

async fn collector_cores(
    environment: &dyn Environment,
    before: Option<Duration>,
    wall: Duration,
) -> Result<f64, Reason> {
    match (before, environment.collector_cpu().await) {
        (Some(before), Some(after)) => cores(after.saturating_sub(before), wall),
        _ => Err("the collector's CPU time could not be read; it may have ended".into()),
    }
}
