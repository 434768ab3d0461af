//! What keeps a pod from being ready.

use k8s_openapi::api::core::v1::{ContainerStateWaiting, ContainerStatus, Pod, PodCondition};
use kube::ResourceExt;

use super::words::{ended, event_words, line, reason_and_message, times};
use super::{Progress, claim_trouble};
use crate::environment::kubernetes::watch::view::View;

/// Waiting reasons of an image that will not come: the kubelet has tried before,
/// or need not try.
const NO_IMAGE: [&str; 3] = ["ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"];

/// Waiting reasons of a container that cannot be made as things stand, for
/// instance because of a Secret that is not there.
const CANNOT_START: [&str; 3] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// What the kubelet tells in an event alone, and not in a container's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ToldByEvents {
    /// Why an image was not pulled, before 1.31.
    Pull,
    /// A volume that cannot be mounted, a sandbox that cannot be made.
    Start,
}

/// Why a pod, or a container of it, is not ready.
struct Trouble {
    progress: Progress,
    more: Option<ToldByEvents>,
}

impl From<Progress> for Trouble {
    fn from(progress: Progress) -> Self {
        Self {
            progress,
            more: None,
        }
    }
}

impl Trouble {
    /// As [`Progress::most_serious`]; more is told of the one that speaks.
    fn most_serious(all: impl IntoIterator<Item = Trouble>) -> Option<Trouble> {
        let all: Vec<Trouble> = all.into_iter().collect();
        let progress = Progress::most_serious(all.iter().map(|each| each.progress.clone()))?;
        let mut as_bad = all
            .iter()
            .filter(|each| each.progress.seriousness() == progress.seriousness());
        let more = as_bad.next().and_then(|first| first.more);
        Some(Trouble { progress, more })
    }
}

/// Why a pod is not ready. `None` for one that is, and for one that ended well.
pub fn pod_trouble(pod: &Pod) -> Option<Progress> {
    trouble_of(pod).map(|trouble| trouble.progress)
}

fn trouble_of(pod: &Pod) -> Option<Trouble> {
    let name = pod.name_any();
    let Some(status) = &pod.status else {
        return Some(Progress::Waiting(format!("pod {name}: has no status yet")).into());
    };
    let phase = status.phase.as_deref().unwrap_or("Pending");
    if phase == "Succeeded" {
        return None;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(Progress::Waiting(format!("pod {name}: is being deleted")).into());
    }
    if phase == "Failed" {
        let text = format!("pod {name}: failed: {}", failure_words(pod));
        let progress = if is_replaced(pod) {
            Progress::Waiting(text)
        } else {
            Progress::Failed(text)
        };
        return Some(progress.into());
    }
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    let of_containers = init
        .chain(main)
        .filter_map(|container| container_trouble(pod, container));
    if let Some(worst) = Trouble::most_serious(of_containers) {
        return Some(worst);
    }
    if let Some(scheduled) = condition(pod, "PodScheduled")
        && scheduled.status == "False"
    {
        // An autoscaler may bring a node.
        let words = reason_and_message(scheduled.reason.as_deref(), scheduled.message.as_deref());
        return Some(Progress::Waiting(format!("pod {name}: {words}")).into());
    }
    if is_ready(pod) {
        return None;
    }
    let state = match phase {
        "Running" => "running, not ready yet",
        phase => phase,
    };
    Some(Progress::Waiting(format!("pod {name}: {state}")).into())
}

/// [`pod_trouble`] with what the pod itself does not tell: the cause in its
/// events, and claims of it that are not bound.
pub fn pod_trouble_in(view: &View, pod: &Pod) -> Option<Progress> {
    let Trouble { progress, more } = trouble_of(pod)?;
    let of_claims = claims_of(pod)
        .filter_map(|claim| view.claims.get(claim))
        .filter_map(|claim| claim_trouble(view, claim));
    if let Some(worst @ (Progress::Stuck(_) | Progress::Failed(_))) =
        Progress::most_serious(of_claims)
    {
        return Some(worst);
    }
    let events = view.events_of("Pod", &pod.name_any(), pod.metadata.uid.as_deref());
    let mut warnings = events
        .into_iter()
        .rev()
        .filter(|event| event.type_.as_deref() == Some("Warning"));
    let told = match more {
        None => None,
        Some(ToldByEvents::Pull) => warnings
            .find_map(|event| {
                let message = event.message.as_deref()?;
                let cause = message.strip_prefix("Failed to pull image \"")?;
                cause.split_once("\": ").map(|(_image, cause)| cause)
            })
            .map(|cause| format!(": {}", line(cause))),
        Some(ToldByEvents::Start) => warnings
            .next()
            .map(|event| format!("; {}", event_words(event))),
    };
    Some(progress.map_text(|text| format!("{text}{}", told.unwrap_or_default())))
}

/// Whether a pod is ready, and to stay.
pub fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// Whether every container of a pod runs.
pub fn is_running(pod: &Pod) -> bool {
    let containers = || {
        let status = pod.status.iter();
        status.flat_map(|status| status.container_statuses.iter().flatten())
    };
    let runs = |container: &ContainerStatus| {
        let state = container.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    };
    pod.metadata.deletion_timestamp.is_none()
        && containers().next().is_some()
        && containers().all(runs)
}

/// The memory limit of a container, as the pod has it.
pub fn memory_limit<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let spec = pod.spec.as_ref()?;
    let init = spec.init_containers.iter().flatten();
    let mut all = spec.containers.iter().chain(init);
    let limits = all
        .find(|each| each.name == container)?
        .resources
        .as_ref()?
        .limits
        .as_ref()?;
    limits.get("memory").map(|quantity| quantity.0.as_str())
}

