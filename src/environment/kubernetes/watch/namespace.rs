//! The namespace of a run while it is ours: the client to it, and what is seen
//! in it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::Client;

use super::conditions::Progress;
use super::view::View;
use super::watches::NamespaceWatch;
use crate::environment::EnvironmentError;
use crate::process::Interrupt;

/// A namespace of ours.
#[derive(Clone)]
pub struct InNamespace {
    pub client: Client,
    pub namespace: String,
    pub watch: Arc<NamespaceWatch>,
    pub interrupt: Interrupt,
    /// When we waited for the cluster, for the account of our own share.
    pub waits: Arc<Waits>,
}

impl InNamespace {
    /// Waits for a condition; the error says what was last seen.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&View) -> Progress,
    ) -> Result<(), EnvironmentError> {
        let waiting = self.watch.until(what, limit, &self.interrupt, condition);
        Ok(self.waits.during(waiting).await?)
    }
}

/// The times at which something of the cluster was waited for; they may overlap.
#[derive(Debug, Default)]
pub struct Waits {
    intervals: Mutex<Vec<(Instant, Instant)>>,
}

impl Waits {
    pub async fn during<T>(&self, waiting: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let outcome = waiting.await;
        let mut intervals = self.intervals.lock().expect("no holder panics");
        intervals.push((start, Instant::now()));
        outcome
    }

    /// How much of the time from `from` to `to` nothing was waited for: our own
    /// share of it.
    pub fn own_share(&self, from: Instant, to: Instant) -> Duration {
        let mut intervals = self.intervals.lock().expect("no holder panics").clone();
        intervals.sort();
        let mut waited = Duration::ZERO;
        let mut at = from;
        for (start, end) in intervals {
            let (start, end) = (start.max(at), end.min(to));
            if end > start {
                waited += end - start;
                at = end;
            }
        }
        (to - from).saturating_sub(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_spent_waiting_is_our_own_share() {
        let waits = Waits::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        *waits.intervals.lock().unwrap() = vec![
            (at(2), at(4)),
            (at(3), at(6)),
            (at(8), at(20)),
            (at(3), at(5)),
        ];
        assert_eq!(waits.own_share(at(0), at(10)), Duration::from_secs(4));
        assert_eq!(waits.own_share(at(10), at(20)), Duration::ZERO);
    }
}
