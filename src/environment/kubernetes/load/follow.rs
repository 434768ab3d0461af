//! Following the log of a k6 pod, over broken connections.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use futures::io::AsyncBufReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use kube::runtime::utils::Backoff as _;

use super::ending::{LAST_WORDS, container_ended};
use super::frame::FrameReader;
use super::log::Position;
use crate::environment::EnvironmentError;
use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::retry::Pauses;
use crate::environment::kubernetes::watch::namespace::InNamespace;

/// A log that gave nothing new so often, after its container had ended, is read.
const QUIET_READS: u32 = 3;

/// Writes the container's log to `path` as it comes, from its first line to the
/// frame at its end, over broken connections; an error is one of the file.
pub async fn follow(
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
    let mut pauses = Pauses::default();
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
                        quiet_reads = 0;
                        pauses.reset();
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
        pauses.pause().await;
    }
}
