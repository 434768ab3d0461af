//! A k6 run in the cluster, from its Job to its summary.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::DeleteParams;

use super::ending::{ended_badly, finished, outcome_of, pod_of};
use super::files::K6Files;
use super::follow::follow;
use super::frame::FrameReader;
use super::hand_over::hand_over;
use super::job::{self, K6Pod};
use crate::corpus::Corpus;
use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::create::create;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, Flavor};
use crate::environment::kubernetes::watch::conditions::job_pods_running;
use crate::environment::kubernetes::watch::namespace::WatchedNamespace;
use crate::environment::{EnvironmentError, K6Finished, K6Start};
use crate::k6::Run;
use crate::k6::load::Load;
use crate::profile::TraceProfile;

/// How long a pod waits for its load beyond what the run before it may take:
/// set-up, drain and the like.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// After k6 was told to stop: its grace period, and the way of its log to us.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The k6 Jobs of a namespace.
#[derive(Default)]
pub struct K6Jobs {
    /// Whose ConfigMaps are there.
    files: BTreeMap<TraceProfile, Arc<K6Files>>,
    /// The Job that waits for its load.
    waiting: BTreeMap<Run, String>,
    /// Jobs made so far.
    made: BTreeMap<Run, u32>,
}

impl K6Jobs {
    /// The files of the corpus; creates their ConfigMaps, if they are not there.
    pub async fn files(
        &mut self,
        namespace: &WatchedNamespace,
        blueprint: &Blueprint,
        corpus: &Corpus,
    ) -> Result<Arc<K6Files>, EnvironmentError> {
        if let Some(files) = self.files.get(&corpus.profile()) {
            return Ok(Arc::clone(files));
        }
        let files = Arc::new(K6Files::of(corpus));
        let maps = files.config_maps(blueprint);
        try_join_all(maps.iter().map(|map| create(&namespace.client, map))).await?;
        self.files.insert(corpus.profile(), Arc::clone(&files));
        Ok(files)
    }

    /// Creates the Jobs of runs that have none waiting, and waits until the pods
    /// of all run; there they wait for their load.
    pub async fn prepare(
        &mut self,
        namespace: &WatchedNamespace,
        blueprint: &Blueprint,
        corpus: &Corpus,
        runs: &[Run],
        limit: Duration,
    ) -> Result<(), EnvironmentError> {
        let files = self.files(namespace, blueprint, corpus).await?;
        for &run in runs {
            if self.waiting.contains_key(&run) {
                continue;
            }
            let made = self.made.entry(run).or_insert(0);
            *made += 1;
            let job = match *made {
                1 => format!("k6-{run}"),
                more => format!("k6-{run}-{more}"),
            };
            let pod = K6Pod {
                job: job.clone(),
                run,
                patience: blueprint.job_timeout + PATIENCE,
            };
            create(&namespace.client, &job::job(blueprint, &files, &pod)).await?;
            self.waiting.insert(run, job);
        }
        let named: Vec<&str> = runs.iter().map(|run| run.name()).collect();
        let what = format!("k6 pods ({})", named.join(", "));
        let jobs = runs.iter().filter_map(|run| self.waiting.get(run));
        let jobs: Vec<&str> = jobs.map(String::as_str).collect();
        namespace
            .until(&what, limit, |view| job_pods_running(view, &jobs))
            .await
    }

    /// Hands out the Jobs that wait for the load of `runs`.
    pub fn take(&mut self, runs: &[Run]) -> BTreeMap<Run, String> {
        runs.iter()
            .filter_map(|run| Some((*run, self.waiting.remove(run)?)))
            .collect()
    }
}

/// Deletes those of `jobs` that never got a load: their pods would wait on, and
/// keep the next ones from their node.
pub async fn delete_waiting(namespace: &WatchedNamespace, jobs: impl Iterator<Item = &String>) {
    let view = namespace.watch.view();
    let api: Api<Job> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let waits = |job: &&String| view.jobs.contains_key(*job) && outcome_of(&view, job).is_none();
    for job in jobs.filter(waits) {
        if let Err(err) = api.delete(job, &DeleteParams::background()).await {
            tracing::warn!("cannot delete job {job}: {}", words(&err));
        }
    }
}

/// Gives the Job of a run its load, follows its log, and returns how it ended.
/// `limit` is for the pod to take the load.
pub async fn run(
    namespace: &WatchedNamespace,
    blueprint: &Blueprint,
    job: &str,
    start: K6Start,
    limit: Duration,
) -> Result<K6Finished, EnvironmentError> {
    // One that failed while it waited says so at once, in its own words.
    let what = format!("k6 pods ({})", start.run);
    namespace
        .until(&what, limit, |view| job_pods_running(view, &[job]))
        .await?;
    let Some(pod) = pod_of(&namespace.watch.view(), job) else {
        // It was there a moment ago.
        return Ok(ended_badly(namespace, job, Duration::ZERO).await);
    };
    let started = Instant::now();
    let load = load_in_pod(blueprint, start.load, start.run);
    hand_over(namespace, &pod, &load, limit).await?;
    let following = follow(namespace, &pod, &start.log);
    tokio::pin!(following);
    let stopped_by = tokio::select! {
        read = &mut following => {
            return finished(namespace, job, read, None, started).await;
        }
        signal = namespace.interrupt.wait() => signal.to_string(),
        () = tokio::time::sleep(start.timeout) => {
            format!("the time limit of {}", crate::units::Pretty(start.timeout))
        }
    };
    // The pod gets its grace period, and k6 writes its summary in it.
    let jobs: Api<Job> = Api::namespaced(namespace.client.clone(), &namespace.name);
    if let Err(err) = jobs.delete(job, &DeleteParams::background()).await {
        tracing::warn!("cannot delete job {job}: {}", words(&err));
    }
    let read = match tokio::time::timeout(STOP_LIMIT, following).await {
        Ok(read) => read,
        Err(_) => Ok(FrameReader::default()),
    };
    finished(namespace, job, read, Some(stopped_by), started).await
}

/// What the script is told there: paths within the pod, and the token that the
/// gateway asks for.
fn load_in_pod(blueprint: &Blueprint, load: Load, run: Run) -> Load {
    Load {
        corpus_dir: job::corpus_dir(),
        summary_path: job::summary_file(),
        bearer_token_file: (run.asks() && blueprint.flavor == Flavor::OpenShift)
            .then(|| job::TOKEN_FILE.into()),
        ..load
    }
}
