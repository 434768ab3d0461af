//! Writing the load into a pod that waits for it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::job;
use crate::environment::EnvironmentError;
use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::retry::Pauses;
use crate::environment::kubernetes::watch::namespace::InNamespace;
use crate::k6::load::Load;

/// For writing the load into a pod, before it is tried again.
const HAND_OVER_ATTEMPT: Duration = Duration::from_secs(10);
/// How far apart clocks may be: a second of it is the resolution of the pod's.
const CLOCK_TOLERANCE_SECONDS: i64 = 2;

/// Writes the load into the waiting pod, in one step for who looks for it.
pub async fn hand_over(
    here: &InNamespace,
    pod: &str,
    load: &Load,
    limit: Duration,
) -> Result<(), EnvironmentError> {
    let text = serde_json::to_vec(load)
        .map_err(|err| EnvironmentError::Failed(format!("cannot write the load: {err}")))?;
    let began = Instant::now();
    let mut pauses = Pauses::default();
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
        pauses.pause_until(began + limit).await;
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
