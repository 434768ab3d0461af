//! A k6 run in the cluster, from its Job to its summary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use futures::io::AsyncBufReadExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{AttachParams, DeleteParams, LogParams};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::files::K6Files;
use super::frame::FrameReader;
use super::job::{self, K6Pod};
use super::log::Position;
use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::create::create;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, Flavor};
use crate::environment::kubernetes::watch::conditions::{
    JobOutcome, Progress, job_outcome, job_pods_running,
};
use crate::environment::kubernetes::watch::namespace::InNamespace;
use crate::environment::kubernetes::watch::view::View;
use crate::environment::{EnvironmentError, K6Finished, K6Start};
use crate::k6::load::Load;
use crate::k6::{Run, exit};
use crate::profile::TraceProfile;

/// How long a pod waits for its load beyond what the run before it may take:
/// set-up, drain and the like.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// After k6 was told to stop: its grace period, and the way of its log to us.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// After a container ended: until its last lines and its state are there.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// For writing the load into a pod, before it is tried again.
const HAND_OVER_ATTEMPT: Duration = Duration::from_secs(10);
/// How far apart clocks may be: a second of it is the resolution of the pod's.
const CLOCK_TOLERANCE_SECONDS: i64 = 2;
/// A log that gave nothing new so often, after its container had ended, is read.
const QUIET_READS: u32 = 3;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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

/// Name of the pod that the Job `job` has made.
pub(super) fn pod_of(view: &View, job: &str) -> Option<String> {
    let job = view.jobs.get(job)?;
    view.pods_of(job.as_ref())
        .next()
        .and_then(|pod| pod.metadata.name.clone())
}

/// How the Job `job` ended; none while it has not.
pub(super) fn outcome_of(view: &View, job: &str) -> Option<JobOutcome> {
    let job = view.jobs.get(job)?;
    let pods: Vec<_> = view.pods_of(job.as_ref()).cloned().collect();
    job_outcome(job, &pods)
}

