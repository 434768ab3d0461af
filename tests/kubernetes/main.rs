//! The harness on a real Kubernetes: the testbed's, never a user's own. The
//! operators are played by `stand_in`. The same binary is what runs in Tempo's
//! pods: with `component` as its first argument.
//! Touches: the cluster of TEMPO_PERF_TEST_KUBECONFIG; temporary directories.

mod cluster;
mod component;
mod faults;
mod restricted_namespace;
mod rights;
mod runs;
mod smoke;
mod stand_in;
mod store_of_others;
#[path = "../support/mod.rs"]
mod support;
mod whose;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use cluster::{Cluster, KUBECONFIG_VARIABLE};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use support::front_door::Turn;

/// Slow scenarios run only with CI_FULL=1.
const FULL_VARIABLE: &str = "CI_FULL";

/// A test against the cluster, which it must leave without anything of ours.
pub struct Scenario {
    name: &'static str,
    /// Namespaces that it may leave behind when it fails.
    namespaces: &'static [&'static str],
    slow: bool,
    run: fn(&Cluster) -> Result<(), Failed>,
}

impl Scenario {
    /// `namespaces` are all that it has on the cluster, itself or by the harness:
    /// when it fails, they are removed, and nothing else is.
    pub const fn new(
        name: &'static str,
        namespaces: &'static [&'static str],
        run: fn(&Cluster) -> Result<(), Failed>,
    ) -> Self {
        Self {
            name,
            namespaces,
            slow: false,
            run,
        }
    }

    /// Not run without CI_FULL=1.
    pub const fn slow(mut self) -> Self {
        self.slow = true;
        self
    }

    /// As a trial, run on `cluster` or ignored with why not.
    fn trial(self, cluster: Result<Arc<Cluster>, &'static str>) -> Trial {
        match cluster {
            Ok(cluster) => Trial::test(self.name, move || {
                // nextest runs each trial in a process of its own.
                let _turn = Turn::wait();
                let _lock = cluster.begin(self.namespaces);
                let result = catch_unwind(AssertUnwindSafe(|| (self.run)(&cluster)));
                // A scenario that failed must not make the next one fail.
                if !matches!(result, Ok(Ok(())))
                    && let Err(err) = cluster.clear()
                {
                    eprintln!("kubernetes: {}", err.message().unwrap_or_default());
                }
                result.unwrap_or_else(|panic| resume_unwind(panic))
            }),
            // The flag keeps it out of nextest's runs; the completion tells why
            // when it is asked for by `--ignored`.
            Err(reason) => {
                let ignored = move || Ok(Completion::ignored_with(reason));
                Trial::ignorable_test(self.name, ignored).with_ignored_flag(true)
            }
        }
    }
}

fn scenarios() -> Vec<Scenario> {
    smoke::SCENARIOS
        .into_iter()
        .chain(runs::SCENARIOS)
        .chain(rights::SCENARIOS)
        .chain(whose::SCENARIOS)
        .chain(faults::SCENARIOS)
        .collect()
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("component") {
        return component::run(args);
    }
    let mut arguments = Arguments::from_args();
    // One cluster, and scenarios that end its API server.
    arguments.test_threads = Some(1);
    tracing_subscriber::fmt()
        .with_env_filter(
            // Nothing without RUST_LOG: refused requests are part of the tests.
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing::level_filters::LevelFilter::OFF.into())
                .from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .init();

    let no_cluster = "there is no cluster: TEMPO_PERF_TEST_KUBECONFIG is not set";
    let cluster = if arguments.list && std::env::var_os(KUBECONFIG_VARIABLE).is_some() {
        // What is listed depends on no answer.
        None
    } else {
        match Cluster::from_env() {
            Ok(Some(cluster)) => Some(Ok(Arc::new(cluster))),
            Ok(None) => {
                eprintln!(
                    "kubernetes: ignored: {KUBECONFIG_VARIABLE} is not set; to run these tests, \
                     bring up a testbed and set it to the testbed's kubeconfig, {} to the \
                     testbed's directory and {} to that of the operators' CRDs",
                    cluster::TESTBED_VARIABLE,
                    cluster::CRD_VARIABLE,
                );
                Some(Err(no_cluster))
            }
            Err(message) => {
                eprintln!("kubernetes: error: {message}");
                return ExitCode::from(2);
            }
        }
    };
    let full = std::env::var(FULL_VARIABLE).is_ok_and(|value| value == "1");
    let mut slow = Vec::new();
    let trials = scenarios()
        .into_iter()
        .map(|scenario| match &cluster {
            _ if scenario.slow && !full => {
                slow.push(scenario.name);
                scenario.trial(Err("slow: runs with CI_FULL=1"))
            }
            Some(cluster) => scenario.trial(cluster.clone()),
            None => Trial::test(scenario.name, || Ok(())),
        })
        .collect();
    if !slow.is_empty() && !arguments.list && matches!(cluster, Some(Ok(_))) {
        eprintln!(
            "kubernetes: ignored without {FULL_VARIABLE}=1: {}",
            slow.join(", ")
        );
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
