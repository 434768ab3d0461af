//! The plan of a case: profile × test type × settings with every number
//! resolved. Nothing after it reads a variable; of the user's files, only that
//! of a token is read where the token is used.

pub mod asked;
pub mod k6_load;
pub mod kubernetes;
mod not_applied;
mod overrides;
pub mod render;
mod site;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::checks::{self, Capabilities, Measure, PlannedCheck};
use crate::corpus::Corpus;
use crate::k6;
use crate::k6::solve::{self, IngestionLoad, LoadError, QueryLoad, SolvedLoad};
use crate::metrics::SCRAPE_INTERVAL;
use crate::profile::Profile;
use crate::settings::{Malformed, PrometheusChoice, Settings, Target, TestType, ToolSettings};
use crate::units::Pretty;

pub use not_applied::NotApplied;
pub(crate) use not_applied::not_applied;
pub(crate) use overrides::override_place;
pub use render::render;
pub use site::{EndpointSite, LocalSite, Site};

/// Length of the load when neither DURATION nor the profile gives one.
pub const DEFAULT_DURATION: Duration = Duration::from_secs(5 * 60);

/// What a k6 run may take at least when the settings do not tell.
pub(crate) const DEFAULT_JOB_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Traces read back: so many that a loss of 1 % of all traces shows with 99 %
/// probability, the smallest n with 0.99^n < 0.01.
pub const READ_BACK_TRACES: u64 = 459;

/// PromQL over a window of fewer scrapes gives numbers that mean nothing.
const SCRAPES_IN_A_WINDOW: u32 = 5;

/// A query test needs something to find: this much is ingested before it.
const LONGEST_SEEDING: Duration = Duration::from_secs(30);

/// What a run will do, and be judged by.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    pub profile: Profile,
    pub test_type: TestType,
    pub target: Target,
    /// What the corpus and the order of payloads are made from.
    pub seed: u32,
    /// Tells this run's traces from those of every other run.
    pub run: u32,
    #[serde(rename = "warmup_seconds", with = "seconds")]
    pub warmup: Duration,
    #[serde(rename = "duration_seconds", with = "seconds")]
    pub duration: Duration,
    /// What gave the duration, for messages.
    #[serde(skip)]
    duration_from: &'static str,
    /// On Kubernetes a first guess until [`Plan::settle_scrape_interval`].
    #[serde(rename = "scrape_interval_seconds", with = "seconds")]
    pub scrape_interval: Duration,
    /// Load of the ingestion run; in a query test, of the seeding before it.
    pub ingestion: IngestionLoad,
    /// Set in a query test: how long it ingests before the queries start.
    pub seeding: Option<Seeding>,
    pub query: QueryLoad,
    #[serde(rename = "job_timeout_seconds", with = "seconds")]
    pub job_timeout: Duration,
    #[serde(rename = "ready_timeout_seconds", with = "seconds")]
    pub ready_timeout: Duration,
    pub max_concurrent_queries: usize,
    #[serde(rename = "kubernetes", skip_serializing_if = "Site::is_elsewhere")]
    pub site: Site,
    /// Where k6, collector, Prometheus and a local Tempo come from.
    #[serde(skip)]
    pub tools: ToolSettings,
    /// What is pushed: made once, of the trace profile and the seed.
    #[serde(skip)]
    pub corpus: Arc<Corpus>,
    pub checks: Vec<PlannedCheck>,
    /// Fields of the profile that this target can not honour.
    pub not_applied: Vec<NotApplied>,
}

/// Ingestion before a query test, not judged for its speed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Seeding {
    #[serde(rename = "duration_seconds", with = "seconds")]
    pub duration: Duration,
}

/// Why there is no plan for a case.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(
        "SIZE: found \"{found}\"; expected the name of a profile in {}: {known}", dir.display()
    )]
    UnknownSize {
        found: String,
        dir: std::path::PathBuf,
        known: String,
    },
    #[error("{from}: found {}; the PromQL checks need at least {} ({SCRAPES_IN_A_WINDOW} scrapes)",
        Pretty(*found), Pretty(*shortest))]
    TooShort {
        from: &'static str,
        found: Duration,
        shortest: Duration,
    },
    #[error(
        "thresholds: found \"{metric}\", an operation that no request has; expected op: to be \
         push, search, trace_by_id, tags or tag_values"
    )]
    UnknownOperation { metric: String },
    #[error("{variable} is not set, and a test of type {test_type} needs it")]
    NoEndpoint {
        variable: &'static str,
        test_type: TestType,
    },
    #[error("VUS_MIN and VUS_MAX: found {min} and {max}; the smaller must come first")]
    VusOutOfOrder { min: u32, max: u32 },
    /// Settings that do not fit the profile or each other; one line each.
    #[error("{}", .0.iter().map(Malformed::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Vec<Malformed>),
}

