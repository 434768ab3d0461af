//! The options of the cases, each declared once: its field with its help, its
//! flag, its variable, its default and what reads it. Those of Kubernetes alone
//! are beside.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, Args, Command, ValueEnum};
use serde::{Deserialize, Serialize};
use url::Url;

use super::given;
use super::headings::{self, CASES, LIMITS, LOAD, PLACE, RESULTS};
use super::kubernetes::KubernetesSettings;
use super::tools::ToolSettings;
use super::values::{self, count};
use crate::profile::{TraceProfile, limits};
use crate::units::{ByteRate, EventRate};

// Defaults that subcommands share.
pub(crate) const SEED: &str = "1";
pub(crate) const CR_DELETION_TIMEOUT: &str = "120s";

/// Everything that an invocation was told, parsed and typed.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Profiles to run, separated by commas [default: all]
    #[arg(long, env = "TEMPO_PERF_PROFILES", action = ArgAction::Append, default_value = "")]
    #[arg(value_name = "NAMES", value_parser = values::names, help_heading = CASES)]
    pub profiles: Names,
    /// Directory of the profiles, one YAML file each
    #[arg(long, env = "TEMPO_PERF_PROFILES_DIR", default_value = "profiles")]
    #[arg(value_name = "DIR", help_heading = CASES)]
    pub profiles_dir: PathBuf,
    /// Load to run: ingestion, query, or combined (both side by side)
    #[arg(long, env = "TEMPO_PERF_TEST_TYPE", default_value = "combined")]
    #[arg(value_name = "TYPE", value_parser = values::word::<TestType>, help_heading = CASES)]
    pub test_type: TestType,
    /// Print the plan of each case, every number resolved, and run nothing
    #[arg(long, env = "TEMPO_PERF_DRY_RUN", help_heading = CASES)]
    pub dry_run: bool,
    /// Check all profiles, print every mistake with its line, and run nothing
    #[arg(long, env = "TEMPO_PERF_VALIDATE_PROFILES", help_heading = CASES)]
    pub validate_profiles: bool,

    /// Length of the load, for example 30s, 10m or 1h30m [default: the profile's, else 5m]
    #[arg(long, env = "DURATION")]
    #[arg(value_name = "TIME", value_parser = values::time, help_heading = LOAD)]
    pub duration: Option<Duration>,
    /// Take the k6 section of this profile in place of the case's own
    #[arg(long, env = "SIZE")]
    #[arg(value_name = "PROFILE", value_parser = values::text, help_heading = LOAD)]
    pub size: Option<String>,
    /// Rate of ingestion in MB/s (1 MB is 1,048,576 bytes)
    #[arg(long, env = "MB_PER_SECOND")]
    #[arg(value_name = "NUMBER", value_parser = values::mb_per_second, help_heading = LOAD)]
    pub mb_per_second: Option<ByteRate>,
    /// Rate of queries, all kinds together
    #[arg(long, env = "QUERIES_PER_SECOND")]
    #[arg(value_name = "NUMBER", value_parser = values::queries_per_second, help_heading = LOAD)]
    pub queries_per_second: Option<EventRate>,
    /// Virtual users that each k6 run starts with
    #[arg(long, env = "VUS_MIN")]
    #[arg(value_name = "NUMBER", value_parser = count(1..=limits::VUS), help_heading = LOAD)]
    pub vus_min: Option<u32>,
    /// Virtual users that each k6 run may grow to
    #[arg(long, env = "VUS_MAX")]
    #[arg(value_name = "NUMBER", value_parser = count(1..=limits::VUS), help_heading = LOAD)]
    pub vus_max: Option<u32>,
    /// Spans of a trace: small (8-15), medium (25-40), large (50-80) or xlarge (100-150)
    #[arg(long, env = "TRACE_PROFILE")]
    #[arg(value_name = "SIZE", value_parser = values::word::<TraceProfile>, help_heading = LOAD)]
    pub trace_profile: Option<TraceProfile>,
    /// What the traces and their order are made from; the same seed sends the same load
    #[arg(long, env = "TEMPO_PERF_SEED", default_value = SEED)]
    #[arg(value_name = "NUMBER", value_parser = count(0..=u32::MAX), help_heading = LOAD)]
    pub seed: u32,

    /// local (all on this machine), kubernetes, endpoint (a Tempo that exists), or auto: endpoint
    /// when one is given, kubernetes with --context, when KUBECONFIG is set or inside a cluster,
    /// else local
    #[arg(long, env = "TEMPO_PERF_TARGET", default_value = "auto")]
    #[arg(value_name = "TARGET", value_parser = values::word::<TargetChoice>, help_heading = PLACE)]
    pub target: TargetChoice,
    /// OTLP/HTTP receiver of a Tempo that exists, for example http://tempo:4318
    #[arg(long, env = "TEMPO_ENDPOINT")]
    #[arg(value_name = "URL", value_parser = values::otlp_url, help_heading = PLACE)]
    pub tempo_endpoint: Option<Url>,
    /// HTTP API of a Tempo that exists, for example http://tempo:3200
    #[arg(long, env = "TEMPO_QUERY_ENDPOINT")]
    #[arg(value_name = "URL", value_parser = values::query_url, help_heading = PLACE)]
    pub tempo_query_endpoint: Option<Url>,

    /// Directory for logs, metrics and reports
    #[arg(long, env = "TEMPO_PERF_OUTPUT", default_value = "results")]
    #[arg(value_name = "DIR", help_heading = RESULTS)]
    pub output: PathBuf,
    /// Also write one JUnit file over all cases of the invocation
    #[arg(long, env = "TEMPO_PERF_JUNIT", value_name = "FILE", help_heading = RESULTS)]
    pub junit: Option<PathBuf>,
    /// Keep the logs of Tempo, the collector and the other components
    #[arg(long, env = "TEMPO_PERF_COLLECT_LOGS", default_value = "true", help_heading = RESULTS)]
    pub collect_logs: bool,
    /// Report which metric queries had data and which had none
    #[arg(long, env = "TEMPO_PERF_CHECK_METRICS", help_heading = RESULTS)]
    pub check_metrics: bool,
    /// Leave everything running after the case, and print how to reach and stop it
    #[arg(long, env = "TEMPO_PERF_SKIP_CLEANUP", help_heading = RESULTS)]
    pub skip_cleanup: bool,

    /// How long a k6 run may take [default: 30m, or warm-up + duration + 10m if that is longer]
    #[arg(long, env = "TEMPO_PERF_JOB_TIMEOUT")]
    #[arg(value_name = "TIME", value_parser = values::time, help_heading = LIMITS)]
    pub job_timeout: Option<Duration>,
    /// How long a pod, or a process on this machine, may take to be ready
    #[arg(long, env = "TEMPO_PERF_POD_READY_TIMEOUT", default_value = "120s")]
    #[arg(value_name = "TIME", value_parser = values::time, help_heading = LIMITS)]
    pub pod_ready_timeout: Duration,
    /// How long custom resources may take to go away
    #[arg(long, env = "TEMPO_PERF_CR_DELETION_TIMEOUT", default_value = CR_DELETION_TIMEOUT)]
    #[arg(value_name = "TIME", value_parser = values::time, help_heading = LIMITS)]
    pub cr_deletion_timeout: Duration,
    /// Prometheus queries at the same time
    #[arg(long, env = "TEMPO_PERF_MAX_CONCURRENT_QUERIES", default_value = "5")]
    #[arg(value_name = "NUMBER", value_parser = count(1..=100_usize), help_heading = LIMITS)]
    pub max_concurrent_queries: usize,

    #[command(flatten, next_help_heading = headings::KUBERNETES)]
    pub kubernetes: KubernetesSettings,
    #[command(flatten, next_help_heading = headings::TOOLS)]
    pub tools: ToolSettings,

    /// TEMPO_PERF_STORE_FAULTS: faults that the built-in trace store is to have,
    /// for tests of this program; named in every report. Not an option, as it is
    /// of no use to users.
    #[arg(skip)]
    pub store_faults: Vec<String>,
    /// What named `profiles`, for messages: the flag or the variable.
    #[arg(skip = "--profiles")]
    pub profiles_source: String,
    /// What named `size`.
    #[arg(skip = "--size")]
    pub size_source: String,
}

