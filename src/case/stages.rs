//! How long each stage of a case takes; printed as it ends, and reported.

use std::time::{Duration, Instant};

use crate::environment::StageLog;
use crate::report::Stage;
use crate::units::Pretty;

/// The stages so far, relative to the start of the trial.
#[derive(Debug)]
pub struct Stages {
    started: Instant,
    done: Vec<Stage>,
}

impl Stages {
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Runs a stage and notes its time, whatever comes of it.
    pub async fn timed<T>(&mut self, name: &str, stage: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let outcome = stage.await;
        self.note(name, start, start.elapsed());
        outcome
    }

    /// Notes a stage that was timed elsewhere.
    pub fn note(&mut self, name: &str, start: Instant, took: Duration) {
        let seconds = took.as_secs_f64();
        eprintln!("  {name:<12}{:>8}", format!("{seconds:.1} s"));
        self.done.push(Stage {
            name: name.into(),
            start_seconds: start.saturating_duration_since(self.started).as_secs_f64(),
            duration_seconds: seconds,
        });
    }

    /// Notes parts of a stage.
    pub fn note_parts(&mut self, parts: StageLog) {
        for part in parts.into_stages() {
            self.note(&part.name, part.start, part.took);
        }
    }

    /// Notes a span from the start of the trial that overlaps the stages.
    pub fn note_at(&mut self, name: &str, took: Duration) {
        self.note(name, self.started, took);
    }

    pub fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn done(&self) -> &[Stage] {
        &self.done
    }
}

/// Shows that a long stage goes on: a line that is rewritten on a terminal, a
/// line now and then elsewhere.
pub mod progress {
    use std::fs::File;
    use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
    use std::path::{Path, PathBuf};

    use super::{Duration, Pretty};

    const LINE_WIDTH: usize = 76;
    const ON_TERMINAL: Duration = Duration::from_secs(1);
    const IN_LOGS: Duration = Duration::from_secs(30);

    /// Tells how far the load is, from the last progress line of each k6 log.
    /// Never returns: it is dropped when the load ends.
    pub async fn show(total: Duration, start: jiff::Timestamp, logs: Vec<(&'static str, PathBuf)>) {
        let terminal = std::io::stderr().is_terminal();
        let pause = if terminal { ON_TERMINAL } else { IN_LOGS };
        let _clear = terminal.then(|| ClearLine);
        loop {
            tokio::time::sleep(pause).await;
            let elapsed = jiff::Timestamp::now().duration_since(start);
            let elapsed = Duration::try_from(elapsed).unwrap_or_default().min(total);
            let runs: Vec<String> = logs
                .iter()
                .filter_map(|(name, log)| {
                    Some(format!("{name} {} iterations", last_progress(log)?))
                })
                .collect();
            let whole = Duration::from_secs(elapsed.as_secs());
            let mut text = format!("load {} of {}", Pretty(whole), Pretty(total));
            for run in &runs {
                text.push_str("; ");
                text.push_str(run);
            }
            // A line that wraps could not be rewritten.
            text.truncate(LINE_WIDTH);
            let mut stderr = std::io::stderr();
            // Progress that cannot be shown is no reason to stop.
            let _ = if terminal {
                write!(stderr, "\r\x1b[K  {text}").and_then(|()| stderr.flush())
            } else {
                writeln!(stderr, "  {text}")
            };
        }
    }

    struct ClearLine;

    impl Drop for ClearLine {
        fn drop(&mut self) {
            eprint!("\r\x1b[K");
        }
    }

    /// Iterations that k6 has completed, by its own progress line.
    fn last_progress(log: &Path) -> Option<String> {
        const TAIL: i64 = 4096;
        let mut file = File::open(log).ok()?;
        let length = file.metadata().ok()?.len();
        if length > TAIL as u64 {
            file.seek(SeekFrom::End(-TAIL)).ok()?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text
            .lines()
            .rev()
            .find(|line| line.trim_start().starts_with("running ("))?;
        let (_, counts) = line.split_once("VUs, ")?;
        let (complete, _) = counts.split_once(" complete")?;
        Some(complete.trim().to_string())
    }
}
