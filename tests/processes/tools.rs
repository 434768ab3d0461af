//! Finding and building tools, with a `go` that is a shell script.
//! Touches: starts processes of its own, and writes to temporary directories.
#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempo_perf::error_chain::chain;
use tempo_perf::process::{Interrupt, Supervisor};
use tempo_perf::settings::ToolPaths;
use tempo_perf::tools::{Origin, Progress, Tool, ToolStatus, Toolbox};

const LIMIT: Duration = Duration::from_secs(20);

/// What the fake `go` builds: all three tools, told apart by its own name.
pub const PRODUCT: &str = r#"#!/bin/sh
case "${0##*/} $1" in
  "k6 version") echo "k6 v1.8.1 (fake)" ;;
  "otelcol --version") echo "otelcol version 0.160.0" ;;
  "otelcol components") printf 'receivers:\n  - name: otlp\nexporters:\n  - name: otlp_grpc\n' ;;
  "prometheus --version") echo "prometheus, version 3.13.5 (fake)" ;;
esac
"#;

/// A machine with its own PATH and cache.
pub struct Machine {
    dir: tempfile::TempDir,
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
    fn with_go(script: &str) -> Machine {
        let machine = Machine::new();
        machine.set_go("1.26.9", script);
        machine
    }

    fn set_go(&self, version: &str, script: &str) {
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

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn toolbox(&self) -> Toolbox {
        self.toolbox_with(|_| {})
    }

    fn toolbox_with(&self, change: impl FnOnce(&mut ToolPaths)) -> Toolbox {
        let mut paths = ToolPaths {
            cache: self.path("cache"),
            ..ToolPaths::default()
        };
        change(&mut paths);
        Toolbox::new(
            paths,
            Supervisor::new(env!("CARGO_BIN_EXE_tempo-perf"), false),
            Interrupt::manual(),
            Progress::to(Shown(Arc::clone(&self.shown))),
        )
        .search_path(self.path("bin"))
    }

    /// `tempo-perf tools` as a process of its own.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tempo-perf"));
        command
            .arg("tools")
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("TEMPO_PERF_TOOLS_DIR", self.path("cache"))
            .env("TEMPO_PERF_K6_BIN", "")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn shown(&self) -> String {
        String::from_utf8(self.shown.lock().unwrap().clone()).unwrap()
    }

    fn builds(&self) -> usize {
        fs::read_to_string(self.path("builds")).map_or(0, |text| text.lines().count())
    }

    /// Files below the cache, without the locks.
    fn cached(&self) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.path("cache"), &mut names);
        names.retain(|name| !name.ends_with(".lock"));
        names.sort();
        names
    }

    /// A text without what differs from run to run.
    fn plain(&self, text: &str) -> String {
        text.replace(self.dir.path().to_str().unwrap(), "[dir]")
    }
}

fn collect(dir: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), names);
        } else {
            names.push(entry.file_name().into_string().unwrap());
        }
    }
}

