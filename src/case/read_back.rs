//! Reading back a sample of the accepted traces, and comparing them with what
//! was sent.

use std::collections::BTreeSet;

use super::Place;
use super::evidence::{Evidence, FinishedRun};
use crate::checks::{ReadBackFound, Reason, k6_values};
use crate::corpus::Corpus;
use crate::environment::K6Start;
use crate::error_chain::chain;
use crate::k6::Run;
use crate::k6::log::ReadbackKind;
use crate::plan::{Plan, READ_BACK_TRACES, k6_load};
use crate::report::OutputDir;

/// Reads a sample back; the finding, or why there is none, goes to `evidence`.
pub(super) async fn read_back(
    plan: &Plan,
    output: &OutputDir,
    place: Place<'_>,
    evidence: &mut Evidence,
) {
    evidence.read_back = try_read_back(plan, output, place, evidence).await;
}

async fn try_read_back(
    plan: &Plan,
    output: &OutputDir,
    place: Place<'_>,
    evidence: &Evidence,
) -> Result<ReadBackFound, Reason> {
    let ingestion = evidence
        .runs
        .get(&Run::Ingestion)
        .ok_or("there was no ingestion run")?;
    let accepted = accepted_requests(ingestion)?;
    let Place {
        environment,
        surroundings,
        ..
    } = place;
    let readable = surroundings.capabilities.readable_bytes;
    let numbers = sample(plan, &plan.corpus, &accepted, readable);
    if numbers.is_empty() {
        return Ok(ReadBackFound {
            sampled: 0,
            missing: 0,
            partial: 0,
            altered: 0,
        });
    }
    let sampled = numbers.len() as u64;
    // Asking a Tempo that is gone would take until the deadline.
    if let Some(dead) = environment.ended_components().first() {
        return Err(dead.lines().next().unwrap_or(dead).into());
    }
    let base = surroundings
        .addresses
        .query
        .as_ref()
        .ok_or("there is no address to query")?;
    let dir = surroundings.work_dir.join("corpus");
    let delay = surroundings.capabilities.visibility_delay;
    let start = K6Start {
        run: Run::ReadBack,
        load: k6_load::read_back(plan, &dir, base, delay, numbers),
        log: output.k6_log(Run::ReadBack),
        timeout: plan.job_timeout,
    };
    let log = start.log.clone();
    let started = std::time::Instant::now();
    let k6 = environment.run_k6(start).await.map_err(|err| chain(&err))?;
    let finished = FinishedRun::read(started, k6, &log);
    let counts = k6_values::read_back(finished.summary.as_ref().map_err(Clone::clone)?)?;
    for finding in finished.log.readback.iter().take(5) {
        eprintln!(
            "  read-back: trace {} (number {}): {}",
            finding.trace_id, finding.trace, finding.text
        );
    }
    if counts.unreadable > 0 {
        let unreadable =
            |finding: &&crate::k6::log::ReadbackFinding| finding.kind == ReadbackKind::Unreadable;
        let example = finished.log.readback.iter().find(unreadable);
        return Err(format!(
            "{} of {sampled} traces could not be queried{}",
            counts.unreadable,
            example
                .map(|finding| format!(": {}", finding.text))
                .unwrap_or_default()
        )
        .into());
    }
    let seen = counts.found + counts.missing + counts.partial + counts.altered;
    if seen != sampled {
        return Err(format!("{seen} of {sampled} traces were looked at").into());
    }
    Ok(ReadBackFound {
        sampled,
        missing: counts.missing,
        partial: counts.partial,
        altered: counts.altered,
    })
}

/// Numbers of the requests that Tempo accepted, warm-up included.
fn accepted_requests(run: &FinishedRun) -> Result<Accepted, Reason> {
    let summary = run.summary.as_ref().map_err(Clone::clone)?;
    let sent = k6_values::sent_requests(summary)?;
    let unlogged = k6_values::refusals_not_logged(summary)?;
    if unlogged > 0 {
        return Err(format!(
            "{unlogged} refused requests are not in the log, so which traces must exist is not known"
        )
        .into());
    }
    run.refusals_are_all_logged(summary)?;
    if run.interrupted_iterations()? > 0 {
        return Err("requests were cut off, so which traces must exist is not known".into());
    }
    let refused = run
        .log
        .not_accepted
        .iter()
        .map(|refusal| refusal.request)
        .collect();
    Ok(Accepted { sent, refused })
}

#[derive(Debug)]
struct Accepted {
    /// Requests 0 to `sent` were sent.
    sent: u64,
    refused: BTreeSet<u64>,
}

