//! `tempo-perf sweep`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{SweepOptions, sweep};
use crate::environment::kubernetes::clean_up::tear_down::Limits;
use crate::environment::kubernetes::cluster::client::{connect, reachable};
use crate::process::Interrupt;
use crate::settings::{CR_DELETION_TIMEOUT, kubernetes::NAMESPACE_DELETION_TIMEOUT, values};

/// Remove from a cluster what runs left behind that are no longer alive
///
/// Only namespaces and cluster-scoped objects with the label tempo-perf/run are
/// looked at. Those of live runs are named and left alone; a run of another
/// machine counts as live when it renews its Lease within a minute. The exit code
/// is 0 when nothing that was abandoned is left.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, env = "TEMPO_PERF_CONTEXT", value_parser = values::text)]
    context: Option<String>,
    /// Only this namespace
    #[arg(long)]
    namespace: Option<String>,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// How long custom resources may take to go before their finalizers are taken away
    #[arg(long, env = "TEMPO_PERF_CR_DELETION_TIMEOUT", default_value = CR_DELETION_TIMEOUT)]
    #[arg(value_name = "TIME", value_parser = values::time)]
    cr_deletion_timeout: Duration,
    /// How long a namespace may take to go
    #[arg(long, env = "TEMPO_PERF_NAMESPACE_DELETION_TIMEOUT")]
    #[arg(default_value = NAMESPACE_DELETION_TIMEOUT)]
    #[arg(value_name = "TIME", value_parser = values::time)]
    namespace_deletion_timeout: Duration,
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a runtime: {error}"))?;
        let options = SweepOptions {
            namespace: self.namespace,
            dry_run: self.dry_run,
            limits: Limits {
                cr_deletion: self.cr_deletion_timeout,
                namespace_deletion: self.namespace_deletion_timeout,
            },
            interrupt,
        };
        runtime.block_on(async {
            let connected = connect(self.context.as_deref())
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
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;
    use crate::settings::Given;

    #[test]
    fn a_timeout_must_leave_some_time() {
        let read = |time: &str| {
            let flag = format!("--cr-deletion-timeout={time}");
            let command = Given::<SweepArgs>::augment_args(Command::new("sweep"));
            let matches = command.get_matches_from(["sweep", &flag]);
            Given::<SweepArgs>::from_arg_matches(&matches)
        };
        let Given(args) = read("90s").unwrap();
        assert_eq!(args.cr_deletion_timeout, Duration::from_secs(90));
        let message = |time| read(time).unwrap_err().to_string();
        assert!(
            message("0s").contains("--cr-deletion-timeout: found \"0s\", which is zero; expected ")
        );
        assert!(message("90").contains("has no unit"));
    }
}
