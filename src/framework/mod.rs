//! The steps of a case, one call each, for programs of their own.
//!
//! A [`Framework`] sets up the environment that `cargo test --test perf` would,
//! puts on the same load through the same plan, and judges it by the same
//! checks; progress goes to stderr, evidence to the output directory. The
//! program `examples/framework.rs` shows it whole (`cargo build && cargo run
//! --example framework`), in short:
//!
//! ```no_run
//! use tempo_perf::framework::{Framework, K6Config};
//! use tempo_perf::profile::Variant;
//!
//! # async fn steps() -> Result<(), Box<dyn std::error::Error>> {
//! let mut framework = Framework::new("my-perf-test")?;
//! framework.setup_tempo(Variant::Monolithic, None).await?;
//! framework.setup_otel_collector().await?;
//! let result = framework.run_k6_parallel_tests(&K6Config::default()).await?;
//! println!("passed: {}", result.success());
//! framework.cleanup().await?;
//! # Ok(())
//! # }
//! ```

mod builder;
mod config;
mod prerequisites;
mod results;

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::case::{self, Case, Judged};
use crate::environment::{Environment, EnvironmentError, Part, Programs, StageLog, make};
use crate::error_chain::chain;
use crate::k6::Run;
use crate::machine;
use crate::metrics::Collected;
use crate::plan::{self, Plan};
use crate::process::{Interrupt, Supervisor};
use crate::profile::{CollectorMode, Profile, Variant};
use crate::report::{self, ReportError, Window};
use crate::settings::{Settings, Target, TestType};
use crate::tools::Tool;

pub use builder::FrameworkBuilder;
pub use config::{K6Config, ResourceConfig, StorageConfig};
pub use prerequisites::{Prerequisite, Prerequisites};
pub use results::{K6Result, ParallelResult, SetUp};

