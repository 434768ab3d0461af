//! Directories of one test, and what runs with a path in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::proc::{Process, eventually, processes_of};

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
        processes_of(&self.path().display().to_string())
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
