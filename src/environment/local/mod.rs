//! A run on this machine: Tempo (or the built-in trace store), a collector,
//! Prometheus and k6 as child processes on 127.0.0.1.

mod children;
pub(in crate::environment) mod configs;
mod parts;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

pub use configs::{Ports, ScrapeJob, TempoLine};
pub use parts::{Backend, Process};

use children::{Children, Start, Starter, log_of, wait_until_ready};

use super::k6_process::K6Process;
use super::{
    Addresses, Environment, EnvironmentError, K6Finished, K6Start, Part, StageLog, Surroundings,
    failed,
};
use crate::checks::Capabilities;
use crate::error_chain::chain;
use crate::k6::Run;
use crate::metrics::exposition::CounterSnapshot;
use crate::metrics::{PrometheusClient, SCRAPE_INTERVAL, exposition};
use crate::plan::Plan;
use crate::process::{Child, ChildSpec, Interrupt, Supervisor, WorkDir};
use crate::report::{Component, OutputDir};
use crate::tools::{ResolvedTool, Tool};

/// Set-ups tried when another process takes one of the chosen ports.
const SET_UP_ATTEMPTS: usize = 3;

/// Tempo, which flushes first, can take more than 40 s to stop; but its data is
/// deleted right after.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Local processes, and the directory that holds their data.
pub struct LocalEnvironment {
    backend: Backend,
    collector: ResolvedTool,
    prometheus: ResolvedTool,
    k6_tool: ResolvedTool,
    supervisor: Supervisor,
    interrupt: Interrupt,
    work_path: PathBuf,
    k6: K6Process,
    ports: Ports,
    running: Children,
    /// Last, since fields are dropped in order: who writes there ends first.
    work_dir: Option<WorkDir>,
}

impl LocalEnvironment {
    /// Prepares the environment; nothing runs yet.
    pub fn new(
        plan: &Plan,
        backend: Backend,
        tools: Vec<ResolvedTool>,
        supervisor: Supervisor,
        interrupt: Interrupt,
    ) -> Result<Self, EnvironmentError> {
        let find = |tool| super::resolved(&tools, tool);
        let k6_tool = find(Tool::K6)?;
        let work_dir = supervisor
            .work_dir(super::new_work_dir(&plan.profile.name))
            .map_err(|err| failed(chain(&err)))?;
        Ok(Self {
            backend,
            collector: find(Tool::Otelcol)?,
            prometheus: find(Tool::Prometheus)?,
            k6: K6Process::new(k6_tool.clone(), work_dir.path(), false),
            k6_tool,
            supervisor,
            interrupt,
            work_path: work_dir.path().to_path_buf(),
            ports: choose_ports()?,
            running: Children::default(),
            work_dir: Some(work_dir),
        })
    }

    fn write_config(&self, name: &str, text: &str) -> Result<PathBuf, EnvironmentError> {
        let path = self.work_path.join(name);
        std::fs::write(&path, text)
            .map_err(|err| failed(format!("cannot write {}: {err}", path.display())))?;
        Ok(path)
    }

    fn tempo(&self, plan: &Plan) -> Result<Start, EnvironmentError> {
        let dir = self.work_path.join("tempo");
        std::fs::create_dir_all(&dir)
            .map_err(|err| failed(format!("cannot create {}: {err}", dir.display())))?;
        let config = self.work_path.join("tempo.yaml");
        if let Backend::Tempo { line, .. } = &self.backend {
            let overrides = plan.profile.tempo.overrides.as_ref();
            let text = configs::tempo(*line, &self.ports, &dir, overrides);
            self.write_config("tempo.yaml", &text)?;
        }
        Ok(Start {
            process: Process::Tempo,
            spec: self.backend.spec(&self.ports, &config),
            ready: local_url(self.ports.tempo_http, "/ready"),
        })
    }

    fn collector(&self, plan: &Plan) -> Result<Start, EnvironmentError> {
        let text = configs::collector(&self.ports, plan.profile.k6.ingestion.collector);
        let config = self.write_config("collector.yaml", &text)?;
        let process = Process::Collector;
        Ok(Start {
            process,
            spec: ChildSpec::new(process.to_string(), &self.collector.path)
                .arg("--config")
                .arg(format!("file:{}", config.display())),
            ready: local_url(self.ports.collector_metrics, "/metrics"),
        })
    }

    fn prometheus(&self) -> Result<Start, EnvironmentError> {
        let jobs = [
            ScrapeJob::local("tempo", self.ports.tempo_http),
            ScrapeJob::local("otel-collector", self.ports.collector_metrics),
        ];
        let config = self.write_config("prometheus.yaml", &configs::prometheus(&jobs))?;
        Ok(Start {
            process: Process::Prometheus,
            spec: parts::prometheus_spec(
                &self.prometheus.path,
                &config,
                &self.work_path.join("prometheus"),
                self.ports.prometheus,
            ),
            ready: local_url(self.ports.prometheus, "/-/ready"),
        })
    }

