//! A running child: what is known of it, and how it is stopped.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::exit::Exit;
use super::procfs;
use super::shared::Shared;
use super::spec::LogFile;

/// How long a dropped child may take to end by itself.
const DROP_GRACE: Duration = Duration::from_secs(2);
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// A tail is read from at most this much of the file's end.
const TAIL_BYTES: u64 = 64 * 1024;
const TAIL_LINES: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was over before it was asked to stop.
    AlreadyEnded,
    /// It ended within its grace.
    Terminated,
    /// It had to be killed.
    Killed,
}

#[derive(Debug, Clone)]
pub struct Stopped {
    pub how: How,
    pub exit: Exit,
}

#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("cannot signal {name} (process group {group})")]
    Signal {
        name: String,
        group: i32,
        #[source]
        source: io::Error,
    },
    #[error("{name} (process group {group}) still runs {:.0} s after SIGKILL", .waited.as_secs_f64())]
    Survived {
        name: String,
        group: i32,
        waited: Duration,
    },
}

/// A child in a process group of its own; dropping it ends the whole group.
#[must_use = "dropping a child ends it"]
pub struct Child {
    pub(super) name: String,
    pub(super) command_line: String,
    pub(super) shared: Arc<Shared>,
    pub(super) logs: Vec<LogFile>,
    /// `--skip-cleanup`: it stays when we go.
    pub(super) kept: bool,
}

impl Child {
    /// The process, and the number of its group.
    pub fn pid(&self) -> i32 {
        self.shared.pid
    }

    /// Waits for the end of the child and of all others in its group.
    pub async fn wait(&self) -> Exit {
        self.shared.wait().await
    }

    pub fn try_wait(&self) -> Option<Exit> {
        self.shared.exit()
    }

    /// Ends the group: SIGTERM, and SIGKILL after `grace`.
    pub async fn stop(&self, grace: Duration) -> Result<Stopped, StopError> {
        let done = |how, exit| Stopped { how, exit };
        if let Some(exit) = self.try_wait() {
            return Ok(done(How::AlreadyEnded, exit));
        }
        self.shared.set_deadline(Instant::now() + grace);
        self.signal(Signal::SIGTERM)?;
        if let Ok(exit) = tokio::time::timeout(grace, self.wait()).await {
            return Ok(done(How::Terminated, exit));
        }
        self.signal(Signal::SIGKILL)?;
        match tokio::time::timeout(KILL_LIMIT, self.wait()).await {
            Ok(exit) => Ok(done(How::Killed, exit)),
            Err(_) => Err(StopError::Survived {
                name: self.name.clone(),
                group: self.pid(),
                waited: KILL_LIMIT,
            }),
        }
    }

    /// CPU time so far, and after the end that of [`Usage`].
    pub fn cpu_time_now(&self) -> Option<Duration> {
        match self.try_wait() {
            Some(exit) => Some(exit.usage.cpu()),
            None => procfs::Stat::of(self.pid())?.cpu_time(),
        }
    }

    /// The last lines that this child wrote: of stderr, else of stdout.
    pub fn log_tail(&self, lines: usize) -> String {
        self.last_words(lines)
            .map(|(_, text)| text)
            .unwrap_or_default()
    }

    /// Command line, exit code or signal, and the end of the log.
    pub fn describe_failure(&self) -> String {
        let state = match self.try_wait() {
            Some(exit) => format!(
                "ended with {} after {:.1} s",
                exit.describe(),
                exit.ran.as_secs_f64()
            ),
            None => format!("is running (pid {})", self.pid()),
        };
        let mut text = format!("{} {state}\n  command: {}", self.name, self.command_line);
        match self.last_words(TAIL_LINES) {
            Some((path, tail)) => {
                text.push_str(&format!("\n  end of {}:", path.display()));
                for line in tail.lines() {
                    text.push_str("\n    ");
                    text.push_str(line);
                }
            }
            None if self.logs.is_empty() => text.push_str("\n  its output was discarded"),
            None => {
                let paths: Vec<_> = self
                    .logs
                    .iter()
                    .map(|log| log.path.display().to_string())
                    .collect();
                text.push_str(&format!("\n  it wrote nothing to {}", paths.join(" or ")));
            }
        }
        text
    }

    fn last_words(&self, lines: usize) -> Option<(&PathBuf, String)> {
        self.logs.iter().find_map(|log| {
            let text = match tail(&log.path, log.start, lines) {
                Ok(text) => text,
                Err(error) => format!("(cannot be read: {error})"),
            };
            (!text.trim().is_empty()).then_some((&log.path, text))
        })
    }

    fn signal(&self, signal: Signal) -> Result<(), StopError> {
        match self.shared.signal(signal) {
            Ok(_) => Ok(()),
            Err(source) => Err(StopError::Signal {
                name: self.name.clone(),
                group: self.pid(),
                source,
            }),
        }
    }

    /// The way of [`Drop`]: without a runtime, and without an error to return.
    fn end_now(&self) -> Result<(), StopError> {
        if self.try_wait().is_some() {
            return Ok(());
        }
        self.shared.set_deadline(Instant::now() + DROP_GRACE);
        self.signal(Signal::SIGTERM)?;
        if self.shared.wait_blocking(DROP_GRACE).is_some() {
            return Ok(());
        }
        self.signal(Signal::SIGKILL)?;
        match self.shared.wait_blocking(KILL_LIMIT) {
            Some(_) => Ok(()),
            None => Err(StopError::Survived {
                name: self.name.clone(),
                group: self.pid(),
                waited: KILL_LIMIT,
            }),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = self.end_now() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a child may have survived"
            );
        }
    }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child")
            .field("name", &self.name)
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

/// The last lines of what a file holds from `start` on.
fn tail(path: &Path, start: u64, lines: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    let from = start.max(end.saturating_sub(TAIL_BYTES));
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut last = VecDeque::with_capacity(lines);
    // A tail that starts in the middle of the file starts in the middle of a line.
    let skip = usize::from(from > start);
    for line in text.lines().skip(skip) {
        if last.len() == lines {
            last.pop_front();
        }
        last.push_back(line);
    }
    Ok(Vec::from(last).join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_starts_where_the_child_did_and_at_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "of an earlier start\none\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&path, 20, 2).unwrap(), "two\nthree");
        assert_eq!(tail(&path, 20, 9).unwrap(), "one\ntwo\nthree");
        let long = "x".repeat(100) + "\n";
        std::fs::write(&path, long.repeat(1000)).unwrap();
        let text = tail(&path, 0, 5000).unwrap();
        assert!(text.lines().all(|line| line.len() == 100));
        assert!(text.lines().count() > 600);
    }
}
