//! The namespace of a run while it is ours: the client to it, what is seen in
//! it, and how objects are put into it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::api::{
    DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams, ValidationDirective,
};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::Value;

use super::conditions::Progress;
use super::retry::persist;
use super::view::View;
use super::watch::NamespaceWatch;
use crate::environment::EnvironmentError;
use crate::process::Interrupt;

/// How long the API server, or a webhook that it asks, may be away.
const API_LIMIT: Duration = Duration::from_secs(15);

/// A namespace of ours.
#[derive(Clone)]
pub struct InNamespace {
    pub client: Client,
    pub namespace: String,
    pub watch: Arc<NamespaceWatch>,
    pub interrupt: Interrupt,
    /// When we waited for the cluster, for the account of our own share.
    pub waits: Arc<Waits>,
}

impl InNamespace {
    /// Waits for a condition; the error says what was last seen.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&View) -> Progress,
    ) -> Result<(), EnvironmentError> {
        let waiting = self.watch.until(what, limit, &self.interrupt, condition);
        Ok(self.waits.during(waiting).await?)
    }
}

/// The times at which something of the cluster was waited for; they may overlap.
#[derive(Debug, Default)]
pub struct Waits {
    intervals: Mutex<Vec<(Instant, Instant)>>,
}

impl Waits {
    pub async fn during<T>(&self, waiting: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let outcome = waiting.await;
        let mut intervals = self.intervals.lock().expect("no holder panics");
        intervals.push((start, Instant::now()));
        outcome
    }

    /// How much of the time from `from` to `to` nothing was waited for: our own
    /// share of it.
    pub fn own_share(&self, from: Instant, to: Instant) -> Duration {
        let mut intervals = self.intervals.lock().expect("no holder panics").clone();
        intervals.sort();
        let mut waited = Duration::ZERO;
        let mut at = from;
        for (start, end) in intervals {
            let (start, end) = (start.max(at), end.min(to));
            if end > start {
                waited += end - start;
                at = end;
            }
        }
        (to - from).saturating_sub(waited)
    }
}

/// Creates an object.
pub async fn create(client: &Client, object: &Value) -> Result<(), EnvironmentError> {
    post(client, object, false).await
}

/// Lets the API server, and whatever admission it asks, judge an object, which
/// is not created. Fields that it does not know are an error.
pub async fn dry_run(client: &Client, object: &Value) -> Result<(), EnvironmentError> {
    post(client, object, true).await
}

async fn post(client: &Client, object: &Value, dry_run: bool) -> Result<(), EnvironmentError> {
    let named = described(object);
    let failed = |why: String| {
        let what = if dry_run { "refused" } else { "not created" };
        EnvironmentError::Failed(format!("{named} was {what}: {why}"))
    };
    let parsed: DynamicObject =
        serde_json::from_value(object.clone()).map_err(|err| failed(err.to_string()))?;
    let types = parsed.types.clone().unwrap_or_default();
    let gvk = GroupVersionKind::try_from(&types).map_err(|err| failed(err.to_string()))?;
    let resource = ApiResource::from_gvk_with_plural(&gvk, &plural(&gvk.kind));
    let api: Api<DynamicObject> = match &parsed.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = parsed.metadata.name.clone().unwrap_or_default();
    // Only an apply can ask for strict validation; of an object that is not there
    // it is a creation.
    let judged = PatchParams {
        dry_run: true,
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply("tempo-perf")
    };
    let mut attempts = 0;
    let created = persist(Instant::now() + API_LIMIT, async || {
        attempts += 1;
        let answer = match dry_run {
            true => api.patch(&name, &judged, &Patch::Apply(&parsed)).await,
            false => api.create(&PostParams::default(), &parsed).await,
        };
        answer.map(|_| ())
    })
    .await;
    match created {
        // The attempt before was carried out, and its answer lost.
        Err(err) if err.is_conflict() && attempts > 1 => Ok(()),
        created => created.map_err(|err| failed(err.to_string())),
    }
}

fn described(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    format!(
        "{} {}",
        text(&object["kind"]),
        text(&object["metadata"]["name"])
    )
}

/// The resource of a kind, for the kinds that we make.
fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{lower}s"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("NetworkPolicy", "networkpolicies")]
    #[case("TempoStack", "tempostacks")]
    #[case("ConfigMap", "configmaps")]
    fn resources_have_the_names_of_the_api(#[case] kind: &str, #[case] expected: &str) {
        assert_eq!(plural(kind), expected);
    }

    #[test]
    fn what_is_not_spent_waiting_is_our_own_share() {
        let waits = Waits::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        *waits.intervals.lock().unwrap() = vec![
            (at(2), at(4)),
            (at(3), at(6)),
            (at(8), at(20)),
            (at(3), at(5)),
        ];
        assert_eq!(waits.own_share(at(0), at(10)), Duration::from_secs(4));
        assert_eq!(waits.own_share(at(10), at(20)), Duration::ZERO);
    }
}