    /// Starts `parts`; what fails is among the running all the same, for its log
    /// and its end.
    async fn set_up_once(&mut self, plan: &Plan, parts: &[Part]) -> Result<(), EnvironmentError> {
        let wanted = |part: Part| parts.contains(&part);
        let tempo = wanted(Part::Tempo).then(|| self.tempo(plan)).transpose()?;
        let collector = wanted(Part::Collector)
            .then(|| self.collector(plan))
            .transpose()?;
        let prometheus = wanted(Part::Prometheus)
            .then(|| self.prometheus())
            .transpose()?;
        let starter = Starter {
            supervisor: &self.supervisor,
            interrupt: &self.interrupt,
            dir: &self.work_path,
            limit: plan.ready_timeout,
        };
        let running = &mut self.running;
        let through_collector = async {
            starter.start(&mut running.tempo, tempo).await?;
            // A collector that starts first waits a second or more before it
            // dials Tempo again.
            starter.start(&mut running.collector, collector).await
        };
        let beside = starter.start(&mut running.prometheus, prometheus);
        tokio::try_join!(through_collector, beside)?;
        Ok(())
    }

    /// Stops all of them, one after the other.
    async fn stop_all(&mut self) -> Result<(), EnvironmentError> {
        let running = std::mem::take(&mut self.running);
        let mut errors = Vec::new();
        for child in running.in_stop_order() {
            if let Err(err) = child.stop(STOP_GRACE).await {
                errors.push(chain(&err));
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(failed(errors.join("; ")))
        }
    }

    fn components(&self) -> Vec<Component> {
        let tool = |name: &str, tool: &ResolvedTool| Component {
            name: name.into(),
            version: tool.version.clone(),
            origin: Some(format!("{} ({})", tool.path.display(), tool.origin)),
        };
        vec![
            self.backend.component(),
            tool("collector", &self.collector),
            tool("prometheus", &self.prometheus),
            tool("k6", &self.k6_tool),
        ]
    }

    fn capabilities(&self, plan: &Plan) -> Capabilities {
        let overrides = plan.profile.tempo.overrides.as_ref();
        Capabilities {
            tempo_metrics: Ok(super::SELECTOR.into()),
            collector_metrics: super::COLLECTOR_SELECTOR.into(),
            container_metrics: Err("there are no containers".into()),
            collector_cpu: Ok(()),
            k6_cores: Ok(None),
            collector_cores: Ok(None),
            visibility_delay: self.backend.visibility_delay(overrides),
            readable_bytes: self.backend.readable_bytes(),
            read_back: Ok(()),
            stand_in: self.backend.stand_in(),
        }
    }
}

/// A Prometheus that scrapes `jobs` and takes remote writes; and its port.
pub(super) async fn prometheus_child(
    supervisor: &Supervisor,
    interrupt: &Interrupt,
    program: &Path,
    dir: &Path,
    log: &Path,
    jobs: &[ScrapeJob],
    limit: Duration,
) -> Result<(Child, u16), EnvironmentError> {
    let config = dir.join("prometheus.yaml");
    std::fs::write(&config, configs::prometheus(jobs))
        .map_err(|err| failed(format!("cannot write {}: {err}", config.display())))?;
    let mut attempt = 1;
    loop {
        let port = choose_ports()?.prometheus;
        let spec = parts::prometheus_spec(program, &config, &dir.join("prometheus"), port).log(log);
        let child = supervisor.spawn(spec).map_err(|err| failed(chain(&err)))?;
        let ready = local_url(port, "/-/ready");
        match wait_until_ready(Process::Prometheus, &child, &ready, interrupt, limit).await {
            Err(EnvironmentError::PortLost { .. }) if attempt < SET_UP_ATTEMPTS => attempt += 1,
            outcome => return outcome.map(|()| (child, port)),
        }
    }
}

fn choose_ports() -> Result<Ports, EnvironmentError> {
    let ports = crate::process::free_ports(Ports::COUNT)
        .map_err(|err| failed(format!("no free ports on 127.0.0.1: {err}")))?;
    let ports: [u16; Ports::COUNT] = ports
        .try_into()
        .map_err(|_| failed("fewer free ports on 127.0.0.1 than asked for"))?;
    Ok(Ports::new(ports))
}

/// A URL on this machine.
pub(super) fn local_url(port: u16, path: &str) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}{path}")).expect("a port and a path make a URL")
}

