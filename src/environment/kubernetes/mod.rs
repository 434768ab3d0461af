//! A run in a Kubernetes cluster with the Tempo and OpenTelemetry operators.

pub mod clean_up;
pub mod cluster;
mod evidence;
pub mod holder;
mod load;
pub mod manifests;
mod options;
mod prerequisites;
pub mod set_up;
mod tear_down;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use url::Url;

use super::requests;
use super::{Addresses, Environment, EnvironmentError, K6Finished, K6Start, TimedStage};
use crate::checks::{Capabilities, Reason};
use crate::k6::Run;
use crate::metrics::PrometheusClient;
use crate::metrics::exposition::CounterSnapshot;
use crate::process::{Interrupt, Supervisor, WorkDir};
use crate::profile::Profile;
use crate::report::{Component, OutputDir};
use clean_up::guard::TeardownGuard;
use cluster::client::{Connected, connect};
use cluster::names::{COLLECTOR, TEMPO};
use cluster::port_forward::PortForward;
use evidence::cores::Cores;
use evidence::{components, counters, logs};
use load::run::K6Jobs;
use manifests::blueprint::{Blueprint, Flavor, Scraper};
use prerequisites::object_storage::Credentials;
use prerequisites::prometheus::Chosen;
use set_up::acquire::HeldNamespace;
use watch::conditions;
use watch::namespace::{InNamespace, Waits};
use watch::view::View;

pub use clean_up::sweep::command::SweepArgs;
pub use options::KubernetesOptions;

/// From handing a pod its load to its k6: one exec through the API server, and
/// the pod's look for it every 50 ms.
const LOAD_HAND_OVER: Duration = Duration::from_millis(500);

/// Tempo's defaults, of which searches depend: a trace is cut when it was idle,
/// at the next check (tempo 2.10, modules/ingester/config.go).
const TRACE_IDLE_PERIOD: Duration = Duration::from_secs(5);
const FLUSH_CHECK_PERIOD: Duration = Duration::from_secs(10);

/// A namespace of the cluster, and what is set up in it.
pub struct KubernetesEnvironment {
    connected: Connected,
    options: KubernetesOptions,
    interrupt: Interrupt,
    work_path: PathBuf,
    work_dir: Mutex<Option<WorkDir>>,
    blueprint: Mutex<Blueprint>,
    found: OnceLock<Found>,
    k6: K6Jobs,
    waits: std::sync::Arc<Waits>,
    stages: Mutex<Vec<TimedStage>>,
    /// Once the namespace is claimed.
    held: tokio::sync::OnceCell<Held>,
    /// Once the objects that pods need are in it.
    furnished: tokio::sync::OnceCell<()>,
    /// Armed before the first create; taken by the teardown.
    guard: Mutex<Option<TeardownGuard>>,
    up: Mutex<Up>,
}

/// What the look at the cluster gave.
#[derive(Debug)]
struct Found {
    version: String,
    prometheus: Chosen,
    credentials: Credentials,
}

/// The namespace while it is ours.
struct Held {
    here: InNamespace,
    claim: HeldNamespace,
}

/// What was set up, as far as later steps need it.
#[derive(Default)]
struct Up {
    prometheus: Option<PrometheusClient>,
    ways: Vec<PortForward>,
    push: Option<Url>,
    tempo_version: String,
    /// As its HTTP API says.
    tempo_says: String,
    cores: Cores,
    /// The namespace when the set-up was done.
    healthy: Option<View>,
    /// What was changed outside of the namespace and stays so.
    changed_outside: Vec<String>,
    no_container_metrics: Option<String>,
}

impl KubernetesEnvironment {
    /// Connects, and names context and server; nothing is created.
    ///
    /// # Errors
    /// When there is no such context, or the cluster does not answer.
    pub async fn new(
        options: KubernetesOptions,
        supervisor: &Supervisor,
        interrupt: Interrupt,
    ) -> Result<Self, EnvironmentError> {
        let connected = connect(options.context.as_deref())
            .await
            .map_err(|err| failed(crate::error_chain::chain(&err)))?;
        let work_dir = supervisor
            .work_dir(super::new_work_dir(&options.profile.name))
            .map_err(|err| failed(crate::error_chain::chain(&err)))?;
        let blueprint = options.blueprint(Flavor::Vanilla, Scraper::Foreign);
        Ok(Self {
            k6: K6Jobs::new(load::files::K6Files::of(&options.corpus())),
            connected,
            interrupt,
            work_path: work_dir.path().to_path_buf(),
            work_dir: Mutex::new(Some(work_dir)),
            blueprint: Mutex::new(blueprint),
            options,
            found: OnceLock::new(),
            waits: std::sync::Arc::default(),
            stages: Mutex::default(),
            held: tokio::sync::OnceCell::new(),
            furnished: tokio::sync::OnceCell::new(),
            guard: Mutex::new(None),
            up: Mutex::default(),
        })
    }

