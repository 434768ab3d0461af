//! A machine of a test's own: a PATH, a cache, and a `go` that is a shell script.

use std::fs;
use std::io::ErrorKind;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempo_perf::process::{Interrupt, Supervisor};
use tempo_perf::settings::{ToolSettings, ToolSource};
use tempo_perf::tools::{Progress, ResolvedTool, Tool, ToolError, Toolbox};

/// What the fake `go` builds, and the releases hold: all tools, told apart by its
/// own name.
pub const PRODUCT: &str = r#"#!/bin/sh
case "${0##*/} $1" in
  "k6 version") echo "k6 v1.8.1 (fake)" ;;
  "otelcol --version") echo "otelcol version 0.160.0" ;;
  "otelcol components") printf 'receivers:\n  - name: otlp\nexporters:\n  - name: otlp_grpc\n' ;;
  "prometheus --version") echo "prometheus, version 3.13.5 (fake)" ;;
  "tempo -version") echo "tempo, version 3.0.3 (fake)" ;;
esac
"#;

/// A machine with its own PATH and cache.
pub struct Machine {
    pub dir: tempfile::TempDir,
    shown: Arc<Mutex<Vec<u8>>>,
}

struct Shown(Arc<Mutex<Vec<u8>>>);

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Machine {
    pub fn new() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "cache"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Machine {
            dir,
            shown: Arc::default(),
        }
    }

    /// One with a Go, whose build runs `script` with `$out` set.
    pub fn with_go(script: &str) -> Machine {
        let machine = Machine::new();
        machine.set_go("1.26.9", script);
        machine
    }

    pub fn set_go(&self, version: &str, script: &str) {
        self.write_program("product", PRODUCT);
        let dir = self.dir.path().display();
        self.write_program(
            "bin/go",
            &format!(
                r#"#!/bin/sh
if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit; fi
echo $$ >> {dir}/builds
/usr/bin/env > {dir}/environment
product={dir}/product
while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done
{script}
"#
            ),
        );
    }

    /// Written by another process: a file that we hold open for writing while a
    /// different test forks could not be run.
    pub fn write_program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let mut child = Command::new("/bin/sh")
            .args([
                "-c",
                "cat > \"$1.new\" && chmod +x \"$1.new\" && mv \"$1.new\" \"$1\"",
                "-",
            ])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success());
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn toolbox(&self) -> Toolbox {
        self.toolbox_with(|_| {})
    }

    pub fn toolbox_with(&self, change: impl FnOnce(&mut ToolSettings)) -> Toolbox {
        let mut settings = ToolSettings {
            cache: self.path("cache"),
            // Not even a try to reach the outside.
            source: ToolSource::Build,
            ..ToolSettings::default()
        };
        change(&mut settings);
        Toolbox::new(
            settings,
            Supervisor::new(env!("CARGO_BIN_EXE_tempo-perf"), false),
            Interrupt::manual(),
            self.progress(),
        )
        .search_path(self.path("bin"))
    }

    pub fn progress(&self) -> Progress {
        // Often, so that what is slow for a moment is seen.
        Progress::to(Shown(Arc::clone(&self.shown))).every(Duration::from_millis(100))
    }

    /// `tempo-perf tools` as a process of its own.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tempo-perf"));
        command
            .arg("tools")
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("TEMPO_PERF_TOOLS_DIR", self.path("cache"))
            .env("TEMPO_PERF_K6_BIN", "")
            .env("TEMPO_PERF_TOOLS", "build")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn shown(&self) -> String {
        String::from_utf8(self.shown.lock().unwrap().clone()).unwrap()
    }

    pub fn builds(&self) -> usize {
        fs::read_to_string(self.path("builds")).map_or(0, |text| text.lines().count())
    }

    /// Files below the cache, without the locks.
    pub fn cached(&self) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.path("cache"), &mut names);
        names.retain(|name| !name.ends_with(".lock"));
        names.sort();
        names
    }

    /// A text without what differs from run to run.
    pub fn plain(&self, text: &str) -> String {
        text.replace(self.dir.path().to_str().unwrap(), "[dir]")
    }
}

fn collect(dir: &Path, names: &mut Vec<String>) {
    let entries = match fs::read_dir(dir) {
        // The watcher deletes what a killed run left, while this walks.
        Err(gone) if gone.kind() == ErrorKind::NotFound => return,
        entries => entries.unwrap(),
    };
    for entry in entries.flatten() {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), names);
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
}

/// One tool, as a run gets all of its tools.
pub async fn get(toolbox: &Toolbox, tool: Tool) -> Result<ResolvedTool, ToolError> {
    let mut got = toolbox.resolve_all(&[tool]).await?;
    Ok(got.remove(0))
}

pub fn text(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}
