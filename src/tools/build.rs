//! Building a pinned tool, once for all runs of a machine.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process::{ChildSpec, Interrupt, SpawnError, StopError, Supervisor, WorkDirError};

use super::cache::{CacheError, Cached, LockError};
use super::inspect::{self, InspectError, Trust, Version};
use super::pin::Pin;
use super::progress::{LIVE, Progress, elapsed};
use super::{Interrupted, Tool};

const STOP_GRACE: Duration = Duration::from_secs(2);
const LAST_LINES: usize = 15;

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{}", no_go(.tool, .oldest_go))]
    NoGo { tool: Tool, oldest_go: Version },
    #[error("{}", old_go(.tool, .path, .found, .oldest_go))]
    OldGo {
        tool: Tool,
        path: PathBuf,
        found: Version,
        oldest_go: Version,
    },
    #[error("cannot use Go to build {tool}")]
    Go {
        tool: Tool,
        #[source]
        source: InspectError,
    },
    #[error("{}", failed(.tool, .how, .last_lines))]
    Failed {
        tool: Tool,
        how: String,
        last_lines: String,
    },
    #[error("the {tool} just built does not work")]
    Useless {
        tool: Tool,
        #[source]
        source: InspectError,
    },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error(transparent)]
    Stop(#[from] StopError),
    #[error(transparent)]
    WorkDir(#[from] WorkDirError),
}

impl From<LockError> for BuildError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Interrupted(interrupted) => interrupted.into(),
            LockError::Cache(error) => error.into(),
        }
    }
}

/// The end of a message about a tool that cannot be got.
pub(super) fn alternative(tool: &Tool) -> String {
    format!(
        "or take a binary of {} or later from {} and set {}",
        tool.oldest(),
        tool.releases(),
        tool.variable()
    )
}

fn no_go(tool: &Tool, oldest: &Version) -> String {
    format!(
        "{tool} is not there, and without Go it cannot be built; install Go {oldest} or later, {}",
        alternative(tool)
    )
}

fn old_go(tool: &Tool, path: &Path, found: &Version, oldest: &Version) -> String {
    format!(
        "{tool} is not there, and {} is Go {found}, too old to build it; install Go {oldest} or later, {}",
        path.display(),
        alternative(tool)
    )
}

fn failed(tool: &Tool, how: &str, last_lines: &str) -> String {
    let mut text = format!("building {tool} failed: go build ended with {how}");
    for line in last_lines.lines() {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text.push_str(&format!(
        "\n  check the network and GOPROXY if a download failed, and the space on disk; {}",
        alternative(tool)
    ));
    text
}

/// What a build needs of its surroundings.
pub(super) struct Builder<'a> {
    pub cache: &'a Path,
    pub search_path: &'a OsString,
    pub supervisor: &'a Supervisor,
    pub interrupt: &'a Interrupt,
    pub progress: &'a Progress,
}

