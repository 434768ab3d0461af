//! The processes of a local run: started, ready, and in which order they end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::parts::Process;
use crate::environment::{EnvironmentError, failed, requests};
use crate::error_chain::chain;
use crate::metrics::http_client;
use crate::process::{
    Child, ChildSpec, Interrupt, NotReady, Supervisor, is_address_in_use, until_ready,
};

/// The processes that were started. They are dropped in the order in which they
/// stop: the collector first, so that it does not push into a Tempo that is gone.
#[derive(Default)]
pub struct Children {
    pub collector: Option<Child>,
    pub tempo: Option<Child>,
    pub prometheus: Option<Child>,
}

impl Children {
    /// Tempo first, as the cause of what else may have ended.
    pub fn iter(&self) -> impl Iterator<Item = (Process, &Child)> {
        Process::ALL
            .into_iter()
            .filter_map(|process| Some((process, self.of(process)?)))
    }

    pub fn in_stop_order(&self) -> impl Iterator<Item = &Child> {
        [&self.collector, &self.tempo, &self.prometheus]
            .into_iter()
            .flatten()
    }

    fn of(&self, process: Process) -> Option<&Child> {
        match process {
            Process::Tempo => self.tempo.as_ref(),
            Process::Collector => self.collector.as_ref(),
            Process::Prometheus => self.prometheus.as_ref(),
        }
    }
}

/// What a process is started with, and where it answers once it is ready.
pub struct Start {
    pub process: Process,
    pub spec: ChildSpec,
    pub ready: Url,
}

/// What the processes of one set-up share.
pub struct Starter<'a> {
    pub supervisor: &'a Supervisor,
    pub interrupt: &'a Interrupt,
    /// Of their logs.
    pub dir: &'a Path,
    pub limit: Duration,
}

impl Starter<'_> {
    /// Starts a process, if it is wanted, and waits until it answers.
    pub async fn start(
        &self,
        child: &mut Option<Child>,
        start: Option<Start>,
    ) -> Result<(), EnvironmentError> {
        let Some(start) = start else {
            return Ok(());
        };
        let spec = start.spec.log(log_of(self.dir, start.process));
        let started = self.supervisor.spawn(spec);
        let child = child.insert(started.map_err(|err| failed(chain(&err)))?);
        wait_until_ready(
            start.process,
            child,
            &start.ready,
            self.interrupt,
            self.limit,
        )
        .await
    }
}

pub fn log_of(dir: &Path, process: Process) -> PathBuf {
    dir.join(format!("{}.log", process.file_name()))
}

/// Waits until a child answers on `ready`, and is still the one that does.
pub async fn wait_until_ready(
    process: Process,
    child: &Child,
    ready: &Url,
    interrupt: &Interrupt,
    limit: Duration,
) -> Result<(), EnvironmentError> {
    let client = http_client(ready).map_err(|err| failed(chain(&err)))?;
    let ended = || child.try_wait().map(|_| child.describe_failure());
    let what = format!("{process}: GET {ready}");
    let probe = async || requests::probe(&client, ready).await;
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
            what: process.to_string(),
            detail,
        })
    } else {
        Err(failed(detail))
    }
}
