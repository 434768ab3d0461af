//! What a child is to be: program, arguments, environment, where its output goes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Variables that a child of a run sees of ours. The rest stays out, so that a
/// `K6_VUS` or an `OTEL_…` of the user's shell cannot change what is measured.
const PASSED_ON: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "PATH",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
];

const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

const LOCAL_ADDRESSES: &str = "127.0.0.1,localhost";

/// How much of our own environment a child starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// [`PASSED_ON`], and no proxy for local addresses.
    Local,
    /// [`PASSED_ON`] and the proxies: the load goes to a Tempo elsewhere.
    LocalAndProxies,
    /// All of it: a build needs whatever the user configured for it.
    Everything,
}

/// A child to start; see [`super::Supervisor::spawn`].
#[derive(Debug, Clone)]
pub struct ChildSpec {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    base: Base,
    env: BTreeMap<OsString, Option<OsString>>,
    cwd: Option<PathBuf>,
    stdout: Option<PathBuf>,
    stderr: Option<PathBuf>,
    pub(super) transient: bool,
}

impl ChildSpec {
    /// `name` is what messages call the child, for example "k6 ingestion".
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        ChildSpec {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            base: Base::Local,
            env: BTreeMap::new(),
            cwd: None,
            stdout: None,
            stderr: None,
            transient: false,
        }
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), Some(value.into()));
        self
    }

    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), None);
        self
    }

    /// Passes our proxy variables on: for a load that leaves this machine.
    pub fn with_proxies(mut self) -> Self {
        self.base = Base::LocalAndProxies;
        self
    }

    /// Passes our whole environment on.
    pub fn inherit_env(mut self) -> Self {
        self.base = Base::Everything;
        self
    }

    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Appends both stdout and stderr to one file.
    pub fn log(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.stdout(path.clone()).stderr(path)
    }

    /// Appends stdout to a file; without one it is discarded.
    pub fn stdout(mut self, path: impl Into<PathBuf>) -> Self {
        self.stdout = Some(path.into());
        self
    }

    /// Appends stderr to a file; without one it is discarded.
    pub fn stderr(mut self, path: impl Into<PathBuf>) -> Self {
        self.stderr = Some(path.into());
        self
    }

    /// Ends with us even where `--skip-cleanup` keeps the environment: a load, a build.
    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    /// The command line as one could paste it into a shell.
    pub fn command_line(&self) -> String {
        let mut line = quoted(self.program.as_os_str());
        for arg in &self.args {
            // Writing to a String cannot fail.
            let _ = write!(line, " {}", quoted(arg));
        }
        line
    }

    /// The command with its output files open, and where in them it starts.
    pub(super) fn command(&self) -> Result<(Command, Vec<LogFile>), OpenLogError> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null());
        self.set_env(&mut command);
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        let mut logs: Vec<LogFile> = Vec::new();
        let mut open = |path: &Option<PathBuf>| -> Result<Stdio, OpenLogError> {
            let Some(path) = path else {
                return Ok(Stdio::null());
            };
            let (file, start) = open_log(path).map_err(|source| OpenLogError {
                path: path.clone(),
                source,
            })?;
            if logs.iter().all(|log| log.path != *path) {
                logs.push(LogFile {
                    path: path.clone(),
                    start,
                });
            }
            Ok(file.into())
        };
        // stderr first: it is what says why a program failed.
        let stderr = open(&self.stderr)?;
        let stdout = open(&self.stdout)?;
        command.stdout(stdout).stderr(stderr);
        Ok((command, logs))
    }

    pub(super) fn cwd_is_missing(&self) -> Option<&Path> {
        self.cwd.as_deref().filter(|dir| !dir.is_dir())
    }

    fn set_env(&self, command: &mut Command) {
        if self.base != Base::Everything {
            command.env_clear();
            let passed = PASSED_ON.iter().chain(match self.base {
                Base::LocalAndProxies => PROXIES,
                Base::Local | Base::Everything => &[],
            });
            for name in passed {
                if let Some(value) = std::env::var_os(name) {
                    command.env(name, value);
                }
            }
        }
        if self.base == Base::Local {
            command.env("NO_PROXY", LOCAL_ADDRESSES);
            command.env("no_proxy", LOCAL_ADDRESSES);
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }
}

/// A file that a child writes to, and its size when the child started.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    pub path: PathBuf,
    pub start: u64,
}

pub(super) struct OpenLogError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Appending, so that a second start on other ports keeps the first one's words.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let file = File::options().create(true).append(true).open(path)?;
    let start = file.metadata()?.len();
    Ok((file, start))
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let spec = ChildSpec::new("k6", "/opt/my tools/k6")
            .args(["run", "-e", "A=b", ""])
            .arg("it's");
        assert_eq!(
            spec.command_line(),
            r"'/opt/my tools/k6' run -e A=b '' 'it'\''s'"
        );
    }

    fn value_of(command: &Command, name: &str) -> Option<Option<String>> {
        let (_, value) = command.get_envs().find(|(key, _)| *key == name)?;
        Some(value.map(|value| value.to_string_lossy().into_owned()))
    }

    #[test]
    fn a_local_child_is_told_of_no_proxy() {
        let spec = ChildSpec::new("k6", "k6").env("K6_NO_COLOR", "1");
        let Ok((command, logs)) = spec.command() else {
            panic!("a spec without files must not fail")
        };
        assert!(logs.is_empty());
        assert_eq!(value_of(&command, "HTTP_PROXY"), None);
        assert_eq!(
            value_of(&command, "NO_PROXY"),
            Some(Some(LOCAL_ADDRESSES.to_owned()))
        );
        assert_eq!(
            value_of(&command, "K6_NO_COLOR"),
            Some(Some("1".to_owned()))
        );
    }
}
