//! A run in a Kubernetes cluster with the Tempo and OpenTelemetry operators.

pub mod clean_up;
pub mod cluster;
mod evidence;
pub mod holder;
mod load;
pub mod manifests;
mod prerequisites;
pub mod set_up;
mod tear_down;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::try_join_all;
use url::Url;

use super::{
    Addresses, Environment, EnvironmentError, K6Finished, K6Start, Part, StageLog, Surroundings,
    failed,
};
use crate::checks::{Capabilities, Reason};
use crate::error_chain::chain;
use crate::k6::Run;
use crate::metrics::PrometheusClient;
use crate::metrics::exposition::CounterSnapshot;
use crate::plan::Plan;
use crate::plan::kubernetes::KubernetesSite;
use crate::process::{Interrupt, Supervisor, WorkDir};
use crate::report::{Component, OutputDir};
use clean_up::guard::TeardownGuard;
use clean_up::tear_down::TeardownLimits;
use cluster::client::{Connected, connect};
use cluster::create::dry_run;
use cluster::names::COLLECTOR;
use evidence::{components, counters, logs};
use holder::process::Holder;
use manifests::blueprint::Blueprint;
use set_up::acquire::{self, AcquireError, AcquireRequest};
use set_up::look::{ClusterFacts, look_at_the_cluster, prometheus_token};
use set_up::prometheus::{BeforeLoad, container_selector, tempo_selector};
use set_up::run_namespace::RunNamespace;
use set_up::steps::{Steps, watch};
use watch::conditions;
use watch::namespace::{Waits, WatchedNamespace};

pub use clean_up::sweep::command::SweepArgs;

/// From handing a pod its load to its k6: one exec through the API server, and
/// the pod's look for it every 50 ms.
const LOAD_HAND_OVER: Duration = Duration::from_millis(500);

/// A cluster, and the namespace of a run in it.
pub struct KubernetesEnvironment {
    connected: Connected,
    interrupt: Interrupt,
    /// Bearer token of a Prometheus that the user names.
    prometheus_token: Option<String>,
    /// Whose the namespace is: that of the first plan.
    run: u32,
    namespace_name: String,
    limits: TeardownLimits,
    work_path: PathBuf,
    work_dir: Option<WorkDir>,
    waits: Arc<Waits>,
    /// Once the cluster was looked at.
    cluster: Option<ClusterFacts>,
    /// Once it is acquired.
    namespace: Option<RunNamespace>,
    /// Armed before the first create; taken by the teardown.
    guard: Option<TeardownGuard>,
    /// Once k6 pods wait for a load.
    prepared: Option<PreparedLoad>,
}

/// What the k6 runs of a load are carried out with.
struct PreparedLoad {
    jobs: BTreeMap<Run, String>,
    ready_timeout: Duration,
}

impl KubernetesEnvironment {
    /// Connects, and names context and server; nothing is created.
    ///
    /// # Errors
    /// When there is no such context, or the cluster does not answer.
    pub async fn new(
        plan: &Plan,
        site: &KubernetesSite,
        supervisor: &Supervisor,
        interrupt: Interrupt,
    ) -> Result<Self, EnvironmentError> {
        let prometheus_token = prometheus_token(site)?;
        let connected = connect(site.context.as_deref())
            .await
            .map_err(|err| failed(chain(&err)))?;
        let work_dir = supervisor
            .work_dir(super::new_work_dir(&plan.profile.name))
            .map_err(|err| failed(chain(&err)))?;
        Ok(Self {
            connected,
            interrupt,
            prometheus_token,
            run: plan.run,
            namespace_name: site.namespace.clone(),
            limits: TeardownLimits {
                cr_deletion: site.cr_deletion_timeout,
                namespace_deletion: site.namespace_deletion_timeout,
            },
            work_path: work_dir.path().to_path_buf(),
            work_dir: Some(work_dir),
            waits: Arc::default(),
            cluster: None,
            namespace: None,
            guard: None,
            prepared: None,
        })
    }

    fn cluster(&self) -> Result<&ClusterFacts, EnvironmentError> {
        self.cluster
            .as_ref()
            .ok_or_else(|| failed("the cluster was not looked at yet"))
    }

    fn namespace(&self) -> Result<&RunNamespace, EnvironmentError> {
        self.namespace
            .as_ref()
            .ok_or_else(|| failed("the namespace was not acquired yet"))
    }