#[track_caller]
fn eventually(expected: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "{expected}, within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn text(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test]
async fn a_tool_is_built_once_and_then_cached() {
    let machine = Machine::with_go("/bin/cp $product $out");
    let first = machine.toolbox().resolve(Tool::Prometheus).await.unwrap();
    assert_eq!(
        (first.origin, first.version.as_str()),
        (Origin::Built, "3.13.5")
    );
    let second = machine.toolbox().resolve(Tool::Prometheus).await.unwrap();
    assert_eq!(second.origin, Origin::Cache);
    assert_eq!(second.path, first.path);
    assert_eq!(machine.builds(), 1);
    assert_eq!(machine.cached(), ["prometheus"]);
    assert_eq!(
        machine.shown(),
        "building Prometheus 3.13.5 (once; about 2 minutes)\nbuilt Prometheus 3.13.5 in 0s\n"
    );
    let environment = fs::read_to_string(machine.path("environment")).unwrap();
    for setting in [
        "CGO_ENABLED=0",
        "GOTOOLCHAIN=local",
        "GOFLAGS=-mod=readonly",
    ] {
        assert!(environment.lines().any(|line| line == setting), "{setting}");
    }
}

#[tokio::test]
async fn without_go_the_error_names_tool_variable_and_releases() {
    let machine = Machine::new();
    let error = machine.toolbox().resolve(Tool::K6).await.unwrap_err();
    insta::assert_snapshot!(chain(&error), @"k6 is not there, and without Go it cannot be built; install Go 1.26.0 or later, or take a binary of 1.8.0 or later from https://github.com/grafana/k6/releases and set TEMPO_PERF_K6_BIN");
}

#[tokio::test]
async fn a_go_that_is_too_old_is_told_so() {
    let machine = Machine::new();
    machine.set_go("1.24.1", "exit 1");
    let error = machine.toolbox().resolve(Tool::Otelcol).await.unwrap_err();
    insta::assert_snapshot!(machine.plain(&chain(&error)), @"OpenTelemetry Collector is not there, and [dir]/bin/go is Go 1.24.1, too old to build it; install Go 1.26.0 or later, or take a binary of 0.120.0 or later from https://github.com/open-telemetry/opentelemetry-collector-releases/releases and set TEMPO_PERF_OTELCOL_BIN");
    assert_eq!(machine.builds(), 0);
}

#[tokio::test]
async fn a_failing_build_shows_its_last_lines_and_leaves_nothing() {
    let machine = Machine::with_go(
        "echo internal/cpu; echo 'go: downloading x v1' >&2; echo half > $out; \
         echo 'x.go:1: disk quota exceeded' >&2; exit 1",
    );
    let error = machine.toolbox().resolve(Tool::K6).await.unwrap_err();
    insta::assert_snapshot!(chain(&error), @"
    building k6 failed: go build ended with exit code 1
        x.go:1: disk quota exceeded
      check the network and GOPROXY if a download failed, and the space on disk; or take a binary of 1.8.0 or later from https://github.com/grafana/k6/releases and set TEMPO_PERF_K6_BIN
    ");
    assert_eq!(machine.cached(), Vec::<String>::new());
}

#[tokio::test]
async fn a_build_that_is_not_the_tool_does_not_reach_the_cache() {
    let machine = Machine::with_go("echo '#!/bin/sh' > $out; /bin/chmod +x $out");
    let error = machine.toolbox().resolve(Tool::K6).await.unwrap_err();
    assert!(
        chain(&error).starts_with("the k6 just built does not work: "),
        "{error}"
    );
    assert_eq!(machine.cached(), Vec::<String>::new());
}

#[test]
fn two_runs_at_once_build_once() {
    let machine = Machine::with_go("/bin/sleep 0.4; /bin/cp $product $out");
    let runs: Vec<Child> = (0..2).map(|_| machine.command().spawn().unwrap()).collect();
    let pids: Vec<u32> = runs.iter().map(Child::id).collect();
    let outputs: Vec<_> = runs
        .into_iter()
        .map(|run| run.wait_with_output().unwrap())
        .collect();
    let texts: Vec<_> = outputs.iter().map(text).collect();
    for (output, (_, stderr)) in outputs.iter().zip(&texts) {
        assert!(output.status.success(), "{stderr}");
    }
    assert_eq!(machine.builds(), 3, "each tool must be built once");
    assert_eq!(machine.cached(), ["k6", "otelcol", "prometheus"]);
    let waited = pids.iter().any(|pid| {
        let line = format!("waiting for process {pid}, which is building k6 1.8.1");
        texts.iter().any(|(_, stderr)| stderr.contains(&line))
    });
    assert!(waited, "one run must wait for the other: {texts:?}");
}

/// Starts a build that hangs with half of its output written.
fn hanging_build(machine: &Machine) -> (Child, i32) {
    machine.set_go("1.26.9", "echo half > $out; /bin/sleep 600 & wait");
    let run = machine.command().spawn().unwrap();
    let mut go = None;
    eventually("the build must start", || {
        go = fs::read_to_string(machine.path("builds"))
            .ok()
            .and_then(|text| text.trim().parse().ok());
        go.is_some() && machine.cached().contains(&"k6".to_owned())
    });
    (run, go.unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_build_leaves_no_half_binary() {
    let machine = Machine::new();
    let (mut run, go) = hanging_build(&machine);
    run.kill().unwrap();
    run.wait().unwrap();
    eventually("go must end with the run", || !is_running(go));
    eventually("the temporary files must be deleted", || {
        machine.cached().is_empty()
    });
    // And the lock of the dead holds nobody up.
    machine.set_go("1.26.9", "/bin/cp $product $out");
    let output = machine.command().output().unwrap();
    assert!(output.status.success(), "{:?}", text(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn sigint_ends_a_build_and_removes_its_files() {
    let machine = Machine::new();
    let (run, go) = hanging_build(&machine);
    kill(Pid::from_raw(run.id() as i32), Signal::SIGINT).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{:?}", text(&output));
    assert!(
        text(&output)
            .1
            .ends_with("error: SIGINT while building k6\n")
    );
    assert!(!is_running(go));
    assert_eq!(machine.cached(), Vec::<String>::new());
}

#[test]
fn check_shows_what_is_missing_and_builds_nothing() {
    let machine = Machine::with_go("exit 1");
    let output = machine.command().arg("--check").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(text(&output).0, @"
    TOOL        VERSION  ORIGIN    PATH
    k6          1.8.1    to build  -
    otelcol     0.160.0  to build  -
    prometheus  3.13.5   to build  -
    tempo       -        none      - (runs use the built-in trace store)
    ");
    assert_eq!(machine.builds(), 0);
}

#[tokio::test]
async fn a_tool_on_path_is_used_if_its_version_fits() {
    let machine = Machine::new();
    let path = machine.write_program("bin/k6", "#!/bin/sh\necho 'k6 v2.2.0 (go1.26.8)'\n");
    let found = machine.toolbox().resolve(Tool::K6).await.unwrap();
    assert_eq!(
        (found.origin, found.version.as_str()),
        (Origin::Path, "2.2.0")
    );
    assert_eq!(found.path, path);
}

#[tokio::test]
async fn what_does_not_fit_on_path_is_passed_over_with_the_reason() {
    let machine = Machine::with_go("/bin/cp $product $out");
    machine.write_program("bin/k6", "#!/bin/sh\necho 'k6 v0.49.0 (go1.21)'\n");
    machine.write_program(
        "bin/prometheus",
        "#!/bin/sh\necho 'prometheus, version  (branch: )'\n",
    );
    machine.write_program(
        "bin/otelcol-contrib",
        "#!/bin/sh\n[ $1 = --version ] && echo 'otelcol-contrib version 0.130.0' || echo receivers:\n",
    );
    let mut reasons = Vec::new();
    for status in machine.toolbox().look_all(&Tool::ALL).await.unwrap() {
        let ToolStatus::ToBuild { passed_over, .. } = status else {
            panic!("{status:?} must not be used");
        };
        reasons.extend(
            passed_over
                .into_iter()
                .map(|passed| machine.plain(&passed.reason)),
        );
    }
    assert_eq!(
        reasons,
        [
            "[dir]/bin/k6 is k6 0.49.0; needed is 1.8.0 or later",
            "[dir]/bin/otelcol-contrib has no otlp receiver",
            "[dir]/bin/prometheus does not say its version",
        ]
    );
    let built = machine.toolbox().resolve(Tool::K6).await.unwrap();
    assert_eq!(built.origin, Origin::Built);
    let shown = machine.plain(&machine.shown());
    assert!(
        shown.starts_with("not used: [dir]/bin/k6 is k6 0.49.0;"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_bad_variable_is_an_error_that_names_it() {
    let machine = Machine::with_go("/bin/cp $product $out");
    let plain_file = machine.path("notes.txt");
    fs::write(&plain_file, "k6").unwrap();
    let old = machine.write_program("old-k6", "#!/bin/sh\necho 'k6 v1.7.9 (go1.24)'\n");
    let stranger = machine.write_program("stranger", "#!/bin/sh\necho 'hello, world'\n");
    let mut messages = Vec::new();
    for path in [machine.path("nowhere"), plain_file, old, stranger] {
        let toolbox = machine.toolbox_with(|paths| paths.k6 = Some(path));
        let error = toolbox.resolve(Tool::K6).await.unwrap_err();
        messages.push(machine.plain(&chain(&error)));
    }
    insta::assert_snapshot!(messages.join("\n"), @r#"
    TEMPO_PERF_K6_BIN does not name a binary that can be used: [dir]/nowhere does not exist
    TEMPO_PERF_K6_BIN does not name a binary that can be used: [dir]/notes.txt is not an executable file
    TEMPO_PERF_K6_BIN does not name a binary that can be used: [dir]/old-k6 is k6 1.7.9; needed is 1.8.0 or later
    TEMPO_PERF_K6_BIN does not name a binary that can be used: [dir]/stranger is not k6: version answers "hello, world"
    "#);
    assert_eq!(machine.builds(), 0);
}

#[tokio::test]
async fn a_chosen_prometheus_without_a_version_is_asked_for_its_flags() {
    let machine = Machine::new();
    for (help, expected) in [
        ("--[no-]web.enable-remote-write-receiver", Some("unknown")),
        ("--web.enable-lifecycle", None),
    ] {
        let script = format!(
            "#!/bin/sh\n[ $1 = --version ] && echo 'prometheus, version  (branch: )' || echo '{help}'\n"
        );
        let path = machine.write_program("mine", &script);
        let toolbox = machine.toolbox_with(|paths| paths.prometheus = Some(path));
        let found = toolbox.resolve(Tool::Prometheus).await;
        let version = found.as_ref().ok().map(|tool| tool.version.as_str());
        assert_eq!(version, expected, "{found:?}");
    }
}

#[tokio::test]
async fn tempo_is_taken_from_path_if_it_is_grafanas() {
    let machine = Machine::new();
    assert_eq!(machine.toolbox().find_tempo().await.unwrap(), None);
    machine.write_program("bin/tempo", "#!/bin/sh\necho 'Tempo, a metronome'\n");
    assert_eq!(machine.toolbox().find_tempo().await.unwrap(), None);
    assert!(machine.shown().contains("is not Grafana Tempo"));
    machine.write_program(
        "bin/tempo",
        "#!/bin/sh\necho 'tempo, version  (branch: )'\n",
    );
    let tempo = machine.toolbox().find_tempo().await.unwrap().unwrap();
    assert_eq!((tempo.origin, tempo.major()), (Origin::Path, None));
    let chosen = machine.write_program("mine", "#!/bin/sh\necho 'tempo, version v3.0.3 (x)'\n");
    let toolbox = machine.toolbox_with(|paths| paths.tempo = Some(chosen));
    let tempo = toolbox.find_tempo().await.unwrap().unwrap();
    assert_eq!((tempo.origin, tempo.major()), (Origin::Variable, Some(3)));
}
