//! `tempo-perf sweep`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{SweepOptions, sweep};
use crate::environment::kubernetes::clean_up::tear_down::TeardownLimits;
use crate::environment::kubernetes::cluster::client::{connect, reachable};
use crate::process::Interrupt;
use crate::settings::duration;

/// Remove from a cluster what runs left behind that are no longer alive
///
/// Only namespaces and cluster-scoped objects with the label tempo-perf/run are
/// looked at. Those of live runs are named and left alone; a run of another
/// machine counts as live when it renews its Lease within a minute. The exit code
/// is 0 when nothing that was abandoned is left.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Context of the kubeconfig [env: TEMPO_PERF_CONTEXT] [default: the current one]
    #[arg(long)]
    context: Option<String>,
    /// Only this namespace
    #[arg(long)]
    namespace: Option<String>,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How long custom resources may take to go before their finalizers are taken
    /// away [env: TEMPO_PERF_CR_DELETION_TIMEOUT] [default: 120s]
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    cr_deletion_timeout: Option<Duration>,
    /// How long a namespace may take to go
    /// [env: TEMPO_PERF_NAMESPACE_DELETION_TIMEOUT] [default: 180s]
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    namespace_deletion_timeout: Option<Duration>,
}

impl SweepArgs {
    /// Runs the command; the exit code is 130 or 143 after a signal.
    pub fn run(self) -> ExitCode {
        let interrupt = match Interrupt::install() {
            Ok(interrupt) => interrupt,
            Err(error) => {
                eprintln!("error: cannot handle signals: {error}");
                return ExitCode::FAILURE;
            }
        };
        match self.try_run(&interrupt) {
            Ok(true) => ExitCode::SUCCESS,
            outcome => {
                if let Err(error) = outcome {
                    eprintln!("error: {error}");
                }
                match interrupt.signal() {
                    Some(signal) => ExitCode::from(signal.exit_code()),
                    None => ExitCode::FAILURE,
                }
            }
        }
    }

    /// Whether nothing that was abandoned is left.
    fn try_run(self, interrupt: &Interrupt) -> Result<bool, String> {
        let limits = self.limits()?;
        let context = self.context.or_else(|| variable("TEMPO_PERF_CONTEXT"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a runtime: {error}"))?;
        let options = SweepOptions {
            namespace: self.namespace,
            dry_run: self.dry_run,
            limits,
            interrupt,
        };
        runtime.block_on(async {
            let connected = connect(context.as_deref())
                .await
                .map_err(|error| error.to_string())?;
            let version = tokio::select! {
                signal = interrupt.wait() => return Err(format!("interrupted by {signal}")),
                version = reachable(&connected) => version.map_err(|error| error.to_string())?,
            };
            println!("{connected}, Kubernetes {version}");
            let swept = sweep(&connected.client, &options, &|line| println!("{line}"))
                .await
                .map_err(|error| format!("{connected}: {error}"))?;
            let removed = if options.dry_run {
                "to be removed"
            } else {
                "removed"
            };
            println!(
                "{} {removed}, {} in use, {} failed",
                swept.removed,
                swept.live,
                swept.failed.len()
            );
            Ok(swept.failed.is_empty())
        })
    }

    fn limits(&self) -> Result<TeardownLimits, String> {
        let default = TeardownLimits::default();
        let chosen = |flag: Option<Duration>, name: &str, default| match (flag, variable(name)) {
            (Some(time), _) => Ok(time),
            (None, Some(text)) => timeout(&text).map_err(|error| format!("{name}: {error}")),
            (None, None) => Ok(default),
        };
        Ok(TeardownLimits {
            cr_deletion: chosen(
                self.cr_deletion_timeout,
                "TEMPO_PERF_CR_DELETION_TIMEOUT",
                default.cr_deletion,
            )?,
            namespace_deletion: chosen(
                self.namespace_deletion_timeout,
                "TEMPO_PERF_NAMESPACE_DELETION_TIMEOUT",
                default.namespace_deletion,
            )?,
        })
    }
}

/// A variable; an empty one counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn timeout(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        Duration::ZERO => Err(format!(
            "found {text:?}, which leaves no time at all; expected for example 30s or 2m"
        )),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_must_leave_some_time() {
        assert_eq!(timeout("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(
            timeout("0s").unwrap_err(),
            "found \"0s\", which leaves no time at all; expected for example 30s or 2m"
        );
        assert!(timeout("90").unwrap_err().contains("has no unit"));
    }
}