/// One value with commas; of a `Vec`, clap would make one for each element.
pub type Names = Vec<String>;

/// The settings of an invocation that was told nothing; only the cache of
/// tools, which depends on the user, is left empty.
impl Default for Settings {
    fn default() -> Self {
        given::defaults()
    }
}

impl Settings {
    /// The flag and the variable of an option, for messages about either.
    pub(crate) fn names_of(flag: &str) -> String {
        let options = Self::augment_args(Command::new("options"));
        let variable = options
            .get_arguments()
            .find(|arg| arg.get_long() == Some(flag.trim_start_matches("--")))
            .and_then(Arg::get_env)
            .unwrap_or_else(|| panic!("there is no option {flag}"));
        format!("{flag} or {}", variable.display())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TestType {
    Ingestion,
    Query,
    Combined,
}

impl fmt::Display for TestType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingestion => "ingestion",
            Self::Query => "query",
            Self::Combined => "combined",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TargetChoice {
    Auto,
    Local,
    Kubernetes,
    Endpoint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_declared_in_full() {
        let options = Settings::augment_args(Command::new("options"));
        for arg in options.get_arguments() {
            let flag = arg.get_long().expect("a flag");
            assert!(arg.get_env().is_some(), "--{flag} needs a variable");
            assert!(arg.get_help_heading().is_some(), "--{flag} needs a heading");
            assert!(arg.get_help().is_some(), "--{flag} needs a help");
            // clap's own readers give a refusal that says nothing.
            let matches = given::untyped::<Settings>(Command::new("perf"))
                .get_matches_from(["perf", &format!("--{flag}=\u{1}")]);
            for mistake in given::Read::<Settings>::new(&matches, &|_| None).malformed {
                assert_ne!(mistake.expected, "text in UTF-8", "{mistake}");
            }
        }
    }
}