/// Set-ups tried when another process takes a chosen port.
const SET_UP_ATTEMPTS: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum FrameworkError {
    /// A malformed variable.
    #[error("{0}")]
    Settings(String),
    /// The name, or a step's configuration; one mistake a line.
    #[error("{0}")]
    Invalid(String),
    #[error(
        "the program tempo-perf, which watches over child processes, is not in {}: build it with \
         `cargo build --bin tempo-perf`, or name it with FrameworkBuilder::program",
        searched.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoProgram { searched: Vec<PathBuf> },
    #[error("{step} needs {needs} first")]
    OutOfOrder {
        step: &'static str,
        needs: &'static str,
    },
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A run that came to no verdict, with its causes.
    #[error("{0}")]
    Run(String),
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// A performance test step by step. Steps come in the order of the methods.
///
/// [`Framework::cleanup`] takes everything down and tells what went wrong in
/// that; dropping a framework ends its processes and deletes its files at once.
pub struct Framework {
    name: String,
    target: Target,
    settings: Settings,
    tempo_perf: PathBuf,
    supervisor: Supervisor,
    interrupt: Interrupt,
    collector: CollectorMode,
    /// What the Tempo that is set up was asked to be.
    tempo: Option<(Variant, ResourceConfig)>,
    environment: Option<Box<dyn Environment>>,
    collector_is_up: bool,
    storage_is_up: bool,
    /// Tells what this framework sets up from what others do.
    run: u32,
}

impl Framework {
    /// A framework with the settings of the environment variables. `name` is
    /// part of file names, and a Kubernetes namespace: small letters, digits
    /// and hyphens, at most 40 characters.
    ///
    /// # Errors
    /// As [`FrameworkBuilder::build`].
    pub fn new(name: impl Into<String>) -> Result<Self, FrameworkError> {
        Self::builder(name).build()
    }

    pub fn builder(name: impl Into<String>) -> FrameworkBuilder {
        FrameworkBuilder::new(name.into())
    }

    /// Looks for what the target needs, and starts nothing; for an existing
    /// Tempo, asks it, for which k6 and Prometheus are got if need be.
    pub async fn check_prerequisites(&mut self) -> Result<Prerequisites, FrameworkError> {
        use prerequisites::{local_tempo, prerequisite, tool};
        let plan = self.plan_of_place()?;
        let mut each = Vec::new();
        match self.target {
            Target::Local => {
                let toolbox = self.programs().toolbox(&plan.tools);
                each.push(local_tempo(&toolbox).await);
                for wanted in [Tool::Otelcol, Tool::K6, Tool::Prometheus] {
                    each.push(tool(&toolbox, wanted).await);
                }
            }
            Target::Endpoint => {
                let asking = async { make(&plan, self.programs()).await?.look(&plan).await };
                let answered = asking.await.map_err(|err| err.to_string());
                let answered = answered.map(|_| "it answers".to_string());
                each.push(prerequisite("Tempo", answered));
            }
            Target::Kubernetes => {
                let looked = self.cluster(&plan).await?.look(&plan).await;
                return Ok(Prerequisites::of_cluster(looked.map(|_| ())));
            }
        }
        Ok(Prerequisites::new(each))
    }

    /// Object storage for Tempo: of Kubernetes alone, elsewhere
    /// [`SetUp::NotHere`].
    pub async fn setup_minio(&mut self) -> Result<SetUp, FrameworkError> {
        let why = match self.target {
            Target::Local => "only Kubernetes has MinIO: a local Tempo stores in a directory",
            Target::Endpoint => "only Kubernetes has MinIO: this Tempo has its own storage",
            Target::Kubernetes => {
                let plan = self.plan_of_place()?;
                let environment = self.cluster(&plan).await?;
                environment.look(&plan).await?;
                set_up(environment, &plan, &[Part::Storage]).await?;
                self.storage_is_up = true;
                return Ok(SetUp::Done {
                    not_applied: Vec::new(),
                });
            }
        };
        Ok(SetUp::NotHere { why: why.into() })
    }

    /// Starts Tempo, or the built-in trace store where there is none, and a
    /// Prometheus that scrapes it; ready when it returns.
    ///
    /// # Errors
    /// Mistakes in `resources`, missing tools, and processes that do not get
    /// ready, with the end of their logs.
    pub async fn setup_tempo(
        &mut self,
        variant: Variant,
        resources: Option<ResourceConfig>,
    ) -> Result<SetUp, FrameworkError> {
        if self.tempo.is_some() && self.environment.is_some() {
            return Err(FrameworkError::OutOfOrder {
                step: "another setup_tempo",
                needs: "cleanup",
            });
        }
        let resources = resources.unwrap_or_default();
        if let Some(credentials) = resources.s3_credentials() {
            self.settings.kubernetes.s3_credentials = Ok(Some(credentials));
        }
        self.tempo = Some((variant, resources));
        let plan = self.plan_of_place()?;
        if self.target == Target::Kubernetes {
            let parts: &[Part] = if self.storage_is_up {
                &[Part::Tempo, Part::Prometheus]
            } else {
                // Nothing was created yet: what was asked for may change everything.
                self.environment = None;
                &[Part::Storage, Part::Tempo, Part::Prometheus]
            };
            let environment = self.cluster(&plan).await?;
            environment.look(&plan).await?;
            set_up(environment, &plan, parts).await?;
            return Ok(SetUp::Done {
                not_applied: plan::not_applied(&plan.profile, self.target),
            });
        }
        for attempt in 1.. {
            let made = make(&plan, self.programs()).await?;
            let environment = self.environment.insert(made).as_mut();
            let started = async {
                environment.look(&plan).await?;
                let parts = [Part::Storage, Part::Tempo, Part::Prometheus];
                set_up(environment, &plan, &parts).await
            };
            match started.await {
                Ok(()) => break,
                Err(EnvironmentError::PortLost { .. }) if attempt < SET_UP_ATTEMPTS => {
                    environment.tear_down(&StageLog::default()).await?;
                }
                Err(err) => {
                    // What failed is not left to be used; its error counts.
                    if let Err(also) = environment.tear_down(&StageLog::default()).await {
                        tracing::warn!("after a failed set-up: {also}");
                    }
                    self.environment = None;
                    return Err(err.into());
                }
            }
        }
        if self.target == Target::Endpoint {
            return Ok(SetUp::NotHere {
                why: "this Tempo exists already".into(),
            });
        }
        Ok(SetUp::Done {
            not_applied: plan::not_applied(&plan.profile, self.target),
        })
    }

    /// Starts the collector between k6 and Tempo; ready when it returns.
    pub async fn setup_otel_collector(&mut self) -> Result<SetUp, FrameworkError> {
        let plan = self.plan_of_place()?;
        let environment = self.up("setup_otel_collector")?;
        match set_up(environment, &plan, &[Part::Collector]).await {
            // Its ports are Tempo's and Prometheus's to know: all start again.
            Err(EnvironmentError::PortLost { .. }) => {
                environment.tear_down(&StageLog::default()).await?;
                let made = make(&plan, self.programs()).await?;
                let environment = self.environment.insert(made).as_mut();
                environment.look(&plan).await?;
                set_up(environment, &plan, &Part::ALL).await?;
            }
            outcome => outcome?,
        }
        self.collector_is_up = true;
        Ok(match self.target {
            Target::Endpoint => SetUp::NotHere {
                why: "there is no collector between k6 and this Tempo".into(),
            },
            Target::Local | Target::Kubernetes => SetUp::Done {
                not_applied: Vec::new(),
            },
        })
    }

    /// Puts on one kind of load, reads back, judges, and writes the evidence;
    /// files of an earlier run of this name move aside. A query test ingests
    /// something to find first.
    ///
    /// # Errors
    /// Mistakes in `config`, and whatever leaves the run without a verdict. A
    /// verdict against Tempo is no error: see [`K6Result::success`].
    pub async fn run_k6_test(
        &mut self,
        test_type: TestType,
        config: &K6Config,
    ) -> Result<K6Result, FrameworkError> {
        let mut judged = self.run(test_type, config).await?;
        Ok(K6Result {
            ingestion: judged.summaries.remove(&Run::Ingestion),
            query: judged.summaries.remove(&Run::Query),
            report: judged.report,
        })
    }

    /// As [`Framework::run_k6_test`], ingestion and queries side by side.
    pub async fn run_k6_parallel_tests(
        &mut self,
        config: &K6Config,
    ) -> Result<ParallelResult, FrameworkError> {
        let result = self.run_k6_test(TestType::Combined, config).await?;
        let of = |name: &str, summary: Option<_>| {
            summary.unwrap_or_else(|| Err(format!("there was no {name} run")))
        };
        Ok(ParallelResult {
            ingestion: of("ingestion", result.ingestion),
            query: of("query", result.query),
            report: result.report,
        })
    }

    /// Asks Prometheus the catalogue of queries from `start` until now, and
    /// writes the CSV `path`: query_id, metric_name, category, description,
    /// timestamp, value, labels. A query that failed is among
    /// [`Collected::failures`].
    pub async fn collect_metrics(
        &mut self,
        start: Timestamp,
        path: impl AsRef<Path>,
    ) -> Result<Collected, FrameworkError> {
        let plan = self.plan_of_place()?;
        let (target, most) = (self.target, self.settings.max_concurrent_queries);
        let environment = self.up("collect_metrics")?;
        let end = Timestamp::now();
        if start >= end {
            return Err(FrameworkError::Invalid(format!(
                "start: found {start}; expected a time before now, {end}"
            )));
        }
        let surroundings = environment.prepare(&plan, &[]).await?;
        surroundings.wait_for_scrape(end).await?;
        let window = Window { start, end };
        let collected =
            case::evidence::catalogue_answers(&surroundings, target, &plan.profile, most, window)
                .await;
        let path = path.as_ref();
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(|source| ReportError::Write {
                path: dir.to_owned(),
                source,
            })?;
        }
        report::write_metrics_csv(path, &collected)?;
        Ok(collected)
    }

    /// Stops and removes all that was set up, and tells what could not be. With
    /// `skip_cleanup` in the settings, says instead how to reach and stop it.
    pub async fn cleanup(mut self) -> Result<(), FrameworkError> {
        let Some(mut environment) = self.environment.take() else {
            return Ok(());
        };
        if self.settings.skip_cleanup {
            eprint!("{}", environment.leave_running());
            return Ok(());
        }
        Ok(environment.tear_down(&StageLog::default()).await?)
    }

    async fn run(
        &mut self,
        test_type: TestType,
        config: &K6Config,
    ) -> Result<Judged, FrameworkError> {
        if !self.collector_is_up {
            self.up("a k6 test")?;
            return Err(FrameworkError::OutOfOrder {
                step: "a k6 test",
                needs: "setup_otel_collector",
            });
        }
        let profile = self.profile(config)?;
        let settings = Settings {
            test_type,
            ..self.settings.clone()
        };
        let (name, program) = (self.name.clone(), self.tempo_perf.clone());
        let case = Case {
            profile: &profile,
            settings: &settings,
            target: self.target,
            sizes: &[],
            tempo_perf: &program,
            invocation: &name,
            interrupt: self.interrupt.clone(),
        };
        case::run_in(&case, self.up("a k6 test")?)
            .await
            .map_err(FrameworkError::Run)
    }

    /// The cluster's environment: made by the first step that needs it, and kept.
    async fn cluster(&mut self, plan: &Plan) -> Result<&mut dyn Environment, FrameworkError> {
        let environment = match self.environment.take() {
            Some(environment) => environment,
            None => make(plan, self.programs()).await?,
        };
        Ok(self.environment.insert(environment).as_mut())
    }

    /// The environment, once Tempo is set up.
    fn up(
        &mut self,
        step: &'static str,
    ) -> Result<&mut (dyn Environment + 'static), FrameworkError> {
        let tempo_is_up = self.tempo.is_some();
        self.environment
            .as_deref_mut()
            .filter(|_| tempo_is_up)
            .ok_or(FrameworkError::OutOfOrder {
                step,
                needs: "setup_tempo",
            })
    }

    fn programs(&self) -> Programs<'_> {
        Programs {
            tempo_perf: &self.tempo_perf,
            supervisor: &self.supervisor,
            interrupt: &self.interrupt,
        }
    }

    /// What is set up, for whatever load comes.
    fn plan_of_place(&self) -> Result<Plan, FrameworkError> {
        let profile = self.profile(&K6Config::default())?;
        let settings = Settings {
            test_type: match (
                &self.settings.tempo_endpoint,
                &self.settings.tempo_query_endpoint,
            ) {
                (None, Some(_)) => TestType::Query,
                (Some(_), None) => TestType::Ingestion,
                _ => self.settings.test_type,
            },
            ..self.settings.clone()
        };
        let plan = plan::plan(
            &profile,
            &settings,
            self.target,
            machine::cores(),
            &[],
            self.run,
        )
        .map_err(|err| FrameworkError::Invalid(chain(&err)))?;
        Ok(plan.for_any_load())
    }

    fn profile(&self, config: &K6Config) -> Result<Profile, FrameworkError> {
        let none = (Variant::Monolithic, ResourceConfig::default());
        let (variant, resources) = self.tempo.as_ref().unwrap_or(&none);
        let mut profile = config::profile(&self.name, *variant, resources, self.collector, config)
            .map_err(FrameworkError::Invalid)?;
        // The plan of a run does the same: what it shows must be what is set up.
        plan::override_place(&mut profile, &self.settings, self.target)
            .map_err(|err| FrameworkError::Invalid(err.to_string()))?;
        Ok(profile)
    }
}

