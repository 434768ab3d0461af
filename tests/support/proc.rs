//! What runs, as /proc tells it.

use std::fs;
use std::time::{Duration, Instant};

/// A process, by what it was started with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    pub command_line: String,
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
pub fn processes_of(mark: &str) -> Vec<Process> {
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
        if String::from_utf8_lossy(&all).contains(mark) && is_running(pid) {
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
