//! SIGINT and SIGTERM: the first asks for an orderly end, the second leaves at once.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use super::keeper;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    /// What a shell reports of a process that the signal ended.
    pub fn exit_code(self) -> u8 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
        })
    }
}

/// Whether the process was asked to end. Clones see the same signal, and it can
/// be awaited on any runtime: nothing of it belongs to one.
#[derive(Debug, Clone)]
pub struct Interrupt {
    state: watch::Sender<Option<Signal>>,
}

impl Interrupt {
    /// One that only [`Interrupt::trigger`] sets.
    pub fn manual() -> Self {
        Interrupt {
            state: watch::Sender::new(None),
        }
    }

    /// Handles SIGINT and SIGTERM from here on; later calls return the same one.
    ///
    /// The second signal of a kind ends the process at once, with every child.
    pub fn install() -> io::Result<Self> {
        static INSTALLED: Mutex<Option<Interrupt>> = Mutex::new(None);
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(interrupt) = &*installed {
            return Ok(interrupt.clone());
        }
        let interrupt = Interrupt::manual();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let handle = interrupt.clone();
        // A thread of its own: a runtime's driver would end with the case that made it.
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                let mut seen = [false; 2];
                for number in signals.forever() {
                    let signal = match number {
                        SIGINT => Signal::Interrupt,
                        _ => Signal::Terminate,
                    };
                    if std::mem::replace(&mut seen[signal as usize], true) {
                        keeper::kill_all();
                        std::process::exit(signal.exit_code().into());
                    }
                    handle.trigger(signal);
                }
            })?;
        *installed = Some(interrupt.clone());
        Ok(interrupt)
    }

    /// Sets it as a signal would; the first one counts.
    pub fn trigger(&self, signal: Signal) {
        self.state.send_if_modified(|state| {
            let first = state.is_none();
            state.get_or_insert(signal);
            first
        });
    }

    pub fn signal(&self) -> Option<Signal> {
        *self.state.borrow()
    }

    pub fn is_set(&self) -> bool {
        self.signal().is_some()
    }

    /// Waits for the first signal, for ever if none comes.
    pub async fn wait(&self) -> Signal {
        let mut receiver = self.state.subscribe();
        // The sender is `self`, so the channel cannot close while we wait.
        match receiver.wait_for(Option::is_some).await.map(|state| *state) {
            Ok(Some(signal)) => signal,
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_signal_is_the_one_that_counts() {
        let interrupt = Interrupt::manual();
        assert!(!interrupt.is_set());
        let waiting = interrupt.clone();
        let waiting = tokio::spawn(async move { waiting.wait().await });
        interrupt.trigger(Signal::Terminate);
        interrupt.trigger(Signal::Interrupt);
        assert_eq!(waiting.await.unwrap(), Signal::Terminate);
        assert_eq!(interrupt.signal(), Some(Signal::Terminate));
        assert_eq!(interrupt.wait().await, Signal::Terminate);
    }
}
