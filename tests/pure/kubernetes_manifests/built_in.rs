//! Objects of Kubernetes' own kinds, held against its types: a field that these
//! do not know is lost on the way there and back.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, PersistentVolumeClaim, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::core::{GroupVersionKind, TypeMeta};
use rstest::rstest;
use serde_json::{Value, json};
use tempo_perf::environment::kubernetes::cluster::kinds::resource_of;

use super::blueprints::{matrix, objects, title};

fn through<T: serde::de::DeserializeOwned + serde::Serialize>(
    object: &Value,
) -> Result<Value, String> {
    let typed: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

/// The object as Kubernetes' type of its kind knows it; none for the operators'
/// kinds.
fn through_its_type(object: &Value) -> Option<Result<Value, String>> {
    let version = object["apiVersion"].as_str().unwrap();
    let kind = object["kind"].as_str().unwrap();
    Some(match (version, kind) {
        ("v1", "Namespace") => through::<Namespace>(object),
        ("v1", "ServiceAccount") => through::<ServiceAccount>(object),
        ("v1", "Secret") => through::<Secret>(object),
        ("v1", "ConfigMap") => through::<ConfigMap>(object),
        ("v1", "Service") => through::<Service>(object),
        ("v1", "PersistentVolumeClaim") => through::<PersistentVolumeClaim>(object),
        ("apps/v1", "Deployment") => through::<Deployment>(object),
        ("apps/v1", "StatefulSet") => through::<StatefulSet>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => through::<NetworkPolicy>(object),
        ("rbac.authorization.k8s.io/v1", "Role") => through::<Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => through::<RoleBinding>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => through::<ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => {
            through::<ClusterRoleBinding>(object)
        }
        (
            "tempo.grafana.com/v1alpha1" | "opentelemetry.io/v1beta1" | "monitoring.coreos.com/v1",
            _,
        ) => return None,
        other => panic!("{other:?} must have a type here"),
    })
}

#[test]
fn kubernetes_types_know_every_field() {
    let mut seen = 0;
    for blueprint in matrix() {
        for object in objects(&blueprint) {
            let Some(back) = through_its_type(&object) else {
                continue;
            };
            let back = back.unwrap_or_else(|error| panic!("{}: {error}", title(&object)));
            assert!(
                back == object,
                "{} of {} must come back as it went:\n{object:#}\n{back:#}",
                title(&object),
                blueprint.namespace
            );
            seen += 1;
        }
    }
    assert!(seen > 500, "only {seen} objects were looked at");
}

#[test]
fn the_api_serves_every_kind_under_a_name_that_is_known() {
    for blueprint in matrix() {
        for object in objects(&blueprint) {
            if object["kind"] == "Namespace" {
                // It is created by its type.
                continue;
            }
            let types: TypeMeta = serde_json::from_value(object.clone()).unwrap();
            let gvk = GroupVersionKind::try_from(&types).unwrap();
            assert!(resource_of(&gvk).is_some(), "{}", title(&object));
        }
    }
}

#[rstest]
#[case::field(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"},
    "spec": {"selektor": {"a": "b"}}}))]
#[case::deep_field(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {},
    "spec": {"selector": {}, "template": {"spec": {"containers": [
        {"name": "x", "readynessProbe": {}},
    ]}}}}))]
#[case::wrong_type(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"},
    "spec": {"ports": [{"port": "9000"}]}}))]
fn a_mistake_would_be_found(#[case] object: Value) {
    let back = through_its_type(&object).unwrap();
    assert!(back.is_err() || back.as_ref() != Ok(&object), "{back:?}");
}
