//! k6 as a child process: for local runs, and for the load on an existing Tempo.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::{EnvironmentError, K6Finished, K6Start, failed};
use crate::error_chain::chain;
use crate::k6::command::k6_command;
use crate::k6::load::Load;
use crate::k6::scripts;
use crate::process::{ChildSpec, How, Interrupt, Supervisor};
use crate::tools::ResolvedTool;

/// k6 ends its iterations and writes its summary after the first signal.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Starts k6 runs below a directory that holds their scripts and inputs.
#[derive(Debug)]
pub struct K6Process {
    tool: ResolvedTool,
    dir: PathBuf,
    /// Only an address elsewhere may need a proxy.
    with_proxies: bool,
}

impl K6Process {
    pub fn new(tool: ResolvedTool, work_dir: &Path, with_proxies: bool) -> Self {
        Self {
            tool,
            dir: work_dir.join("k6"),
            with_proxies,
        }
    }

    /// Runs k6 to its end, its time limit or an interrupt.
    pub async fn run(
        &self,
        supervisor: &Supervisor,
        interrupt: &Interrupt,
        start: K6Start,
        remote_write: Option<Url>,
    ) -> Result<K6Finished, EnvironmentError> {
        let run = start.run;
        let script = scripts::write(&self.dir)
            .map_err(|err| {
                failed(format!(
                    "cannot write k6 scripts to {}: {err}",
                    self.dir.display()
                ))
            })?
            .join(start.run.script());
        let load_path = self.dir.join(format!("{run}-load.json"));
        let summary_path = self.dir.join(format!("{run}-summary.json"));
        let load = Load {
            summary_path: summary_path.clone(),
            ..start.load
        };
        let text = serde_json::to_vec_pretty(&load)
            .map_err(|err| failed(format!("cannot write the load of {run}: {err}")))?;
        std::fs::write(&load_path, text)
            .map_err(|err| failed(format!("cannot write {}: {err}", load_path.display())))?;
        let remote_write = remote_write.filter(|_| run.is_the_load());
        let command = k6_command(&script, &load_path, run, remote_write.as_ref());
        let mut spec = ChildSpec::new(format!("k6 {run}"), &self.tool.path)
            .args(command.args)
            .log(&start.log)
            // It ends with its load, whatever is to be left running.
            .transient();
        for (name, value) in command.env {
            spec = spec.env(name, value);
        }
        for name in command.env_remove {
            spec = spec.env_remove(name);
        }
        if self.with_proxies {
            spec = spec.with_proxies();
        }
        let child = supervisor.spawn(spec).map_err(|err| failed(chain(&err)))?;
        let ended_by = tokio::select! {
            _ = child.wait() => None,
            signal = interrupt.wait() => Some(signal.to_string()),
            () = tokio::time::sleep(start.timeout) => {
                Some(format!("the time limit of {}", crate::units::Pretty(start.timeout)))
            }
        };
        let stopped = child
            .stop(STOP_GRACE)
            .await
            .map_err(|err| failed(chain(&err)))?;
        let killed = matches!(stopped.how, How::Killed);
        let exit = stopped.exit;
        let signal = exit.status.code().is_none().then(|| exit.describe());
        let summary = match std::fs::read_to_string(&summary_path) {
            Ok(text) => Ok(text),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
                Err("k6 wrote no summary".to_string())
            }
            Err(err) => {
                return Err(failed(format!(
                    "cannot read {}: {err}",
                    summary_path.display()
                )));
            }
        };
        Ok(K6Finished {
            exit_code: exit.status.code(),
            ended_by: ended_by.or(signal).map(|what| {
                if killed {
                    format!("{what} (killed)")
                } else {
                    what
                }
            }),
            wall: exit.ran,
            cpu: exit.usage.cpu(),
            max_rss_bytes: exit.usage.max_rss_bytes,
            summary,
        })
    }
}
