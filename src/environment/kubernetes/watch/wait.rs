//! Waiting until a condition over a namespace holds: evaluated at every change,
//! under one deadline, and ended early by a state that will not become good.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::conditions::Progress;
use super::view::{Kind, View};
use crate::environment::EnvironmentError;
use crate::process::{Interrupt, Signal};

/// How long a state may look stuck before the wait is given up. An operator gets
/// over a repaired Secret in 2 s, a controller over a service account that came
/// late in a second or two; a quota or Pod Security does not go by itself.
pub const GRACE: Duration = Duration::from_secs(10);

/// A watch that fails is tried again after 5 s at most, and an attempt to connect
/// is given up after 30 s: an older failure is over, although nothing was heard
/// since. Less than the 60 s after which a watch is renewed.
const FAILURE_FADES: Duration = Duration::from_secs(40);

/// What the watches of a namespace know.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub view: View,
    /// Kinds that have not been listed yet; the view is not complete before.
    pub pending: BTreeSet<Kind>,
    /// The last failure of each kind that has failed since it last brought news.
    pub failures: BTreeMap<Kind, WatchFailure>,
    /// When any kind last brought news: the API server could be reached then.
    pub last_news: Option<Instant>,
}

/// Why a kind could not be listed or watched.
#[derive(Debug, Clone)]
pub struct WatchFailure {
    pub words: String,
    pub last: Instant,
    /// Whether the API server answered, with an error.
    pub answered: bool,
    /// Set while the API server answers 401 or 403: since when.
    pub refused_since: Option<Instant>,
}

impl Seen {
    /// Notes news of a kind at `now`.
    pub fn heard(&mut self, kind: Kind, now: Instant) {
        self.pending.remove(&kind);
        self.failures.remove(&kind);
        self.last_news = Some(now);
    }

    /// Notes a failure of a watch at `now`. `answer` is the HTTP status, where
    /// there was an answer at all.
    pub fn failed(&mut self, kind: Kind, words: String, answer: Option<u16>, now: Instant) {
        let refused = matches!(answer, Some(401 | 403));
        let before = self.failures.get(&kind);
        let going_on = before
            .filter(|before| now.duration_since(before.last) <= FAILURE_FADES)
            .and_then(|before| before.refused_since);
        let failure = WatchFailure {
            words,
            last: now,
            answered: answer.is_some(),
            refused_since: refused.then(|| going_on.unwrap_or(now)),
        };
        self.failures.insert(kind, failure);
    }

    /// The refusal that waiting does not help against. One of a kind that was
    /// listed before counts only when it lasts: an API server that has just
    /// started refuses until it has read the roles.
    fn refusal(&self, grace: Duration) -> Option<String> {
        self.failures.iter().find_map(|(kind, failure)| {
            let since = failure.refused_since?;
            let lasted = failure.last.duration_since(since) >= grace;
            (self.pending.contains(kind) || lasted)
                .then(|| format!("cannot watch {kind}: {}", failure.words))
        })
    }

    /// Failures that may be why nothing is seen, those of several kinds together.
    fn recent_failures(&self, now: Instant) -> String {
        let mut by_words: BTreeMap<&str, (Vec<&str>, Instant)> = BTreeMap::new();
        for (kind, failure) in &self.failures {
            let reached_since = self.last_news.is_some_and(|news| news > failure.last);
            let is_over = now.duration_since(failure.last) > FAILURE_FADES
                || (!failure.answered && reached_since);
            if !is_over {
                let (kinds, last) = by_words
                    .entry(&failure.words)
                    .or_insert_with(|| (Vec::new(), failure.last));
                kinds.push(kind.plural());
                *last = failure.last.max(*last);
            }
        }
        let failures = by_words.iter().map(|(words, (kinds, last))| {
            let ago = now.duration_since(*last).as_secs_f64();
            format!(
                "; {ago:.1} s ago: cannot watch {}: {words}",
                kinds.join(", ")
            )
        });
        failures.collect()
    }

