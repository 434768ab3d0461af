//! Calls of the Kubernetes API that outlive a restart of its server, under a
//! deadline.

use std::time::{Duration, Instant};

use super::api_error::ApiError;

/// One call of an API server that may accept it and never answer.
const ATTEMPT: Duration = Duration::from_secs(20);
/// What a call gets even when the deadline is over: all of a teardown is tried.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Pauses between attempts, each twice as long as the one before.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(super) async fn pause(&mut self, deadline: Instant) {
        tokio::time::sleep(self.0.min(left(deadline))).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
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
    let mut pauses = Pauses::new();
    loop {
        let error = match within(attempt_limit(deadline), call()).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !error.is_transient() || left(deadline).is_zero() {
            return Err(error);
        }
        tracing::debug!(%error, "the API server is asked again");
        pauses.pause(deadline).await;
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
