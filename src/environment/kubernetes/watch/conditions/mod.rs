//! What a run waits for in a cluster, and what went wrong there, as pure
//! functions of the objects. The words are those of Kubernetes and the
//! operators, with the object's name before them.

mod claims;
mod collector;
mod custom_resource;
mod jobs;
mod pods;
mod restarts;
mod tempo;
#[cfg(test)]
mod tests;
mod words;
mod workloads;

pub use claims::claim_trouble;
pub use collector::collector_ready;
pub use jobs::{JobOutcome, job_outcome, job_pods_running};
pub use pods::{is_ready, pod_trouble, pod_trouble_in};
pub use restarts::restarted_or_ended;
pub use tempo::tempo_ready;
pub use workloads::{Owner, deployment_ready, minio_ready, owner_trouble, stateful_set_ready};

/// Where something that is waited for stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    Done,
    /// On its way; the text says what was last seen.
    Waiting(String),
    /// Looks stuck, but may be passing (a quota that is lifted, a service account
    /// that is not there for a moment): fails if it lasts.
    Stuck(String),
    /// Will not become good by itself; in the words of Kubernetes or the operator.
    Failed(String),
}

impl Progress {
    /// The most serious of several; `None` when there are none. Of several that
    /// are equally serious the first speaks, and the others are counted.
    pub fn most_serious(all: impl IntoIterator<Item = Progress>) -> Option<Progress> {
        let all: Vec<Progress> = all.into_iter().collect();
        let worst = all.iter().map(Progress::seriousness).max()?;
        let mut as_bad = all
            .into_iter()
            .filter(|progress| progress.seriousness() == worst);
        let first = as_bad.next()?;
        let others = as_bad.count();
        Some(match others {
            0 => first,
            _ => first.map_text(|text| format!("{text} (and {others} more like it)")),
        })
    }

    /// Done when all are. Else the most serious trouble, or what is waited for:
    /// two of it and how many more there are.
    pub fn all_done(all: impl IntoIterator<Item = Progress>) -> Progress {
        let (mut waiting, mut serious) = (Vec::new(), Vec::new());
        for progress in all {
            match progress {
                Progress::Done => {}
                Progress::Waiting(text) => waiting.push(text),
                worse => serious.push(worse),
            }
        }
        if let Some(worst) = Progress::most_serious(serious) {
            return worst;
        }
        // A scheduler's words before a bare count.
        waiting.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let told = waiting.len().min(2);
        match (waiting[..told].join("; "), waiting.len() - told) {
            (none, _) if none.is_empty() => Progress::Done,
            (all, 0) => Progress::Waiting(all),
            (first, more) => Progress::Waiting(format!("{first}; and {more} more")),
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Progress::Done => None,
            Progress::Waiting(text) | Progress::Stuck(text) | Progress::Failed(text) => Some(text),
        }
    }

    fn map_text(self, change: impl FnOnce(String) -> String) -> Progress {
        match self {
            Progress::Done => Progress::Done,
            Progress::Waiting(text) => Progress::Waiting(change(text)),
            Progress::Stuck(text) => Progress::Stuck(change(text)),
            Progress::Failed(text) => Progress::Failed(change(text)),
        }
    }

    fn seriousness(&self) -> u8 {
        match self {
            Progress::Done => 0,
            Progress::Waiting(_) => 1,
            Progress::Stuck(_) => 2,
            Progress::Failed(_) => 3,
        }
    }
}
