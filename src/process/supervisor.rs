//! The supervisor: starts children, and sees to it that they end with us.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use super::child::Child;
use super::keeper;
use super::procfs;
use super::shared::{Shared, lock};
use super::spec::{ChildSpec, LogFile, OpenLogError};
use super::watcher::Watcher;

#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("cannot start {name}: {}", .program.display())]
    Start {
        name: String,
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start {name}: no such working directory: {}", .dir.display())]
    NoWorkingDirectory { name: String, dir: PathBuf },
    #[error("cannot start {name}: cannot write its log {}", .path.display())]
    Log {
        name: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start the watcher of child processes: {} watch", .program.display())]
    Watcher {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start a thread for {name}")]
    Thread {
        name: String,
        #[source]
        source: io::Error,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum WorkDirError {
    #[error("cannot create the work directory {}", .path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot delete the work directory {}", .path.display())]
    Delete {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Watcher(#[from] SpawnError),
}

/// Starts children that do not outlive us. Clones share one watcher.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    /// The `tempo-perf` binary, which is also the watcher.
    program: PathBuf,
    skip_cleanup: bool,
    watcher: Mutex<Option<Watcher>>,
}

impl Supervisor {
    /// `tempo_perf` is the path of our own binary. With `skip_cleanup` children
    /// and work directories stay, except for the transient ones.
    pub fn new(tempo_perf: impl Into<PathBuf>, skip_cleanup: bool) -> Self {
        Supervisor {
            inner: Arc::new(Inner {
                program: tempo_perf.into(),
                skip_cleanup,
                watcher: Mutex::new(None),
            }),
        }
    }

    /// Starts a child. Takes a few milliseconds, the first time with the watcher's start.
    pub fn spawn(&self, spec: ChildSpec) -> Result<Child, SpawnError> {
        if let Some(dir) = spec.cwd_is_missing() {
            return Err(SpawnError::NoWorkingDirectory {
                name: spec.name.clone(),
                dir: dir.to_owned(),
            });
        }
        let kept = self.inner.skip_cleanup && !spec.transient;
        if !kept {
            self.inner.start_watcher()?;
        }
        let (command, logs) =
            spec.command()
                .map_err(|OpenLogError { path, source }| SpawnError::Log {
                    name: spec.name.clone(),
                    path,
                    source,
                })?;
        let shared = self.start(&spec, command, kept)?;
        Ok(child(spec, shared, logs, kept))
    }

    /// Starts the child on a thread of its own, which then keeps it.
    fn start(
        &self,
        spec: &ChildSpec,
        mut command: Command,
        kept: bool,
    ) -> Result<Arc<Shared>, SpawnError> {
        command.process_group(0);
        if !kept {
            die_with_us(&mut command);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let inner = Arc::clone(&self.inner);
        let name = spec.name.clone();
        let thread = std::thread::Builder::new().name(format!("keep {name}"));
        let keep = move || {
            let started = Instant::now();
            let child = match command.spawn() {
                Ok(child) => child,
                Err(error) => {
                    // The receiver waits for exactly this.
                    let _ = sender.send(Err(error));
                    return;
                }
            };
            // Its copies of the log files are of no use any more.
            drop(command);
            let shared = Arc::new(Shared::new(child.id() as i32));
            if !kept {
                keeper::register(shared.pid);
                inner.watch_group(shared.pid);
            }
            let _ = sender.send(Ok(Arc::clone(&shared)));
            keeper::keep(child, &shared, &name, started, || {
                if !kept {
                    inner.forget_group(shared.pid);
                }
            });
        };
        thread.spawn(keep).map_err(|source| SpawnError::Thread {
            name: spec.name.clone(),
            source,
        })?;
        receiver
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread of the child ended")))
            .map_err(|source| SpawnError::Start {
                name: spec.name.clone(),
                program: spec.program.clone(),
                source,
            })
    }

    /// A directory that is deleted with the returned guard, and if we are killed
    /// by the watcher. With `--skip-cleanup` it stays.
    pub fn work_dir(&self, path: impl Into<PathBuf>) -> Result<WorkDir, WorkDirError> {
        self.directory(path.into(), self.inner.skip_cleanup)
    }

    /// Like [`Supervisor::work_dir`], but deleted even with `--skip-cleanup`.
    pub fn transient_dir(&self, path: impl Into<PathBuf>) -> Result<WorkDir, WorkDirError> {
        self.directory(path.into(), false)
    }

    fn directory(&self, path: PathBuf, kept: bool) -> Result<WorkDir, WorkDirError> {
        let failed = |path: &Path, source| WorkDirError::Create {
            path: path.to_owned(),
            source,
        };
        let path = std::path::absolute(&path).map_err(|source| failed(&path, source))?;
        if path.as_os_str().as_bytes().contains(&b'\n') {
            // The watcher is told one path a line.
            let source = io::Error::new(io::ErrorKind::InvalidInput, "line break in a path");
            return Err(failed(&path, source));
        }
        if !kept {
            self.inner.start_watcher()?;
            self.inner.tell(&line(b"dir", &path));
        }
        // Armed first: deleting what was never created is fine.
        let dir = WorkDir {
            path,
            inner: Arc::clone(&self.inner),
            kept,
        };
        std::fs::create_dir_all(&dir.path).map_err(|source| failed(&dir.path, source))?;
        Ok(dir)
    }
}

impl Inner {
    fn start_watcher(&self) -> Result<(), SpawnError> {
        let mut watcher = lock(&self.watcher);
        if watcher.is_none() {
            let started = Watcher::start(&self.program).map_err(|source| SpawnError::Watcher {
                program: self.program.clone(),
                source,
            })?;
            *watcher = Some(started);
        }
        Ok(())
    }

    fn watch_group(&self, group: i32) {
        let start = procfs::Stat::of(group).map_or(0, |stat| stat.start);
        self.tell(format!("add {group} {start}\n").as_bytes());
    }

    fn forget_group(&self, group: i32) {
        self.tell(format!("remove {group}\n").as_bytes());
    }

    /// Losing the watcher costs protection against SIGKILL only, so the run goes on.
    fn tell(&self, line: &[u8]) {
        if let Some(watcher) = &mut *lock(&self.watcher)
            && let Err(error) = watcher.tell(line)
        {
            tracing::warn!(%error, "the watcher of child processes is gone");
        }
    }
}

/// A directory for the time of a run.
#[must_use = "dropping it deletes the directory"]
pub struct WorkDir {
    path: PathBuf,
    inner: Arc<Inner>,
    kept: bool,
}

impl WorkDir {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes the directory now, and says so if that fails.
    pub fn delete(mut self) -> Result<(), WorkDirError> {
        if std::mem::replace(&mut self.kept, true) {
            return Ok(());
        }
        self.remove()
    }

    fn remove(&self) -> Result<(), WorkDirError> {
        match std::fs::remove_dir_all(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                // The watcher keeps it on its list, and tries again at our end.
                return Err(WorkDirError::Delete {
                    path: self.path.clone(),
                    source,
                });
            }
            _ => {}
        }
        self.inner.tell(&line(b"forget", &self.path));
        Ok(())
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = self.remove() {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a work directory stays behind"
            );
        }
    }
}

fn line(word: &[u8], path: &Path) -> Vec<u8> {
    [word, b" ", path.as_os_str().as_bytes(), b"\n"].concat()
}

fn child(spec: ChildSpec, shared: Arc<Shared>, logs: Vec<LogFile>, kept: bool) -> Child {
    Child {
        command_line: spec.command_line(),
        name: spec.name,
        shared,
        logs,
        kept,
    }
}

/// SIGKILL from the kernel when we die, even by SIGKILL.
#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command) {
    let parent = nix::unistd::getpid();
    let prepare = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // If we died before that line, nobody would ever send it.
        if nix::unistd::getppid() != parent {
            return Err(nix::errno::Errno::ESRCH.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes two system calls, which are
    // async-signal-safe; it neither allocates nor takes a lock.
    #[expect(unsafe_code)]
    unsafe {
        command.pre_exec(prepare);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_command: &mut Command) {}
