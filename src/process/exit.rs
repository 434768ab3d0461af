//! How a child ended, and what it used until then.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;

/// What a child used until its end, with the descendants that it waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub user: Duration,
    pub system: Duration,
    /// Never less than our own size when the child was started: Linux counts the
    /// process before its exec.
    pub max_rss_bytes: u64,
}

impl Usage {
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// How a child ended.
#[derive(Debug, Clone)]
pub struct Exit {
    pub status: ExitStatus,
    pub usage: Usage,
    /// From the start of the child to its end.
    pub ran: Duration,
}

impl Exit {
    /// "exit code 99" or "signal SIGKILL".
    pub fn describe(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(number)) => match Signal::try_from(number) {
                Ok(signal) => format!("signal {signal}"),
                Err(_) => format!("signal {number}"),
            },
            (None, None) => self.status.to_string(),
        }
    }
}
