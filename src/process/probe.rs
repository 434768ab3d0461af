//! Waiting for something to become ready, without fixed sleeps.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::signals::{Interrupt, Signal};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A probe without an answer is given up after this, and tried again.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("{what} not ready after {:.1} s; last seen: {last_seen}", .waited.as_secs_f64())]
    Timeout {
        what: String,
        waited: Duration,
        last_seen: String,
    },
    #[error("{what} not ready: its process ended after {:.1} s\n{failure}", .waited.as_secs_f64())]
    Ended {
        what: String,
        waited: Duration,
        failure: String,
    },
    #[error("{what} not ready: {signal} after {:.1} s; last seen: {last_seen}", .waited.as_secs_f64())]
    Interrupted {
        what: String,
        waited: Duration,
        signal: Signal,
        last_seen: String,
    },
}

/// Calls `probe` until it succeeds, at growing distances; returns how long it took.
///
/// `what` names the object and the condition ("Prometheus: GET /-/ready").
/// `ended` returns the description of a failure once waiting is in vain, and
/// `probe` the state that it saw.
pub async fn until_ready(
    what: &str,
    limit: Duration,
    interrupt: &Interrupt,
    mut ended: impl FnMut() -> Option<String>,
    mut probe: impl AsyncFnMut() -> Result<(), String>,
) -> Result<Duration, NotReady> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last_seen = "nothing yet".to_owned();
    loop {
        if let Some(failure) = ended() {
            return Err(NotReady::Ended {
                what: what.to_owned(),
                waited: start.elapsed(),
                failure,
            });
        }
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(NotReady::Timeout {
                what: what.to_owned(),
                waited: start.elapsed(),
                last_seen,
            });
        }
        let attempt_limit = left.min(PROBE_LIMIT);
        let attempt = async {
            match timeout(attempt_limit, probe()).await {
                Ok(Ok(())) => return None,
                Ok(Err(state)) => last_seen = state,
                Err(_) => {
                    last_seen = format!("no answer within {:.1} s", attempt_limit.as_secs_f64());
                }
            }
            let left = limit.saturating_sub(start.elapsed());
            tokio::time::sleep(pause.min(left)).await;
            Some(())
        };
        tokio::select! {
            biased;
            signal = interrupt.wait() => {
                return Err(NotReady::Interrupted {
                    what: what.to_owned(),
                    waited: start.elapsed(),
                    signal,
                    last_seen,
                });
            }
            again = attempt => if again.is_none() {
                return Ok(start.elapsed());
            },
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_is_seen_soon_after_it_comes() {
        let start = Instant::now();
        let mut calls = 0;
        let took = until_ready(
            "store: GET /ready",
            Duration::from_secs(5),
            &Interrupt::manual(),
            || None,
            async || {
                calls += 1;
                if calls < 4 {
                    Err("503".to_owned())
                } else {
                    Ok(())
                }
            },
        )
        .await
        .unwrap();
        // 5 + 10 + 20 ms of pauses.
        assert!(took >= Duration::from_millis(35), "{took:?}");
        assert!(start.elapsed() < Duration::from_secs(1), "{took:?}");
    }

    #[tokio::test]
    async fn a_timeout_names_the_object_and_what_was_last_seen() {
        let error = until_ready(
            "store: GET /ready",
            Duration::from_millis(120),
            &Interrupt::manual(),
            || None,
            async || Err("503 Service Unavailable".to_owned()),
        )
        .await
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "store: GET /ready not ready after 0.1 s; last seen: 503 Service Unavailable"
        );
    }

    #[tokio::test]
    async fn a_probe_without_an_answer_does_not_outlast_the_limit() {
        let error = until_ready(
            "store: GET /ready",
            Duration::from_millis(200),
            &Interrupt::manual(),
            || None,
            async || std::future::pending().await,
        )
        .await
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "store: GET /ready not ready after 0.2 s; last seen: no answer within 0.2 s"
        );
    }

    #[tokio::test]
    async fn waiting_for_a_dead_process_ends_at_once() {
        let error = until_ready(
            "store: GET /ready",
            Duration::from_secs(60),
            &Interrupt::manual(),
            || Some("store ended with exit code 1".to_owned()),
            async || Err("connection refused".to_owned()),
        )
        .await
        .unwrap_err();
        assert!(matches!(error, NotReady::Ended { .. }));
    }

    #[tokio::test]
    async fn a_signal_ends_the_waiting() {
        let interrupt = Interrupt::manual();
        let from_outside = interrupt.clone();
        let error = until_ready(
            "store: GET /ready",
            Duration::from_secs(60),
            &interrupt,
            || None,
            async || {
                from_outside.trigger(Signal::Interrupt);
                std::future::pending().await
            },
        )
        .await
        .unwrap_err();
        assert!(matches!(
            error,
            NotReady::Interrupted {
                signal: Signal::Interrupt,
                ..
            }
        ));
    }
}
