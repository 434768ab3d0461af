//! What keeps a namespace that is being deleted.

use k8s_openapi::api::core::v1::Namespace;

use crate::environment::kubernetes::cluster::deletion::StillThere;

/// What the deletion of a namespace hangs on, in Kubernetes' words.
pub fn hangs_on(still: &StillThere<Namespace>) -> String {
    let Some(namespace) = &still.last else {
        let error = still.error.as_deref().unwrap_or("it could not be read");
        return error.to_owned();
    };
    let status = namespace.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let reasons: Vec<String> = conditions
        .into_iter()
        .flatten()
        .filter(|condition| condition.status == "True")
        .map(|condition| match condition.message.as_deref() {
            Some(message) if !message.is_empty() => message.to_owned(),
            _ => condition.type_.clone(),
        })
        .collect();
    if !reasons.is_empty() {
        return reasons.join("; ");
    }
    match namespace.metadata.deletion_timestamp {
        Some(_) => "it is Terminating, and says nothing of what it waits for".to_owned(),
        None => "its deletion was not accepted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn still(conditions: serde_json::Value, terminating: bool) -> StillThere<Namespace> {
        let mut metadata = json!({"name": "n"});
        if terminating {
            metadata["deletionTimestamp"] = json!("2026-11-23T02:05:18Z");
        }
        StillThere {
            last: Some(
                serde_json::from_value(json!({
                    "metadata": metadata,
                    "status": {"phase": "Terminating", "conditions": conditions},
                }))
                .unwrap(),
            ),
            error: None,
        }
    }

    #[rstest]
    #[case::webhook_away(
        still(
            json!([
                {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "All resources successfully discovered"},
                {"type": "NamespaceDeletionContentFailure", "status": "True", "message": "Failed to delete all resource types, 1 remaining: Internal error occurred: failed calling webhook \"vtempomonolithic.kb.io\": connection refused"},
                {"type": "NamespaceContentRemaining", "status": "False", "message": "All content successfully removed"},
            ]),
            true
        ),
        "Failed to delete all resource types, 1 remaining: Internal error occurred: failed calling webhook \"vtempomonolithic.kb.io\": connection refused"
    )]
    #[case::finalizer(
        still(
            json!([
                {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining: configmaps. has 1 resource instances"},
                {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "Some content in the namespace has finalizers remaining: example.com/stuck in 1 resource instances"},
            ]),
            true
        ),
        "Some resources are remaining: configmaps. has 1 resource instances; Some content in the namespace has finalizers remaining: example.com/stuck in 1 resource instances"
    )]
    #[case::no_word(still(json!([]), true), "it is Terminating, and says nothing of what it waits for")]
    #[case::not_accepted(still(json!([]), false), "its deletion was not accepted")]
    #[case::unreadable(
        StillThere { last: None, error: Some("connection refused".to_owned()) },
        "connection refused"
    )]
    fn a_namespace_that_hangs_says_on_what(
        #[case] still: StillThere<Namespace>,
        #[case] expected: &str,
    ) {
        assert_eq!(hangs_on(&still), expected);
    }
}
