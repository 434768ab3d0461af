//! Fields of a profile that a target cannot honour.

use serde::{Deserialize, Serialize};

use crate::profile::{Profile, Storage, Variant};
use crate::settings::Target;

/// A field of the profile that this target cannot honour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotApplied {
    pub field: String,
    pub reason: String,
}

/// What the profile asks for and the target cannot honour.
pub(crate) fn not_applied(profile: &Profile, target: Target) -> Vec<NotApplied> {
    let mut fields = Vec::new();
    let mut add = |given: bool, field: &str, reason: &str| {
        if given {
            fields.push(NotApplied {
                field: field.into(),
                reason: reason.into(),
            });
        }
    };
    let tempo = &profile.tempo;
    let storage = profile.storage != Storage::default();
    match target {
        Target::Kubernetes => add(
            tempo.variant == Variant::Monolithic && tempo.replication_factor.is_some(),
            "tempo.replicationFactor",
            "a monolithic Tempo has no replicas",
        ),
        Target::Local => {
            let one = "a single local process";
            add(tempo.variant == Variant::Stack, "tempo.variant: stack", one);
            add(
                tempo.resources.is_some(),
                "tempo.resources",
                "local processes are not limited",
            );
            add(
                tempo.replication_factor.is_some(),
                "tempo.replicationFactor",
                one,
            );
            add(!tempo.node_selector.is_empty(), "tempo.nodeSelector", one);
            add(!tempo.tolerations.is_empty(), "tempo.tolerations", one);
            add(storage, "storage", "a local Tempo stores in a directory");
        }
        Target::Endpoint => {
            add(true, "tempo", "this Tempo exists already");
            add(storage, "storage", "this Tempo exists already");
        }
    }
    fields
}
