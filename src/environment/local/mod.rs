//! A run on this machine: Tempo (or the built-in trace store), a collector,
//! Prometheus and k6 as child processes on 127.0.0.1.

pub(in crate::environment) mod configs;
mod parts;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use url::Url;

pub use configs::{Ports, ScrapeJob, TempoLine};
pub use parts::{Backend, Part};

use super::k6_process::K6Process;
use super::{Addresses, Environment, EnvironmentError, K6Finished, K6Start};
use crate::checks::Capabilities;
use crate::error_chain::chain;
use crate::metrics::SCRAPE_INTERVAL;
use crate::metrics::exposition::CounterSnapshot;
use crate::metrics::{PrometheusClient, exposition, http_client};
use crate::process::{
    Child, ChildSpec, Interrupt, NotReady, Supervisor, WorkDir, is_address_in_use, until_ready,
};
use crate::profile::{CollectorMode, Overrides, Profile};
use crate::report::{Component, OutputDir};
use crate::settings::Settings;
use crate::tools::{ResolvedTool, Tempo, Tool};

/// Set-ups tried when another process takes one of the chosen ports.
const SET_UP_ATTEMPTS: usize = 3;

/// Tempo, which flushes first, can take more than 40 s to stop; but its data is
/// deleted right after.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What a local environment is made of.
#[derive(Debug, Clone)]
pub struct LocalOptions {
    /// Names the work directory.
    pub profile: String,
    pub backend: Backend,
    pub k6: ResolvedTool,
    pub collector: ResolvedTool,
    pub prometheus: ResolvedTool,
    pub collector_mode: CollectorMode,
    pub overrides: Option<Overrides>,
    pub ready_timeout: Duration,
}

impl LocalOptions {
    /// The environment of a planned profile: Tempo where one was found, else the
    /// store.
    pub fn new(
        settings: &Settings,
        profile: &Profile,
        tools: Vec<ResolvedTool>,
        tempo: Option<Tempo>,
        tempo_perf: &Path,
    ) -> Result<Self, EnvironmentError> {
        let find = |tool| super::resolved(&tools, tool);
        Ok(Self {
            profile: profile.name.clone(),
            backend: Backend::choose(settings, tempo, tempo_perf)?,
            k6: find(Tool::K6)?,
            collector: find(Tool::Otelcol)?,
            prometheus: find(Tool::Prometheus)?,
            collector_mode: profile.k6.ingestion.collector,
            overrides: profile.tempo.overrides.clone(),
            ready_timeout: settings.pod_ready_timeout,
        })
    }
}

/// Local processes, and the directory that holds their data.
pub struct LocalEnvironment {
    options: LocalOptions,
    supervisor: Supervisor,
    interrupt: Interrupt,
    work_path: PathBuf,
    k6: K6Process,
    ports: Mutex<Ports>,
    children: Mutex<BTreeMap<Part, Arc<Child>>>,
    /// Last, since fields are dropped in order: who writes there ends first.
    work_dir: Mutex<Option<WorkDir>>,
}

/// For a panic; every other way ends in `tear_down`.
impl Drop for LocalEnvironment {
    fn drop(&mut self) {
        let Ok(children) = self.children.get_mut() else {
            return;
        };
        for part in Part::STOP_ORDER {
            drop(children.remove(&part));
        }
    }
}

impl LocalEnvironment {
    /// Prepares the environment; nothing runs yet.
    pub fn new(
        options: LocalOptions,
        supervisor: Supervisor,
        interrupt: Interrupt,
    ) -> Result<Self, EnvironmentError> {
        let work_dir = supervisor
            .work_dir(super::new_work_dir(&options.profile))
            .map_err(|err| failed(chain(&err)))?;
        let k6 = K6Process::new(options.k6.clone(), work_dir.path(), false);
        Ok(Self {
            ports: Mutex::new(choose_ports()?),
            options,
            supervisor,
            interrupt,
            work_path: work_dir.path().to_path_buf(),
            work_dir: Mutex::new(Some(work_dir)),
            k6,
            children: Mutex::default(),
        })
    }

    fn ports(&self) -> Ports {
        *self.ports.lock().expect("no holder of the ports panics")
    }

    fn log_of(&self, part: Part) -> PathBuf {
        self.work_path.join(format!("{}.log", part.file_name()))
    }

    fn write_config(&self, name: &str, text: &str) -> Result<PathBuf, EnvironmentError> {
        let path = self.work_path.join(name);
        std::fs::write(&path, text)
            .map_err(|err| failed(format!("cannot write {}: {err}", path.display())))?;
        Ok(path)
    }

    fn child(&self, part: Part) -> Option<Arc<Child>> {
        self.children
            .lock()
            .expect("no holder of the children panics")
            .get(&part)
            .cloned()
    }

    /// Starts a part and waits until it answers.
    async fn start(&self, part: Part, spec: ChildSpec, ready: Url) -> Result<(), EnvironmentError> {
        let spec = spec.log(self.log_of(part));
        let child = Arc::new(
            self.supervisor
                .spawn(spec)
                .map_err(|err| failed(chain(&err)))?,
        );
        self.children
            .lock()
            .expect("no holder of the children panics")
            .insert(part, Arc::clone(&child));
        wait_until_ready(
            part,
            &child,
            &ready,
            &self.interrupt,
            self.options.ready_timeout,
        )
        .await
    }

