//! Whether Tempo is ready. Its resource's `Ready` is needed but proves nothing:
//! of a TempoStack it is computed from the pods that exist, so it holds without
//! any.

use kube::core::DynamicObject;

use super::custom_resource::{Condition, conditions};
use super::workloads::labelled;
use super::{Progress, stateful_set_ready};
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::cluster::names::{
    INSTANCE_LABEL, MANAGED_BY_LABEL, OPERATED_COMPONENT_LABEL, STACK_COMPONENTS, TEMPO_OPERATOR,
};
use crate::environment::kubernetes::watch::view::View;
use crate::profile::Variant;

/// Tempo of the resource `name` is ready: `Ready` holds, and so are all the
/// workloads that its operator makes, which are there.
pub fn tempo_ready(view: &View, variant: Variant, name: &str) -> Progress {
    let objects = match variant {
        Variant::Monolithic => &view.tempo_monolithics,
        Variant::Stack => &view.tempo_stacks,
    };
    let title = format!("{} {name}", CustomKind::tempo(variant).kind);
    let Some(resource) = objects.get(name) else {
        return Progress::Waiting(format!("{title}: does not exist yet"));
    };
    if resource.metadata.deletion_timestamp.is_some() {
        return Progress::Failed(format!("{title}: is being deleted"));
    }
    let workloads = match variant {
        Variant::Monolithic => stateful_set_ready(view, &format!("tempo-{name}")),
        Variant::Stack => stack_ready(view, name),
    };
    of_resource(&title, resource, workloads)
}

/// Every workload of the stack is ready, the gateway's too where there is one,
/// and no component is without.
fn stack_ready(view: &View, name: &str) -> Progress {
    let labels = [(INSTANCE_LABEL, name), (MANAGED_BY_LABEL, TEMPO_OPERATOR)];
    let workloads = labelled(view, &labels);
    let is_there = |component: &&&str| {
        let mut all = workloads.iter();
        all.any(|workload| workload.label(OPERATED_COMPONENT_LABEL) == Some(**component))
    };
    let missing: Vec<&str> = STACK_COMPONENTS
        .iter()
        .filter(|component| !is_there(component))
        .copied()
        .collect();
    let of_missing = (!missing.is_empty())
        .then(|| Progress::Waiting(format!("no workload yet for {}", missing.join(", "))));
    let of_workloads = workloads.iter().map(|workload| workload.progress(view));
    Progress::all_done(of_missing.into_iter().chain(of_workloads))
}

/// What the resource says, and what its workloads do.
fn of_resource(title: &str, resource: &DynamicObject, workloads: Progress) -> Progress {
    let all = conditions(resource);
    // One that does not hold keeps the message of a time when it did.
    let held: Vec<&Condition> = all.iter().filter(|each| each.status == "True").collect();
    let find = |type_: &str| held.iter().find(|condition| condition.type_ == type_);
    // The operator watches the Secret, and gets over it within two seconds.
    if let Some(error) = find("ConfigurationError") {
        return Progress::Stuck(format!("{title}: {}", error.words()));
    }
    let is_ready = find("Ready").is_some();
    match workloads {
        Progress::Done if is_ready => Progress::Done,
        serious @ (Progress::Stuck(_) | Progress::Failed(_)) => serious,
        other => {
            if let Some(failed) = find("Failed").filter(|_| !is_ready) {
                return Progress::Stuck(format!("{title}: {}", failed.words()));
            }
            if all.is_empty() {
                return Progress::Waiting(format!(
                    "{title}: the Tempo operator has not looked at it yet"
                ));
            }
            let says: Vec<String> = held.iter().map(|condition| condition.words()).collect();
            let says = match says.is_empty() {
                true => "no condition holds".to_owned(),
                false => says.join(", "),
            };
            let does = other
                .text()
                .map(|text| format!("; {text}"))
                .unwrap_or_default();
            Progress::Waiting(format!("{title}: {says}{does}"))
        }
    }
}
