//! Custom resources, and the objects that are made for them.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::core::TypeMeta;
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};

use super::Error;

/// Field manager of all that the stand-in writes.
pub const MANAGER: &str = "stand-in";

pub fn tempo_monolithic() -> ApiResource {
    let kind = GroupVersionKind::gvk("tempo.grafana.com", "v1alpha1", "TempoMonolithic");
    ApiResource::from_gvk_with_plural(&kind, "tempomonolithics")
}

pub fn tempo_stack() -> ApiResource {
    let kind = GroupVersionKind::gvk("tempo.grafana.com", "v1alpha1", "TempoStack");
    ApiResource::from_gvk_with_plural(&kind, "tempostacks")
}

pub fn collector() -> ApiResource {
    let kind = GroupVersionKind::gvk("opentelemetry.io", "v1beta1", "OpenTelemetryCollector");
    ApiResource::from_gvk_with_plural(&kind, "opentelemetrycollectors")
}

/// A custom resource that is being reconciled.
pub struct Owner<'a> {
    pub client: &'a Client,
    pub kind: &'a ApiResource,
    pub cr: &'a DynamicObject,
    pub name: String,
    pub namespace: String,
}

impl<'a> Owner<'a> {
    pub fn new(client: &'a Client, kind: &'a ApiResource, cr: &'a DynamicObject) -> Self {
        Self {
            client,
            kind,
            cr,
            name: cr.name_any(),
            namespace: cr.namespace().unwrap_or_default(),
        }
    }

    pub fn api(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, self.kind)
    }

    /// A field of the custom resource by its JSON pointer; null when absent.
    pub fn field(&self, pointer: &str) -> &Value {
        self.cr.data.pointer(pointer).unwrap_or(&Value::Null)
    }

    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.field(pointer).as_str().filter(|text| !text.is_empty())
    }

    /// Applies objects of the custom resource's namespace, all at once; name,
    /// labels and the rest are in the manifests, the owner is not.
    pub async fn apply(&self, manifests: Vec<Value>) -> Result<(), Error> {
        try_join_all(
            manifests
                .into_iter()
                .map(|manifest| self.apply_one(manifest)),
        )
        .await?;
        Ok(())
    }

    async fn apply_one(&self, mut manifest: Value) -> Result<(), Error> {
        manifest["metadata"]["namespace"] = json!(self.namespace);
        manifest["metadata"]["ownerReferences"] = json!([{
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "name": self.name,
            "uid": self.cr.metadata.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        }]);
        apply(self.client, &self.namespace, &manifest).await
    }

    pub async fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(api.get_opt(name).await?)
    }

    /// The operator's pods for this custom resource.
    pub async fn pods(&self, labels: &BTreeMap<String, String>) -> Result<Vec<Pod>, Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let selector = selector_text(labels);
        Ok(api
            .list(&ListParams::default().labels(&selector))
            .await?
            .items)
    }

    /// Writes the status if it differs from what the custom resource has.
    pub async fn set_status(&self, status: Value) -> Result<(), Error> {
        if self.field("/status") == &status {
            return Ok(());
        }
        // A merge would keep components that are gone, so the whole is replaced.
        let mut after = self.cr.clone();
        after.types = Some(TypeMeta {
            api_version: self.kind.api_version.clone(),
            kind: self.kind.kind.clone(),
        });
        after.data["status"] = status;
        self.api()
            .replace_status(&self.name, &Default::default(), &after)
            .await?;
        Ok(())
    }

    /// Changes the custom resource itself, if nobody else has meanwhile.
    pub async fn patch(&self, mut patch: Value) -> Result<(), Error> {
        patch["metadata"]["resourceVersion"] = json!(self.cr.metadata.resource_version);
        self.api()
            .patch(&self.name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.cr.finalizers().iter().any(|it| it == finalizer)
    }

    pub fn finalizers_with(&self, finalizer: &str) -> Vec<String> {
        let mut all = self.cr.finalizers().to_vec();
        all.push(finalizer.to_owned());
        all
    }

    pub async fn remove_finalizer(&self, finalizer: &str) -> Result<(), Error> {
        let rest: Vec<_> = self
            .cr
            .finalizers()
            .iter()
            .filter(|it| *it != finalizer)
            .collect();
        self.patch(json!({"metadata": {"finalizers": rest}})).await
    }
}

/// Applies one object by the kind that it names.
pub async fn apply(client: &Client, namespace: &str, manifest: &Value) -> Result<(), Error> {
    let text = |pointer: &str| {
        let found = manifest.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default()
    };
    let (group, version) = match text("/apiVersion").split_once('/') {
        Some((group, version)) => (group, version),
        None => ("", text("/apiVersion")),
    };
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let params = PatchParams::apply(MANAGER).force();
    api.patch(text("/metadata/name"), &params, &Patch::Apply(manifest))
        .await?;
    Ok(())
}

pub fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

pub fn selector_text(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

/// A TCP port of a Service; `target` is a port's name or number.
pub fn service_port(name: &str, port: u16, target: impl Into<Value>) -> Value {
    json!({"name": name, "port": port, "protocol": "TCP", "targetPort": target.into()})
}

pub fn service_account(name: &str, labels: &BTreeMap<String, String>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "labels": labels},
    })
}

pub fn disruption_budget(
    name: &str,
    labels: &BTreeMap<String, String>,
    selector: &BTreeMap<String, String>,
) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "labels": labels},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
    })
}

/// `over` on top of `base`, map by map, as the operators merge configurations;
/// lists are replaced.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (_, Value::Null) => {}
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(json!({})), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Takes out fields that are null: server-side apply would own them.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, field)| !field.is_null())
                .map(|(name, field)| (name, without_nulls(field)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// The time as Kubernetes writes it.
pub fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
