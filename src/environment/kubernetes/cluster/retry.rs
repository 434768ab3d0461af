//! Calls of the Kubernetes API that outlive a restart of its server, under a
//! deadline.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

use super::api_error::ApiError;

/// One call of an API server that may accept it and never answer.
const ATTEMPT: Duration = Duration::from_secs(20);
/// What a call gets even when the deadline is over: all of a teardown is tried.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Pauses between attempts, each twice as long as the one before.
#[derive(Debug, Clone)]
pub struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self::between(FIRST_PAUSE, LONGEST_PAUSE)
    }
}

impl Pauses {
    pub fn between(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    pub async fn pause(&mut self) {
        tokio::time::sleep(self.longer()).await;
    }

    /// [`Self::pause`], which ends with `deadline` at the latest.
    pub async fn pause_until(&mut self, deadline: Instant) {
        tokio::time::sleep(self.longer().min(left(deadline))).await;
    }

    fn longer(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.longer())
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.next = self.first;
    }
}

pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// How long one call may take.
pub(super) fn attempt_limit(deadline: Instant) -> Duration {
    left(deadline).clamp(SHORTEST_ATTEMPT, ATTEMPT)
}

/// One call, given up when it takes longer than `limit`.
pub async fn within<T>(
    limit: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(ApiError::Api),
        Err(_) => Err(ApiError::NoAnswer(limit)),
    }
}

/// Repeats `call` until it succeeds, fails for good, or `deadline` is over; it is
/// tried at least once.
pub async fn persist<T>(
    deadline: Instant,
    mut call: impl AsyncFnMut() -> kube::Result<T>,
) -> Result<T, ApiError> {
    let mut pauses = Pauses::default();
    loop {
        let error = match within(attempt_limit(deadline), call()).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !error.is_transient() || left(deadline).is_zero() {
            return Err(error);
        }
        tracing::debug!(%error, "the API server is asked again");
        pauses.pause_until(deadline).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(
            serde_json::from_value(json!({"code": code, "message": "no"})).unwrap(),
        ))
    }

    #[test]
    fn pauses_grow_to_the_longest_and_start_anew_after_a_success() {
        let (first, longest) = (Duration::from_millis(250), Duration::from_secs(5));
        let mut pauses = Pauses::between(first, longest);
        let milliseconds: Vec<u128> = pauses.by_ref().take(7).map(|p| p.as_millis()).collect();
        assert_eq!(milliseconds, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        pauses.reset();
        assert_eq!(pauses.next(), Some(first));
        assert_eq!(pauses.nth(1_000), Some(longest));
    }

    #[tokio::test]
    async fn a_call_is_repeated_until_the_server_is_back() {
        let mut calls = 0;
        let deadline = Instant::now() + Duration::from_secs(10);
        let value = persist(deadline, async || {
            calls += 1;
            match calls {
                1 => Err(status(503)),
                2 => Err(kube::Error::Service(Box::new(std::io::Error::from(
                    std::io::ErrorKind::ConnectionRefused,
                )))),
                _ => Ok("back"),
            }
        })
        .await
        .unwrap();
        assert_eq!((value, calls), ("back", 3));
    }

    #[tokio::test]
    async fn a_refusal_is_not_repeated() {
        let mut calls = 0;
        let deadline = Instant::now() + Duration::from_secs(10);
        let error = persist(deadline, async || {
            calls += 1;
            Err::<(), _>(status(403))
        })
        .await
        .unwrap_err();
        assert!(error.is_forbidden(), "{error}");
        assert_eq!(calls, 1);
    }

    #[tokio::test]
    async fn a_call_is_made_once_even_after_the_deadline() {
        let mut calls = 0;
        let error = persist(Instant::now(), async || {
            calls += 1;
            Err::<(), _>(status(503))
        })
        .await
        .unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert_eq!(calls, 1);
    }
}