    fn blueprint(&self, plan: &Plan) -> Result<Blueprint, EnvironmentError> {
        let cluster = self.cluster()?;
        Ok(Blueprint::of(
            plan,
            site_of(plan)?,
            self.run,
            cluster.flavor,
            cluster.prometheus.scraper(),
        ))
    }

    /// Step 2 of the set-up: a namespace of our own.
    async fn acquire(
        &mut self,
        plan: &Plan,
        blueprint: &Blueprint,
    ) -> Result<RunNamespace, EnvironmentError> {
        let client = &self.connected.client;
        // Armed first: deleting what was never created is fine.
        let guard = TeardownGuard::arm(self.connected.clone(), self.target(None), self.limits);
        let guard = self.guard.insert(guard);
        let request = AcquireRequest {
            manifest: manifests::namespace(blueprint, BTreeMap::new()),
            holder: Holder::this_process(self.run),
            limits: self.limits,
            interrupt: &self.interrupt,
            progress: &|line: &str| eprintln!("  {line}"),
        };
        let acquiring = self.waits.during(acquire::acquire(client, request));
        let hold = match acquiring.await {
            Ok(hold) => hold,
            Err(err) => {
                // Of a lost answer it is not known whether the namespace is there;
                // else nothing of ours is.
                if !matches!(err, AcquireError::Api { .. }) {
                    self.disarm();
                }
                return Err(match err {
                    AcquireError::Interrupted(signal) => EnvironmentError::Interrupted(signal),
                    other => failed(chain(&other)),
                });
            }
        };
        guard.set_namespace_uid(&hold.uid);
        let either = !site_of(plan)?.for_this_load_alone;
        let watched = WatchedNamespace {
            client: client.clone(),
            name: blueprint.namespace.clone(),
            watch: Arc::new(watch(client, blueprint, either).await),
            interrupt: self.interrupt.clone(),
            waits: Arc::clone(&self.waits),
        };
        Ok(RunNamespace::new(watched, hold, blueprint.clone()))
    }
}

/// The cluster that was looked at, and the namespace in it.
fn ready<'a>(
    cluster: &'a Option<ClusterFacts>,
    namespace: &'a mut Option<RunNamespace>,
) -> Result<(&'a ClusterFacts, &'a mut RunNamespace), EnvironmentError> {
    match (cluster, namespace) {
        (None, _) => Err(failed("the cluster was not looked at yet")),
        (_, None) => Err(failed("the namespace was not acquired yet")),
        (Some(cluster), Some(namespace)) => Ok((cluster, namespace)),
    }
}

/// Steps 2 to 7, in parallel wherever nothing forces an order.
async fn set_up_in(
    cluster: &ClusterFacts,
    namespace: &mut RunNamespace,
    plan: &Plan,
    parts: &BTreeSet<Part>,
    stages: &StageLog,
) -> Result<(), EnvironmentError> {
    let RunNamespace {
        watched,
        blueprint,
        has_objects,
        changed_outside,
        k6,
        tempo,
        collector,
        prometheus,
        before_load,
        ..
    } = namespace;
    let steps = Steps {
        plan,
        site: site_of(plan)?,
        cluster,
        blueprint,
        namespace: watched,
    };
    if !*has_objects {
        let creating = steps.create_objects(k6, changed_outside);
        stages.timed("objects", creating).await?;
        *has_objects = true;
    }
    let everything = parts.len() == Part::ALL.len();
    if everything {
        let custom = [manifests::tempo(blueprint), manifests::collector(blueprint)];
        let judging = try_join_all(custom.iter().map(|it| dry_run(&watched.client, it)));
        stages.timed("dry run", judging).await?;
    }
    let files = k6.files(watched, blueprint, &plan.corpus).await?;
    let through_tempo = async {
        if parts.contains(&Part::Storage) {
            let creating = steps.create_storage(&files);
            stages.timed("storage", creating).await?;
        }
        if parts.contains(&Part::Tempo) {
            let creating = steps.create_tempo();
            *tempo = Some(stages.timed("Tempo", creating).await?);
        }
        Ok(())
    };
    let to_collector = async {
        if parts.contains(&Part::Collector) {
            let creating = steps.create_collector();
            *collector = Some(stages.timed("collector", creating).await?);
        }
        Ok(())
    };
    let to_prometheus = async {
        if parts.contains(&Part::Prometheus) {
            let creating = steps.create_prometheus();
            *prometheus = Some(stages.timed("Prometheus", creating).await?);
        }
        Ok(())
    };
    // Pods that wait for their load have their image early.
    let k6_pods = async {
        if everything {
            let (runs, limit) = (plan.k6_runs(), plan.ready_timeout);
            let preparing = k6.prepare(watched, blueprint, &plan.corpus, runs, limit);
            stages.timed("k6 pods", preparing).await?;
        }
        Ok::<(), EnvironmentError>(())
    };
    tokio::try_join!(through_tempo, to_collector, to_prometheus, k6_pods)?;
    if let (true, Some(prometheus)) = (everything, &*prometheus) {
        let looking = steps.look_before_load(&prometheus.client);
        *before_load = Some(stages.timed("first scrape", looking).await?);
    }
    Ok(())
}

