//! A Kubernetes API server without controllers: a map from paths to objects, with
//! uids, deletion preconditions and finalizers. It cannot watch, and says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempo_perf::environment::kubernetes::holder::process::{HOLDER_ANNOTATION, Holder};

type Interference = Box<dyn FnOnce(&mut Objects) + Send>;

#[derive(Default)]
pub struct Objects {
    by_path: BTreeMap<String, Value>,
    deleted: Vec<String>,
    made: u64,
    /// Whether every other request is refused, and whether the next one is.
    flaky: bool,
    refuses: bool,
    /// What another client does right after a path was read.
    interference: Option<(String, Interference)>,
}

pub struct FakeApi {
    objects: Arc<Mutex<Objects>>,
    client: kube::Client,
}

impl FakeApi {
    /// Serves on a port of its own until the test's runtime ends.
    pub async fn start() -> Self {
        tempo_perf::metrics::install_tls_provider();
        let objects = Arc::new(Mutex::new(Objects::default()));
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&objects));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let url = format!("http://{address}").parse().expect("a URL");
        let mut config = kube::Config::new(url);
        // So that our own retries are seen, not the client's.
        config.default_retry = false;
        Self {
            objects,
            client: kube::Client::try_from(config).expect("a client without TLS"),
        }
    }

    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Adds an object to a collection, as a client would.
    pub fn put(&self, collection: &str, object: Value) {
        self.lock().create(collection, object);
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.lock().by_path.get(path).cloned()
    }

    /// Paths of the deletions that were accepted, in their order.
    pub fn deleted(&self) -> Vec<String> {
        self.lock().deleted.clone()
    }

    /// From now on every other request is answered with 503.
    pub fn be_flaky(&self) {
        self.lock().flaky = true;
    }

    /// Once `path` has been read, another client acts.
    pub fn after_reading(&self, path: &str, act: impl FnOnce(&mut Objects) + Send + 'static) {
        self.lock().interference = Some((path.to_owned(), Box::new(act)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Objects> {
        self.objects.lock().expect("no handler panics")
    }
}

impl Objects {
    /// Removes a namespace with all that is in it, as its deletion does in the end.
    pub fn drop_namespace(&mut self, name: &str) {
        self.remove(&format!("/api/v1/namespaces/{name}"));
        self.deleted.clear();
    }

    pub fn create(&mut self, collection: &str, mut object: Value) -> Option<Value> {
        let name = object["metadata"]["name"].as_str()?.to_owned();
        let path = format!("{collection}/{name}");
        if self.by_path.contains_key(&path) {
            return None;
        }
        self.made += 1;
        object["metadata"]["uid"] = json!(format!("uid-{}", self.made));
        object["metadata"]["resourceVersion"] = json!("1");
        self.by_path.insert(path, object.clone());
        Some(object)
    }

    /// Objects directly below a collection that match `labelSelector`.
    fn list(&self, collection: &str, query: &str) -> Value {
        let selector: Vec<(String, Option<String>)> = url::form_urlencoded::parse(query.as_bytes())
            .filter(|(key, _)| key == "labelSelector")
            .flat_map(|(_, value)| value.split(',').map(str::to_owned).collect::<Vec<_>>())
            .map(|term| match term.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (term, None),
            })
            .collect();
        let matches = |object: &Value| {
            selector.iter().all(|(key, value)| {
                let label = object["metadata"]["labels"][key].as_str();
                label.is_some() && value.as_deref().is_none_or(|value| label == Some(value))
            })
        };
        let items: Vec<&Value> = self
            .by_path
            .iter()
            .filter(|(path, _)| {
                path.strip_prefix(collection)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .is_some_and(|name| !name.contains('/'))
            })
            .map(|(_, object)| object)
            .filter(|object| matches(object))
            .collect();
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
    }

    fn delete(&mut self, path: &str, body: &Value) -> Response {
        let Some(object) = self.by_path.get_mut(path) else {
            return refusal(404, "NotFound");
        };
        let uid = &body["preconditions"]["uid"];
        assert!(uid.is_string(), "{path} must be deleted by uid, not {body}");
        if *uid != object["metadata"]["uid"] {
            return refusal(409, "Conflict");
        }
        let held = object["metadata"]["finalizers"].as_array();
        if held.is_some_and(|finalizers| !finalizers.is_empty()) {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            return success(object.clone());
        }
        self.remove(path);
        success(json!({"kind": "Status", "status": "Success"}))
    }

    /// Removes an object, and all that is in it if it is a namespace.
    fn remove(&mut self, path: &str) {
        self.deleted.push(path.to_owned());
        self.by_path.remove(path);
        if let Some(namespace) = path.strip_prefix("/api/v1/namespaces/") {
            let inside = format!("/namespaces/{namespace}/");
            self.by_path.retain(|path, _| !path.contains(&inside));
        }
    }

    /// A merge patch of finalizers, which is all that is patched here.
    fn patch(&mut self, path: &str, body: &Value) -> Response {
        let Some(object) = self.by_path.get_mut(path) else {
            return refusal(404, "NotFound");
        };
        if body["metadata"]["uid"] != object["metadata"]["uid"] {
            return refusal(409, "Conflict");
        }
        object["metadata"]["finalizers"] = body["metadata"]["finalizers"].clone();
        let object = object.clone();
        if object["metadata"]["deletionTimestamp"].is_string() {
            self.remove(path);
        }
        success(object)
    }
}

async fn answer(
    State(objects): State<Arc<Mutex<Objects>>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let mut objects = objects.lock().expect("no handler panics");
    objects.refuses = objects.flaky && !objects.refuses;
    if objects.refuses {
        return refusal(503, "ServiceUnavailable");
    }
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if query.contains("watch=") || query.contains("fieldSelector=") {
        return refusal(403, "Forbidden");
    }
    let answer = match method {
        Method::GET => match objects.by_path.get(path) {
            Some(object) => success(object.clone()),
            None if is_collection(path) => success(objects.list(path, query)),
            None => refusal(404, "NotFound"),
        },
        Method::POST => match objects.create(path, body) {
            Some(object) => success(object),
            None => refusal(409, "AlreadyExists"),
        },
        Method::DELETE => objects.delete(path, &body),
        Method::PATCH => objects.patch(path, &body),
        _ => refusal(405, "MethodNotAllowed"),
    };
    if let Some((_, act)) = objects.interference.take_if(|(it, _)| it == path) {
        act(&mut objects);
    }
    answer
}

/// A path that ends with a plural: `/api/v1/x`, `/apis/group/v1/x`, either with
/// `/namespaces/n` before it.
fn is_collection(path: &str) -> bool {
    let mut rest: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let root = if rest.first() == Some(&"api") { 2 } else { 3 };
    rest.drain(..root.min(rest.len()));
    rest.len() == 1 || (rest.len() == 3 && rest[0] == "namespaces")
}

fn success(object: Value) -> Response {
    json_body(&object).into_response()
}

fn refusal(code: u16, reason: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": format!("the fake says {reason}"), "reason": reason, "code": code,
    });
    let code = StatusCode::from_u16(code).expect("a known status");
    (code, json_body(&body)).into_response()
}

fn json_body(value: &Value) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], value.to_string())
}

/// A namespace of a run, or of nobody.
pub fn namespace(name: &str, run: Option<u32>, holder: Option<&Holder>) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(run) = run {
        metadata["labels"] = json!({"tempo-perf/run": run.to_string()});
    }
    if let Some(holder) = holder {
        metadata["annotations"] = json!({HOLDER_ANNOTATION: holder.to_annotation()});
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}

pub fn job(name: &str, run: Option<u32>) -> Value {
    let labels = run.map_or(json!({}), |run| json!({"tempo-perf/run": run.to_string()}));
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels}})
}

pub fn custom_resource(name: &str, finalizers: &[&str]) -> Value {
    json!({
        "apiVersion": "tempo.grafana.com/v1alpha1", "kind": "TempoStack",
        "metadata": {"name": name, "finalizers": finalizers},
    })
}

pub fn cluster_role(name: &str, run: Option<(u32, &str)>) -> Value {
    let labels = run.map_or(json!({}), |(run, namespace)| {
        json!({"tempo-perf/run": run.to_string(), "tempo-perf/namespace": namespace})
    });
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels}, "rules": [],
    })
}
