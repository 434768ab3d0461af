//! The time of each part of a set-up or a teardown, noted as it ends.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A part of the set-up or the teardown.
#[derive(Debug, Clone)]
pub struct TimedStage {
    pub name: String,
    pub start: Instant,
    pub took: Duration,
}

/// Where an environment notes the time of its parts, which run side by side.
#[derive(Debug, Default)]
pub struct StageLog {
    stages: Mutex<Vec<TimedStage>>,
}

impl StageLog {
    pub fn note(&self, name: &str, start: Instant, took: Duration) {
        let mut stages = self.stages.lock().unwrap_or_else(|it| it.into_inner());
        stages.push(TimedStage {
            name: name.into(),
            start,
            took,
        });
    }

    /// Runs a part, and notes its time when it is done.
    pub async fn timed<T, E>(
        &self,
        name: &str,
        part: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let start = Instant::now();
        let done = part.await?;
        self.note(name, start, start.elapsed());
        Ok(done)
    }

    pub fn into_stages(self) -> Vec<TimedStage> {
        self.stages.into_inner().unwrap_or_else(|it| it.into_inner())
    }
}
