//! Building tools, with a `go` that is a shell script.

use std::fs;
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempo_perf::error_chain::chain;
use tempo_perf::tools::{Origin, Tool};

use super::machine::{Machine, get, text};
use crate::proc::is_running;
use crate::waiting::eventually;

#[tokio::test]
async fn a_tool_is_built_once_and_then_cached() {
    let machine = Machine::with_go("/bin/cp $product $out");
    let first = get(&machine.toolbox(), Tool::Prometheus).await.unwrap();
    assert_eq!(
        (first.origin, first.version.as_str()),
        (Origin::Built, "3.13.5")
    );
    let second = get(&machine.toolbox(), Tool::Prometheus).await.unwrap();
    assert_eq!(second.origin, Origin::Cache);
    assert_eq!(second.path, first.path);
    assert_eq!(machine.builds(), 1);
    assert_eq!(machine.cached(), ["prometheus", "prometheus.sha256"]);
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
    let error = get(&machine.toolbox(), Tool::K6).await.unwrap_err();
    insta::assert_snapshot!(chain(&error), @"k6 is not there, and without Go it cannot be built; install Go 1.26.0 or later, or take a binary of 1.8.0 or later from https://github.com/grafana/k6/releases and set TEMPO_PERF_K6_BIN");
}

#[tokio::test]
async fn a_go_that_is_too_old_is_told_so() {
    let machine = Machine::new();
    machine.set_go("1.24.1", "exit 1");
    let error = get(&machine.toolbox(), Tool::Otelcol).await.unwrap_err();
    insta::assert_snapshot!(machine.plain(&chain(&error)), @"OpenTelemetry Collector is not there, and [dir]/bin/go is Go 1.24.1, too old to build it; install Go 1.26.0 or later, or take a binary of 0.120.0 or later from https://github.com/open-telemetry/opentelemetry-collector-releases/releases and set TEMPO_PERF_OTELCOL_BIN");
    assert_eq!(machine.builds(), 0);
}

#[tokio::test]
async fn a_failing_build_shows_its_last_lines_and_leaves_nothing() {
    let machine = Machine::with_go(
        "echo internal/cpu; echo 'go: downloading x v1' >&2; echo half > $out; \
         echo 'x.go:1: disk quota exceeded' >&2; exit 1",
    );
    let error = get(&machine.toolbox(), Tool::K6).await.unwrap_err();
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
    let error = get(&machine.toolbox(), Tool::K6).await.unwrap_err();
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
    assert_eq!(
        machine.cached(),
        [
            "k6",
            "k6.sha256",
            "otelcol",
            "otelcol.sha256",
            "prometheus",
            "prometheus.sha256"
        ]
    );
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
