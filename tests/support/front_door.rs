//! Starting the front door as a user does, and looking at what it leaves.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::Value;

use super::proc::{Process, eventually, ports_of, processes_of};

pub const TEMPO_PERF: &str = env!("CARGO_BIN_EXE_tempo-perf");

/// A case of some seconds with all that surrounds it ends within this, even on
/// a busy machine.
const RUN_LIMIT: Duration = Duration::from_secs(150);

/// Set-up and the start of k6.
pub const LOAD_LIMIT: Duration = Duration::from_secs(45);

/// Variables that settle something and do not begin with `TEMPO_`.
const PLAIN_VARIABLES: [&str; 8] = [
    "DURATION",
    "SIZE",
    "MB_PER_SECOND",
    "QUERIES_PER_SECOND",
    "VUS_MIN",
    "VUS_MAX",
    "TRACE_PROFILE",
    "KUBECONFIG",
];

/// Variables that choose the tools that a run finds, and no more.
const TOOL_VARIABLES: [&str; 8] = [
    "TEMPO_PERF_K6_BIN",
    "TEMPO_PERF_OTELCOL_BIN",
    "TEMPO_PERF_PROMETHEUS_BIN",
    "TEMPO_PERF_TOOLS_DIR",
    "TEMPO_PERF_TOOLS",
    "TEMPO_PERF_K6_RELEASES",
    "TEMPO_PERF_OTELCOL_RELEASES",
    "TEMPO_PERF_PROMETHEUS_RELEASES",
];

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

/// Directories of one test. Their path is in the environment of every process
/// that a run starts, and so tells which are ours.
pub struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("e2e-")
            .tempdir()
            .expect("a temporary directory can be made");
        fs::create_dir(dir.path().join("tmp")).expect("it can be written");
        let scratch = Self { dir };
        assert_eq!(scratch.processes(), [], "the mark must be new");
        scratch
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// TMPDIR of the runs: where work directories are.
    pub fn tmp(&self) -> PathBuf {
        self.path().join("tmp")
    }

    pub fn processes(&self) -> Vec<Process> {
        processes_of(self.path())
    }

    /// The one process of this test whose command line has `words`.
    #[track_caller]
    pub fn process(&self, words: &str) -> Process {
        let all = self.processes();
        let mut found = all.iter().filter(|it| it.command_line.contains(words));
        match (found.next(), found.next()) {
            (Some(one), None) => one.clone(),
            _ => panic!("one process must be started with \"{words}\"; running: {all:#?}"),
        }
    }

    /// An executable shell script; `body` follows the `#!` line.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a script can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("and made executable");
        path
    }

    /// A directory of profiles with copies of `built_in` ones.
    pub fn profiles(&self, built_in: &[&str]) -> PathBuf {
        let dir = self.path().join("profiles");
        fs::create_dir_all(&dir).expect("a directory can be made");
        for name in built_in {
            let file = format!("{name}.yaml");
            let from = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("profiles")
                .join(&file);
            fs::copy(from, dir.join(&file)).expect("a built-in profile can be copied");
        }
        dir
    }

    /// As [`Scratch::profiles`], with one more profile `name`: `sections` below
    /// a small monolithic Tempo.
    pub fn profile(&self, name: &str, sections: &str) -> PathBuf {
        let dir = self.profiles(&[]);
        let text =
            format!("name: {name}\ndescription: test\ntempo:\n  variant: monolithic\n{sections}");
        fs::write(dir.join(format!("{name}.yaml")), text).expect("a profile can be written");
        dir
    }

    /// After the end of a run nothing of it may be there.
    #[track_caller]
    pub fn assert_nothing_is_left(&self) {
        assert_eq!(self.processes(), [], "no process of the run may be left");
        assert_eq!(self.work_dirs(), [""; 0], "no work directory may be left");
    }

    /// As [`Scratch::assert_nothing_is_left`], where only the watcher cleans up.
    #[track_caller]
    pub fn assert_nothing_is_left_within(&self, limit: Duration) {
        eventually("processes and work directories must go", limit, || {
            let left = (self.processes(), self.work_dirs());
            if left == (vec![], vec![]) {
                Ok(())
            } else {
                Err(format!("{left:#?}"))
            }
        });
    }

    pub fn work_dirs(&self) -> Vec<String> {
        names_in(&self.tmp())
            .into_iter()
            .filter(|name| name.starts_with("tempo-perf-"))
            .collect()
    }
}

