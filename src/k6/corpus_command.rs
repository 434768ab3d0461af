//! `tempo-perf corpus`: what k6 needs to run the scripts by hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::query_mix::{self, Sequence};
use super::solve::solve_ingestion;
use crate::corpus::files::write_json;
use crate::corpus::{Corpus, CorpusError};
use crate::profile::{DiscoverError, Profile, ProfileErrors, QuerySpec, TraceProfile};
use crate::settings::{SEED, values};
use crate::units::{ByteRate, EventRate};

/// Write the trace corpus and the sizes of all profiles for `k6 run`
#[derive(Debug, Clone, Args)]
pub struct CorpusArgs {
    /// Directory to write to
    #[arg(long, default_value = "k6/corpus")]
    pub out: PathBuf,
    /// Directory with the profiles whose sizes are written
    #[arg(long, default_value = "profiles")]
    pub profiles_dir: PathBuf,
    /// What the corpus is made from
    #[arg(long, env = "TEMPO_PERF_SEED", default_value = SEED)]
    #[arg(value_parser = values::count(0..=u32::MAX))]
    pub seed: u32,
}

/// One entry of `sizes.json`: the load of a profile as the scripts take it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Size {
    pub trace_profile: TraceProfile,
    pub mb_per_second: f64,
    pub traces_per_request: u32,
    /// Requests in 1,000 seconds, exact for the corpus written beside it.
    pub ingestion_rate_per_1000s: u64,
    pub queries_per_second: f64,
    pub query_rate_per_1000s: u64,
    pub vus_min: u32,
    pub vus_max: u32,
    pub duration_ms: u64,
    pub warmup_ms: u64,
    /// The mix and its order as the query script takes them.
    pub queries: Sequence,
}

/// Why the corpus and the sizes were not written.
#[derive(Debug, thiserror::Error)]
pub enum CorpusCommandError {
    #[error(transparent)]
    Files(#[from] CorpusError),
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    #[error("{0}")]
    Profile(ProfileErrors),
    #[error("no profiles in {}", dir.display())]
    NoProfiles { dir: PathBuf },
}

const DEFAULT_DURATION_MS: u64 = 300_000;

/// Writes all corpora and `sizes.json`; says on stdout what it wrote.
pub fn run(args: &CorpusArgs) -> Result<(), CorpusCommandError> {
    let profiles = read_profiles(&args.profiles_dir)?;
    let mut corpora = BTreeMap::new();
    for profile in TraceProfile::ALL {
        let corpus = Corpus::generate(profile, args.seed);
        corpus.write_to(&args.out)?;
        println!(
            "{:7} {:3} traces, {:6.1} spans and {:8.0} bytes a trace",
            profile.name(),
            corpus.payload_count(),
            corpus.mean_spans_per_trace(),
            corpus.mean_bytes_per_trace(),
        );
        corpora.insert(profile, corpus);
    }
    let sizes: BTreeMap<&str, Size> = profiles
        .iter()
        .map(|profile| {
            let corpus = &corpora[&profile.k6.ingestion.trace_profile];
            (profile.name.as_str(), size(profile, corpus))
        })
        .collect();
    write_json(&args.out.join("sizes.json"), &sizes)?;
    println!("{} sizes in {}", sizes.len(), args.out.display());
    Ok(())
}

fn size(profile: &Profile, corpus: &Corpus) -> Size {
    let k6 = &profile.k6;
    let rate = ByteRate::from_mb_per_second(k6.ingestion.mb_per_second);
    let solved = solve_ingestion(corpus, rate, k6.ingestion.traces_per_request);
    let millis = |duration: Option<std::time::Duration>| duration.map(|d| d.as_millis() as u64);
    let own: Option<&[QuerySpec]> = k6.query.queries.as_deref();
    Size {
        trace_profile: k6.ingestion.trace_profile,
        mb_per_second: k6.ingestion.mb_per_second,
        traces_per_request: solved.traces_per_request,
        ingestion_rate_per_1000s: solved.requests.per_thousand_seconds(),
        queries_per_second: k6.query.queries_per_second,
        query_rate_per_1000s: EventRate::per_second(k6.query.queries_per_second)
            .per_thousand_seconds(),
        vus_min: k6.vus.min,
        vus_max: k6.vus.max,
        duration_ms: millis(k6.duration).unwrap_or(DEFAULT_DURATION_MS),
        warmup_ms: millis(k6.warmup).unwrap_or(0),
        queries: query_mix::sequence(own, corpus.seed()),
    }
}

/// The profiles of a directory; one that is not valid is an error, since a size
/// that is missing would look like one that does not exist.
fn read_profiles(dir: &Path) -> Result<Vec<Profile>, CorpusCommandError> {
    let discovered = crate::profile::discover(dir)?;
    if discovered.is_empty() {
        return Err(CorpusCommandError::NoProfiles {
            dir: dir.to_owned(),
        });
    }
    discovered
        .into_iter()
        .map(|found| found.profile.map_err(CorpusCommandError::Profile))
        .collect()
}
