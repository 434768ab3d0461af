//! Asking a binary what it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::Tool;

/// A binary that says nothing about itself for this long is not one of ours.
const LIMIT: Duration = Duration::from_secs(20);

/// The numbers of a version; what follows them (`-rc.1`) is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
}

impl Version {
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Version {
            major,
            minor,
            patch,
        }
    }

    /// Reads `1.8.1`, `1.27` and `3.0.0-rc.1`.
    pub fn parse(text: &str) -> Option<Version> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map(|part| part.parse().ok());
        Some(Version {
            major: numbers.next()??,
            minor: numbers.next()??,
            patch: numbers.next().flatten().unwrap_or(0),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("{} is not an executable file", .0.display())]
    NotExecutable(PathBuf),
    #[error("cannot run {}", .path.display())]
    Run {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} {args} did not answer within {} s", .path.display(), LIMIT.as_secs())]
    NoAnswer { path: PathBuf, args: String },
    #[error("{} is not {expected}: {args} answers {answer:?}", .path.display())]
    Stranger {
        path: PathBuf,
        expected: String,
        args: String,
        answer: String,
    },
    #[error("{} is {tool} {found}; needed is {oldest} or later", .path.display())]
    TooOld {
        path: PathBuf,
        tool: Tool,
        found: Version,
        oldest: Version,
    },
    #[error("{} does not say its version", .path.display())]
    NoVersion { path: PathBuf },
    #[error("{} has no {what}", .path.display())]
    Lacks { path: PathBuf, what: String },
}

/// How sure we must be of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The user named the binary: one built without a version will do.
    Chosen,
    /// It happens to lie on PATH.
    Found,
}