    async fn set_up_once(&self) -> Result<(), EnvironmentError> {
        let through_collector = async {
            self.set_up_storage().await?;
            self.set_up_tempo().await?;
            // A collector that starts first waits a second or more before it
            // dials Tempo again.
            self.set_up_collector().await
        };
        tokio::try_join!(through_collector, self.set_up_prometheus())?;
        Ok(())
    }

    /// Stops the parts in an order in which none fails for want of another.
    async fn stop_all(&self) -> Result<(), EnvironmentError> {
        let children = std::mem::take(
            &mut *self
                .children
                .lock()
                .expect("no holder of the children panics"),
        );
        let mut errors = Vec::new();
        for part in Part::STOP_ORDER {
            if let Some(child) = children.get(&part)
                && let Err(err) = child.stop(STOP_GRACE).await
            {
                errors.push(chain(&err));
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(failed(errors.join("; ")))
        }
    }
}

/// Waits until a child answers on `ready`, and is still the one that does.
async fn wait_until_ready(
    part: Part,
    child: &Child,
    ready: &Url,
    interrupt: &Interrupt,
    limit: Duration,
) -> Result<(), EnvironmentError> {
    let client = http_client(ready).map_err(|err| failed(chain(&err)))?;
    let ended = || child.try_wait().map(|_| child.describe_failure());
    let what = format!("{part}: GET {ready}");
    let probe = async || super::requests::probe(&client, ready).await;
    let detail = match until_ready(&what, limit, interrupt, ended, probe).await {
        // Another process may have answered on the port that ours lost.
        Ok(_) => match ended() {
            None => return Ok(()),
            Some(failure) => failure,
        },
        Err(NotReady::Interrupted { signal, .. }) => {
            return Err(EnvironmentError::Interrupted(signal));
        }
        Err(err) => chain(&err),
    };
    if is_address_in_use(&detail) {
        Err(EnvironmentError::PortLost {
            what: part.to_string(),
            detail,
        })
    } else {
        Err(failed(detail))
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
) -> Result<(Arc<Child>, u16), EnvironmentError> {
    let config = dir.join("prometheus.yaml");
    std::fs::write(&config, configs::prometheus(jobs))
        .map_err(|err| failed(format!("cannot write {}: {err}", config.display())))?;
    let mut attempt = 1;
    loop {
        let port = choose_ports()?.prometheus;
        let spec = parts::prometheus_spec(program, &config, &dir.join("prometheus"), port).log(log);
        let child = Arc::new(supervisor.spawn(spec).map_err(|err| failed(chain(&err)))?);
        let ready = local_url(port, "/-/ready");
        match wait_until_ready(Part::Prometheus, &child, &ready, interrupt, limit).await {
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

fn failed(err: impl ToString) -> EnvironmentError {
    EnvironmentError::Failed(err.to_string())
}

/// A URL on this machine.
pub(super) fn local_url(port: u16, path: &str) -> Url {
    Url::parse(&format!("http://127.0.0.1:{port}{path}")).expect("a port and a path make a URL")
}

#[async_trait(?Send)]
impl Environment for LocalEnvironment {
    async fn check_prerequisites(&self) -> Result<(), EnvironmentError> {
        // Tools are resolved before the environment is made; what is left is
        // that Tempo's data directory can be written.
        self.write_config(".probe", "").map(|_| ())
    }

    async fn set_up_storage(&self) -> Result<(), EnvironmentError> {
        let dir = self.work_path.join("tempo");
        std::fs::create_dir_all(&dir)
            .map_err(|err| failed(format!("cannot create {}: {err}", dir.display())))
    }

    async fn set_up_tempo(&self) -> Result<(), EnvironmentError> {
        let ports = self.ports();
        let dir = self.work_path.join("tempo");
        let overrides = self.options.overrides.as_ref();
        if let Backend::Tempo { line, .. } = &self.options.backend {
            self.write_config(
                "tempo.yaml",
                &configs::tempo(*line, &ports, &dir, overrides),
            )?;
        }
        let spec = self
            .options
            .backend
            .spec(&ports, &self.work_path.join("tempo.yaml"));
        self.start(Part::Tempo, spec, local_url(ports.tempo_http, "/ready"))
            .await
    }

    async fn set_up_collector(&self) -> Result<(), EnvironmentError> {
        let ports = self.ports();
        let config = self.write_config(
            "collector.yaml",
            &configs::collector(&ports, self.options.collector_mode),
        )?;
        let spec = ChildSpec::new(Part::Collector.to_string(), &self.options.collector.path)
            .arg("--config")
            .arg(format!("file:{}", config.display()));
        self.start(
            Part::Collector,
            spec,
            local_url(ports.collector_metrics, "/metrics"),
        )
        .await
    }

    async fn set_up_prometheus(&self) -> Result<(), EnvironmentError> {
        let ports = self.ports();
        let jobs = [
            ScrapeJob::local("tempo", ports.tempo_http),
            ScrapeJob::local("otel-collector", ports.collector_metrics),
        ];
        let config = self.write_config("prometheus.yaml", &configs::prometheus(&jobs))?;
        let spec = parts::prometheus_spec(
            &self.options.prometheus.path,
            &config,
            &self.work_path.join("prometheus"),
            ports.prometheus,
        );
        self.start(
            Part::Prometheus,
            spec,
            local_url(ports.prometheus, "/-/ready"),
        )
        .await
    }

    async fn set_up(&self) -> Result<(), EnvironmentError> {
        for attempt in 1.. {
            match self.set_up_once().await {
                Err(EnvironmentError::PortLost { what, detail }) if attempt < SET_UP_ATTEMPTS => {
                    tracing::warn!("{what} lost its port, trying others: {detail}");
                    self.stop_all().await?;
                    *self.ports.lock().expect("no holder of the ports panics") = choose_ports()?;
                }
                outcome => return outcome,
            }
        }
        unreachable!("the last attempt returns")
    }

    fn work_dir(&self) -> &Path {
        self.work_path.as_path()
    }

    fn components(&self) -> Vec<Component> {
        let tool = |name: &str, tool: &ResolvedTool| Component {
            name: name.into(),
            version: tool.version.clone(),
            origin: Some(format!("{} ({})", tool.path.display(), tool.origin)),
        };
        vec![
            self.options.backend.component(),
            tool("collector", &self.options.collector),
            tool("prometheus", &self.options.prometheus),
            tool("k6", &self.options.k6),
        ]
    }

    fn addresses(&self) -> Addresses {
        let ports = self.ports();
        Addresses {
            push: Some(local_url(ports.collector_otlp_http, "/v1/traces")),
            query: Some(local_url(ports.tempo_http, "")),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            tempo_metrics: Ok(super::SELECTOR.into()),
            collector_metrics: super::COLLECTOR_SELECTOR.into(),
            container_metrics: Err("there are no containers".into()),
            collector_cpu: Ok(()),
            k6_cores: Ok(None),
            collector_cores: Ok(None),
            visibility_delay: self
                .options
                .backend
                .visibility_delay(self.options.overrides.as_ref()),
            readable_bytes: self.options.backend.readable_bytes(),
            read_back: Ok(()),
            stand_in: self.options.backend.stand_in(),
        }
    }

    fn prometheus(&self) -> Option<PrometheusClient> {
        self.child(Part::Prometheus)?;
        PrometheusClient::new(local_url(self.ports().prometheus, ""), None).ok()
    }

    async fn run_k6(&self, start: K6Start) -> Result<K6Finished, EnvironmentError> {
        let remote_write = local_url(self.ports().prometheus, "/api/v1/write");
        self.k6
            .run(&self.supervisor, &self.interrupt, start, Some(remote_write))
            .await
    }

    async fn wait_for_scrape(&self, at: Timestamp) -> Result<(), EnvironmentError> {
        match self.prometheus() {
            Some(prometheus) => {
                let selector = super::SELECTOR;
                super::requests::wait_for_scrape(&prometheus, selector, at, SCRAPE_INTERVAL).await
            }
            None => Err(failed("Prometheus is not running")),
        }
    }

    async fn tempo_counters(&self) -> Result<CounterSnapshot, EnvironmentError> {
        let url = local_url(self.ports().tempo_http, "/metrics");
        exposition::scrape(&url)
            .await
            .map_err(|err| failed(chain(&err)))
    }

    async fn collector_cpu(&self) -> Option<Duration> {
        self.child(Part::Collector)?.cpu_time_now()
    }

    fn dead_components(&self) -> Vec<String> {
        let children = self
            .children
            .lock()
            .expect("no holder of the children panics");
        children
            .iter()
            .filter(|(_, child)| child.try_wait().is_some())
            .map(|(part, child)| {
                format!("{part} ended during the run\n{}", child.describe_failure())
            })
            .collect()
    }

    async fn collect_logs(&self, output: &OutputDir) -> Result<Vec<PathBuf>, EnvironmentError> {
        let backend = self.options.backend.log_name();
        let logs = Part::ALL.map(|part| {
            let name = if part == Part::Tempo {
                backend
            } else {
                part.file_name()
            };
            (name, self.log_of(part))
        });
        super::logs::copy(output, logs)
    }

    async fn tear_down(&self) -> Result<(), EnvironmentError> {
        let stopped = self.stop_all().await;
        let work_dir = self
            .work_dir
            .lock()
            .expect("no holder of the directory panics")
            .take();
        let removed = match work_dir {
            Some(dir) => dir.delete().map_err(|err| failed(chain(&err))),
            None => Ok(()),
        };
        stopped.and(removed)
    }

    fn how_to_reach_and_stop(&self) -> String {
        let ports = self.ports();
        let children = self
            .children
            .lock()
            .expect("no holder of the children panics");
        let groups: Vec<String> = children
            .values()
            .filter(|child| child.try_wait().is_none())
            .map(|child| format!("-{}", child.pid()))
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
