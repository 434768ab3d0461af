//! k6's Jobs: whether their pods run, and how they ended.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::{Job, JobCondition};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt;

use super::pods::{disruption, is_running, memory_limit};
use super::words::{ended, line, reason_and_message, signal_of};
use super::{Owner, Progress, owner_trouble, pod_trouble_in};
use crate::environment::kubernetes::watch::view::View;

/// How soon the kubelet deletes a pod for good whose container ended because it
/// was deleted; seen to take a second.
const KUBELETS_DELETION: SignedDuration = SignedDuration::from_secs(10);

/// How a Job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// With exit code 0.
    Complete {
        /// How long its container ran, to the second; unknown when its pod is gone.
        ran: Option<Duration>,
    },
    Failed(JobFailure),
}

/// How a Job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFailure {
    /// The container's; unknown when it had not ended when its Job was given up,
    /// or its pod is gone.
    pub exit_code: Option<i32>,
    /// Number of the signal that ended the container.
    pub signal: Option<i32>,
    /// In one word, as Kubernetes has it: `Error`, `OOMKilled`, `Evicted`,
    /// `DeadlineExceeded`, a disruption's reason; `Deleted` for a pod that was
    /// deleted under its Job.
    pub reason: String,
    /// All of it, for people.
    pub words: String,
    /// How long its container ran, to the second.
    pub ran: Option<Duration>,
}

/// Every one of these Jobs has a pod that runs, or is complete already. A Job
/// that has failed by then says why.
pub fn job_pods_running(view: &View, job_names: &[&str]) -> Progress {
    Progress::all_done(job_names.iter().map(|name| job_running(view, name)))
}

fn job_running(view: &View, name: &str) -> Progress {
    let Some(job) = view.jobs.get(name) else {
        return Progress::Waiting(format!("Job {name}: does not exist yet"));
    };
    let pods: Vec<Arc<Pod>> = view.pods_of(job.as_ref()).cloned().collect();
    match job_outcome(job, &pods) {
        Some(JobOutcome::Complete { .. }) => return Progress::Done,
        Some(JobOutcome::Failed(failure)) => return Progress::Failed(failure.words),
        None => {}
    }
    if pods.iter().any(|pod| is_running(pod)) {
        return Progress::Done;
    }
    let of_pods = pods.iter().filter_map(|pod| pod_trouble_in(view, pod));
    let trouble = owner_trouble(view, Owner::Job, name)
        .into_iter()
        .chain(of_pods);
    match Progress::most_serious(trouble) {
        Some(trouble) => trouble,
        None => Progress::Waiting(format!("Job {name}: has no pod yet")),
    }
}

/// How a Job ended, `None` while it has not. `pods` are those of the Job.
///
/// A Job is given up as soon as it says `FailureTarget`; `Failed` follows when
/// its pod has ended, after a grace period at worst.
pub fn job_outcome(job: &Job, pods: &[Arc<Pod>]) -> Option<JobOutcome> {
    let held = |type_: &str| {
        let mut conditions = job.status.as_ref()?.conditions.iter().flatten();
        conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
    };
    // The last one, should there have been several.
    let pod = pods
        .iter()
        .max_by_key(|pod| pod.metadata.creation_timestamp.clone());
    let end = pod.and_then(|pod| end_of(pod));
    if held("Complete").or(held("SuccessCriteriaMet")).is_some() {
        return Some(JobOutcome::Complete {
            ran: end.and_then(|(_, end)| ran(end)),
        });
    }
    let failed = held("Failed").or(held("FailureTarget"))?;
    failure(job, failed, pod.map(Arc::as_ref), end).map(JobOutcome::Failed)
}

