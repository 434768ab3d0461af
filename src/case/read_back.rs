//! Reading back a sample of the accepted traces, and comparing them with what
//! was sent.

use std::collections::BTreeSet;

use super::evidence::{Evidence, FinishedRun};
use crate::corpus::Corpus;
use crate::environment::{Environment, K6Run};
use crate::error_chain::chain;
use crate::k6::log::ReadbackKind;
use crate::plan::checks::Role;
use crate::plan::{Plan, READ_BACK_TRACES, k6_load};
use crate::report::{K6Run as Log, OutputDir};
use crate::verdict::judge::ReadBackFound;
use crate::verdict::k6_values;

/// Reads a sample back; the finding, or why there is none, goes to `evidence`.
pub(super) async fn read_back(
    plan: &Plan,
    output: &OutputDir,
    corpus: &Corpus,
    environment: &dyn Environment,
    evidence: &mut Evidence,
) {
    evidence.read_back = try_read_back(plan, output, corpus, environment, evidence).await;
}

async fn try_read_back(
    plan: &Plan,
    output: &OutputDir,
    corpus: &Corpus,
    environment: &dyn Environment,
    evidence: &Evidence,
) -> Result<ReadBackFound, String> {
    let ingestion = evidence
        .runs
        .get(&Role::Ingestion)
        .ok_or("there was no ingestion run")?;
    let accepted = accepted_requests(ingestion)?;
    let readable = environment.capabilities().readable_bytes;
    let numbers = sample(plan, corpus, &accepted, readable);
    if numbers.is_empty() {
        return Ok(ReadBackFound {
            sampled: 0,
            missing: 0,
            partial: 0,
            altered: 0,
        });
    }
    let sampled = numbers.len() as u64;
    let base = environment
        .addresses()
        .query
        .ok_or("there is no address to query")?;
    let dir = environment.work_dir().join("corpus");
    let run = K6Run {
        name: "readback",
        script: "readback-test.js",
        load: k6_load::read_back(plan, &dir, &base, numbers),
        log: output.k6_log(Log::ReadBack),
        timeout: plan.job_timeout,
        remote_write: false,
    };
    let log = run.log.clone();
    let started = std::time::Instant::now();
    let k6 = environment.run_k6(run).await.map_err(|err| chain(&err))?;
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
        ));
    }
    let seen = counts.found + counts.missing + counts.partial + counts.altered;
    if seen != sampled {
        return Err(format!("{seen} of {sampled} traces were looked at"));
    }
    Ok(ReadBackFound {
        sampled,
        missing: counts.missing,
        partial: counts.partial,
        altered: counts.altered,
    })
}

/// Numbers of the requests that Tempo accepted, warm-up included.
fn accepted_requests(run: &FinishedRun) -> Result<Accepted, String> {
    let summary = run.summary.as_ref().map_err(Clone::clone)?;
    let sent = k6_values::sent_requests(summary)?;
    let unlogged = k6_values::refusals_not_logged(summary)?;
    if unlogged > 0 {
        return Err(format!(
            "{unlogged} refused requests are not in the log, so which traces must exist is not known"
        ));
    }
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
