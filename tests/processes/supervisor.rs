//! Real processes: none of them may outlive what started it.
//! Touches: starts and ends processes of its own, and writes to temporary directories.
#![cfg(target_os = "linux")]

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal as Unix, kill};
use nix::unistd::Pid;
use tempo_perf::process::{Child, ChildSpec, How, Interrupt, SpawnError, Supervisor};
use tracing_test::traced_test;

use crate::proc::{Process, is_running, processes_of};
use crate::waiting::{LIMIT, eventually};

/// Which helper of this file a started copy of the test program is to be.
const ROLE: &str = "TEMPO_PERF_TEST_ROLE";

fn supervisor() -> Supervisor {
    Supervisor::new(env!("CARGO_BIN_EXE_tempo-perf"), false)
}

fn shell(name: &str, script: &str) -> ChildSpec {
    ChildSpec::new(name, "/bin/sh").args(["-c", script])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn state_of(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[track_caller]
fn pid_in(path: &Path) -> i32 {
    let mut pid = None;
    eventually(&format!("{} must hold a pid", path.display()), || {
        pid = fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        pid.is_some()
    });
    pid.unwrap()
}

#[tokio::test]
async fn stop_ends_the_child_and_leaves_no_zombie() {
    let child = supervisor().spawn(shell("sleeper", "sleep 600")).unwrap();
    let pid = child.pid();
    assert!(is_running(pid));
    let start = Instant::now();
    let stopped = child.stop(LIMIT).await.unwrap();
    let took = start.elapsed();
    assert_eq!(stopped.how, How::Terminated);
    assert_eq!(stopped.exit.describe(), "signal SIGTERM");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(state_of(pid), None, "the child must be reaped");
    let again = child.stop(LIMIT).await.unwrap();
    assert_eq!(again.how, How::AlreadyEnded);
}

#[tokio::test]
async fn a_child_that_ignores_sigterm_is_killed_after_its_grace() {
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let script = format!(
        "trap '' TERM; echo $$ > {}; while :; do sleep 0.1; done",
        ready.display()
    );
    let child = supervisor().spawn(shell("stubborn", &script)).unwrap();
    assert_eq!(pid_in(&ready), child.pid());
    let grace = Duration::from_millis(300);
    let start = Instant::now();
    let stopped = child.stop(grace).await.unwrap();
    let took = start.elapsed();
    assert_eq!(stopped.how, How::Killed);
    assert!(took >= grace && took < grace + Duration::from_secs(3));
    assert_eq!(stopped.exit.describe(), "signal SIGKILL");
    assert_eq!(state_of(child.pid()), None);
}

#[tokio::test]
async fn a_grandchild_that_outlives_its_parent_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!("(trap '' TERM; sleep 600) & echo $! > {}", file.display());
    let child = supervisor().spawn(shell("parent", &script)).unwrap();
    let exit = child.wait().await;
    assert!(exit.status.success());
    assert!(
        !is_running(pid_in(&file)),
        "the grandchild must end with its group"
    );
}

#[tokio::test]
async fn stop_ends_a_grandchild_that_ignores_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let script = format!(
        "(trap '' TERM; echo ready > {0}.r; sleep 600) & while ! [ -s {0}.r ]; do sleep 0.01; done; \
         echo $! > {0}; wait",
        file.display()
    );
    let child = supervisor().spawn(shell("parent", &script)).unwrap();
    let grandchild = pid_in(&file);
    child.stop(Duration::from_millis(200)).await.unwrap();
    assert!(!is_running(grandchild));
}

#[test]
fn drop_ends_the_group() {
    let child = supervisor()
        .spawn(shell("sleeper", "sleep 600 & wait"))
        .unwrap();
    let pid = child.pid();
    drop(child);
    assert_eq!(state_of(pid), None);
}

#[test]
fn a_panic_ends_the_children() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let case = std::thread::spawn(move || {
        let child = supervisor().spawn(shell("sleeper", "sleep 600")).unwrap();
        sender.send(child.pid()).unwrap();
        panic!("the case of this test panics on purpose");
    });
    let pid = receiver.recv().unwrap();
    assert!(case.join().is_err());
    assert_eq!(state_of(pid), None);
}

#[test]
fn children_outlive_the_threads_of_the_runtime_that_started_them() {
    let supervisor = supervisor();
    let first = runtime();
    let child: Child = first.block_on(async {
        let supervisor = supervisor.clone();
        let spawn = move || supervisor.spawn(shell("sleeper", "sleep 600")).unwrap();
        tokio::task::spawn_blocking(spawn).await.unwrap()
    });
    drop(first);
    std::thread::sleep(Duration::from_millis(100));
    assert!(
        is_running(child.pid()),
        "the child must not die with a thread of a runtime"
    );
    let stopped = runtime().block_on(child.stop(LIMIT)).unwrap();
    assert_eq!(stopped.how, How::Terminated);
}