impl Drop for Scratch {
    /// Processes are left only when an assertion has failed; then the next test
    /// must not run beside them.
    fn drop(&mut self) {
        for process in self.processes() {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
    }
}

pub fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
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

/// `{profile}-report.json`.
pub struct Report {
    pub json: Value,
}

impl Report {
    #[track_caller]
    pub fn is_in_state(&self, state: &str) {
        assert_eq!(self.json["state"], state, "{:#}", self.json);
    }

    #[track_caller]
    pub fn check(&self, name: &str) -> &Value {
        let checks = self.json["checks"].as_array().expect("a list of checks");
        checks
            .iter()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("there must be a check \"{name}\": {checks:#?}"))
    }

    #[track_caller]
    pub fn has(&self, name: &str, outcome: &str) {
        let check = self.check(name);
        assert_eq!(check["outcome"], outcome, "{check:#}");
    }

    /// Names of the checks with this outcome.
    pub fn all(&self, outcome: &str) -> Vec<&str> {
        let checks = self.json["checks"].as_array().expect("a list of checks");
        checks
            .iter()
            .filter(|check| check["outcome"] == outcome)
            .filter_map(|check| check["name"].as_str())
            .collect()
    }

    #[track_caller]
    pub fn stage(&self, name: &str) -> f64 {
        let stages = self.json["stages"].as_array().expect("a list of stages");
        stages
            .iter()
            .find(|stage| stage["name"] == name)
            .and_then(|stage| stage["duration_seconds"].as_f64())
            .unwrap_or_else(|| panic!("there must be a stage \"{name}\": {stages:#?}"))
    }
}

#[track_caller]
fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Takes from the environment what would change a run: settings of whoever runs
/// the tests, what cargo and nextest tell their tests, and a Tempo on PATH.
pub fn as_users_do(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let setting = text.starts_with("TEMPO_") && !TOOL_VARIABLES.contains(&&*text);
        let of_cargo = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix));
        if setting
            || of_cargo
            || text.starts_with("NEXTEST")
            || text.starts_with("KUBERNETES_")
            || PLAIN_VARIABLES.contains(&&*text)
        {
            command.env_remove(&name);
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let without_tempo = std::env::split_paths(&path).filter(|dir| !dir.join("tempo").is_file());
    let path: OsString = std::env::join_paths(without_tempo).expect("parts of a PATH make a PATH");
    command.env("PATH", path);
}

/// Cargo, as it runs this test.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    as_users_do(&mut command);
    command
}

/// The profile of cargo that this test was built with.
pub fn cargo_profile() -> String {
    let dir = Path::new(TEMPO_PERF).parent().and_then(Path::file_name);
    match dir
        .expect("a target directory has a name")
        .to_string_lossy()
    {
        name if name == "debug" => "dev".to_owned(),
        name => name.into_owned(),
    }
}

/// The harness of `cargo test --test perf`, built if need be: it is no part of
/// a plain `cargo test`.
pub fn perf() -> &'static Path {
    static PERF: OnceLock<PathBuf> = OnceLock::new();
    PERF.get_or_init(|| built(&["test", "--no-run", "--test", "perf"], "perf"))
}

/// What cargo builds, if need be, as `name`.
pub fn built(command: &[&str], name: &str) -> PathBuf {
    let built = cargo()
        .args(command)
        .arg("--message-format=json")
        .args(["--profile", &cargo_profile()])
        .output()
        .expect("cargo can be started");
    let stderr = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{name} must build:\n{stderr}");
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap_or_else(|| panic!("cargo must tell where {name} is:\n{stderr}"))
}
