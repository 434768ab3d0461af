//! Conditions and component states as the Tempo operator writes them
//! (kubernetes-facts, sections 1 and 2, and the recorded objects).

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Map, Value, json};

/// What one reconciliation found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Ready,
    Pending,
    Failed,
    /// With the message; the reason is always `InvalidStorageConfig` here.
    ConfigurationError(String),
}

/// Type, reason and the message that is listed while it never held.
const CONDITIONS: [(&str, &str, &str); 4] = [
    (
        "Pending",
        "PendingComponents",
        "Some Tempo components are pending on dependencies",
    ),
    ("ConfigurationError", "InvalidStorageConfig", ""),
    ("Failed", "FailedComponents", ""),
    ("Ready", "Ready", "All components are operational"),
];

impl State {
    fn condition(&self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Pending => "Pending",
            Self::Failed => "Failed",
            Self::ConfigurationError(_) => "ConfigurationError",
        }
    }
}

/// Conditions of a TempoMonolithic: all four, always; one that no longer holds
/// keeps its old message.
pub fn monolithic_conditions(before: &[Value], state: &State, now: &str) -> Vec<Value> {
    CONDITIONS
        .iter()
        .map(|&(kind, reason, default)| {
            let old = find(before, kind);
            let active = state.condition() == kind;
            let message = message_of(state, kind, old, default);
            let status = status_text(active);
            let since = match old {
                Some(old) if old["status"] == status => old["lastTransitionTime"].clone(),
                _ => json!(now),
            };
            condition(kind, reason, &message, status, since)
        })
        .collect()
}

/// Conditions of a TempoStack: those that have ever held, in that order. Any
/// change renews the times of all.
pub fn stack_conditions(before: &[Value], state: &State, now: &str) -> Vec<Value> {
    let mut kinds: Vec<&str> = before.iter().filter_map(|it| it["type"].as_str()).collect();
    if !kinds.contains(&state.condition()) {
        kinds.push(state.condition());
    }
    let mut after: Vec<Value> = kinds
        .into_iter()
        .filter_map(|kind| CONDITIONS.iter().find(|known| known.0 == kind))
        .map(|&(kind, reason, default)| {
            let old = find(before, kind);
            let since = old.map_or_else(|| json!(now), |old| old["lastTransitionTime"].clone());
            let message = message_of(state, kind, old, default);
            let status = status_text(state.condition() == kind);
            condition(kind, reason, &message, status, since)
        })
        .collect();
    if after != before {
        for condition in &mut after {
            condition["lastTransitionTime"] = json!(now);
        }
    }
    after
}

fn find<'a>(conditions: &'a [Value], kind: &str) -> Option<&'a Value> {
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn message_of(state: &State, kind: &str, old: Option<&Value>, default: &str) -> String {
    match state {
        State::ConfigurationError(message) if kind == "ConfigurationError" => message.clone(),
        State::Failed if kind == "Failed" => "Some Tempo components failed".to_owned(),
        _ => old
            .and_then(|old| old["message"].as_str())
            .unwrap_or(default)
            .to_owned(),
    }
}

fn status_text(active: bool) -> &'static str {
    if active { "True" } else { "False" }
}

fn condition(kind: &str, reason: &str, message: &str, status: &str, since: Value) -> Value {
    json!({
        "lastTransitionTime": since,
        "message": message,
        "reason": reason,
        "status": status,
        "type": kind,
    })
}

/// The names of `pods` by what they do: `{"Ready": [...], "Pending": [...]}`.
pub fn by_state(pods: &[&Pod]) -> Value {
    let mut states = Map::new();
    for pod in pods {
        let names = states.entry(pod_state(pod)).or_insert_with(|| json!([]));
        if let Value::Array(names) = names {
            names.push(json!(pod.name_any()));
        }
    }
    Value::Object(states)
}

fn pod_state(pod: &Pod) -> &'static str {
    let status = pod.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|conditions| {
            conditions
                .iter()
                .any(|it| it.type_ == "Ready" && it.status == "True")
        });
    match status.and_then(|status| status.phase.as_deref()) {
        Some("Running") if ready => "Ready",
        Some("Running") => "Running",
        Some("Failed") => "Failed",
        Some("Succeeded") => "Succeeded",
        Some("Pending") => "Pending",
        _ => "Unknown",
    }
}

/// State of a TempoStack. Only pods that exist count, so without any it is
/// `Ready`: that is the operator's, and the very thing to be tested.
pub fn stack_state(pods: &[&Pod]) -> State {
    let has = |wanted: &str| pods.iter().any(|pod| pod_state(pod) == wanted);
    if has("Failed") {
        State::Failed
    } else if has("Pending") || has("Running") {
        State::Pending
    } else {
        State::Ready
    }
}
