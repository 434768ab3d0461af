//! `cargo test --test perf -- …`: lists, selects and runs the cases.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::case::{self, Case};
use crate::error_chain::chain;
use crate::machine;
use crate::plan;
use crate::process::Interrupt;
use crate::profile::{DiscoverError, Discovered, Profile};
use crate::settings::{Invocation, Settings, Target, resolve_target};

/// Exit code of libtest for bad arguments.
const USAGE: u8 = 2;

/// Runs the cases that `args` select. `tempo_perf` is the program beside the
/// cases: the trace store and the watcher of child processes.
pub fn main(args: impl IntoIterator<Item = OsString>, tempo_perf: impl Into<PathBuf>) -> ExitCode {
    match front_door(args, tempo_perf.into()) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(USAGE)
        }
    }
}

fn front_door(
    args: impl IntoIterator<Item = OsString>,
    tempo_perf: PathBuf,
) -> Result<ExitCode, String> {
    let Invocation { settings, libtest } = match Settings::from_args(args) {
        Ok(invocation) => invocation,
        Err(err) => {
            err.print()
                .map_err(|err| format!("cannot write to the terminal: {err}"))?;
            return Ok(err.exit_code());
        }
    };
    if settings.validate_profiles {
        return validate(&settings.profiles_dir).map_err(|err| format!("error: {}", chain(&err)));
    }
    let discovered = crate::profile::discover(&settings.profiles_dir)
        .map_err(|err| format!("error: {}", chain(&err)))?;
    let sizes = valid_profiles(&discovered);
    let selected = crate::settings::select(discovered, &settings, &libtest)
        .map_err(|err| format!("error: {}", chain(&err)))?;
    if libtest.list {
        let names = selected
            .into_iter()
            .map(|found| Trial::test(found.name, || Ok(())));
        return Ok(libtest_mimic::run(&libtest, names.collect()).exit_code());
    }
    let (target, note) = target_here(&settings);
    if settings.dry_run {
        return Ok(dry_run(&selected, &sizes, &settings, target));
    }
    if let Some(note) = note {
        eprintln!("{note}");
    }
    show_warnings();
    let interrupt =
        Interrupt::install().map_err(|err| format!("cannot listen for signals: {err}"))?;
    let shared = Arc::new(Shared {
        sizes,
        settings,
        target,
        tempo_perf,
        invocation: invocation_id(),
        interrupt: interrupt.clone(),
    });
    let trials = selected
        .into_iter()
        .map(|found| trial(found, Arc::clone(&shared)))
        .collect();
    let conclusion = libtest_mimic::run(&libtest, trials);
    Ok(match interrupt.signal() {
        Some(signal) => ExitCode::from(signal.exit_code()),
        None => conclusion.exit_code(),
    })
}

/// Shows warnings on stderr; RUST_LOG asks for more. The first call of a process
/// counts.
pub fn show_warnings() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse_lossy(std::env::var("RUST_LOG").unwrap_or_else(|_| "tempo_perf=warn".into()));
    let shown = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .try_init();
    if let Err(err) = shown {
        tracing::debug!("warnings are shown by someone else: {err}");
    }
}

struct Shared {
    settings: Settings,
    target: Target,
    sizes: Vec<Profile>,
    tempo_perf: PathBuf,
    invocation: String,
    interrupt: Interrupt,
}

fn trial(found: Discovered, shared: Arc<Shared>) -> Trial {
    let name = found.name.clone();
    Trial::test(found.name, move || {
        if let Some(signal) = shared.interrupt.signal() {
            return Err(Failed::from(format!(
                "not started: interrupted by {signal}"
            )));
        }
        let profile = found.profile.map_err(|errors| {
            Failed::from(case::refuse_profile(
                &name,
                &shared.settings,
                shared.target,
                &shared.invocation,
                &errors,
            ))
        })?;
        let case = Case {
            profile: &profile,
            settings: &shared.settings,
            target: shared.target,
            sizes: &shared.sizes,
            tempo_perf: &shared.tempo_perf,
            invocation: &shared.invocation,
            interrupt: shared.interrupt.clone(),
        };
        case::run_blocking(&case).map_err(Failed::from)
    })
}

fn valid_profiles(discovered: &[Discovered]) -> Vec<Profile> {
    discovered
        .iter()
        .filter_map(|found| found.profile.as_ref().ok().cloned())
        .collect()
}

/// Tells of each profile in `dir` that it is valid, or all its mistakes.
///
/// # Errors
/// The directory cannot be read.
pub fn validate(dir: &Path) -> Result<ExitCode, DiscoverError> {
    let discovered = crate::profile::discover(dir)?;
    let mut invalid = 0;
    for found in &discovered {
        match &found.profile {
            Ok(_) => println!("{}: valid", found.path.display()),
            Err(errors) => {
                invalid += 1;
                println!("{errors}");
            }
        }
    }
    Ok(if invalid == 0 {
        println!(
            "all {} profiles in {} are valid",
            discovered.len(),
            dir.display()
        );
        ExitCode::SUCCESS
    } else {
        println!(
            "{invalid} of {} profiles in {} are not valid",
            discovered.len(),
            dir.display()
        );
        ExitCode::FAILURE
    })
}

fn dry_run(
    selected: &[Discovered],
    sizes: &[Profile],
    settings: &Settings,
    target: Target,
) -> ExitCode {
    let mut failed = false;
    for found in selected {
        let planned = match &found.profile {
            Ok(profile) => plan::plan(profile, settings, target, machine::cores(), sizes, 0)
                .map_err(|err| chain(&err)),
            Err(errors) => Err(errors.to_string()),
        };
        match planned {
            Ok(plan) => println!("{}\n{}", found.name, plan::render(&plan)),
            Err(message) => {
                failed = true;
                println!("{}\n  no plan: {message}\n", found.name);
            }
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Tells which cases belong together: nextest runs each in its own process.
fn invocation_id() -> String {
    std::env::var("NEXTEST_RUN_ID")
        .ok()
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| {
            let now = jiff::Timestamp::now().as_millisecond();
            format!("{now}-{}", std::process::id())
        })
}

/// Where the load goes, and a line to print about it.
fn target_here(settings: &Settings) -> (Target, Option<String>) {
    let kubeconfig = std::env::var_os("KUBECONFIG");
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    resolve_target(
        settings,
        kubeconfig.as_deref(),
        in_cluster,
        default_context(),
    )
}

/// The current context of the kubeconfig in the home directory, if there is one.
fn default_context() -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Kubeconfig {
        #[serde(rename = "current-context")]
        current_context: String,
    }
    let path = PathBuf::from(std::env::var_os("HOME")?).join(".kube/config");
    let kubeconfig: Kubeconfig = serde_yaml::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
    Some(kubeconfig.current_context).filter(|context| !context.is_empty())
}