    fn blueprint(&self) -> Blueprint {
        self.blueprint.lock().expect("no holder panics").clone()
    }

    fn found(&self) -> Result<&Found, EnvironmentError> {
        self.found
            .get()
            .ok_or_else(|| failed("the cluster was not looked at yet"))
    }

    fn up(&self) -> std::sync::MutexGuard<'_, Up> {
        self.up.lock().expect("no holder of what is up panics")
    }

    /// The namespace, if it is ours already.
    fn here(&self) -> Result<&InNamespace, EnvironmentError> {
        self.held
            .get()
            .map(|held| &held.here)
            .ok_or_else(|| failed("the namespace was not claimed yet"))
    }

    fn note_stage(&self, name: &str, start: Instant, took: Duration) {
        let mut stages = self.stages.lock().expect("no holder panics");
        stages.push(TimedStage {
            name: name.into(),
            start,
            took,
        });
    }

    /// Runs a part of the set-up, and notes its time when it is done.
    async fn stage<T>(
        &self,
        name: &str,
        part: impl Future<Output = Result<T, EnvironmentError>>,
    ) -> Result<T, EnvironmentError> {
        let start = Instant::now();
        let done = part.await?;
        self.note_stage(name, start, start.elapsed());
        Ok(done)
    }

    /// PromQL matchers of Tempo's pods; the operator names all of them so.
    fn tempo_selector(&self) -> String {
        let namespace = &self.blueprint().namespace;
        format!("namespace=\"{namespace}\",pod=~\"{TEMPO}-.+\"")
    }

    /// The same of the kubelets' series of Tempo's containers. The rows without a
    /// container are sums over the pod.
    fn container_selector(&self) -> String {
        format!("{},container!=\"\"", self.tempo_selector())
    }
}

fn failed(text: impl Into<String>) -> EnvironmentError {
    EnvironmentError::Failed(text.into())
}

#[async_trait(?Send)]
impl Environment for KubernetesEnvironment {
    async fn check_prerequisites(&self) -> Result<(), EnvironmentError> {
        self.look_at_the_cluster().await
    }

    async fn set_up_storage(&self) -> Result<(), EnvironmentError> {
        self.look_at_the_cluster().await?;
        self.claim().await?;
        self.stage("storage", self.create_storage()).await
    }

    async fn set_up_tempo(&self) -> Result<(), EnvironmentError> {
        self.claim().await?;
        self.stage("Tempo", self.create_tempo()).await
    }

    async fn set_up_collector(&self) -> Result<(), EnvironmentError> {
        self.claim().await?;
        self.stage("collector", self.create_collector()).await
    }

    async fn set_up_prometheus(&self) -> Result<(), EnvironmentError> {
        self.claim().await?;
        self.stage("Prometheus", self.create_prometheus()).await
    }

    async fn set_up(&self) -> Result<(), EnvironmentError> {
        self.set_up_all().await
    }

    async fn adopt(&self, profile: &Profile) -> Result<(), EnvironmentError> {
        let options = self.options.with_profile(profile);
        if self.k6.files().trace_profile() != profile.k6.ingestion.trace_profile {
            self.k6.adopt(load::files::K6Files::of(&options.corpus()));
        }
        let mut blueprint = self.blueprint.lock().expect("no holder panics");
        *blueprint = options.blueprint(blueprint.flavor, blueprint.scraper.clone());
        Ok(())
    }

    fn work_dir(&self) -> &Path {
        &self.work_path
    }

    fn components(&self) -> Vec<Component> {
        let (blueprint, up) = (self.blueprint(), self.up());
        let view = self
            .here()
            .map(|here| here.watch.view())
            .unwrap_or_default();
        let mut all = components::in_namespace(&blueprint, &view, &up.tempo_version);
        if let Some(found) = self.found.get() {
            all.push(components::prometheus(&blueprint, &found.prometheus));
            all.push(components::component(
                "kubernetes",
                found.version.clone(),
                Some(format!(
                    "{}, context {}",
                    self.connected.server, self.connected.context
                )),
            ));
        }
        all
    }

    fn addresses(&self) -> Addresses {
        let blueprint = self.blueprint();
        let url = |text: String| Some(Url::parse(&text).expect("a service's name makes a URL"));
        Addresses {
            push: url(blueprint.collector_push()),
            query: url(blueprint.tempo_query()),
        }
    }