fn failure(
    job: &Job,
    failed: &JobCondition,
    pod: Option<&Pod>,
    end: Option<(&str, &ContainerStateTerminated)>,
) -> Option<JobFailure> {
    let of = format!("Job {}", job.name_any());
    let why = failed.reason.as_deref().unwrap_or("Failed");
    let jobs_words = reason_and_message(failed.reason.as_deref(), failed.message.as_deref());
    let mut failure = JobFailure {
        exit_code: end.map(|(_, end)| end.exit_code),
        signal: end.and_then(|(_, end)| signal_of(end)),
        reason: why.to_owned(),
        words: String::new(),
        ran: end.and_then(|(_, end)| ran(end)),
    };
    let words = match (pod, end) {
        // The pod only ended because of it, whatever its exit code is.
        _ if why != "BackoffLimitExceeded" => {
            let limit = job
                .spec
                .as_ref()
                .and_then(|spec| spec.active_deadline_seconds)
                .filter(|_| why == "DeadlineExceeded")
                .map(|seconds| format!(" (activeDeadlineSeconds {seconds})"));
            format!("{jobs_words}{}", limit.unwrap_or_default())
        }
        (None, _) => {
            failure.reason = "Deleted".to_owned();
            format!("its pod is gone, deleted before it had ended ({jobs_words})")
        }
        (Some(pod), end) => {
            let name = pod.name_any();
            let status = pod.status.as_ref();
            let pods_reason = status.and_then(|status| status.reason.as_deref());
            if let Some(reason) = pods_reason {
                let message = status.and_then(|status| status.message.as_deref());
                failure.reason = reason.to_owned();
                let words = reason_and_message(Some(reason), message);
                format!("pod {name}: {words}")
            } else if let Some(disrupted) = disruption(pod) {
                let reason = disrupted.reason.as_deref();
                failure.reason = reason.unwrap_or("DisruptionTarget").to_owned();
                let words = reason_and_message(reason, disrupted.message.as_deref());
                format!("pod {name}: {words}")
            } else if was_deleted_first(pod, end.map(|(_, end)| end)) {
                failure.reason = "Deleted".to_owned();
                format!("pod {name}: was deleted while it ran")
            } else {
                // The Job's watch was faster than the pod's: its end is yet to be seen.
                let (container, end) = end?;
                failure.reason = end.reason.as_deref().unwrap_or("Error").to_owned();
                let limit = memory_limit(pod, container);
                format!("pod {name}: container {container}: {}", ended(end, limit))
            }
        }
    };
    failure.words = line(&format!("{of}: {words}"));
    Some(failure)
}

/// Whether somebody deleted a pod before its container had ended.
fn was_deleted_first(pod: &Pod, end: Option<&ContainerStateTerminated>) -> bool {
    let Some(deadline) = &pod.metadata.deletion_timestamp else {
        return false;
    };
    // The API server writes down when the grace period will be over. After the
    // end the kubelet deletes once more, now without one.
    let before = match pod.metadata.deletion_grace_period_seconds {
        Some(grace) if grace > 0 => SignedDuration::from_secs(grace),
        _ => KUBELETS_DELETION,
    };
    end.and_then(|end| end.finished_at.as_ref())
        .is_none_or(|finished| finished.0 >= deadline.0 - before)
}

/// The container of a pod that ended, by its name: one that failed before one
/// that did not, for one of several may be a helper.
fn end_of(pod: &Pod) -> Option<(&str, &ContainerStateTerminated)> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    let main = status.container_statuses.iter().flatten();
    let ends = main.chain(init).filter_map(|container| {
        let end = container.state.as_ref()?.terminated.as_ref()?;
        Some((container.name.as_str(), end))
    });
    let ends: Vec<_> = ends.collect();
    let failed = ends.iter().find(|(_, end)| end.exit_code != 0);
    failed.or(ends.first()).copied()
}

fn ran(end: &ContainerStateTerminated) -> Option<Duration> {
    let (started, finished) = (end.started_at.as_ref()?, end.finished_at.as_ref()?);
    Duration::try_from(finished.0.duration_since(started.0)).ok()
}