#[async_trait(?Send)]
impl Environment for LocalEnvironment {
    async fn look(&mut self, _plan: &Plan) -> Result<Duration, EnvironmentError> {
        // Tools are resolved before the environment is made; what is left is
        // that Tempo's data directory can be written.
        self.write_config(".probe", "")?;
        Ok(SCRAPE_INTERVAL)
    }

    async fn set_up(
        &mut self,
        plan: &Plan,
        parts: &[Part],
        _stages: &StageLog,
    ) -> Result<(), EnvironmentError> {
        for attempt in 1.. {
            match self.set_up_once(plan, parts).await {
                // Parts that stand already know the old ports.
                Err(EnvironmentError::PortLost { what, detail })
                    if attempt < SET_UP_ATTEMPTS && parts == Part::ALL =>
                {
                    tracing::warn!("{what} lost its port, trying others: {detail}");
                    self.stop_all().await?;
                    self.ports = choose_ports()?;
                }
                outcome => return outcome,
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn prepare(
        &mut self,
        plan: &Plan,
        _runs: &[Run],
    ) -> Result<Surroundings, EnvironmentError> {
        if self.running.prometheus.is_none() {
            return Err(failed("Prometheus is not running"));
        }
        let push = local_url(self.ports.collector_otlp_http, "/v1/traces");
        Ok(Surroundings {
            addresses: Addresses {
                push: Some(push.clone()),
                query: Some(local_url(self.ports.tempo_http, "")),
                push_from_here: Some(push),
            },
            capabilities: self.capabilities(plan),
            components: self.components(),
            prometheus: PrometheusClient::new(local_url(self.ports.prometheus, ""), None)
                .map_err(|err| failed(chain(&err)))?,
            scrape_interval: SCRAPE_INTERVAL,
            notes: Vec::new(),
            work_dir: self.work_path.clone(),
            k6_start: Duration::ZERO,
        })
    }

    async fn run_k6(&self, start: K6Start) -> Result<K6Finished, EnvironmentError> {
        let remote_write = local_url(self.ports.prometheus, "/api/v1/write");
        self.k6
            .run(&self.supervisor, &self.interrupt, start, Some(remote_write))
            .await
    }

    async fn tempo_counters(&self) -> Result<CounterSnapshot, EnvironmentError> {
        let url = local_url(self.ports.tempo_http, "/metrics");
        exposition::scrape(&url)
            .await
            .map_err(|err| failed(chain(&err)))
    }

    async fn collector_cpu(&self) -> Option<Duration> {
        self.running.collector.as_ref()?.cpu_time_now()
    }

    fn ended_components(&self) -> Vec<String> {
        let ended = |(_, child): &(Process, &Child)| child.try_wait().is_some();
        self.running
            .iter()
            .filter(ended)
            .map(|(process, child)| {
                format!(
                    "{process} ended during the run\n{}",
                    child.describe_failure()
                )
            })
            .collect()
    }

    async fn collect_logs(&self, output: &OutputDir) -> Result<Vec<PathBuf>, EnvironmentError> {
        let logs = Process::ALL.map(|process| {
            let name = match process {
                Process::Tempo => self.backend.log_name(),
                Process::Collector | Process::Prometheus => process.file_name(),
            };
            (name, log_of(&self.work_path, process))
        });
        super::logs::copy(output, logs)
    }

    async fn tear_down(&mut self, _stages: &StageLog) -> Result<(), EnvironmentError> {
        let stopped = self.stop_all().await;
        let removed = match self.work_dir.take() {
            Some(dir) => dir.delete().map_err(|err| failed(chain(&err))),
            None => Ok(()),
        };
        stopped.and(removed)
    }

    fn leave_running(&mut self) -> String {
        let ports = self.ports;
        let groups: Vec<String> = self
            .running
            .iter()
            .filter(|(_, child)| child.try_wait().is_none())
            .map(|(_, child)| format!("-{}", child.pid()))
            .collect();
        if groups.is_empty() {
            return format!(
                "nothing was left running; logs and data are in {0}\n\
                 to remove them: rm -r {0}\n",
                self.work_path.display()
            );
        }
        format!(
            "left running:\n  \
             Tempo's API      http://127.0.0.1:{}\n  \
             OTLP/HTTP        http://127.0.0.1:{} (collector)\n  \
             Prometheus       http://127.0.0.1:{}\n  \
             logs and data    {}\n\
             to stop and remove it: kill -- {}; rm -r {}\n",
            ports.tempo_http,
            ports.collector_otlp_http,
            ports.prometheus,
            self.work_path.display(),
            groups.join(" "),
            self.work_path.display(),
        )
    }
}