/// Makes the plan of one case. `cores` are this machine's, `sizes` the profiles that
/// SIZE may name.
pub fn plan(
    profile: &Profile,
    settings: &Settings,
    target: Target,
    cores: usize,
    sizes: &[Profile],
    run: u32,
) -> Result<Plan, PlanError> {
    let (profile, replaced) = overrides::with_overrides(profile, settings, target, sizes)?;
    let corpus = Arc::new(Corpus::generate(
        profile.k6.ingestion.trace_profile,
        settings.seed,
    ));
    let ingestion = solve::ingestion(&profile.k6, &corpus)?;
    let query = solve::query(&profile.k6)?;
    let (duration, duration_from) = match (settings.duration, profile.k6.duration) {
        (Some(given), _) => (given, "DURATION"),
        (None, Some(given)) => (given, "k6.duration"),
        (None, None) => (DEFAULT_DURATION, "the default duration"),
    };
    let warmup = profile.k6.warmup.unwrap_or_default();
    let test_type = settings.test_type;
    endpoints_are_given(settings, target)?;
    for metric in profile.thresholds.iter().flat_map(|them| them.keys()) {
        const KNOWN: [&str; 5] = ["push", "search", "trace_by_id", "tags", "tag_values"];
        if checks::operation_of(metric).is_some_and(|found| !KNOWN.contains(&found)) {
            return Err(PlanError::UnknownOperation {
                metric: metric.clone(),
            });
        }
    }
    // A Tempo that only answers queries has data of its own.
    let seeds = test_type == TestType::Query
        && (target != Target::Endpoint || settings.tempo_endpoint.is_some());
    let load = SolvedLoad {
        ingestion: &ingestion,
        query: &query,
        duration,
    };
    let checks = checks::planned(&profile, test_type, target, cores, load);
    let mut not_applied = not_applied(&profile, target);
    if target == Target::Kubernetes {
        not_applied.extend(replaced);
    }
    let mut plan = Plan {
        not_applied,
        test_type,
        target,
        seed: settings.seed,
        run,
        warmup,
        duration,
        duration_from,
        scrape_interval: Duration::ZERO,
        ingestion,
        seeding: seeds.then(|| Seeding {
            duration: duration.min(LONGEST_SEEDING),
        }),
        query,
        job_timeout: settings.job_timeout.unwrap_or_else(|| {
            DEFAULT_JOB_TIMEOUT.max(warmup + duration + Duration::from_secs(10 * 60))
        }),
        ready_timeout: settings.pod_ready_timeout,
        max_concurrent_queries: settings.max_concurrent_queries,
        site: Site::new(target, &profile, settings),
        tools: settings.tools.clone(),
        corpus,
        checks,
        profile,
    };
    plan.settle_scrape_interval(scrape_interval(target, settings))?;
    asked::leave_out(&mut plan, Duration::ZERO);
    Ok(plan)
}

impl Plan {
    /// The same place for whatever load later plans put on what is set up by this
    /// one.
    pub fn for_any_load(mut self) -> Self {
        if let Site::Kubernetes(site) = &mut self.site {
            site.for_this_load_alone = false;
        }
        self
    }

    /// The time that the checks look at, relative to the common start.
    pub fn window(&self) -> (Duration, Duration) {
        (self.warmup, self.warmup + self.duration)
    }

    /// What the checks are about.
    pub fn load(&self) -> SolvedLoad<'_> {
        SolvedLoad {
            ingestion: &self.ingestion,
            query: &self.query,
            duration: self.duration,
        }
    }

    /// Takes from the plan what this environment cannot measure. Done before the
    /// load; afterwards no check can become not applicable any more.
    pub fn settle(&mut self, capabilities: &Capabilities) {
        checks::settle(&mut self.checks, capabilities);
        asked::leave_out(self, capabilities.visibility_delay);
    }

    /// Sets how often Prometheus really scrapes Tempo, once it is known which
    /// Prometheus does.
    ///
    /// # Errors
    /// The load is too short for PromQL over so few scrapes, and there are PromQL
    /// checks.
    pub fn settle_scrape_interval(&mut self, interval: Duration) -> Result<(), PlanError> {
        self.scrape_interval = interval;
        let shortest = interval * SCRAPES_IN_A_WINDOW;
        let asks_prometheus = self
            .checks
            .iter()
            .any(|check| matches!(check.measure, Measure::PromQl(_)) && check.applies());
        if self.duration < shortest && asks_prometheus {
            return Err(PlanError::TooShort {
                from: self.duration_from,
                found: self.duration,
                shortest,
            });
        }
        Ok(())
    }

    /// The k6 runs of this plan, in their order.
    pub fn k6_runs(&self) -> &'static [k6::Run] {
        k6_load::runs(self.test_type)
    }

    /// Whether a k6 run of this plan pushes traces.
    pub fn ingests(&self) -> bool {
        self.test_type != TestType::Query || self.seeding.is_some()
    }
}

/// An existing Tempo must have an address for each side of the load.
fn endpoints_are_given(settings: &Settings, target: Target) -> Result<(), PlanError> {
    let test_type = settings.test_type;
    let missing = |variable| PlanError::NoEndpoint {
        variable,
        test_type,
    };
    if target != Target::Endpoint {
        return Ok(());
    }
    if test_type != TestType::Query && settings.tempo_endpoint.is_none() {
        return Err(missing("TEMPO_ENDPOINT"));
    }
    if test_type != TestType::Ingestion && settings.tempo_query_endpoint.is_none() {
        return Err(missing("TEMPO_QUERY_ENDPOINT"));
    }
    Ok(())
}

/// How often other people's Prometheus scrapes: the usual interval of the
/// Prometheus Operator's charts and of OpenShift's monitoring.
const SCRAPE_INTERVAL_OF_OTHERS: Duration = Duration::from_secs(30);

/// How often Prometheus scrapes Tempo there, as far as it can be known before.
/// With `auto` on Kubernetes, our own is assumed.
pub(crate) fn scrape_interval(target: Target, settings: &Settings) -> Duration {
    match (target, &settings.kubernetes.prometheus) {
        (Target::Kubernetes, PrometheusChoice::Url(_)) => SCRAPE_INTERVAL_OF_OTHERS,
        (Target::Local | Target::Endpoint | Target::Kubernetes, _) => SCRAPE_INTERVAL,
    }
}

mod seconds {
    use std::time::Duration;

    use serde::Serializer;

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }
}
