//! What a namespace leaves behind for those who ask why: logs of every
//! container, events, and the objects with their states.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::names::{COLLECTOR_COMPONENT, COMPONENT_LABEL, K6};
use crate::environment::kubernetes::watch::conditions::{Progress, pod_trouble};
use crate::environment::kubernetes::watch::namespace::WatchedNamespace;
use crate::environment::kubernetes::watch::pods;
use crate::environment::kubernetes::watch::view::{Objects, View, last_time};
use crate::environment::{EnvironmentError, failed};
use crate::error_chain::chain;
use crate::report::OutputDir;

/// Lines of a failing container's log that go into an error.
const LAST_LINES: i64 = 8;
/// A container's log is kept to its last part of so many lines.
const LOG_LINES: i64 = 200_000;
/// A kubelet that does not answer must not hold up the teardown.
const LOG_LIMIT: Duration = Duration::from_secs(30);

/// Writes logs, events and objects to the output directory.
pub async fn collect(
    namespace: &WatchedNamespace,
    output: &OutputDir,
) -> Result<Vec<PathBuf>, EnvironmentError> {
    let view = namespace.watch.view();
    let mut written = Vec::new();
    let mut failures = Vec::new();
    let reads = view.pods.values().flat_map(|pod| {
        containers(pod)
            .into_iter()
            .map(move |container| read_log(namespace, pod.name_any(), container))
    });
    let logs = join_all(reads).await;
    for (pod, container, log) in logs {
        let component = view.pods.get(&pod).and_then(|pod| component_of(pod));
        // Logs of k6 are files of their own, written as they came.
        let Some(component) = component.filter(|name| name != K6) else {
            continue;
        };
        match log {
            Ok(text) => {
                let instance = format!("{pod}.{container}");
                let path = output
                    .component_log(&component, Some(&instance))
                    .map_err(|err| failed(chain(&err)))?;
                std::fs::write(&path, text)
                    .map_err(|err| failed(format!("cannot write {}: {err}", path.display())))?;
                written.push(path);
            }
            Err(why) => failures.push(why),
        }
    }
    for why in failures {
        tracing::warn!("a log is missing: {why}");
    }
    for (path, value) in [
        (output.kubernetes_events(), events(&view)),
        (output.kubernetes_objects(), objects(&view)),
    ] {
        output
            .write_json(&path, &value)
            .map_err(|err| failed(chain(&err)))?;
        written.push(path);
    }
    Ok(written)
}

fn containers(pod: &Pod) -> Vec<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.map(|container| container.name.clone()).collect()
}

async fn read_log(
    namespace: &WatchedNamespace,
    pod: String,
    container: String,
) -> (String, String, Result<String, String>) {
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let params = |previous| LogParams {
        container: Some(container.clone()),
        previous,
        tail_lines: Some(LOG_LINES),
        ..LogParams::default()
    };
    // Of a container that was started again, what it said before is what counts.
    let reading = async {
        let earlier = pods.logs(&pod, &params(true)).await.ok();
        match pods.logs(&pod, &params(false)).await {
            Ok(now) => Ok(match earlier {
                Some(earlier) => format!("{earlier}\n--- started again ---\n{now}"),
                None => now,
            }),
            Err(err) => earlier.ok_or_else(|| format!("pod {pod}: {}", words(&err))),
        }
    };
    let log = match tokio::time::timeout(LOG_LIMIT, reading).await {
        Ok(log) => log,
        Err(_) => Err(format!(
            "pod {pod}: no answer within {} s",
            LOG_LIMIT.as_secs()
        )),
    };
    (pod, container, log)
}

/// The name under which a pod's log is filed.
fn component_of(pod: &Pod) -> Option<String> {
    if let Some(ours) = pod.labels().get(COMPONENT_LABEL) {
        return Some(ours.clone());
    }
    match pods::component_of(pod)? {
        COLLECTOR_COMPONENT => Some("otelcol".into()),
        other => Some(other.to_string()),
    }
}

/// Oldest first.
fn events(view: &View) -> Value {
    let mut events: Vec<_> = view.events.values().collect();
    events.sort_by_key(|event| last_time(event));
    let each = events.into_iter().map(|event| {
        json!({
            "time": last_time(event).map(|time| time.to_string()),
            "type": event.type_,
            "object": format!(
                "{} {}",
                event.involved_object.kind.clone().unwrap_or_default(),
                event.involved_object.name.clone().unwrap_or_default()
            ),
            "reason": event.reason,
            "message": event.message,
            "count": event.count,
        })
    });
    Value::Array(each.collect())
}

/// Custom resources, workloads and pods as they were last seen. Secrets are not
/// among them: of those only the names are ever read.
fn objects(view: &View) -> Value {
    fn all<K: serde::Serialize>(objects: &Objects<K>) -> Vec<Value> {
        objects
            .values()
            .filter_map(|object| serde_json::to_value(object.as_ref()).ok())
            .map(without_managed_fields)
            .collect()
    }
    let tempo = [all(&view.tempo_monolithics), all(&view.tempo_stacks)].concat();
    json!({
        "tempo": tempo,
        "collectors": all(&view.collectors),
        "deployments": all(&view.deployments),
        "statefulsets": all(&view.stateful_sets),
        "jobs": all(&view.jobs),
        "persistentvolumeclaims": all(&view.claims),
        "pods": all(&view.pods),
    })
}

fn without_managed_fields(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

/// What the containers that fail said last, for an error's text; empty when none
/// does.
pub async fn last_words(namespace: &WatchedNamespace) -> String {
    let view = namespace.watch.view();
    let failing = view.pods.values().filter(|pod| {
        matches!(
            pod_trouble(pod),
            Some(Progress::Failed(_) | Progress::Stuck(_))
        )
    });
    let mut said = String::new();
    for pod in failing {
        let name = pod.name_any();
        for container in containers(pod) {
            let text = tail(namespace, &name, &container).await;
            if !text.is_empty() {
                said.push_str(&format!("\nlast words of {name}, {container}:\n{text}"));
            }
        }
    }
    said
}

async fn tail(namespace: &WatchedNamespace, pod: &str, container: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), &namespace.name);
    for previous in [true, false] {
        let params = LogParams {
            container: Some(container.to_string()),
            previous,
            tail_lines: Some(LAST_LINES),
            ..LogParams::default()
        };
        match pods.logs(pod, &params).await {
            Ok(text) if !text.trim().is_empty() => return text.trim_end().to_string(),
            Ok(_) => {}
            Err(err) => tracing::debug!("log of {pod}, {container}: {}", words(&err)),
        }
    }
    String::new()
}
