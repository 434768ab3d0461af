//! From flags and variables to what an invocation is to do, or all that is wrong
//! with them at once.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::FromArgMatches;

use super::command;
use super::given::{Read, Variables};
use super::kubernetes;
use super::malformed::Malformed;
use super::options::{Settings, TargetChoice};

/// What an invocation was told: for the cases and for the test harness.
#[derive(Debug)]
pub struct Invocation {
    pub settings: Settings,
    pub libtest: libtest_mimic::Arguments,
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
        variable: Variables,
    ) -> Result<Invocation, SettingsError> {
        let matches = command::command().try_get_matches_from(args)?;
        let mut libtest = libtest_mimic::Arguments::from_arg_matches(&matches)?;
        // Two loads at once would measure each other.
        libtest.test_threads.get_or_insert(1);
        let mut read = Read::<Self>::new(&matches, variable);
        complete(&mut read, variable);
        refuse_what_does_not_go_together(&mut read);
        if read.malformed.is_empty() {
            let settings = read.value;
            Ok(Invocation { settings, libtest })
        } else {
            Err(SettingsError::Malformed(read.malformed))
        }
    }
}

/// What is no option, and defaults that depend on the user.
fn complete(read: &mut Read<Settings>, variable: Variables) {
    read.value.profiles_source = read.source("--profiles");
    read.value.size_source = read.source("--size");
    let faults = variable("TEMPO_PERF_STORE_FAULTS").unwrap_or_default();
    let faults = faults.to_string_lossy();
    let faults = faults.split(',').filter(|fault| !fault.is_empty());
    read.value.store_faults = faults.map(str::to_owned).collect();
    read.value.kubernetes.s3_credentials = kubernetes::s3_credentials(variable);
    if read.value.tools.cache.as_os_str().is_empty() {
        match cache_directory(variable) {
            Some(directory) => read.value.tools.cache = directory,
            None => read.malformed.push(Malformed {
                source: "TEMPO_PERF_TOOLS_DIR".to_owned(),
                found: "no value, and neither XDG_CACHE_HOME nor HOME".to_owned(),
                expected: "a directory to keep the tools in".to_owned(),
            }),
        }
    }
}

/// `$XDG_CACHE_HOME/tempo-perf/tools`, else below `$HOME/.cache`.
fn cache_directory(variable: Variables) -> Option<PathBuf> {
    let directory = |name: &str| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache = directory("XDG_CACHE_HOME").or_else(|| Some(directory("HOME")?.join(".cache")))?;
    Some(cache.join("tempo-perf/tools"))
}

fn refuse_what_does_not_go_together(read: &mut Read<Settings>) {
    if let (Some(min), Some(max)) = (read.value.vus_min, read.value.vus_max)
        && min > max
    {
        let expected = format!("at most {}, which is {max}", read.source("--vus-max"));
        read.refuse("--vus-min", min.to_string(), expected);
    }
    if let (Some(_), Some(version)) = (&read.value.tools.tempo, &read.value.tools.tempo_version) {
        let found = format!("{version:?}");
        let other = read.source("--tempo-bin");
        let expected = format!("no version, as {other} names a Tempo already");
        read.refuse("--tempo-version", found, expected);
    }
    let no_endpoint = !read.is_said("--tempo-endpoint") && !read.is_said("--tempo-query-endpoint");
    if read.value.target == TargetChoice::Endpoint && no_endpoint {
        read.refuse(
            "--target",
            "\"endpoint\" and no endpoint",
            "TEMPO_ENDPOINT and TEMPO_QUERY_ENDPOINT to be set as well",
        );
    }
}
