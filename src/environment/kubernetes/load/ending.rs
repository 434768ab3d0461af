//! How a k6 run ended: by its log, and by its Job where that does not tell.

use std::time::{Duration, Instant};

use super::frame::FrameReader;
use crate::environment::kubernetes::watch::conditions::{JobOutcome, Progress, job_outcome};
use crate::environment::kubernetes::watch::namespace::InNamespace;
use crate::environment::kubernetes::watch::view::View;
use crate::environment::{EnvironmentError, K6Finished};
use crate::error_chain::chain;
use crate::k6::exit;

/// After a container ended: until its last lines and its state are there.
pub const LAST_WORDS: Duration = Duration::from_secs(15);

/// Name of the pod that the Job `job` has made.
pub fn pod_of(view: &View, job: &str) -> Option<String> {
    let job = view.jobs.get(job)?;
    view.pods_of(job.as_ref())
        .next()
        .and_then(|pod| pod.metadata.name.clone())
}

/// How the Job `job` ended; none while it has not.
pub fn outcome_of(view: &View, job: &str) -> Option<JobOutcome> {
    let job = view.jobs.get(job)?;
    let pods: Vec<_> = view.pods_of(job.as_ref()).cloned().collect();
    job_outcome(job, &pods)
}

/// Whether nothing more will be written to the log of the pod's container.
pub fn container_ended(view: &View, pod: &str) -> bool {
    let Some(status) = view.pods.get(pod).map(|pod| pod.status.clone()) else {
        return true;
    };
    let status = status.unwrap_or_default();
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let containers = status.container_statuses.unwrap_or_default();
    over || containers.iter().any(|it| {
        it.state
            .as_ref()
            .is_some_and(|state| state.terminated.is_some())
    })
}

/// What a run gave, by the end of its log or else by the end of its Job.
pub async fn finished(
    here: &InNamespace,
    job: &str,
    read: Result<FrameReader, EnvironmentError>,
    stopped_by: Option<String>,
    started: Instant,
) -> Result<K6Finished, EnvironmentError> {
    match read?.finish() {
        Ok(block) => Ok(K6Finished {
            exit_code: Some(block.exit_code),
            ended_by: match stopped_by {
                // Someone else's doing, of which only the cluster can tell.
                None if block.exit_code == exit::STOPPED_BY_SIGNAL => {
                    ended_badly(here, job, block.wall).await.ended_by
                }
                stopped_by => stopped_by,
            },
            wall: block.wall,
            cpu: block.cpu,
            max_rss_bytes: block.max_memory_bytes,
            summary: block.summary.ok_or("k6 wrote no summary".to_string()),
        }),
        Err(broken) => {
            let mut finished = ended_badly(here, job, started.elapsed()).await;
            if let Some(what) = stopped_by {
                finished.ended_by = Some(what);
            }
            finished.summary = Err(broken.to_string());
            Ok(finished)
        }
    }
}

/// How a Job ended whose log does not tell.
pub async fn ended_badly(here: &InNamespace, job: &str, wall: Duration) -> K6Finished {
    let over = here
        .until("k6's end", LAST_WORDS, |view| match outcome_of(view, job) {
            Some(_) => Progress::Done,
            None => Progress::Waiting("the Job is not over".into()),
        })
        .await;
    let outcome = outcome_of(&here.watch.view(), job);
    let (exit_code, why) = match (outcome, over) {
        (Some(JobOutcome::Complete { .. }), _) => (Some(0), "its own end".to_string()),
        (Some(JobOutcome::Failed(failure)), _) => (failure.exit_code, failure.words),
        (None, Err(err)) => (None, chain(&err)),
        (None, Ok(())) => (None, "its Job is gone".to_string()),
    };
    K6Finished {
        exit_code,
        ended_by: Some(why),
        wall,
        cpu: Duration::ZERO,
        max_rss_bytes: 0,
        summary: Err("k6 left no summary".into()),
    }
}
