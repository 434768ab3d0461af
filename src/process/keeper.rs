//! The thread behind each child: it starts the child, waits for it, ends what
//! the child left in its group, and reaps it.
//!
//! The kernel sends PR_SET_PDEATHSIG when the *thread* that forked ends. A keeper
//! lives exactly as long as its child, whatever becomes of a runtime's threads.

use std::collections::BTreeSet;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use wait4::Wait4;

use super::exit::{Exit, Usage};
use super::procfs;
use super::shared::{Shared, lock};

/// What a child that ended by itself leaves behind gets this long.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// SIGKILL works at once, unless a process hangs in the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Groups to kill when the process leaves at once.
static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Kills every registered group; for the moment before leaving.
pub(super) fn kill_all() {
    for group in lock(&GROUPS).iter() {
        // It may have ended in this moment, and nobody is left to tell.
        let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
    }
}

/// Calls `done` at growing distances until it holds or `limit` is over.
pub(super) fn poll_until(limit: Instant, mut done: impl FnMut() -> bool) -> bool {
    let mut pause = Duration::from_millis(2);
    loop {
        if done() {
            return true;
        }
        let left = limit.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Keeps a started child to its end; the body of its thread. Calls `reaped` when
/// the group's number means nothing any more, before the end is told.
pub(super) fn keep(
    child: std::process::Child,
    shared: &Shared,
    name: &str,
    started: Instant,
    reaped: impl FnOnce(),
) {
    let ended_at = wait_without_reaping(shared.pid);
    end_leftovers(shared, name);
    let result = shared.reap(|| {
        let mut groups = lock(&GROUPS);
        groups.remove(&shared.pid);
        child.wait4()
    });
    reaped();
    if cfg!(not(target_os = "linux")) {
        // Without a zombie to hold the number this is the first safe-enough moment.
        let _ = killpg(Pid::from_raw(shared.pid), Signal::SIGKILL);
    }
    let exit = match result {
        Ok(end) => Exit {
            status: end.status,
            usage: Usage {
                user: end.rusage.utime,
                system: end.rusage.stime,
                max_rss_bytes: end.rusage.maxrss,
            },
            ran: ended_at.unwrap_or_else(Instant::now) - started,
        },
        Err(error) => {
            // Only if somebody else reaped our child; waiting must still come to an end.
            tracing::error!(%name, pid = shared.pid, %error, "cannot learn how the process ended");
            Exit {
                status: ExitStatus::default(),
                usage: Usage::default(),
                ran: started.elapsed(),
            }
        }
    };
    shared.tell(exit);
}

/// Makes a child known before anybody can wait for it.
pub(super) fn register(pid: i32) {
    lock(&GROUPS).insert(pid);
}

/// Waits for the end of the child and leaves the zombie, which holds the group's
/// number until whatever else is in the group has ended.
#[cfg(target_os = "linux")]
fn wait_without_reaping(pid: i32) -> Option<Instant> {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::Pid(Pid::from_raw(pid)), flags) {
            Err(Errno::EINTR) => {}
            // On an error wait4 comes next and tells of it.
            _ => return Some(Instant::now()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn wait_without_reaping(_pid: i32) -> Option<Instant> {
    None
}

fn end_leftovers(shared: &Shared, name: &str) {
    let group = shared.pid;
    if procfs::group_members(group).is_empty() {
        return;
    }
    let send = |signal| {
        if let Err(error) = shared.signal(signal) {
            tracing::error!(name, group, %error, "cannot signal what the process left behind");
        }
    };
    send(Signal::SIGTERM);
    let default = Instant::now() + LEFTOVER_GRACE;
    // Read anew each time: a stop may come, or shorten its grace, meanwhile.
    let all_ended = poll_until(default, || {
        shared.is_past_deadline() || procfs::group_members(group).is_empty()
    });
    if all_ended && procfs::group_members(group).is_empty() {
        return;
    }
    let ended = poll_until(Instant::now() + KILL_LIMIT, || {
        send(Signal::SIGKILL);
        procfs::group_members(group).is_empty()
    });
    if !ended {
        tracing::error!(
            name,
            group,
            "processes survived SIGKILL: {:?}",
            procfs::group_members(group)
        );
    }
}
