//! From flags and variables to settings, or all malformed values at once.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::FromArgMatches;
use serde::de::DeserializeOwned;
use url::Url;

use super::options::{self, Opt};
use super::{Settings, TargetChoice, command, duration, kubernetes, tools};
use crate::profile::{check_format, limits, nearest, without_user};
use crate::units::{ByteRate, EventRate};

/// What an invocation was told: for the cases and for the test harness.
#[derive(Debug)]
pub struct Invocation {
    pub settings: Settings,
    pub libtest: libtest_mimic::Arguments,
}

/// A flag or variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The flag or variable as the user gave it: `--duration` or `DURATION`.
    pub source: String,
    pub found: String,
    pub expected: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: found {}; expected {}",
            self.source, self.found, self.expected
        )
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// An unknown flag and the like; also `--help`, which clap hands back so.
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// One line for each malformed value.
    #[error("{}", .0.iter().map(Malformed::to_string).collect::<Vec<_>>().join("\n"))]
    Malformed(Vec<Malformed>),
}

impl SettingsError {
    /// Tells the user: help on stdout, mistakes on stderr.
    ///
    /// # Errors
    /// The stream cannot be written to.
    pub fn print(&self) -> std::io::Result<()> {
        match self {
            Self::Usage(error) => error.print(),
            Self::Malformed(_) => {
                use std::io::Write;
                writeln!(std::io::stderr(), "{self}")
            }
        }
    }

    /// 0 for `--help`, 2 for a mistake.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(error) if !error.use_stderr() => ExitCode::SUCCESS,
            _ => ExitCode::from(2),
        }
    }
}

impl Settings {
    /// Reads `args`, the program's name first, and the process's environment.
    ///
    /// # Errors
    /// All malformed values at once, or clap's word on the command line.
    pub fn from_args(
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<Invocation, SettingsError> {
        Self::parse(args, &|name| std::env::var_os(name))
    }

    /// Reads `args` and the environment that `variable` looks up.
    ///
    /// # Errors
    /// As [`Settings::from_args`].
    pub fn parse(
        args: impl IntoIterator<Item = OsString>,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Invocation, SettingsError> {
        let matches = command::command().try_get_matches_from(args)?;
        let mut libtest = libtest_mimic::Arguments::from_arg_matches(&matches)?;
        // Two loads at once would measure each other.
        libtest.test_threads.get_or_insert(1);
        let mut given = Given {
            matches: &matches,
            variable,
            malformed: Vec::new(),
        };
        let settings = settings(&mut given);
        if given.malformed.is_empty() {
            Ok(Invocation { settings, libtest })
        } else {
            Err(SettingsError::Malformed(given.malformed))
        }
    }
}

/// `HOST` becomes the host that was found, so that the example can be copied.
const OTLP_URL: &str = "an http:// or https:// URL of the OTLP/HTTP port, for example \
    http://HOST:4318 (4317 is the port of OTLP/gRPC, which the load does not speak)";
const QUERY_URL: &str =
    "an http:// or https:// URL of Tempo's HTTP API, for example http://HOST:3200";

fn settings(given: &mut Given) -> Settings {
    let default = Settings::default();
    let mut settings = Settings {
        profiles: given.list(&options::PROFILES),
        profiles_dir: given
            .path(&options::PROFILES_DIR)
            .unwrap_or(default.profiles_dir),
        output: given.path(&options::OUTPUT).unwrap_or(default.output),
        test_type: given
            .word(&options::TEST_TYPE, &["ingestion", "query", "combined"])
            .unwrap_or(default.test_type),
        dry_run: given.switch(&options::DRY_RUN).unwrap_or(default.dry_run),
        validate_profiles: given
            .switch(&options::VALIDATE_PROFILES)
            .unwrap_or(default.validate_profiles),
        skip_cleanup: given
            .switch(&options::SKIP_CLEANUP)
            .unwrap_or(default.skip_cleanup),
        check_metrics: given
            .switch(&options::CHECK_METRICS)
            .unwrap_or(default.check_metrics),
        collect_logs: given
            .switch(&options::COLLECT_LOGS)
            .unwrap_or(default.collect_logs),
        junit: given.path(&options::JUNIT),
        target: given
            .word(
                &options::TARGET,
                &["auto", "local", "kubernetes", "endpoint"],
            )
            .unwrap_or(default.target),
        tempo_endpoint: given.url(&options::TEMPO_ENDPOINT, OTLP_URL),
        tempo_query_endpoint: given.url(&options::TEMPO_QUERY_ENDPOINT, QUERY_URL),
        duration: given.time(&options::DURATION),
        size: given.text(&options::SIZE),
        mb_per_second: given
            .rate(
                &options::MB_PER_SECOND,
                limits::MB_PER_SECOND_MAX,
                limits::MB_PER_SECOND,
            )
            .map(ByteRate::from_mb_per_second),
        queries_per_second: given
            .rate(
                &options::QUERIES_PER_SECOND,
                limits::QUERIES_PER_SECOND_MAX,
                limits::QUERIES_PER_SECOND,
            )
            .map(EventRate::per_second),
        vus_min: given.count(&options::VUS_MIN, 1, limits::VUS),
        vus_max: given.count(&options::VUS_MAX, 1, limits::VUS),
        trace_profile: given.word(
            &options::TRACE_PROFILE,
            &["small", "medium", "large", "xlarge"],
        ),
        job_timeout: given.time(&options::JOB_TIMEOUT),
        pod_ready_timeout: given
            .time(&options::POD_READY_TIMEOUT)
            .unwrap_or(default.pod_ready_timeout),
        cr_deletion_timeout: given
            .time(&options::CR_DELETION_TIMEOUT)
            .unwrap_or(default.cr_deletion_timeout),
        max_concurrent_queries: given
            .count(&options::MAX_CONCURRENT_QUERIES, 1, 100)
            .map_or(default.max_concurrent_queries, |count| count as usize),
        seed: given
            .count(&options::SEED, 0, u32::MAX)
            .unwrap_or(default.seed),
        tools: tools::read(given),
        kubernetes: kubernetes::read(given),
        store_faults: given.store_faults(),
        profiles_source: given.source(&options::PROFILES),
        size_source: given.source(&options::SIZE),
    };
    if settings.tools.cache.as_os_str().is_empty() {
        settings.tools.cache = given.cache_directory();
    }
    if let (Some(min), Some(max)) = (settings.vus_min, settings.vus_max)
        && min > max
    {
        let expected = format!(
            "at most {}, which is {max}",
            given.source(&options::VUS_MAX)
        );
        given.refuse(&options::VUS_MIN, min.to_string(), expected);
    }
    let no_endpoint = settings.tempo_endpoint.is_none() && settings.tempo_query_endpoint.is_none();
    let said = |option| given.find(option).is_some();
    if settings.target == TargetChoice::Endpoint
        && no_endpoint
        && !said(&options::TEMPO_ENDPOINT)
        && !said(&options::TEMPO_QUERY_ENDPOINT)
    {
        given.refuse(
            &options::TARGET,
            "\"endpoint\" and no endpoint".into(),
            "TEMPO_ENDPOINT and TEMPO_QUERY_ENDPOINT to be set as well".into(),
        );
    }
    settings
}

/// Flags and variables, and what was wrong with them so far.
pub(super) struct Given<'a> {
    matches: &'a clap::ArgMatches,
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    malformed: Vec<Malformed>,
}

impl Given<'_> {
    /// The value of an option and the name it was given by; a flag first.
    fn find(&self, option: &Opt) -> Option<(String, OsString)> {
        let flag = command::given(self.matches, option.flag)
            .map(|value| (format!("--{}", option.flag), value));
        let variable =
            || (self.variable)(option.variable).map(|value| (option.variable.to_owned(), value));
        flag.filter(|(_, value)| !value.is_empty())
            .or_else(variable)
            .filter(|(_, value)| !value.is_empty())
    }

