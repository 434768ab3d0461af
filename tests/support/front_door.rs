//! Starting the front door as a user does, to its end.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::built::perf;
use super::ports::ports_of;
use super::proc::eventually;
use super::report::Report;
use super::scratch::Scratch;
use super::users_environment::as_users_do;

/// A case of some seconds with all that surrounds it ends within this, even on
/// a busy machine.
const RUN_LIMIT: Duration = Duration::from_secs(150);

/// Set-up and the start of k6.
pub const LOAD_LIMIT: Duration = Duration::from_secs(45);

/// The right to run a load: two at once would measure each other. A file lock,
/// because nextest runs every test in a process of its own.
pub struct Turn {
    _lock: File,
}

impl Turn {
    pub fn wait() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("end-to-end.lock");
        let lock = File::create(&path).expect("cargo's directory for tests can be written");
        lock.lock().expect("a file can be locked");
        Self { _lock: lock }
    }
}

/// An invocation to start.
pub struct FrontDoor<'a> {
    scratch: &'a Scratch,
    output: PathBuf,
    /// Names the files with its streams.
    name: String,
    command: Command,
}

impl<'a> FrontDoor<'a> {
    /// The perf harness with `args` as they follow `--`.
    pub fn new(scratch: &'a Scratch, args: &[&str]) -> Self {
        Self::through(scratch, perf(), args)
    }

    /// The same settings for a `program` that starts the harness itself.
    pub fn through(scratch: &'a Scratch, program: impl AsRef<OsStr>, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null());
        as_users_do(&mut command);
        command.env("TMPDIR", scratch.tmp());
        Self {
            scratch,
            output: PathBuf::new(),
            name: String::new(),
            command,
        }
        .output("results")
    }

    /// Another output directory than `results`, below the scratch directory.
    pub fn output(mut self, name: &str) -> Self {
        self.output = self.scratch.path().join(name);
        self.name = name.to_owned();
        let output = self.output.clone();
        self.env("TEMPO_PERF_OUTPUT", output)
    }

    /// Another name for what it prints, where runs share an output directory.
    pub fn log_as(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn seconds(self, seconds: u32) -> Self {
        self.env("DURATION", format!("{seconds}s"))
    }

    pub fn profiles_dir(self, dir: &Path) -> Self {
        self.env("TEMPO_PERF_PROFILES_DIR", dir)
    }

    /// Starts it in a process group of its own, as a shell does.
    pub fn start(mut self) -> Running<'a> {
        let log = |stream: &str| self.scratch.path().join(format!("{}.{stream}", self.name));
        let (stdout, stderr) = (log("stdout"), log("stderr"));
        let create = |path: &Path| File::create(path).expect("a log can be written");
        let process = self
            .command
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|err| panic!("cannot start {:?}: {err}", self.command));
        Running {
            command_line: format!("{:?}", self.command),
            scratch: self.scratch,
            output: self.output,
            process,
            stdout,
            stderr,
            started: Instant::now(),
        }
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Finished {
        self.start().wait()
    }
}

/// An invocation that runs; killed if its test fails.
pub struct Running<'a> {
    scratch: &'a Scratch,
    output: PathBuf,
    command_line: String,
    process: std::process::Child,
    stdout: PathBuf,
    stderr: PathBuf,
    started: Instant,
}

impl Running<'_> {
    pub fn pid(&self) -> i32 {
        self.process.id() as i32
    }

    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Waits until k6 has made iterations for `profile`.
    #[track_caller]
    pub fn wait_for_load(&mut self, profile: &str) {
        let log = self.output.join(format!("{profile}-k6-ingestion.log"));
        eventually(&format!("{profile} must be under load"), LOAD_LIMIT, || {
            if let Ok(Some(status)) = self.process.try_wait() {
                panic!("it ended before its load: {status}\n{}", read(&self.stderr));
            }
            let text = fs::read_to_string(&log).unwrap_or_default();
            let iterated = text
                .lines()
                .any(|line| line.starts_with("running (") && !line.contains(", 0 complete"));
            if iterated { Ok(()) } else { Err(text) }
        });
    }

    /// Ports of all processes of the test, k6 and harness included.
    pub fn ports(&self) -> std::collections::BTreeSet<u16> {
        ports_of(&self.scratch.processes())
    }

    /// To the harness alone.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the harness can be signalled");
    }

    /// To its process group, as a terminal does at Ctrl-C.
    pub fn signal_group(&self, signal: Signal) {
        killpg(Pid::from_raw(self.pid()), signal).expect("the group can be signalled");
    }

    #[track_caller]
    pub fn wait(self) -> Finished {
        self.wait_within(RUN_LIMIT)
    }

    /// As [`Running::wait`], with another limit, counted from the start.
    #[track_caller]
    pub fn wait_within(mut self, limit: Duration) -> Finished {
        let left = limit.saturating_sub(self.started.elapsed());
        let status = eventually("the invocation must end", left, || {
            let ended = self
                .process
                .try_wait()
                .expect("our child can be waited for");
            ended.ok_or_else(|| read(&self.stderr))
        });
        Finished {
            command_line: self.command_line.clone(),
            output: self.output.clone(),
            status,
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

/// An invocation that ended.
#[derive(Debug)]
pub struct Finished {
    command_line: String,
    output: PathBuf,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Everything that one would run it again for.
    fn all(&self) -> String {
        format!(
            "\ncommand: {}\nstatus: {}\nstdout:\n{}\nstderr:\n{}",
            self.command_line, self.status, self.stdout, self.stderr
        )
    }

    #[track_caller]
    pub fn passes(self) -> Self {
        self.exits_with(0)
    }

    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "exit code{}", self.all());
        self
    }

    #[track_caller]
    pub fn killed_by(self, signal: Signal) -> Self {
        assert_eq!(self.status.signal(), Some(signal as i32), "{}", self.all());
        self
    }

    /// Each of `texts` must be in what it printed, on either stream.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stderr.contains(text) || self.stdout.contains(text),
                "it must say \"{text}\"{}",
                self.all()
            );
        }
        self
    }

    #[track_caller]
    pub fn never_says(self, texts: &[&str]) -> Self {
        for text in texts {
            let said = format!("{}{}", self.stderr, self.stdout).to_lowercase();
            assert!(
                !said.contains(&text.to_lowercase()),
                "it must not say \"{text}\"{}",
                self.all()
            );
        }
        self
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.output.join(name)
    }

    /// A file of the results, which must be there and not be empty.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        let path = self.file(name);
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|err| panic!("{} must be there: {err}{}", path.display(), self.all()));
        assert!(
            !text.trim().is_empty(),
            "{} must not be empty",
            path.display()
        );
        text
    }

    #[track_caller]
    pub fn report(&self, profile: &str) -> Report {
        let text = self.text(&format!("{profile}-report.json"));
        let json = serde_json::from_str(&text).expect("a report is JSON");
        Report { json }
    }

    /// The evidence that is written before anything is judged.
    #[track_caller]
    pub fn leaves_evidence_of(&self, profile: &str) {
        for name in [
            "report.json",
            "junit.xml",
            "metrics.csv",
            "k6-ingestion.log",
        ] {
            self.text(&format!("{profile}-{name}"));
        }
    }
}

#[track_caller]
fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}
