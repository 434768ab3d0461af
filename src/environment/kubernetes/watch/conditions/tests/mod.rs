//! The conditions on recorded objects, and on what is made of them for states
//! that were not recorded.

mod collector;
mod jobs;
mod pods;
mod restarts;
mod tempo;
mod workloads;

use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use rstest::rstest;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Progress;
use crate::environment::kubernetes::clean_up::tear_down::hangs_on;
use crate::environment::kubernetes::cluster::deletion::StillThere;
use crate::environment::kubernetes::watch::view::{Objects, View};

/// Objects of a namespace, to be changed and then looked at.
#[derive(Debug, Clone, Default)]
struct Scene {
    objects: Vec<Value>,
}

impl Scene {
    /// The objects of these recordings.
    fn of(files: &[&str]) -> Self {
        let scene = Scene::default();
        files.iter().fold(scene, |scene, file| scene.with(file))
    }

    fn with(self, file: &str) -> Self {
        self.with_renamed(file, &[])
    }

    /// With these texts replaced wherever they stand in the recording.
    fn with_renamed(mut self, file: &str, renames: &[(&str, &str)]) -> Self {
        let mut text = recording(file);
        for (from, to) in renames {
            assert!(text.contains(from), "{file} must contain {from}");
            text = text.replace(from, to);
        }
        let document: Value = serde_yaml::from_str(&text).unwrap();
        match document.get("items") {
            Some(Value::Array(items)) => self.objects.extend(items.iter().cloned()),
            _ => self.objects.push(document),
        }
        self
    }

    fn with_object(mut self, object: Value) -> Self {
        self.objects.push(object);
        self
    }

    /// An event about the object of this kind and name, which must be there.
    fn with_event(mut self, about: (&str, &str), type_: &str, reason: &str, message: &str) -> Self {
        let (kind, name) = about;
        let uid = self.find(kind, name)["metadata"]["uid"].clone();
        let number = self.objects.len();
        self.objects.push(json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": format!("{name}.{number}"), "namespace": "tempo-perf-a"},
            "involvedObject": {"kind": kind, "name": name, "uid": uid},
            "lastTimestamp": "2026-11-23T03:00:00Z",
            "type": type_,
            "reason": reason,
            "message": message,
        }));
        self
    }

    /// With `value` at a JSON pointer of an object.
    fn set(mut self, object: (&str, &str), pointer: &str, value: Value) -> Self {
        set(self.find(object.0, object.1), pointer, value);
        self
    }

    fn without(mut self, object: (&str, &str)) -> Self {
        self.find(object.0, object.1);
        self.objects.retain(|each| !is(each, object.0, object.1));
        self
    }

    /// With all Deployments and StatefulSets as they are once they are ready.
    fn all_ready(mut self) -> Self {
        for object in &mut self.objects {
            if matches!(object["kind"].as_str(), Some("Deployment" | "StatefulSet")) {
                set(object, "/status/readyReplicas", json!(1));
            }
        }
        self
    }

    fn find(&mut self, kind: &str, name: &str) -> &mut Value {
        let mut objects = self.objects.iter_mut();
        objects
            .find(|object| is(object, kind, name))
            .unwrap_or_else(|| panic!("no {kind} {name} in the scene"))
    }

    fn view(&self) -> View {
        let view = View {
            pods: self.kind("Pod"),
            deployments: self.kind("Deployment"),
            stateful_sets: self.kind("StatefulSet"),
            jobs: self.kind("Job"),
            events: self.kind("Event"),
            claims: self.kind("PersistentVolumeClaim"),
            tempo_monolithics: self.kind("TempoMonolithic"),
            tempo_stacks: self.kind("TempoStack"),
            collectors: self.kind("OpenTelemetryCollector"),
            ..View::default()
        };
        let taken = view.pods.len()
            + view.deployments.len()
            + view.stateful_sets.len()
            + view.jobs.len()
            + view.events.len()
            + view.claims.len()
            + view.tempo_monolithics.len()
            + view.tempo_stacks.len()
            + view.collectors.len();
        assert_eq!(
            taken,
            self.objects.len(),
            "every object must be in the view once"
        );
        view
    }

    fn kind<K: DeserializeOwned + ResourceExt>(&self, kind: &str) -> Objects<K> {
        let objects = self.objects.iter().filter(|each| each["kind"] == kind);
        let objects = objects.map(|object| {
            let object = K::deserialize(object).unwrap();
            (object.name_any(), Arc::new(object))
        });
        Arc::new(objects.collect())
    }
}

fn is(object: &Value, kind: &str, name: &str) -> bool {
    object["kind"] == kind && object["metadata"]["name"] == name
}

fn recording(file: &str) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kubernetes-recordings");
    let path = directory.join(format!("{file}.yaml"));
    std::fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn object<K: DeserializeOwned>(file: &str) -> K {
    serde_yaml::from_str(&recording(file)).unwrap()
}

/// Maps on the way are made where there are none.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for key in pointer.trim_start_matches('/').split('/') {
        let key = key.replace("~1", "/");
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        at = match at {
            Value::Array(items) => &mut items[key.parse::<usize>().unwrap()],
            other => &mut other[key.as_str()],
        };
    }
    *at = value;
}

/// For instance "Stuck: claim minio: …".
fn words(progress: Option<Progress>) -> String {
    match progress {
        None => "nothing".to_owned(),
        Some(Progress::Done) => "Done".to_owned(),
        Some(Progress::Waiting(text)) => format!("Waiting: {text}"),
        Some(Progress::Stuck(text)) => format!("Stuck: {text}"),
        Some(Progress::Failed(text)) => format!("Failed: {text}"),
    }
}

#[rstest]
#[case::just_deleted(
    "namespace-terminating-normal",
    "it is Terminating, and says nothing of what it waits for"
)]
#[case::webhook_unreachable(
    "namespace-terminating-operator-down",
    "Failed to \
     delete all resource types, 1 remaining: Internal error occurred: failed calling \
     webhook \"vtempomonolithic.kb.io\": failed to call webhook: Post \
     \"https://tempo-operator-webhook-service.tempo-operator-system.svc:443/validate-tempo-grafana-com-v1alpha1-tempomonolithic?timeout=10s\": \
     dial tcp 10.96.131.45:443: connect: connection refused"
)]
fn what_a_namespace_hangs_on(#[case] file: &str, #[case] expected: &str) {
    let still = StillThere {
        last: Some(object::<Namespace>(file)),
        error: None,
    };
    assert_eq!(hangs_on(&still), expected);
}

#[test]
fn of_several_troubles_the_worst_speaks_and_its_like_are_counted() {
    let waiting = || Progress::Waiting("pod a: Pending".to_owned());
    let stuck = |name: &str| Progress::Stuck(format!("pod {name}: forbidden"));
    assert_eq!(
        words(Progress::most_serious([
            waiting(),
            stuck("b"),
            waiting(),
            stuck("c")
        ])),
        "Stuck: pod b: forbidden (and 1 more like it)"
    );
    assert_eq!(
        words(Progress::most_serious([Progress::Done, waiting()])),
        "Waiting: pod a: Pending"
    );
    assert_eq!(words(Progress::most_serious([])), "nothing");
}
