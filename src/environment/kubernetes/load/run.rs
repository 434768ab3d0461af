//! A k6 run in the cluster, from its Job to its summary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::DeleteParams;

use super::ending::{ended_badly, finished, pod_of};
use super::files::K6Files;
use super::follow::follow;
use super::frame::FrameReader;
use super::hand_over::hand_over;
use super::job::{self, K6Pod};
use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::create::create;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, Flavor};
use crate::environment::kubernetes::watch::conditions::job_pods_running;
use crate::environment::kubernetes::watch::namespace::InNamespace;
use crate::environment::{EnvironmentError, K6Finished, K6Start};
use crate::k6::Run;
use crate::k6::load::Load;
use crate::profile::TraceProfile;

/// How long a pod waits for its load beyond what the run before it may take:
/// set-up, drain and the like.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// After k6 was told to stop: its grace period, and the way of its log to us.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The k6 Jobs of a run.
#[derive(Debug)]
pub struct K6Jobs {
    /// Of the corpus that the next runs send.
    files: Mutex<Arc<K6Files>>,
    /// Whose ConfigMaps are there.
    created: Mutex<BTreeSet<TraceProfile>>,
    /// The Job that waits for its load.
    waiting: Mutex<BTreeMap<Run, String>>,
    /// Jobs made so far.
    made: Mutex<BTreeMap<Run, u32>>,
}

impl K6Jobs {
    pub fn new(files: K6Files) -> Self {
        Self {
            files: Mutex::new(Arc::new(files)),
            created: Mutex::default(),
            waiting: Mutex::default(),
            made: Mutex::default(),
        }
    }

    pub fn files(&self) -> Arc<K6Files> {
        Arc::clone(&self.files.lock().expect("no holder panics"))
    }

    /// Takes another corpus for the Jobs that are made from now on.
    pub fn adopt(&self, files: K6Files) {
        *self.files.lock().expect("no holder panics") = Arc::new(files);
    }

    /// Creates the ConfigMaps of the corpus, if they are not there.
    pub async fn create_files(
        &self,
        here: &InNamespace,
        blueprint: &Blueprint,
    ) -> Result<Arc<K6Files>, EnvironmentError> {
        let files = self.files();
        let profile = files.trace_profile();
        let there = |created: &BTreeSet<TraceProfile>| created.contains(&profile);
        if !there(&self.created.lock().expect("no holder panics")) {
            let maps = files.config_maps(blueprint);
            try_join_all(maps.iter().map(|map| create(&here.client, map))).await?;
            self.created
                .lock()
                .expect("no holder panics")
                .insert(profile);
        }
        Ok(files)
    }

    /// Creates the Jobs of runs that have none waiting; their pods start and wait.
    pub async fn create(
        &self,
        here: &InNamespace,
        blueprint: &Blueprint,
        runs: &[Run],
    ) -> Result<(), EnvironmentError> {
        let files = self.create_files(here, blueprint).await?;
        for run in runs {
            if self
                .waiting
                .lock()
                .expect("no holder panics")
                .contains_key(run)
            {
                continue;
            }
            let number = {
                let mut made = self.made.lock().expect("no holder panics");
                let count = made.entry(*run).or_insert(0);
                *count += 1;
                *count
            };
            let job = match number {
                1 => format!("k6-{run}"),
                more => format!("k6-{run}-{more}"),
            };
            let pod = K6Pod {
                job: job.clone(),
                run: *run,
                patience: blueprint.job_timeout + PATIENCE,
            };
            create(&here.client, &job::job(blueprint, &files, &pod)).await?;
            self.waiting
                .lock()
                .expect("no holder panics")
                .insert(*run, job);
        }
        Ok(())
    }

    /// Waits until the pods of `runs` run, creating what is not there yet.
    pub async fn prepare(
        &self,
        here: &InNamespace,
        blueprint: &Blueprint,
        runs: &[Run],
        limit: Duration,
    ) -> Result<(), EnvironmentError> {
        self.create(here, blueprint, runs).await?;
        let jobs: Vec<String> = {
            let waiting = self.waiting.lock().expect("no holder panics");
            runs.iter()
                .filter_map(|run| waiting.get(run).cloned())
                .collect()
        };
        let named: Vec<&str> = runs.iter().map(|run| run.name()).collect();
        let what = format!("k6 pods ({})", named.join(", "));
        let names: Vec<&str> = jobs.iter().map(String::as_str).collect();
        here.until(&what, limit, |view| job_pods_running(view, &names))
            .await
    }

    /// Gives a run its load, follows its log, and returns how it ended.
    pub async fn run(
        &self,
        here: &InNamespace,
        blueprint: &Blueprint,
        start: K6Start,
        limit: Duration,
    ) -> Result<K6Finished, EnvironmentError> {
        self.prepare(here, blueprint, &[start.run], limit).await?;
        let job = self
            .waiting
            .lock()
            .expect("no holder panics")
            .remove(&start.run)
            .unwrap_or_default();
        let Some(pod) = pod_of(&here.watch.view(), &job) else {
            // It was there a moment ago.
            return Ok(ended_badly(here, &job, Duration::ZERO).await);
        };
        let started = Instant::now();
        hand_over(
            here,
            &pod,
            &load_in_pod(blueprint, start.load, start.run),
            limit,
        )
        .await?;
        let following = follow(here, &pod, &start.log);
        tokio::pin!(following);
        let stopped_by = tokio::select! {
            read = &mut following => {
                return finished(here, &job, read, None, started).await;
            }
            signal = here.interrupt.wait() => signal.to_string(),
            () = tokio::time::sleep(start.timeout) => {
                format!("the time limit of {}", crate::units::Pretty(start.timeout))
            }
        };
        // The pod gets its grace period, and k6 writes its summary in it.
        let jobs: Api<Job> = Api::namespaced(here.client.clone(), &here.namespace);
        if let Err(err) = jobs.delete(&job, &DeleteParams::background()).await {
            tracing::warn!("cannot delete job {job}: {}", words(&err));
        }
        let read = match tokio::time::timeout(STOP_LIMIT, following).await {
            Ok(read) => read,
            Err(_) => Ok(FrameReader::default()),
        };
        finished(here, &job, read, Some(stopped_by), started).await
    }
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
