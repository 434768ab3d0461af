//! What the handle of a child and the thread that keeps it share.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::sync::watch;

use super::exit::Exit;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a keeper and the handle of its child share.
pub(super) struct Shared {
    pub pid: i32,
    state: Mutex<State>,
    changed: Condvar,
    ended: watch::Sender<bool>,
}

struct State {
    exit: Option<Exit>,
    /// From here on the pid may belong to somebody else.
    reaped: bool,
    /// Until when the group may take to end by itself.
    deadline: Option<Instant>,
}

impl Shared {
    pub fn new(pid: i32) -> Self {
        Shared {
            pid,
            state: Mutex::new(State {
                exit: None,
                reaped: false,
                deadline: None,
            }),
            changed: Condvar::new(),
            ended: watch::Sender::new(false),
        }
    }

    pub fn exit(&self) -> Option<Exit> {
        lock(&self.state).exit.clone()
    }

    pub async fn wait(&self) -> Exit {
        let mut ended = self.ended.subscribe();
        loop {
            if let Some(exit) = self.exit() {
                return exit;
            }
            // The sender is part of `self`, so this only returns on a change.
            let _ = ended.changed().await;
        }
    }

    pub fn wait_blocking(&self, limit: Duration) -> Option<Exit> {
        let (state, _) = self
            .changed
            .wait_timeout_while(lock(&self.state), limit, |state| state.exit.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.exit.clone()
    }

    /// Signals the group; false if it has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        let state = lock(&self.state);
        if state.reaped {
            return Ok(false);
        }
        match killpg(Pid::from_raw(self.pid), signal) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    pub fn set_deadline(&self, deadline: Instant) {
        lock(&self.state).deadline = Some(deadline);
    }

    pub fn is_past_deadline(&self) -> bool {
        lock(&self.state)
            .deadline
            .is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Runs `reap`; nobody signals the group meanwhile, or afterwards.
    pub fn reap<T>(&self, reap: impl FnOnce() -> T) -> T {
        let mut state = lock(&self.state);
        state.reaped = true;
        reap()
    }

    /// Tells everybody who waits for the end.
    pub fn tell(&self, exit: Exit) {
        lock(&self.state).exit = Some(exit);
        self.changed.notify_all();
        self.ended.send_replace(true);
    }
}