    /// The name that an option was given by, else its flag.
    pub(super) fn source(&self, option: &Opt) -> String {
        self.find(option)
            .map_or_else(|| format!("--{}", option.flag), |(source, _)| source)
    }

    pub(super) fn refuse(&mut self, option: &Opt, found: String, expected: String) {
        let source = self.source(option);
        self.malformed.push(Malformed {
            source,
            found,
            expected,
        });
    }

    /// Reads a value; the error of `read` goes on after `which` and may be empty.
    pub(super) fn value<T>(
        &mut self,
        option: &Opt,
        expected: impl FnOnce(&str) -> String,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (_, value) = self.find(option)?;
        let Some(text) = value.to_str() else {
            self.refuse(option, "bytes that are not UTF-8".into(), expected(""));
            return None;
        };
        match read(text.trim()) {
            Ok(value) => Some(value),
            Err(reason) => {
                let which = if reason.is_empty() {
                    reason
                } else {
                    format!(", which {reason}")
                };
                self.refuse(
                    option,
                    format!("{:?}{which}", without_user(text)),
                    expected(text),
                );
                None
            }
        }
    }

    /// Not among the options: it is of no use to users.
    fn store_faults(&self) -> Vec<String> {
        let value = (self.variable)("TEMPO_PERF_STORE_FAULTS").unwrap_or_default();
        let faults = value.to_string_lossy();
        faults
            .split(',')
            .filter(|fault| !fault.is_empty())
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn path(&self, option: &Opt) -> Option<PathBuf> {
        self.find(option).map(|(_, value)| value.into())
    }

    pub(super) fn text(&mut self, option: &Opt) -> Option<String> {
        self.value(option, |_| "text".to_owned(), |text| Ok(text.to_owned()))
    }

    fn list(&mut self, option: &Opt) -> Vec<String> {
        let names = |text: &str| -> Vec<String> {
            let names = text
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        };
        self.value(
            option,
            |_| "names separated by commas, for example small,medium".into(),
            |text| {
                match names(text) {
                    // Only commas: taking it for "all" would start every load.
                    none if none.is_empty() => Err("has no name".to_owned()),
                    names => Ok(names),
                }
            },
        )
        .unwrap_or_default()
    }

    pub(super) fn switch(&mut self, option: &Opt) -> Option<bool> {
        self.value(
            option,
            |_| "true, false, 1 or 0".into(),
            |text| match text {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(String::new()),
            },
        )
    }

    /// One of `known`, which are the serde names of `T`'s variants.
    pub(super) fn word<T: DeserializeOwned>(&mut self, option: &Opt, known: &[&str]) -> Option<T> {
        let expected = |found: &str| match nearest(found, known.iter().copied()) {
            Some(near) => format!("{near} (known are {})", known.join(", ")),
            None => format!("one of {}", known.join(", ")),
        };
        self.value(option, expected, |text| {
            serde_json::from_value(serde_json::Value::from(text)).map_err(|_| String::new())
        })
    }

    /// A time above 0; none of the options has a use for 0.
    pub(super) fn time(&mut self, option: &Opt) -> Option<Duration> {
        let expected = limits::POSITIVE_DURATION.trim_start_matches("expected ");
        self.value(
            option,
            |_| expected.to_owned(),
            |text| {
                let time = duration::read(text).map_err(|problem| problem.to_string())?;
                match time.as_secs() {
                    _ if time.is_zero() => Err("is zero".to_owned()),
                    seconds if seconds > limits::DURATION_MAX_SECONDS => {
                        Err("is more than a week".to_owned())
                    }
                    _ => Ok(time),
                }
            },
        )
    }

    fn rate(&mut self, option: &Opt, most: f64, expected: &str) -> Option<f64> {
        let expected = expected.trim_start_matches("expected ");
        self.value(
            option,
            |_| expected.to_owned(),
            |text| {
                text.parse()
                    .ok()
                    .filter(|rate| *rate > 0.0 && *rate <= most)
                    .ok_or_else(String::new)
            },
        )
    }

    fn count(&mut self, option: &Opt, least: u32, most: u32) -> Option<u32> {
        self.value(
            option,
            |_| format!("a whole number from {least} to {most}"),
            |text| {
                text.parse()
                    .ok()
                    .filter(|count| (least..=most).contains(count))
                    .ok_or_else(String::new)
            },
        )
    }

    fn url(&mut self, option: &Opt, expected: &str) -> Option<Url> {
        let expected = |found: &str| {
            let host = found.rsplit("://").next().unwrap_or(found);
            let host = host.split([':', '/']).next().unwrap_or_default();
            let usable = !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
            expected.replace("HOST", if usable { host } else { "tempo" })
        };
        self.value(option, expected, http_url)
    }

    /// Text in a `format` of the profile's schema; `expected` is its message.
    pub(super) fn formatted(
        &mut self,
        option: &Opt,
        format: &str,
        expected: &str,
    ) -> Option<String> {
        let expected = expected.trim_start_matches("expected ");
        self.value(
            option,
            |_| expected.to_owned(),
            |text| check_format(format, text).map(|()| text.to_owned()),
        )
    }

    /// A variable that is no option, and must not become a flag.
    pub(super) fn environment(&self, name: &str) -> Option<OsString> {
        (self.variable)(name)
    }

    /// `$XDG_CACHE_HOME/tempo-perf/tools`, else below `$HOME/.cache`.
    fn cache_directory(&mut self) -> PathBuf {
        let directory = |name: &str| {
            (self.variable)(name)
                .filter(|value| value != OsStr::new(""))
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let cache = directory("XDG_CACHE_HOME").or_else(|| Some(directory("HOME")?.join(".cache")));
        if let Some(cache) = cache {
            return cache.join("tempo-perf/tools");
        }
        self.malformed.push(Malformed {
            source: options::TOOLS_DIR.variable.to_owned(),
            found: "no value, and neither XDG_CACHE_HOME nor HOME".to_owned(),
            expected: "a directory to keep the tools in".to_owned(),
        });
        PathBuf::new()
    }
}

/// A URL to which paths can be added; the error is the bare reason.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| String::new())?;
    match url.scheme() {
        "http" | "https" if !url.has_host() => Err("has no host".to_owned()),
        "http" | "https" if url.query().is_some() || url.fragment().is_some() => {
            Err("has a query or fragment".to_owned())
        }
        "http" | "https" => Ok(url),
        _ => Err("does not start with http:// or https://".to_owned()),
    }
}