/// Whether nothing more will be written to the log of the pod's container.
pub(super) fn container_ended(view: &View, pod: &str) -> bool {
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

/// Writes the load into the waiting pod, in one step for who looks for it.
async fn hand_over(
    here: &InNamespace,
    pod: &str,
    load: &Load,
    limit: Duration,
) -> Result<(), EnvironmentError> {
    let text = serde_json::to_vec(load)
        .map_err(|err| EnvironmentError::Failed(format!("cannot write the load: {err}")))?;
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let asked = Timestamp::now();
        let writing = tokio::time::timeout(HAND_OVER_ATTEMPT, write_file(here, pod, &text));
        let why = tokio::select! {
            signal = here.interrupt.wait() => return Err(EnvironmentError::Interrupted(signal)),
            written = writing => match written {
                Ok(Ok(pod_clock)) => {
                    return same_time(pod, pod_clock, asked, Timestamp::now())
                        .map_err(EnvironmentError::Failed);
                }
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {} s", HAND_OVER_ATTEMPT.as_secs()),
            },
        };
        let gone = !here.watch.view().pods.contains_key(pod);
        if gone || began.elapsed() > limit {
            return Err(EnvironmentError::Failed(format!(
                "pod {pod}: cannot hand over the load: {why}"
            )));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Both k6 start at an instant of this machine's clock, and the window of all
/// checks follows from it: a node with another time would be measured wrongly.
/// `pod_clock` is in whole Unix seconds, read between `asked` and `answered`.
fn same_time(
    pod: &str,
    pod_clock: i64,
    asked: Timestamp,
    answered: Timestamp,
) -> Result<(), String> {
    let behind = asked.as_second() - (pod_clock + 1);
    let ahead = pod_clock - answered.as_second();
    let (off, how) = if ahead > behind {
        (ahead, "ahead of")
    } else {
        (behind, "behind")
    };
    if off <= CLOCK_TOLERANCE_SECONDS {
        return Ok(());
    }
    Err(format!(
        "the clock of the node of pod {pod} is {off} s {how} this machine's; the load starts at \
         one instant and is judged over a window of time, so set both by NTP"
    ))
}

/// Returns the pod's clock, in Unix seconds.
async fn write_file(here: &InNamespace, pod: &str, text: &[u8]) -> Result<i64, String> {
    const SCRIPT: &str = "mkdir -p \"$1\" && head -c \"$2\" >\"$3.part\" && \
                          mv \"$3.part\" \"$3\" && date +%s";
    let file = job::load_file().display().to_string();
    let bytes = text.len().to_string();
    let command = ["sh", "-c", SCRIPT, "sh", job::RUN_DIR, &bytes, &file];
    let pods: Api<Pod> = Api::namespaced(here.client.clone(), &here.namespace);
    let params = AttachParams::default()
        .container("k6")
        .stdin(true)
        .stdout(true)
        .stderr(true);
    let mut process = pods
        .exec(pod, command, &params)
        .await
        .map_err(|err| words(&err))?;
    let status = process.take_status();
    let mut stderr = process.stderr();
    let mut stdout = process.stdout().ok_or("exec without standard output")?;
    let mut stdin = process.stdin().ok_or("exec without standard input")?;
    stdin
        .write_all(text)
        .await
        .and(stdin.flush().await)
        .map_err(|err| err.to_string())?;
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    match status {
        Some(status) if status.status.as_deref() == Some("Success") => {
            let mut clock = String::new();
            stdout
                .read_to_string(&mut clock)
                .await
                .map_err(|err| err.to_string())?;
            let clock = clock.trim();
            clock
                .parse()
                .map_err(|_| format!("the pod tells no time, but {clock:?}"))
        }
        Some(status) => {
            let mut said = String::new();
            if let Some(stderr) = &mut stderr {
                // The status counts; this only explains it.
                let _ = stderr.read_to_string(&mut said).await;
            }
            Err(format!(
                "{} {}",
                status.message.unwrap_or_default(),
                said.trim()
            ))
        }
        None => Err("exec ended without a status".into()),
    }
}

/// Writes the container's log to `path` as it comes, from its first line to the
/// frame at its end, over broken connections; an error is one of the file.
async fn follow(
    here: &InNamespace,
    pod: &str,
    path: &Path,
) -> Result<FrameReader, EnvironmentError> {
    let failed = |err: std::io::Error| {
        EnvironmentError::Failed(format!("cannot write {}: {err}", path.display()))
    };
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(failed)?;
    let pods: Api<Pod> = Api::namespaced(here.client.clone(), &here.namespace);
    let mut position = Position::default();
    let mut frame = FrameReader::default();
    let mut pause = FIRST_PAUSE;
    let mut over_since: Option<Instant> = None;
    let mut quiet_reads = 0;
    loop {
        // Asked before the log is read: what was over then has no more to say.
        let over = container_ended(&here.watch.view(), pod);
        let params = LogParams {
            container: Some("k6".into()),
            follow: true,
            timestamps: true,
            since_time: position.resume(),
            ..LogParams::default()
        };
        match pods.log_stream(pod, &params).await {
            Ok(stream) => {
                quiet_reads += 1;
                let mut lines = std::pin::pin!(stream);
                let mut line = Vec::new();
                loop {
                    line.clear();
                    match lines.read_until(b'\n', &mut line).await {
                        Ok(0) => break,
                        Ok(_) => {}
                        Err(err) => {
                            tracing::debug!("log of {pod}: {err}");
                            break;
                        }
                    }
                    // A line that the connection cut off comes again.
                    let Some(whole) = line.strip_suffix(b"\n") else {
                        break;
                    };
                    let text = String::from_utf8_lossy(whole);
                    if let Some(text) = position.take(&text)
                        && let Some(text) = frame.take(text)
                    {
                        writeln!(file, "{text}").map_err(failed)?;
                        (quiet_reads, pause) = (0, FIRST_PAUSE);
                    }
                    if frame.is_complete() {
                        return Ok(frame);
                    }
                }
            }
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(frame),
            Err(err) => tracing::debug!("log of {pod}: {}", words(&err)),
        }
        if over {
            let since = over_since.get_or_insert_with(Instant::now);
            // The kubelet may still be writing; and a read that failed says nothing.
            if since.elapsed() > LAST_WORDS || quiet_reads >= QUIET_READS {
                return Ok(frame);
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn finished(
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
async fn ended_badly(here: &InNamespace, job: &str, wall: Duration) -> K6Finished {
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
        (None, Err(err)) => (None, crate::error_chain::chain(&err)),
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::same(1000, None)]
    #[case::answer_took_a_while(1003, None)]
    #[case::just_tolerable(1007, None)]
    #[case::ahead(1009, Some("4 s ahead of"))]
    #[case::behind(990, Some("9 s behind"))]
    fn a_node_with_another_time_is_refused(#[case] pod_clock: i64, #[case] expected: Option<&str>) {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let found = same_time("k6-query-x", pod_clock, at(1000), at(1005));
        match (found, expected) {
            (Ok(()), None) => {}
            (Err(why), Some(words)) => assert!(why.contains(words), "{why}"),
            (found, expected) => panic!("expected {expected:?}, found {found:?}"),
        }
    }
}