fn components(
    connected: &Connected,
    cluster: &ClusterFacts,
    namespace: &RunNamespace,
) -> Vec<Component> {
    let blueprint = &namespace.blueprint;
    let version = namespace.tempo.as_ref().map(|tempo| tempo.version.as_str());
    let view = namespace.watched.watch.view();
    let mut all = components::in_namespace(blueprint, &view, version.unwrap_or_default());
    all.push(components::prometheus(blueprint, &cluster.prometheus));
    let server = format!("{}, context {}", connected.server, connected.context);
    all.push(components::component(
        "kubernetes",
        cluster.version.clone(),
        Some(server),
    ));
    all
}

/// The cluster that a plan is for.
fn site_of(plan: &Plan) -> Result<&KubernetesSite, EnvironmentError> {
    plan.site
        .kubernetes()
        .ok_or_else(|| failed("this plan is not for a cluster"))
}

fn capabilities(namespace: &RunNamespace, before_load: &BeforeLoad) -> Capabilities {
    let blueprint = &namespace.blueprint;
    let unknown =
        || Reason::from("the cores of its node are not known: nodes cannot be read".to_string());
    let name = &blueprint.namespace;
    let said = namespace.tempo.as_ref();
    Capabilities {
        tempo_metrics: Ok(tempo_selector(name)),
        collector_metrics: format!("namespace=\"{name}\",pod=~\"{COLLECTOR}-.+\""),
        container_metrics: match &before_load.no_container_metrics {
            Some(why) => Err(why.clone().into()),
            None => Ok(container_selector(name)),
        },
        collector_cpu: Ok(()),
        k6_cores: before_load.cores.k6.map(Some).ok_or_else(unknown),
        collector_cores: before_load.cores.collector.map(Some).ok_or_else(unknown),
        // A search finds a trace that was cut.
        visibility_delay: blueprint.trace_lifetime() + Duration::from_secs(1),
        readable_bytes: None,
        read_back: Ok(()),
        stand_in: said.and_then(|said| super::stand_in(&said.build_info)),
    }
}

#[async_trait(?Send)]
impl Environment for KubernetesEnvironment {
    async fn look(&mut self, plan: &Plan) -> Result<Duration, EnvironmentError> {
        let cluster = match self.cluster.take() {
            Some(known) => known,
            None => {
                let token = self.prometheus_token.clone();
                look_at_the_cluster(&self.connected, plan, site_of(plan)?, token).await?
            }
        };
        Ok(self.cluster.insert(cluster).prometheus.scrape_interval())
    }

    async fn set_up(
        &mut self,
        plan: &Plan,
        parts: &[Part],
        stages: &StageLog,
    ) -> Result<(), EnvironmentError> {
        let start = Instant::now();
        let blueprint = self.blueprint(plan)?;
        if self.namespace.is_none() {
            let acquiring = self.acquire(plan, &blueprint);
            self.namespace = Some(stages.timed("namespace", acquiring).await?);
        }
        let (cluster, namespace) = ready(&self.cluster, &mut self.namespace)?;
        namespace.blueprint = blueprint;
        let parts = parts.iter().copied().collect();
        set_up_in(cluster, namespace, plan, &parts, stages).await?;
        let own = self.waits.own_share(start, Instant::now());
        stages.note("own share", start, own);
        Ok(())
    }