#[tokio::test]
async fn usage_and_cpu_time_are_those_of_the_child() {
    let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exec sleep 600";
    let child = supervisor().spawn(shell("worker", script)).unwrap();
    eventually("the child must use CPU time", || {
        child
            .cpu_time_now()
            .is_some_and(|cpu| cpu >= Duration::from_millis(50))
    });
    let exit = child.stop(LIMIT).await.unwrap().exit;
    assert!(exit.usage.cpu() >= Duration::from_millis(50), "{exit:?}");
    assert!(exit.usage.max_rss_bytes > 500_000, "{exit:?}");
    assert_eq!(child.cpu_time_now(), Some(exit.usage.cpu()));
}

#[tokio::test]
async fn a_failure_carries_command_exit_code_and_log_tail() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("k6.log");
    fs::write(&log, "words of an earlier start\n").unwrap();
    let script = "for i in 1 2 3; do echo line $i; done; echo 'no such option' >&2; exit 107";
    let child = supervisor()
        .spawn(shell("k6 ingestion", script).log(&log))
        .unwrap();
    child.wait().await;
    assert_eq!(child.log_tail(2), "line 3\nno such option");
    let text = child
        .describe_failure()
        .replace(dir.path().to_str().unwrap(), "[dir]");
    insta::with_settings!({filters => vec![(r"after \d+\.\d s", "after [time]")]}, {
        insta::assert_snapshot!(text, @"
        k6 ingestion ended with exit code 107 after [time]
          command: /bin/sh -c 'for i in 1 2 3; do echo line $i; done; echo '\\''no such option'\\'' >&2; exit 107'
          end of [dir]/k6.log:
            line 1
            line 2
            line 3
            no such option
        ");
    });
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let error = supervisor()
        .spawn(ChildSpec::new("k6 ingestion", "/nonexistent/k6"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot start k6 ingestion: /nonexistent/k6"
    );
    let SpawnError::Start { source, .. } = error else {
        panic!("expected a start error");
    };
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_work_directory_goes_with_its_guard_and_stays_with_skip_cleanup() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("work/deep");
    let guard = supervisor().work_dir(&path).unwrap();
    fs::write(path.join("block"), "data").unwrap();
    drop(guard);
    assert!(!path.exists());

    let keeping = Supervisor::new(env!("CARGO_BIN_EXE_tempo-perf"), true);
    drop(keeping.work_dir(&path).unwrap());
    assert!(path.exists());
    let transient = dir.path().join("transient");
    drop(keeping.transient_dir(&transient).unwrap());
    assert!(!transient.exists());
}

#[test]
#[traced_test]
fn a_work_directory_that_cannot_be_deleted_is_told_without_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("work");
    let supervisor = supervisor();
    let not_a_directory = || {
        let guard = supervisor.work_dir(&path).unwrap();
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "in its place").unwrap();
        guard
    };
    let error = not_a_directory().delete().unwrap_err();
    assert!(error.to_string().ends_with("/work"), "{error}");
    assert!(!logs_contain("a work directory stays behind"));

    fs::remove_file(&path).unwrap();
    drop(not_a_directory());
    assert!(logs_contain("a work directory stays behind"));
    assert!(logs_contain(&path.display().to_string()));
}

/// Only the protection against SIGKILL is lost with it.
#[test]
#[traced_test]
fn a_run_goes_on_without_its_watcher_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = Supervisor::new("/bin/true", false);
    eventually("the end of the watcher must be told", || {
        let work = supervisor.work_dir(dir.path().join("work")).unwrap();
        assert!(work.path().is_dir());
        logs_contain("the watcher of child processes is gone")
    });
    let child = supervisor.spawn(shell("sleeper", "sleep 600")).unwrap();
    let pid = child.pid();
    assert!(is_running(pid));
    drop(child);
    assert!(!is_running(pid));
}

#[test]
fn skip_cleanup_leaves_the_environment_and_ends_the_load() {
    let keeping = Supervisor::new(env!("CARGO_BIN_EXE_tempo-perf"), true);
    let kept = keeping.spawn(shell("tempo", "sleep 600")).unwrap();
    let load = keeping.spawn(shell("k6", "sleep 600").transient()).unwrap();
    let (kept_pid, load_pid) = (kept.pid(), load.pid());
    drop((kept, load, keeping));
    assert!(is_running(kept_pid), "skip-cleanup must leave it running");
    assert!(!is_running(load_pid));
    kill(Pid::from_raw(-kept_pid), Unix::SIGKILL).unwrap();
}