async fn set_up(
    environment: &mut dyn Environment,
    plan: &Plan,
    parts: &[Part],
) -> Result<(), EnvironmentError> {
    // The time of each part is told by cases only.
    environment.set_up(plan, parts, &StageLog::default()).await
}

/// The safety net: the environment's own parts end as they are dropped.
impl Drop for Framework {
    fn drop(&mut self) {
        if self.environment.is_some() && !self.settings.skip_cleanup {
            tracing::warn!("{}: dropped without cleanup()", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::profile::StorageKind;

    fn on_kubernetes(settings: Settings) -> Framework {
        // Any file will do: nothing is started.
        let program = std::env::current_exe().expect("this test is a file");
        let builder = Framework::builder("a-test").program(program);
        let built = builder.settings(settings).target(Target::Kubernetes);
        built.build().expect("it is well told")
    }

    #[test]
    fn what_is_set_up_is_what_settings_and_so_the_plan_say() {
        let selector = BTreeMap::from([("disk".to_string(), "ssd".to_string())]);
        let mut settings = Settings::default();
        settings.kubernetes.node_selector = Some(selector.clone());
        let profile = on_kubernetes(settings).profile(&K6Config::default());
        assert_eq!(profile.expect("a profile").tempo.node_selector, selector);
    }

    #[test]
    fn storage_that_does_not_fit_is_refused_before_anything_is_set_up() {
        let mut settings = Settings::default();
        settings.kubernetes.storage.kind = Some(StorageKind::S3);
        let refused = on_kubernetes(settings).profile(&K6Config::default());
        let message = refused.expect_err("no bucket").to_string();
        assert!(message.starts_with("--storage-bucket or "), "{message}");
    }
}