    fn push_from_here(&self) -> Option<Url> {
        self.up().push.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.up().changed_outside.clone()
    }

    fn take_stages(&self) -> Vec<TimedStage> {
        std::mem::take(&mut self.stages.lock().expect("no holder panics"))
    }

    fn scrape_interval(&self) -> Option<Duration> {
        Some(self.found.get()?.prometheus.scrape_interval())
    }

    fn capabilities(&self) -> Capabilities {
        let up = self.up();
        let unknown = || Reason::from("the cores of its node are not known: nodes cannot be read");
        let overrides = self.blueprint().overrides;
        let tuning = overrides.and_then(|overrides| overrides.ingester);
        let idle = tuning.as_ref().and_then(|it| it.trace_idle_period);
        let check = tuning.as_ref().and_then(|it| it.flush_check_period);
        let namespace = &self.options.namespace;
        let container_metrics = match self.found.get() {
            Some(found) => found.prometheus.container_metrics(),
            None => Err("the cluster was not looked at yet".into()),
        };
        Capabilities {
            tempo_metrics: Ok(self.tempo_selector()),
            collector_metrics: format!("namespace=\"{namespace}\",pod=~\"{COLLECTOR}-.+\""),
            container_metrics: match &up.no_container_metrics {
                Some(why) => Err(why.clone().into()),
                None => container_metrics
                    .map(|()| self.container_selector())
                    .map_err(Reason::from),
            },
            collector_cpu: Ok(()),
            k6_cores: up.cores.k6.map(Some).ok_or_else(unknown),
            collector_cores: up.cores.collector.map(Some).ok_or_else(unknown),
            visibility_delay: idle.unwrap_or(TRACE_IDLE_PERIOD)
                + check.unwrap_or(FLUSH_CHECK_PERIOD)
                + Duration::from_secs(1),
            readable_bytes: None,
            read_back: Ok(()),
            stand_in: up
                .tempo_says
                .contains("trace-store")
                .then(|| "the built-in trace store, which is not Tempo".into()),
        }
    }

    fn prometheus(&self) -> Option<PrometheusClient> {
        self.up().prometheus.clone()
    }

    async fn prepare_k6(&self, runs: &[Run]) -> Result<(), EnvironmentError> {
        let limit = self.options.ready_timeout;
        let (here, blueprint) = (self.here()?, self.blueprint());
        self.k6.prepare(here, &blueprint, runs, limit).await?;
        self.note_what_is_up().await
    }

    fn k6_start(&self) -> Duration {
        LOAD_HAND_OVER
    }

    async fn run_k6(&self, start: K6Start) -> Result<K6Finished, EnvironmentError> {
        let limit = self.options.ready_timeout;
        self.k6
            .run(self.here()?, &self.blueprint(), start, limit)
            .await
    }

    async fn wait_for_scrape(&self, at: Timestamp) -> Result<(), EnvironmentError> {
        let prometheus = self
            .prometheus()
            .ok_or_else(|| failed("Prometheus is not there yet"))?;
        let interval = self.found()?.prometheus.scrape_interval();
        requests::wait_for_scrape(&prometheus, &self.tempo_selector(), at, interval).await
    }

    async fn tempo_counters(&self) -> Result<CounterSnapshot, EnvironmentError> {
        counters::of_tempo(self.here()?, &self.blueprint()).await
    }

    async fn collector_cpu(&self) -> Option<Duration> {
        let read = async { counters::collector_cpu(self.here()?).await };
        match read.await {
            Ok(cpu) => Some(cpu),
            Err(why) => {
                tracing::warn!("the collector's CPU time is not known: {why}");
                None
            }
        }
    }

    fn dead_components(&self) -> Vec<String> {
        let Ok(here) = self.here() else {
            return Vec::new();
        };
        let mut dead = match &self.up().healthy {
            Some(before) => conditions::restarted_or_ended(before, &here.watch.view()),
            None => Vec::new(),
        };
        dead.extend(self.held.get().and_then(|held| held.claim.lease.lost()));
        dead
    }

    async fn collect_logs(&self, output: &OutputDir) -> Result<Vec<PathBuf>, EnvironmentError> {
        match self.held.get() {
            Some(held) => logs::collect(&held.here, output).await,
            None => Ok(Vec::new()),
        }
    }

    async fn tear_down(&self) -> Result<(), EnvironmentError> {
        self.take_down().await
    }

    fn how_to_reach_and_stop(&self) -> String {
        self.left_running()
    }
}