#[test]
fn nothing_is_left_when_all_is_over() {
    let mark = format!("tempo-perf-count-{}", std::process::id());
    let supervisor = supervisor();
    let children: Vec<_> = (0..5)
        .map(|_| shell("one of five", "sleep 600 & wait").env("MARK", &mark))
        .map(|spec| supervisor.spawn(spec).unwrap())
        .collect();
    eventually("ten processes must run", || processes_of(&mark).len() == 10);
    drop(children);
    assert_eq!(processes_of(&mark), Vec::<Process>::new());
}

// What follows needs a process that can be killed: a copy of this test program
// that plays one of the roles below.

struct Helper {
    process: std::process::Child,
    dir: tempfile::TempDir,
    mark: String,
}

impl Helper {
    fn start(role: &str) -> Helper {
        let dir = tempfile::tempdir().unwrap();
        let mark = format!("tempo-perf-helper-{role}-{}", std::process::id());
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "supervisor::helper", "--ignored", "--nocapture"])
            .env(ROLE, role)
            .env("TEMPO_PERF_TEST_DIR", dir.path())
            .env("TEMPO_PERF_TEST_MARK", &mark)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let helper = Helper { process, dir, mark };
        helper.pid_of("ready");
        helper
    }

    fn pid_of(&self, name: &str) -> i32 {
        pid_in(&self.dir.path().join(name))
    }

    fn signal(&self, signal: Unix) {
        kill(Pid::from_raw(self.process.id() as i32), signal).unwrap();
    }

    fn ends_with(mut self, code: i32) -> Duration {
        let start = Instant::now();
        eventually("the helper must end", || {
            self.process.try_wait().unwrap().is_some()
        });
        let took = start.elapsed();
        assert_eq!(self.process.wait().unwrap().code(), Some(code));
        eventually("no child of the helper may survive", || {
            processes_of(&self.mark).is_empty()
        });
        took
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Ended already, unless an assertion failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test of its own: what [`Helper::start`] runs.
#[test]
#[ignore = "a helper process that other tests start"]
fn helper() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let dir = std::path::PathBuf::from(std::env::var("TEMPO_PERF_TEST_DIR").unwrap());
    let mark = std::env::var("TEMPO_PERF_TEST_MARK").unwrap();
    let file = |name: &str| dir.join(name).display().to_string();
    let supervisor = supervisor();
    let interrupt = (role == "interrupted").then(|| Interrupt::install().unwrap());
    let work = supervisor.work_dir(dir.join("work")).unwrap();
    fs::write(work.path().join("block"), "data").unwrap();
    let script = format!(
        "trap '' TERM; sleep 600 & echo $! > {}; echo $$ > {}; while :; do sleep 0.1; done",
        file("grandchild"),
        file("child")
    );
    let child = supervisor
        .spawn(shell("stubborn", &script).env("MARK", &mark))
        .unwrap();
    pid_in(&dir.join("grandchild"));
    pid_in(&dir.join("child"));
    fs::write(dir.join("ready"), std::process::id().to_string()).unwrap();
    if let Some(interrupt) = interrupt {
        let signal = runtime().block_on(interrupt.wait());
        fs::write(dir.join("signal"), signal.exit_code().to_string()).unwrap();
        // A teardown that takes longer than the second signal.
        std::thread::sleep(LIMIT);
    }
    runtime().block_on(child.wait());
}

#[test]
fn no_child_survives_the_sigkill_of_its_parent() {
    let mut helper = Helper::start("killed");
    let (child, grandchild) = (helper.pid_of("child"), helper.pid_of("grandchild"));
    assert!(is_running(child) && is_running(grandchild));
    helper.signal(Unix::SIGKILL);
    helper.process.wait().unwrap();
    eventually("the child must end with its parent", || !is_running(child));
    eventually("the watcher must end the grandchild", || {
        !is_running(grandchild)
    });
    let work = helper.dir.path().join("work");
    eventually("the watcher must delete the work directory", || {
        !work.exists()
    });
    eventually("nothing may be left", || {
        processes_of(&helper.mark).is_empty()
    });
}

#[test]
fn the_second_sigint_leaves_at_once() {
    let helper = Helper::start("interrupted");
    helper.signal(Unix::SIGINT);
    assert_eq!(helper.pid_of("signal"), 130);
    helper.signal(Unix::SIGINT);
    let took = helper.ends_with(130);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn the_second_sigterm_leaves_at_once() {
    let helper = Helper::start("interrupted");
    helper.signal(Unix::SIGTERM);
    assert_eq!(helper.pid_of("signal"), 143);
    helper.signal(Unix::SIGTERM);
    let took = helper.ends_with(143);
    assert!(took < Duration::from_secs(3), "{took:?}");
}
