//! What the API server, or the way to it, had to say: as one plain line.

use std::time::Duration;

use kube::core::Status;
use kube::runtime::watcher;

use crate::error_chain::chain;

/// What kube gives as the reason of an answer that is no Status, for instance
/// the page of a proxy, or "404 page not found" for a kind that is not there.
const NOT_A_STATUS: &str = "Failed to parse error data";

/// More of a proxy's page than this helps nobody.
const LONGEST_PAGE: usize = 200;

/// A call of the Kubernetes API that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{}", words(.0))]
    Api(kube::Error),
    #[error("the API server gave no answer within {:.0} s", .0.as_secs_f64())]
    NoAnswer(Duration),
}

impl ApiError {
    /// The object, or its whole kind, is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// The object is another one than the call was meant for, or exists already.
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// The HTTP status of an answer that is an error.
    fn code(&self) -> Option<u16> {
        match self {
            ApiError::Api(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    /// Whether the same call may succeed a little later: the API server restarts,
    /// is busy, or cannot reach a webhook.
    pub fn is_transient(&self) -> bool {
        match self {
            ApiError::NoAnswer(_) => true,
            ApiError::Api(kube::Error::Api(status)) => status.code == 429 || status.code >= 500,
            ApiError::Api(kube::Error::HyperError(_) | kube::Error::Service(_)) => true,
            ApiError::Api(_) => false,
        }
    }
}

/// An error of the client on one line: the API server's message and reason where
/// it answered, else what was in the way.
pub fn words(error: &kube::Error) -> String {
    let text = match error {
        kube::Error::Api(status) => status_words(status),
        // kube's own prefixes ("ServiceError: ") say nothing to a reader.
        kube::Error::Service(cause) => chain(cause.as_ref()),
        kube::Error::HyperError(cause) => chain(cause),
        error => chain(error),
    };
    one_line(&text)
}

/// The same for an error of a watch.
pub fn watch_words(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => words(cause),
        watcher::Error::WatchError(status) => one_line(&status_words(status)),
        watcher::Error::NoResourceVersion => one_line(&chain(error)),
    }
}

/// The HTTP status with which the API server refused a watch, or the list that it
/// begins with; `None` where it did not answer.
pub fn watch_answer(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

fn status_words(status: &Status) -> String {
    if status.reason == NOT_A_STATUS {
        let page: String = status.message.chars().take(LONGEST_PAGE).collect();
        return match page.as_str() {
            "" => format!("HTTP {}", status.code),
            page => format!("HTTP {}: {page}", status.code),
        };
    }
    match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("HTTP {} without a message", status.code),
        ("", reason) => format!("{reason} (HTTP {})", status.code),
        (message, "") => message.to_owned(),
        (message, reason) => format!("{message} ({reason})"),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn api(body: serde_json::Value) -> kube::Error {
        kube::Error::Api(Box::new(serde_json::from_value(body).unwrap()))
    }

    #[rstest]
    #[case::forbidden(
        json!({"code": 403, "reason": "Forbidden",
               "message": "namespaces is forbidden: User \"ci\" cannot create resource \"namespaces\" in API group \"\" at the cluster scope"}),
        "namespaces is forbidden: User \"ci\" cannot create resource \"namespaces\" in API group \"\" at the cluster scope (Forbidden)"
    )]
    #[case::quota(
        json!({"code": 403, "reason": "Forbidden",
               "message": "pods \"minio-0\" is forbidden: exceeded quota: team, requested: requests.cpu=1, used: requests.cpu=4, limited: requests.cpu=4"}),
        "pods \"minio-0\" is forbidden: exceeded quota: team, requested: requests.cpu=1, used: requests.cpu=4, limited: requests.cpu=4 (Forbidden)"
    )]
    #[case::several_lines(
        json!({"code": 422, "reason": "Invalid", "message": "TempoStack \"perf\" is invalid:\n  * spec.size: wrong\n"}),
        "TempoStack \"perf\" is invalid: * spec.size: wrong (Invalid)"
    )]
    #[case::no_message(json!({"code": 503, "reason": "ServiceUnavailable"}), "ServiceUnavailable (HTTP 503)")]
    #[case::no_reason(json!({"code": 500, "message": "etcd is away"}), "etcd is away")]
    #[case::nothing(json!({"code": 502}), "HTTP 502 without a message")]
    #[case::a_kind_that_is_not_there(
        json!({"code": 404, "reason": "Failed to parse error data", "message": "404 page not found"}),
        "HTTP 404: 404 page not found"
    )]
    #[case::an_empty_page(json!({"code": 502, "reason": "Failed to parse error data"}), "HTTP 502")]
    fn the_servers_own_words_are_given(#[case] body: serde_json::Value, #[case] expected: &str) {
        assert_eq!(words(&api(body)), expected);
    }

    #[test]
    fn a_broken_connection_is_told_with_its_cause_and_no_prefix() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(
            words(&kube::Error::Service(Box::new(refused))),
            "connection refused"
        );
    }

    #[rstest]
    #[case::busy(json!({"code": 429, "reason": "TooManyRequests"}), true)]
    #[case::webhook_away(json!({"code": 500, "reason": "InternalError"}), true)]
    #[case::starting(json!({"code": 503}), true)]
    #[case::forbidden(json!({"code": 403, "reason": "Forbidden"}), false)]
    #[case::not_found(json!({"code": 404, "reason": "NotFound"}), false)]
    #[case::conflict(json!({"code": 409, "reason": "Conflict"}), false)]
    #[case::invalid(json!({"code": 422, "reason": "Invalid"}), false)]
    fn only_what_may_pass_is_tried_again(#[case] body: serde_json::Value, #[case] again: bool) {
        assert_eq!(ApiError::Api(api(body)).is_transient(), again);
    }

    #[test]
    fn an_absent_kind_counts_as_not_found() {
        let page = json!({"code": 404, "reason": "Failed to parse error data", "message": "404 page not found"});
        assert!(ApiError::Api(api(page)).is_not_found());
    }
}