impl Builder<'_> {
    /// Builds the tool, unless another run does so or just did.
    pub async fn build(&self, pin: &Pin) -> Result<PathBuf, BuildError> {
        let tool = pin.tool;
        let go = self.find_go(pin).await?;
        let entry = pin.entry(self.cache);
        let doing = format!("building {tool} {}", pin.version());
        let _lock = entry.lock(&doing, self.interrupt, self.progress).await?;
        if let Cached::Sound(path) = entry.look().await {
            return Ok(path);
        }
        let dir = self.supervisor.transient_dir(entry.workshop()?)?;
        let start = Instant::now();
        self.progress
            .line(&format!("{doing} (once; about 2 minutes)"));
        let built = self.go_build(pin, &go, dir.path(), start).await?;
        inspect::inspect(tool, &built, Trust::Found)
            .await
            .map_err(|source| BuildError::Useless { tool, source })?;
        entry.keep(&built)?;
        dir.delete()?;
        let took = elapsed(start.elapsed());
        self.progress
            .line(&format!("built {tool} {} in {took}", pin.version()));
        Ok(entry.path())
    }

    /// The Go that would build it.
    pub async fn find_go(&self, pin: &Pin) -> Result<PathBuf, BuildError> {
        let (tool, oldest_go) = (pin.tool, pin.oldest_go());
        let path = on_path(self.search_path, "go")
            .next()
            .ok_or(BuildError::NoGo { tool, oldest_go })?;
        let found = inspect::inspect_go(&path)
            .await
            .map_err(|source| BuildError::Go { tool, source })?;
        if found < oldest_go {
            return Err(BuildError::OldGo {
                tool,
                path,
                found,
                oldest_go,
            });
        }
        Ok(path)
    }

    async fn go_build(
        &self,
        pin: &Pin,
        go: &Path,
        dir: &Path,
        start: Instant,
    ) -> Result<PathBuf, BuildError> {
        let source_dir = dir.join("module");
        let temporary = dir.join("tmp");
        for dir in [&source_dir, &temporary] {
            fs::create_dir_all(dir).map_err(|source| CacheError::new("create", dir, source))?;
        }
        for (name, text) in pin.files {
            let path = source_dir.join(name);
            fs::write(&path, text).map_err(|source| CacheError::new("write", &path, source))?;
        }
        let output = dir.join(pin.tool.name());
        let log = dir.join("log");
        let spec = ChildSpec::new(format!("go build of {}", pin.tool), go)
            .args(pin.build_args())
            // Names each package when it is compiled, which shows the progress.
            .args(["-v".into(), "-o".into(), output.clone().into_os_string()])
            .arg(pin.package())
            .inherit_env()
            .env("PATH", self.search_path)
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            // An empty value would let the file of `go env -w` speak.
            .env("GOFLAGS", "-mod=readonly")
            .env("GOWORK", "off")
            .env("GO111MODULE", "on")
            .env("GOTMPDIR", &temporary)
            .env_remove("GOOS")
            .env_remove("GOARCH")
            .cwd(&source_dir)
            .log(&log)
            .transient();
        let child = self.supervisor.spawn(spec)?;
        let exit = tokio::select! {
            biased;
            signal = self.interrupt.wait() => {
                self.progress.clear();
                child.stop(STOP_GRACE).await?;
                return Err(Interrupted::new(signal, format!("building {}", pin.tool)).into());
            }
            exit = child.wait() => exit,
            never = self.show_progress(pin, &log, start) => match never {},
        };
        self.progress.clear();
        if !exit.status.success() {
            return Err(BuildError::Failed {
                tool: pin.tool,
                how: exit.describe(),
                last_lines: last_lines(&child.log_tail(400)),
            });
        }
        Ok(output)
    }

    async fn show_progress(&self, pin: &Pin, log: &Path, start: Instant) -> Infallible {
        let mut ticker = self.progress.ticker();
        loop {
            tokio::time::sleep(LIVE).await;
            // Only decoration: a log that cannot be read shows no count.
            let packages = fs::read_to_string(log)
                .map(|text| text.lines().filter(|line| is_package(line)).count())
                .unwrap_or_default();
            ticker.show(&format!(
                "building {} {}: {}, {packages} packages",
                pin.tool,
                pin.version(),
                elapsed(start.elapsed())
            ));
        }
    }
}

/// Executable files of that name on a PATH, in its order.
pub(super) fn on_path<'a>(
    search_path: &'a OsString,
    name: &'a str,
) -> impl Iterator<Item = PathBuf> + 'a {
    std::env::split_paths(search_path)
        .filter(|dir| dir.is_absolute())
        .map(move |dir| dir.join(name))
        .filter(|path| inspect::is_executable(path))
}

/// A line of `go build -v`, as opposed to one of an error.
fn is_package(line: &str) -> bool {
    !line.is_empty() && !line.contains([' ', ':', '\t', '#'])
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| !is_package(line) && !line.starts_with("go: downloading "))
        .collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_of_the_error() {
        let log = "go: downloading a v1\ninternal/cpu\ngo.k6.io/k6/lib\n# example.org/x\n./x.go:1:1: undefined: y\n";
        assert_eq!(last_lines(log), "# example.org/x\n./x.go:1:1: undefined: y");
    }

    #[test]
    fn without_go_the_message_says_what_to_do() {
        let error = BuildError::NoGo {
            tool: Tool::K6,
            oldest_go: Version::new(1, 26, 0),
        };
        insta::assert_snapshot!(error, @"k6 is not there, and without Go it cannot be built; install Go 1.26.0 or later, or take a binary of 1.8.0 or later from https://github.com/grafana/k6/releases and set TEMPO_PERF_K6_BIN");
    }
}