    async fn prepare(
        &mut self,
        plan: &Plan,
        runs: &[Run],
    ) -> Result<Surroundings, EnvironmentError> {
        let blueprint = self.blueprint(plan)?;
        let (cluster, namespace) = ready(&self.cluster, &mut self.namespace)?;
        namespace.blueprint = blueprint;
        let (watched, limit) = (&namespace.watched, plan.ready_timeout);
        if let Some(earlier) = self.prepared.take_if(|_| !runs.is_empty()) {
            load::run::delete_waiting(watched, earlier.jobs.values()).await;
        }
        namespace
            .k6
            .prepare(watched, &namespace.blueprint, &plan.corpus, runs, limit)
            .await?;
        let prometheus: PrometheusClient = match &namespace.prometheus {
            Some(prometheus) => prometheus.client.clone(),
            None => return Err(failed("Prometheus is not there yet")),
        };
        let looked = match &namespace.before_load {
            Some(_) => None,
            None => {
                let steps = Steps {
                    plan,
                    site: site_of(plan)?,
                    cluster,
                    blueprint: &namespace.blueprint,
                    namespace: watched,
                };
                Some(steps.look_before_load(&prometheus).await?)
            }
        };
        let known = looked.as_ref().or(namespace.before_load.as_ref());
        let before_load = known.ok_or_else(|| failed("nothing runs yet"))?;
        let url = |text: String| Some(Url::parse(&text).expect("a service's name makes a URL"));
        let collector = namespace.collector.as_ref();
        let push_from_here = collector.and_then(|way| way.url().join("/v1/traces").ok());
        let surroundings = Surroundings {
            addresses: Addresses {
                push: url(namespace.blueprint.collector_push()),
                query: url(namespace.blueprint.tempo_query()),
                push_from_here,
            },
            capabilities: capabilities(namespace, before_load),
            components: components(&self.connected, cluster, namespace),
            prometheus,
            scrape_interval: cluster.prometheus.scrape_interval(),
            notes: namespace.changed_outside.iter().cloned().collect(),
            work_dir: self.work_path.clone(),
            k6_start: LOAD_HAND_OVER,
        };
        let jobs = namespace.k6.take(runs);
        // Without a k6 pod its cores were not told: the next look counts.
        if !runs.is_empty() {
            if looked.is_some() {
                namespace.before_load = looked;
            }
            self.prepared = Some(PreparedLoad {
                jobs,
                ready_timeout: plan.ready_timeout,
            });
        }
        Ok(surroundings)
    }

    async fn run_k6(&self, start: K6Start) -> Result<K6Finished, EnvironmentError> {
        let RunNamespace {
            watched, blueprint, ..
        } = self.namespace()?;
        let nobody_waits = || failed(format!("no k6 pod waits for the load of {}", start.run));
        let prepared = self.prepared.as_ref().ok_or_else(nobody_waits)?;
        let job = prepared.jobs.get(&start.run).ok_or_else(nobody_waits)?;
        let limit = prepared.ready_timeout;
        load::run::run(watched, blueprint, job, start, limit).await
    }

    async fn tempo_counters(&self) -> Result<CounterSnapshot, EnvironmentError> {
        let namespace = self.namespace()?;
        counters::of_tempo(&namespace.watched, &namespace.blueprint).await
    }

    async fn collector_cpu(&self) -> Option<Duration> {
        let read = async { counters::collector_cpu(&self.namespace()?.watched).await };
        match read.await {
            Ok(cpu) => Some(cpu),
            Err(why) => {
                tracing::warn!("the collector's CPU time is not known: {why}");
                None
            }
        }
    }

    fn ended_components(&self) -> Vec<String> {
        let Some(namespace) = &self.namespace else {
            return Vec::new();
        };
        let mut ended = match &namespace.before_load {
            Some(before) => {
                conditions::restarted_or_ended(&before.view, &namespace.watched.watch.view())
            }
            None => Vec::new(),
        };
        ended.extend(namespace.hold.lease.lost());
        ended
    }

    async fn collect_logs(&self, output: &OutputDir) -> Result<Vec<PathBuf>, EnvironmentError> {
        match &self.namespace {
            Some(namespace) => logs::collect(&namespace.watched, output).await,
            None => Ok(Vec::new()),
        }
    }

    async fn tear_down(&mut self, stages: &StageLog) -> Result<(), EnvironmentError> {
        self.remove_run(stages).await
    }

    fn leave_running(&mut self) -> String {
        self.left_running()
    }
}
