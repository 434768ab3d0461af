//! Runs that are ended from outside: nothing of them may stay.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::built::{cargo, cargo_profile, perf};
use crate::support::front_door::{FrontDoor, Turn};
use crate::support::scratch::Scratch;

/// k6 ends its iterations, the last numbers are collected, all is stopped.
const TEARDOWN_LIMIT: Duration = Duration::from_secs(15);
/// The watcher's grace, and some time to die.
const WATCHER_LIMIT: Duration = Duration::from_secs(8);

fn two_cases(scratch: &Scratch) -> FrontDoor<'_> {
    let profiles = scratch.profiles(&["1x-demo", "1x-pico"]);
    FrontDoor::new(scratch, &[])
        .profiles_dir(&profiles)
        .seconds(60)
}

#[test]
fn sigint_ends_the_load_keeps_what_was_measured_and_starts_no_further_case() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let mut running = two_cases(&scratch).start();
    running.wait_for_load("1x-demo");
    let began = Instant::now();
    running.signal_group(Signal::SIGINT);
    let finished = running
        .wait()
        .exits_with(130)
        .says(&["interrupted by SIGINT", "not started"]);
    let took = began.elapsed();
    assert!(took < TEARDOWN_LIMIT, "{took:?}");
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    report.is_in_state("interrupted");
    report.stage("teardown");
    finished.leaves_evidence_of("1x-demo");
    let log = finished.text("1x-demo-k6-ingestion.log");
    assert!(
        log.contains("http_req_duration"),
        "k6 must have written its summary:\n{log}"
    );
    assert!(!finished.file("1x-pico-report.json").exists());
}

#[test]
fn sigterm_ends_the_run_with_143() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let mut running = two_cases(&scratch).start();
    running.wait_for_load("1x-demo");
    running.signal(Signal::SIGTERM);
    let finished = running
        .wait()
        .exits_with(143)
        .says(&["interrupted by SIGTERM"]);
    scratch.assert_nothing_is_left();
    finished.report("1x-demo").is_in_state("interrupted");
    assert!(!finished.file("1x-pico-report.json").exists());
}

#[test]
fn sigint_during_the_set_up_leaves_nothing() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let running = two_cases(&scratch).start();
    crate::support::proc::eventually("the store must be started", WATCHER_LIMIT, || {
        let all = scratch.processes();
        let started = all.iter().any(|it| it.command_line.contains("trace-store"));
        if started {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        }
    });
    running.signal_group(Signal::SIGINT);
    let finished = running.wait().exits_with(130);
    scratch.assert_nothing_is_left();
    finished.report("1x-demo").is_in_state("interrupted");
}

#[test]
fn a_second_sigint_leaves_at_once() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    // A k6 that does not end when asked to holds up the teardown.
    let k6 = crate::real_tools::real(tempo_perf::tools::Tool::K6);
    let body = format!(
        "case \"$1\" in run) trap '' TERM; '{0}' \"$@\" & while :; do sleep 0.1; done ;; esac\n\
         exec '{0}' \"$@\"",
        k6.display()
    );
    let stubborn = scratch.script("k6", &body);
    let mut running = two_cases(&scratch)
        .env("TEMPO_PERF_K6_BIN", &stubborn)
        .start();
    running.wait_for_load("1x-demo");
    running.signal_group(Signal::SIGINT);
    let k6s = || {
        let all = scratch.processes();
        all.iter()
            .filter(|it| it.command_line.contains("ingestion-test.js"))
            .count()
    };
    crate::support::proc::eventually(
        "k6 proper must have been asked to end",
        WATCHER_LIMIT,
        || {
            if k6s() < 2 {
                Ok(())
            } else {
                Err("it runs".into())
            }
        },
    );
    let began = Instant::now();
    running.signal_group(Signal::SIGINT);
    running.wait().exits_with(130);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    scratch.assert_nothing_is_left_within(WATCHER_LIMIT);
}

#[test]
fn after_sigkill_no_child_survives_and_the_work_directory_goes() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let mut running = two_cases(&scratch).start();
    running.wait_for_load("1x-demo");
    assert!(
        scratch.processes().len() >= 6,
        "harness, watcher, three parts and k6"
    );
    assert_eq!(scratch.work_dirs().len(), 1);
    running.signal(Signal::SIGKILL);
    let finished = running.wait().killed_by(Signal::SIGKILL);
    scratch.assert_nothing_is_left_within(WATCHER_LIMIT);
    finished.report("1x-demo").is_in_state("running");
}

#[test]
#[ignore = "needs cargo-nextest"]
fn a_nextest_timeout_ends_the_case_in_order() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    // Its time limit is not for building.
    perf();
    let config = scratch.path().join("nextest.toml");
    std::fs::write(
        &config,
        "[profile.default]\nslow-timeout = { period = \"4s\", terminate-after = 1, \
         grace-period = \"60s\" }\n",
    )
    .expect("a file can be written");
    let config = config.display().to_string();
    let profile = cargo_profile();
    let cargo: Command = cargo();
    let args = [
        "nextest",
        "run",
        "--config-file",
        &config,
        "--cargo-profile",
        &profile,
        "--test",
        "perf",
        "-E",
        "test(=1x-demo)",
    ];
    let finished = FrontDoor::through(&scratch, cargo.get_program(), &args)
        .seconds(60)
        .run()
        .exits_with(100)
        .says(&["TIMEOUT", "interrupted by SIGTERM"]);
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    report.is_in_state("interrupted");
    report.stage("teardown");
    finished.leaves_evidence_of("1x-demo");
}