/// Numbers of at most [`READ_BACK_TRACES`] accepted traces, one from each of as
/// many equal stretches of the run; of a backend whose memory is bounded, of
/// its last part.
fn sample(
    plan: &Plan,
    corpus: &Corpus,
    accepted: &Accepted,
    readable_bytes: Option<u64>,
) -> Vec<u64> {
    let traces_per_request = u64::from(plan.ingestion.traces_per_request);
    let all = accepted.sent * traces_per_request;
    let readable = readable_bytes.map_or(all, |bytes| {
        (bytes as f64 / corpus.mean_bytes_per_trace()) as u64
    });
    let first = all.saturating_sub(readable);
    let span = all - first;
    let count = span.min(READ_BACK_TRACES);
    (0..count)
        .filter_map(|index| {
            let (from, to) = (
                first + span * index / count,
                first + span * (index + 1) / count,
            );
            let start = spread(plan.seed, index) % (to - from);
            (0..to - from)
                .map(|step| from + (start + step) % (to - from))
                .find(|number| !accepted.refused.contains(&(number / traces_per_request)))
        })
        .collect()
}

/// A number that looks random and is not: splitmix64 (Steele, Lea, Flood 2014).
fn spread(seed: u32, index: u64) -> u64 {
    let mut value = (u64::from(seed) << 32 | index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::profile::TraceProfile;
    use crate::settings::{Settings, Target};

    fn plan_of(traces_per_request: u32) -> Plan {
        let text = format!(
            "name: demo\ndescription: test\ntempo: {{variant: monolithic}}\nk6:\n  \
             vus: {{min: 1, max: 2}}\n  ingestion: {{mbPerSecond: 1, traceProfile: small, \
             tracesPerRequest: {traces_per_request}}}\n  query: {{queriesPerSecond: 2}}\n"
        );
        let profile = crate::profile::parse(std::path::Path::new("demo.yaml"), &text)
            .expect("the profile is valid");
        crate::plan::plan(&profile, &Settings::default(), Target::Local, 2, &[], 1)
            .expect("there is a plan")
    }

    fn sample_of(
        traces_per_request: u32,
        sent: u64,
        refused: impl IntoIterator<Item = u64>,
        readable_bytes: Option<u64>,
    ) -> Vec<u64> {
        let accepted = Accepted {
            sent,
            refused: refused.into_iter().collect(),
        };
        let corpus = corpus();
        sample(
            &plan_of(traces_per_request),
            &corpus,
            &accepted,
            readable_bytes,
        )
    }

    fn corpus() -> Corpus {
        Corpus::generate(TraceProfile::Small, 1)
    }

    #[test]
    fn of_a_small_run_every_trace_is_taken() {
        for traces in [1, 2, 100, READ_BACK_TRACES] {
            let all: Vec<u64> = (0..traces).collect();
            assert_eq!(sample_of(1, traces, [], None), all, "of {traces} traces");
        }
        assert_eq!(sample_of(4, 5, [], None), (0..20).collect::<Vec<_>>());
        assert_eq!(sample_of(1, 0, [], None), [0; 0]);
    }

    #[test]
    fn of_a_large_run_each_stretch_gives_one_trace() {
        let sent = 1_000_000;
        let numbers = sample_of(1, sent, [], None);
        assert_eq!(numbers.len() as u64, READ_BACK_TRACES);
        for (index, number) in numbers.iter().enumerate() {
            let index = index as u64;
            let stretch = sent * index / READ_BACK_TRACES..sent * (index + 1) / READ_BACK_TRACES;
            assert!(stretch.contains(number), "{number} must lie in {stretch:?}");
        }
        let offsets: BTreeSet<u64> = numbers
            .iter()
            .zip(0..)
            .map(|(number, index)| number - sent * index / READ_BACK_TRACES)
            .collect();
        assert!(
            offsets.len() > 300,
            "not all at the same place of their stretch"
        );
        assert_eq!(sample_of(1, sent, [], None), numbers, "the same each time");
    }

    #[test]
    fn traces_of_refused_requests_are_never_taken() {
        let traces_per_request = 10;
        // Every request but each third was refused.
        let refused: Vec<u64> = (0..3000).filter(|request| request % 3 != 1).collect();
        let numbers = sample_of(traces_per_request, 3000, refused, None);
        assert_eq!(numbers.len() as u64, READ_BACK_TRACES);
        for number in &numbers {
            assert_eq!(number / 10 % 3, 1, "trace {number} was refused");
        }
        assert_eq!(sample_of(1, 10, 0..10, None), [0; 0]);
        assert_eq!(sample_of(1, 10, 1..10, None), [0]);
    }

    #[test]
    fn of_a_bounded_memory_only_the_last_part_is_asked_for() {
        let readable = (1000.0 * corpus().mean_bytes_per_trace()) as u64;
        let numbers = sample_of(1, 100_000, [], Some(readable));
        assert_eq!(numbers.len() as u64, READ_BACK_TRACES);
        assert!(
            numbers
                .iter()
                .all(|number| (98_999..100_000).contains(number))
        );
        let little = (20.0 * corpus().mean_bytes_per_trace()) as u64 + 1;
        assert_eq!(
            sample_of(1, 100_000, [], Some(little)),
            (99_980..100_000).collect::<Vec<_>>()
        );
        assert_eq!(sample_of(1, 100, [], Some(u64::MAX)).len(), 100);
    }
}