    fn pending_words(&self) -> Option<String> {
        let kinds: Vec<&str> = self.pending.iter().map(|kind| kind.plural()).collect();
        (!kinds.is_empty()).then(|| format!("not listed yet: {}", kinds.join(", ")))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    #[error("{what} not ready after {:.1} s; last seen: {last_seen}", .waited.as_secs_f64())]
    Timeout {
        what: String,
        waited: Duration,
        last_seen: String,
    },
    /// In the words of Kubernetes or the operator.
    #[error("{what} will not become ready (given up after {:.1} s): {reason}", .waited.as_secs_f64())]
    Failed {
        what: String,
        waited: Duration,
        reason: String,
    },
    #[error(
        "{what} not ready after {:.1} s, and nothing has moved for {:.1} s: {reason}",
        .waited.as_secs_f64(),
        .stuck.as_secs_f64()
    )]
    Stuck {
        what: String,
        waited: Duration,
        stuck: Duration,
        reason: String,
    },
    /// The API server refuses to tell.
    #[error("{what} cannot be waited for: {refusal}")]
    Refused { what: String, refusal: String },
    #[error("interrupted by {0}")]
    Interrupted(Signal),
}

impl From<WaitError> for EnvironmentError {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Interrupted(signal) => EnvironmentError::Interrupted(signal),
            other => EnvironmentError::Failed(other.to_string()),
        }
    }
}

/// How long to wait, and how long for a state that looks stuck.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub limit: Duration,
    pub grace: Duration,
}

/// Waits until `condition` holds of what `source` sees. `what` names the object
/// and the condition in errors.
pub async fn until(
    source: &watch::Receiver<Seen>,
    what: &str,
    limits: Limits,
    interrupt: &Interrupt,
    condition: impl Fn(&View) -> Progress,
) -> Result<(), WaitError> {
    let mut source = source.clone();
    let start = Instant::now();
    let mut patience = Patience::new(what, limits);
    loop {
        if let Some(signal) = interrupt.signal() {
            return Err(WaitError::Interrupted(signal));
        }
        // Cloned, since a lock that is held here would hold the watches up.
        let seen = source.borrow_and_update().clone();
        if let Some(refusal) = seen.refusal(limits.grace) {
            let what = what.to_owned();
            return Err(WaitError::Refused { what, refusal });
        }
        let now = start.elapsed();
        let progress = match seen.pending_words() {
            Some(words) => Progress::Waiting(words),
            None => condition(&seen.view),
        };
        let failures = seen.recent_failures(Instant::now());
        if let Some(end) = patience.judge(now, progress, &failures) {
            return end;
        }
        let pause = patience.next_look(now).saturating_sub(start.elapsed());
        tokio::select! {
            biased;
            signal = interrupt.wait() => return Err(WaitError::Interrupted(signal)),
            () = changed(&mut source) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The next change; never, once nothing can change any more.
async fn changed(source: &mut watch::Receiver<Seen>) {
    if source.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Decides when waiting is over. Times are those since its start.
struct Patience<'a> {
    what: &'a str,
    limits: Limits,
    stuck_since: Option<Duration>,
}

impl<'a> Patience<'a> {
    fn new(what: &'a str, limits: Limits) -> Self {
        Self {
            what,
            limits,
            stuck_since: None,
        }
    }

    /// How the wait ends with this, `None` if it goes on.
    fn judge(
        &mut self,
        now: Duration,
        progress: Progress,
        failures: &str,
    ) -> Option<Result<(), WaitError>> {
        let what = || self.what.to_owned();
        let last_seen = match progress {
            Progress::Done => return Some(Ok(())),
            Progress::Failed(reason) => {
                return Some(Err(WaitError::Failed {
                    what: what(),
                    waited: now,
                    reason,
                }));
            }
            Progress::Stuck(reason) => {
                // Whether one reason or one after the other: it does not get on.
                let since = *self.stuck_since.get_or_insert(now);
                let stuck = now.saturating_sub(since);
                if stuck >= self.limits.grace {
                    return Some(Err(WaitError::Stuck {
                        what: what(),
                        waited: now,
                        stuck,
                        reason,
                    }));
                }
                reason
            }
            Progress::Waiting(text) => {
                self.stuck_since = None;
                text
            }
        };
        (now >= self.limits.limit).then(|| {
            Err(WaitError::Timeout {
                what: what(),
                waited: now,
                last_seen: format!("{last_seen}{failures}"),
            })
        })
    }

    /// When to look again although nothing has changed.
    fn next_look(&self, now: Duration) -> Duration {
        let grace_over = self.stuck_since.map(|since| since + self.limits.grace);
        let next = grace_over.map_or(self.limits.limit, |over| over.min(self.limits.limit));
        next.max(now)
    }
}

#[cfg(test)]
mod tests;
