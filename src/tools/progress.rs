//! What the user sees of a download or build: lines, and one that is written over
//! if stderr is a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the live line changes.
pub(super) const LIVE: Duration = Duration::from_millis(500);

/// How often a line is written where none can be written over.
const PLAIN: Duration = Duration::from_secs(15);

/// Where progress is shown. Clones write to the same place.
#[derive(Clone)]
pub struct Progress {
    sink: Arc<Mutex<Box<dyn Write + Send>>>,
    terminal: bool,
    plain: Duration,
}

impl Progress {
    pub fn stderr() -> Self {
        Progress {
            terminal: io::stderr().is_terminal(),
            ..Progress::to(io::stderr())
        }
    }

    /// Plain lines to `sink`.
    pub fn to(sink: impl Write + Send + 'static) -> Self {
        Progress {
            sink: Arc::new(Mutex::new(Box::new(sink))),
            terminal: false,
            plain: PLAIN,
        }
    }

    /// Plain lines this often.
    pub fn every(mut self, plain: Duration) -> Self {
        self.plain = plain;
        self
    }

    /// For one thing that takes a while.
    pub(super) fn ticker(&self) -> Ticker<'_> {
        Ticker {
            progress: self,
            last_line: Instant::now(),
        }
    }

    pub(super) fn line(&self, text: &str) {
        let start = if self.terminal { "\r\x1b[2K" } else { "" };
        self.write(&format!("{start}{text}\n"));
    }

    /// Takes the live line away.
    pub(super) fn clear(&self) {
        if self.terminal {
            self.write("\r\x1b[2K");
        }
    }

    fn write(&self, text: &str) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed stderr must not fail a build, and there is nowhere to report it.
        let _ = sink.write_all(text.as_bytes()).and_then(|()| sink.flush());
    }
}

/// Shows how far one thing is: over and over on a terminal, else now and then.
pub(super) struct Ticker<'a> {
    progress: &'a Progress,
    last_line: Instant,
}

impl Ticker<'_> {
    pub fn show(&mut self, text: &str) {
        if self.progress.terminal {
            self.progress.write(&format!("\r\x1b[2K{text}"));
        } else if self.last_line.elapsed() >= self.progress.plain {
            self.progress.line(text);
            self.last_line = Instant::now();
        }
    }
}

/// "43s", "1m43s".
pub(super) fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds / 60 {
        0 => format!("{seconds}s"),
        minutes => format!("{minutes}m{:02}s", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_reads_like_a_duration() {
        assert_eq!(elapsed(Duration::from_millis(900)), "0s");
        assert_eq!(elapsed(Duration::from_secs(59)), "59s");
        assert_eq!(elapsed(Duration::from_secs(103)), "1m43s");
        assert_eq!(elapsed(Duration::from_secs(600)), "10m00s");
    }
}
