//! The watcher: a process of our own binary that ends what we leave behind.
//!
//! It reads one command a line from a pipe that only we hold open:
//! `add GROUP START`, `remove GROUP`, `dir PATH`, `forget PATH`. The pipe closes
//! with our end, of whatever kind it is; then the watcher does its work and ends.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::keeper::poll_until;
use super::procfs;

const GRACE: Duration = Duration::from_secs(2);
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Our end of the pipe.
pub(super) struct Watcher {
    process: std::process::Child,
    pipe: Option<io::PipeWriter>,
}

impl Watcher {
    pub fn start(tempo_perf: &Path) -> io::Result<Watcher> {
        // Both ends close on exec: no other child can hold the pipe open.
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(tempo_perf);
        command
            .arg("watch")
            .stdin(Stdio::from(reader))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/");
        let new_session = || {
            nix::unistd::setsid()?;
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes one system call, which is
        // async-signal-safe; it neither allocates nor takes a lock.
        #[expect(unsafe_code)]
        unsafe {
            command.pre_exec(new_session);
        }
        Ok(Watcher {
            process: command.spawn()?,
            pipe: Some(writer),
        })
    }

    pub fn tell(&mut self, line: &[u8]) -> io::Result<()> {
        match &mut self.pipe {
            Some(pipe) => pipe.write_all(line),
            None => Ok(()),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.pipe.take());
        let ended = poll_until(Instant::now() + GRACE + KILL_LIMIT, || {
            !matches!(self.process.try_wait(), Ok(None))
        });
        if !ended {
            tracing::error!(
                pid = self.process.id(),
                "the watcher of child processes hangs"
            );
        }
    }
}

/// The body of `tempo-perf watch`.
pub fn watch(commands: impl Read) -> io::Result<()> {
    // A signal to everything must not end the one who cleans up after it.
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let mut charge = Charge::default();
    let mut result = Ok(());
    for line in BufReader::new(commands).split(b'\n') {
        // Whatever goes wrong, the rest of the charge is still seen to.
        match line {
            Ok(line) => result = result.and(charge.note(line)),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    charge.end_groups();
    result.and(charge.delete_directories())
}

/// What the watcher has to end and to delete.
#[derive(Debug, Default, PartialEq, Eq)]
struct Charge {
    /// Groups, with the start time of their leader.
    groups: BTreeMap<i32, u64>,
    directories: BTreeSet<PathBuf>,
}

impl Charge {
    fn note(&mut self, line: Vec<u8>) -> io::Result<()> {
        let wrong = |line: &[u8]| {
            let line = String::from_utf8_lossy(line);
            io::Error::new(io::ErrorKind::InvalidData, format!("not a command: {line}"))
        };
        let Some(space) = line.iter().position(|byte| *byte == b' ') else {
            return Err(wrong(&line));
        };
        let rest = &line[space + 1..];
        let numbers: Vec<u64> = String::from_utf8_lossy(rest)
            .split(' ')
            .map_while(|word| word.parse().ok())
            .collect();
        // Groups 0 and 1 mean our own and everybody's to kill(2).
        let group = |number: u64| i32::try_from(number).ok().filter(|group| *group > 1);
        match (&line[..space], numbers.as_slice()) {
            (b"add", &[number, start]) if let Some(group) = group(number) => {
                self.groups.insert(group, start);
            }
            (b"remove", &[number]) if let Some(group) = group(number) => {
                self.groups.remove(&group);
            }
            (b"dir", _) if is_deletable(rest) => {
                self.directories.insert(path(rest));
            }
            (b"forget", _) => {
                self.directories.remove(&path(rest));
            }
            _ => return Err(wrong(&line)),
        }
        Ok(())
    }

    fn end_groups(&mut self) {
        // A leader of another start time is a stranger with a used number, and
        // then the group that we knew has ended.
        self.groups.retain(|group, start| {
            procfs::Stat::of(*group).is_none_or(|leader| *start == 0 || leader.start == *start)
        });
        self.signal(Signal::SIGTERM);
        if poll_until(Instant::now() + GRACE, || self.all_ended()) {
            return;
        }
        poll_until(Instant::now() + KILL_LIMIT, || {
            self.signal(Signal::SIGKILL);
            self.all_ended()
        });
    }

    fn signal(&self, signal: Signal) {
        for group in self.groups.keys() {
            // A group without processes is what we want.
            let _ = killpg(Pid::from_raw(*group), signal);
        }
    }

    fn all_ended(&self) -> bool {
        self.groups.keys().all(|group| {
            if cfg!(target_os = "linux") {
                procfs::group_members(*group).is_empty()
            } else {
                killpg(Pid::from_raw(*group), None).is_err()
            }
        })
    }

    fn delete_directories(&self) -> io::Result<()> {
        let mut result = Ok(());
        for directory in &self.directories {
            match std::fs::remove_dir_all(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
                _ => {}
            }
        }
        result
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_owned()))
}

/// No work directory lies directly under the root, and none is named by `..`.
fn is_deletable(bytes: &[u8]) -> bool {
    let path = path(bytes);
    let names = path
        .components()
        .filter(|component| matches!(component, Component::Normal(_)))
        .count();
    path.is_absolute()
        && names >= 2
        && !path
            .components()
            .any(|component| component == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(lines: &[&str]) -> io::Result<Charge> {
        let mut charge = Charge::default();
        for line in lines {
            charge.note(line.as_bytes().to_owned())?;
        }
        Ok(charge)
    }

    #[test]
    fn what_was_removed_is_left_alone() {
        let charge = charge(&[
            "add 4711 99",
            "add 4712 100",
            "remove 4711",
            "dir /tmp/work dir",
            "dir /tmp/other",
            "forget /tmp/other",
        ])
        .unwrap();
        assert_eq!(charge.groups, BTreeMap::from([(4712, 100)]));
        assert_eq!(
            charge.directories,
            BTreeSet::from([PathBuf::from("/tmp/work dir")])
        );
    }

    #[test]
    fn dangerous_orders_are_refused() {
        for line in [
            "add 0 5",
            "add 1 5",
            "add 99999999999 5",
            "add 5",
            "dir /",
            "dir /home",
            "dir relative/path",
            "dir /home/user/../..",
            "",
            "delete /tmp/x",
        ] {
            assert!(charge(&[line]).is_err(), "\"{line}\" must be refused");
        }
    }
}
