//! What the custom resources of both operators have in common.

use kube::core::DynamicObject;
use serde_json::Value;

use super::words::reason_and_message;

/// One of `status.conditions`.
pub struct Condition<'a> {
    pub type_: &'a str,
    pub status: &'a str,
    reason: Option<&'a str>,
    message: Option<&'a str>,
}

impl Condition<'_> {
    /// For instance "ConfigurationError: InvalidStorageConfig: could not fetch …".
    pub fn words(&self) -> String {
        // `Ready` gives itself as its reason.
        let reason = self.reason.filter(|reason| *reason != self.type_);
        format!(
            "{}: {}",
            self.type_,
            reason_and_message(reason, self.message)
        )
    }
}

/// All conditions, held or not.
pub fn conditions(object: &DynamicObject) -> Vec<Condition<'_>> {
    let listed = object.data.pointer("/status/conditions");
    let listed = listed.and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(|condition| {
            let text = |key: &str| condition.get(key).and_then(Value::as_str);
            Some(Condition {
                type_: text("type")?,
                status: text("status")?,
                reason: text("reason"),
                message: text("message"),
            })
        })
        .collect()
}