/// The binary's version, if it is `tool` and does what we need.
pub(super) async fn inspect(
    tool: Tool,
    path: &Path,
    trust: Trust,
) -> Result<Option<Version>, InspectError> {
    check_executable(path)?;
    let args: &[&str] = match tool {
        Tool::K6 => &["version"],
        Tool::Otelcol | Tool::Prometheus => &["--version"],
    };
    let answer = ask(path, args).await?;
    let version = read_version(tool, &answer).ok_or_else(|| InspectError::Stranger {
        path: path.to_owned(),
        expected: tool.to_string(),
        args: args.join(" "),
        answer: first_line(&answer),
    })?;
    match version {
        Some(found) if found < tool.oldest() => {
            return Err(InspectError::TooOld {
                path: path.to_owned(),
                tool,
                found,
                oldest: tool.oldest(),
            });
        }
        None if trust == Trust::Found => {
            return Err(InspectError::NoVersion {
                path: path.to_owned(),
            });
        }
        _ => {}
    }
    let lacks = |what: &str| InspectError::Lacks {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    match tool {
        Tool::K6 => {}
        Tool::Otelcol => {
            let components = ask(path, &["components"]).await?;
            if let Some(what) = missing_component(&components) {
                return Err(lacks(what));
            }
        }
        // A version of 3 or later has it; without one we look.
        Tool::Prometheus if version.is_none() => {
            // Shown as --[no-]web.… by later ones.
            let flag = "web.enable-remote-write-receiver";
            if !ask(path, &["--help"]).await?.contains(flag) {
                return Err(lacks(&format!("--{flag}")));
            }
        }
        Tool::Prometheus => {}
    }
    Ok(version)
}

/// The version of a Tempo, if it is Grafana's; unknown if built without one.
pub(super) async fn inspect_tempo(path: &Path) -> Result<Option<Version>, InspectError> {
    check_executable(path)?;
    let answer = ask(path, &["-version"]).await?;
    version_after(&answer, "tempo, version ").ok_or_else(|| InspectError::Stranger {
        path: path.to_owned(),
        expected: "Grafana Tempo".to_owned(),
        args: "-version".to_owned(),
        answer: first_line(&answer),
    })
}

/// The version of a Go toolchain.
pub(super) async fn inspect_go(path: &Path) -> Result<Version, InspectError> {
    let answer = ask(path, &["version"]).await?;
    let version = version_after(&answer, "go version go").flatten();
    version.ok_or_else(|| InspectError::Stranger {
        path: path.to_owned(),
        expected: "Go".to_owned(),
        args: "version".to_owned(),
        answer: first_line(&answer),
    })
}

fn check_executable(path: &Path) -> Result<(), InspectError> {
    if !path.exists() {
        return Err(InspectError::Missing(path.to_owned()));
    }
    if !is_executable(path) {
        return Err(InspectError::NotExecutable(path.to_owned()));
    }
    Ok(())
}

pub(super) fn is_executable(path: &Path) -> bool {
    path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// None if this is not the tool; Some(None) if it is, but states no version.
fn read_version(tool: Tool, answer: &str) -> Option<Option<Version>> {
    match tool {
        Tool::K6 => {
            // "k6 v1.8.1 (go1.26.8, linux/amd64)"; 2.x names itself by its file.
            let (name, rest) = answer.lines().next()?.split_once(" v")?;
            let of_go = rest.contains("(go") || rest.contains(", go");
            (of_go && !name.contains(' ')).then(|| Version::parse(rest))
        }
        Tool::Prometheus => version_after(answer, "prometheus, version "),
        Tool::Otelcol => {
            // "otelcol-contrib version 0.160.0"; collectors have names of their own.
            let (name, version) = answer.lines().next()?.split_once(" version ")?;
            (!name.contains(' ')).then(|| Version::parse(version.trim_start_matches('v')))
        }
    }
}

fn version_after(answer: &str, prefix: &str) -> Option<Option<Version>> {
    answer
        .lines()
        .next()?
        .strip_prefix(prefix)
        .map(|rest| Version::parse(rest.trim_start_matches('v')))
}

/// What of the pipeline the collector's own list does not name.
fn missing_component(components: &str) -> Option<&'static str> {
    let mut section = "";
    let (mut receiver, mut exporter) = (false, false);
    for line in components.lines() {
        if let Some(title) = line.strip_suffix(':')
            && !title.starts_with([' ', '-'])
        {
            section = title;
        }
        let name = line.trim().strip_prefix("- name: ");
        receiver |= section == "receivers" && name == Some("otlp");
        // Newer ones list it as `otlp_grpc`; `otlp` still works there in a configuration.
        exporter |= section == "exporters" && matches!(name, Some("otlp" | "otlp_grpc"));
    }
    match (receiver, exporter) {
        (false, _) => Some("otlp receiver"),
        (_, false) => Some("otlp exporter"),
        _ => None,
    }
}

async fn ask(path: &Path, args: &[&str]) -> Result<String, InspectError> {
    const TRIES: usize = 10;
    let mut tries = 0;
    let output = loop {
        tries += 1;
        match tokio::time::timeout(LIMIT, run(path, args)).await {
            Err(_) => {
                return Err(InspectError::NoAnswer {
                    path: path.to_owned(),
                    args: args.join(" "),
                });
            }
            // Just written, and some process is between its fork and its exec.
            Ok(Err(error))
                if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < TRIES =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(Err(source)) => {
                return Err(InspectError::Run {
                    path: path.to_owned(),
                    source,
                });
            }
            Ok(Ok(output)) => break output,
        }
    };
    // Some print their version to stderr.
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.stdout.is_empty() {
        Ok(text(&output.stderr))
    } else {
        Ok(text(&output.stdout))
    }
}

async fn run(path: &Path, args: &[&str]) -> io::Result<Output> {
    Command::new(path)
        .args(args)
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
}

fn first_line(answer: &str) -> String {
    answer
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(120)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::release("1.8.1", Some((1, 8, 1)))]
    #[case::two_numbers("1.27 linux/amd64", Some((1, 27, 0)))]
    #[case::candidate("3.0.0-rc.1 (branch: HEAD)", Some((3, 0, 0)))]
    #[case::go_candidate("1.27rc1 linux/amd64", Some((1, 27, 0)))]
    #[case::empty("", None)]
    #[case::one_number("3", None)]
    #[case::word("latest", None)]
    #[case::overflow("99999999999999999999999.1.1", None)]
    fn versions(#[case] text: &str, #[case] expected: Option<(u64, u64, u64)>) {
        let version = Version::parse(text).map(|v| (v.major, v.minor, v.patch));
        assert_eq!(version, expected);
    }

    #[rstest::rstest]
    #[case::k6(
        Tool::K6,
        "k6 v1.8.1 (go1.26.8, linux/amd64)",
        Some(Some(Version::new(1, 8, 1)))
    )]
    #[case::k6_2(
        Tool::K6,
        "k6 v2.2.0 (commit/0a1b2c, go1.26.8)",
        Some(Some(Version::new(2, 2, 0)))
    )]
    #[case::k6_2_in_a_file_of_another_name(
        Tool::K6,
        "k6-2.2.0 v2.2.0 (go1.26.8, linux/amd64)",
        Some(Some(Version::new(2, 2, 0)))
    )]
    #[case::not_k6(Tool::K6, "K6 mark II", None)]
    #[case::collector(
        Tool::Otelcol,
        "otelcol-contrib version 0.160.0",
        Some(Some(Version::new(0, 160, 0)))
    )]
    #[case::not_a_collector(Tool::Otelcol, "Usage: some version of it", None)]
    #[case::prometheus(
        Tool::Prometheus,
        "prometheus, version 3.13.5 (branch: HEAD)",
        Some(Some(Version::new(3, 13, 5)))
    )]
    #[case::no_flags(
        Tool::Prometheus,
        "prometheus, version  (branch: , revision: unknown)",
        Some(None)
    )]
    #[case::silent(Tool::Prometheus, "", None)]
    fn answers(#[case] tool: Tool, #[case] answer: &str, #[case] version: Option<Option<Version>>) {
        assert_eq!(read_version(tool, answer), version);
    }

    #[test]
    fn a_collector_needs_otlp_on_both_sides() {
        let both =
            "receivers:\n    - name: otlp\n      module: \"\"\nexporters:\n    - name: otlp_grpc\n";
        assert_eq!(missing_component(both), None);
        let old = "receivers:\n  - name: otlp\nexporters:\n  - name: otlp\n";
        assert_eq!(missing_component(old), None);
        let one = "receivers:\n    - name: otlp\nexporters:\n    - name: debug\n";
        assert_eq!(missing_component(one), Some("otlp exporter"));
        assert_eq!(
            missing_component("exporters:\n    - name: otlp\n"),
            Some("otlp receiver")
        );
    }
}
