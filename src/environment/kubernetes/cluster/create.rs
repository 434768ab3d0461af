//! Creating objects, and having them judged before they are.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use kube::api::{
    DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams, ValidationDirective,
};
use kube::{Api, Client};
use serde_json::Value;

use super::kinds::resource_of;
use super::retry::persist;
use crate::environment::EnvironmentError;

/// How long the API server, or a webhook that it asks, may be away.
const API_LIMIT: Duration = Duration::from_secs(15);

/// Creates an object.
pub async fn create(client: &Client, object: &Value) -> Result<(), EnvironmentError> {
    post(client, object, false).await
}

/// Creates objects side by side; but whoever is no administrator may bind only a
/// role that is there.
pub async fn create_all(client: &Client, objects: &[Value]) -> Result<(), EnvironmentError> {
    let is_binding = |object: &&Value| {
        let kind = object["kind"].as_str().unwrap_or_default();
        kind.ends_with("RoleBinding")
    };
    let (bindings, others): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(is_binding);
    for wave in [others, bindings] {
        let created = wave.into_iter().map(|object| create(client, object));
        try_join_all(created).await?;
    }
    Ok(())
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
    let resource = resource_of(&gvk).ok_or_else(|| failed("its kind is not known".into()))?;
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
