//! What runs and what listens, as /proc tells it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process, by what it was started with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    pub command_line: String,
}

impl Process {
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal)
            .unwrap_or_else(|err| panic!("cannot send {signal} to {self:?}: {err}"));
    }
}

/// Running, as opposed to ended or a zombie.
pub fn is_running(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Processes whose command line or environment names `mark`.
pub fn processes_of(mark: &Path) -> Vec<Process> {
    let mark = mark.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc can be read").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let command_line = read("cmdline");
        let all = [read("environ"), command_line.clone()].concat();
        if String::from_utf8_lossy(&all).contains(&mark) && is_running(pid) {
            found.push(Process {
                pid,
                command_line: String::from_utf8_lossy(&command_line)
                    .trim_end_matches('\0')
                    .replace('\0', " "),
            });
        }
    }
    found
}

/// Ports on which any of `processes` listens.
pub fn ports_of(processes: &[Process]) -> BTreeSet<u16> {
    let mut sockets = BTreeSet::new();
    for process in processes {
        let Ok(open) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else {
            continue;
        };
        for file in open.flatten() {
            let target = fs::read_link(file.path()).unwrap_or_default();
            let target = target.display().to_string();
            if let Some(inode) = target.strip_prefix("socket:[") {
                sockets.insert(inode.trim_end_matches(']').to_owned());
            }
        }
    }
    listening()
        .into_iter()
        .filter(|(_, inode)| sockets.contains(inode))
        .map(|(port, _)| port)
        .collect()
}

/// Ports that somebody listens on, with the socket's inode.
pub fn listening() -> Vec<(u16, String)> {
    const LISTEN: &str = "0A";
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String = tables
        .iter()
        .map(|path| fs::read_to_string(path).unwrap_or_default())
        .collect();
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let port = words.get(1)?.rsplit_once(':')?.1;
            (words.get(3) == Some(&LISTEN)).then_some(())?;
            Some((
                u16::from_str_radix(port, 16).ok()?,
                (*words.get(9)?).to_owned(),
            ))
        })
        .collect()
}

/// Waits until `look` finds something; says what was expected if it never does.
#[track_caller]
pub fn eventually<T>(
    expected: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if start.elapsed() > limit => {
                panic!("{expected}, within {limit:?}; last seen: {seen}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
