//! The operators' CustomResourceDefinitions, from the directory that
//! TEMPO_PERF_CRD_DIR names.

use std::path::Path;
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};

use super::objects::MANAGER;

/// Names of the CRDs and of their files.
const CRDS: [(&str, &str); 3] = [
    (
        "tempomonolithics.tempo.grafana.com",
        "tempo.grafana.com_tempomonolithics.yaml",
    ),
    (
        "tempostacks.tempo.grafana.com",
        "tempo.grafana.com_tempostacks.yaml",
    ),
    (
        "opentelemetrycollectors.opentelemetry.io",
        "opentelemetry.io_opentelemetrycollectors.yaml",
    ),
];

/// For each of the waits below.
const LIMIT: Duration = Duration::from_secs(30);

/// Applies those that are missing and waits until all are established.
pub async fn ensure(client: Client, directory: &Path) -> Result<(), String> {
    let api: Api<CustomResourceDefinition> = Api::all(client);
    let ensured = CRDS.map(|(name, file)| ensure_one(&api, name, directory.join(file)));
    try_join_all(ensured).await?;
    Ok(())
}

async fn ensure_one(
    api: &Api<CustomResourceDefinition>,
    name: &str,
    file: std::path::PathBuf,
) -> Result<(), String> {
    let failed = |err: kube::Error| format!("CRD {name}: {err}");
    let found = api.get_opt(name).await.map_err(failed)?;
    if found.is_none_or(|found| found.metadata.deletion_timestamp.is_some()) {
        wait_until_gone(api, name).await?;
        let unusable = |err: &dyn std::fmt::Display| format!("{}: {err}", file.display());
        let text = std::fs::read_to_string(&file).map_err(|err| unusable(&err))?;
        let crd: serde_json::Value = serde_yaml::from_str(&text).map_err(|err| unusable(&err))?;
        let params = PatchParams::apply(MANAGER).force();
        api.patch(name, &params, &Patch::Apply(&crd))
            .await
            .map_err(failed)?;
    }
    let established = await_condition(api.clone(), name, conditions::is_crd_established());
    match tokio::time::timeout(LIMIT, established).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(err)) => Err(format!("CRD {name}: {err}")),
        Err(_) => Err(format!("CRD {name} is not established within {LIMIT:?}")),
    }
}

/// Removes them, unless there are custom resources, which would go with them.
pub async fn remove(client: Client) -> Result<(), String> {
    for kind in super::kinds() {
        let all: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        let found = match all.list_metadata(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => continue,
            other => other.map_err(|err| err.to_string())?,
        };
        if let Some(cr) = found.items.first() {
            return Err(format!(
                "the CRDs cannot be removed while there are custom resources: {} {}/{}",
                kind.kind,
                cr.namespace().unwrap_or_default(),
                cr.name_any()
            ));
        }
    }
    let api: Api<CustomResourceDefinition> = Api::all(client);
    try_join_all(CRDS.map(|(name, _)| {
        let api = &api;
        async move {
            match api.delete(name, &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                Err(err) => return Err(format!("CRD {name}: {err}")),
            }
            wait_until_gone(api, name).await
        }
    }))
    .await?;
    Ok(())
}

async fn wait_until_gone(api: &Api<CustomResourceDefinition>, name: &str) -> Result<(), String> {
    let Some(found) = api.get_opt(name).await.map_err(|err| err.to_string())? else {
        return Ok(());
    };
    let uid = found.uid().unwrap_or_default();
    let gone = conditions::is_deleted(&uid);
    match tokio::time::timeout(LIMIT, await_condition(api.clone(), name, gone)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(err)) => Err(format!("CRD {name}: {err}")),
        Err(_) => Err(format!("CRD {name} is still there after {LIMIT:?}")),
    }
}