/// Why a pod of phase Failed failed: its own reason (`Evicted`) and that of a
/// disruption, else how its containers ended.
pub fn failure_words(pod: &Pod) -> String {
    let Some(status) = &pod.status else {
        return "no reason given".to_owned();
    };
    if status.reason.is_some() {
        return reason_and_message(status.reason.as_deref(), status.message.as_deref());
    }
    if let Some(disrupted) = disruption(pod) {
        return reason_and_message(disrupted.reason.as_deref(), disrupted.message.as_deref());
    }
    let init = status.init_container_statuses.iter().flatten();
    let containers = init.chain(status.container_statuses.iter().flatten());
    let ends: Vec<String> = containers
        .filter_map(|container| {
            let state = container.state.as_ref()?.terminated.as_ref()?;
            let limit = memory_limit(pod, &container.name);
            (state.exit_code != 0)
                .then(|| format!("container {}: {}", container.name, ended(state, limit)))
        })
        .collect();
    match ends.is_empty() {
        true => reason_and_message(None, status.message.as_deref()),
        false => ends.join("; "),
    }
}

/// The condition with which preemption, a taint or an eviction is told.
pub fn disruption(pod: &Pod) -> Option<&PodCondition> {
    condition(pod, "DisruptionTarget").filter(|disrupted| disrupted.status == "True")
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    let mut conditions = pod.status.as_ref()?.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_)
}

/// Whether another pod takes the place of one that failed. A Job of ours makes
/// no second one.
fn is_replaced(pod: &Pod) -> bool {
    let mut owners = pod.owner_references().iter();
    owners.any(|owner| owner.controller == Some(true) && owner.kind != "Job")
}

fn claims_of(pod: &Pod) -> impl Iterator<Item = &String> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name))
}

fn container_trouble(pod: &Pod, container: &ContainerStatus) -> Option<Trouble> {
    let state = container.state.as_ref()?;
    let of = format!("pod {}: container {}", pod.name_any(), container.name);
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let limit = memory_limit(pod, &container.name);
    if let Some(waiting) = &state.waiting {
        if waiting.reason.as_deref() == Some("CrashLoopBackOff") {
            let end = last.map_or("no exit code".to_owned(), |last| ended(last, limit));
            return Some(Progress::Failed(crash_loop(&of, container, &end)).into());
        }
        return Some(waiting_trouble(pod, container, waiting));
    }
    if let Some(end) = &state.terminated {
        let restart_policy = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.restart_policy.as_deref());
        let words = ended(end, limit);
        return match (restart_policy, end.exit_code) {
            // An init container, or one of several of a Job.
            (_, 0) if is_init(pod, container) || restart_policy != Some("Always") => None,
            (Some("Never"), _) => Some(Progress::Failed(format!("{of}: {words}")).into()),
            // Seen between two restarts, of which the kubelet makes the first at once.
            _ if last.is_some() => {
                Some(Progress::Failed(crash_loop(&of, container, &words)).into())
            }
            _ => Some(Progress::Waiting(format!("{of}: ended with {words}")).into()),
        };
    }
    if let (Some(last), false) = (last, container.ready) {
        let text = format!(
            "{of}: restarted {}, last ended with {}; running, not ready yet",
            times(container.restart_count),
            ended(last, limit)
        );
        return Some(Progress::Waiting(text).into());
    }
    None
}

fn crash_loop(of: &str, container: &ContainerStatus, end: &str) -> String {
    format!(
        "{of}: CrashLoopBackOff: ended with {end}, restarted {}",
        times(container.restart_count)
    )
}

fn waiting_trouble(
    pod: &Pod,
    container: &ContainerStatus,
    waiting: &ContainerStateWaiting,
) -> Trouble {
    let name = pod.name_any();
    let reason = waiting.reason.as_deref().unwrap_or("waiting");
    let message = waiting.message.as_deref().unwrap_or_default();
    let image = &container.image;
    if NO_IMAGE.contains(&reason) || reason == "ErrImagePull" {
        // What stands before the cause only repeats the image.
        let back_off = format!("Back-off pulling image \"{image}\"");
        let cause = message.strip_prefix(&back_off).unwrap_or(message);
        let cause = line(cause.trim_start_matches(": "));
        let is_without_cause = cause.is_empty();
        let words = match (is_without_cause, cause.starts_with("ErrImagePull")) {
            (true, _) => reason.to_owned(),
            (false, true) => cause,
            (false, false) => format!("{reason}: {cause}"),
        };
        let text = format!("pod {name}: cannot pull image \"{image}\": {words}");
        return match reason {
            // The first attempt: a registry may have been busy.
            "ErrImagePull" => Progress::Waiting(text).into(),
            _ => Trouble {
                progress: Progress::Failed(text),
                more: (reason == "ImagePullBackOff" && is_without_cause)
                    .then_some(ToldByEvents::Pull),
            },
        };
    }
    let text = format!(
        "pod {name}: container {}: {}",
        container.name,
        match message.is_empty() {
            true => reason.to_owned(),
            false => format!("{reason}: {}", line(message)),
        }
    );
    if CANNOT_START.contains(&reason) {
        return Progress::Stuck(text).into();
    }
    let is_starting = ["ContainerCreating", "PodInitializing"].contains(&reason);
    Trouble {
        progress: Progress::Waiting(text),
        more: (is_starting && message.is_empty()).then_some(ToldByEvents::Start),
    }
}

fn is_init(pod: &Pod, container: &ContainerStatus) -> bool {
    let mut init = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten());
    init.any(|each| each.name == container.name)
}
