//! Objects that the Tempo operator makes for both of its kinds.

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use serde_json::{Value, json};

use super::Error;
use super::objects::{Owner, labels};
use super::pki::{Authority, Pem, host_names};
use super::storage::S3;
use crate::component::CA_FILE;

/// The CA and a certificate for each of `services`: Secrets
/// `tempo-<n>-signing-ca` and `<service>-mtls`, ConfigMap `tempo-<n>-ca-bundle`.
/// What is there stays, unless something is missing: then all is made anew.
pub async fn ensure_certificates(owner: &Owner<'_>, services: &[String]) -> Result<(), Error> {
    let ca_name = format!("tempo-{}-signing-ca", owner.name);
    let bundle = format!("tempo-{}-ca-bundle", owner.name);
    let secrets: Api<Secret> = Api::namespaced(owner.client.clone(), &owner.namespace);
    let bundles: Api<ConfigMap> = Api::namespaced(owner.client.clone(), &owner.namespace);
    let mut names: Vec<String> = services.iter().map(|it| format!("{it}-mtls")).collect();
    names.push(ca_name.clone());
    let found = try_join_all(names.iter().map(|name| secrets.get_metadata_opt(name))).await?;
    let bundle_found = bundles.get_metadata_opt(&bundle).await?;
    if bundle_found.is_some() && found.iter().all(Option::is_some) {
        return Ok(());
    }

    let authority = Authority::new(&format!("{}_{ca_name}", owner.namespace))?;
    // These carry `name=tempo` on both kinds.
    let labels = labels([
        ("app.kubernetes.io/instance", &owner.name),
        ("app.kubernetes.io/managed-by", "tempo-operator"),
        ("app.kubernetes.io/name", "tempo"),
    ]);
    let secret = |name: &str, pem: &Pem| {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": labels},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": pem.certificate, "tls.key": pem.key},
        })
    };
    let mut manifests = vec![
        secret(&ca_name, &authority.pem),
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": bundle, "labels": labels},
            "data": {CA_FILE: authority.pem.certificate},
        }),
    ];
    for service in services {
        let pem = authority.issue(&host_names(service, &owner.namespace))?;
        manifests.push(secret(&format!("{service}-mtls"), &pem));
    }
    owner.apply(manifests).await
}

/// `storage.trace` of tempo.yaml.
pub fn storage_config(s3: Option<&S3>) -> Value {
    match s3 {
        None => json!({"backend": "local", "local": {"path": "/var/tempo/traces"}}),
        Some(S3::Static { bucket, endpoint }) => {
            json!({"backend": "s3", "s3": {"bucket": bucket, "endpoint": endpoint}})
        }
        Some(S3::Token { bucket }) => json!({"backend": "s3", "s3": {"bucket": bucket}}),
    }
}

/// An entry of `volumeClaimTemplates`; `class` is null for the default one.
pub fn claim(name: &str, size: &str, class: &Value) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            "storageClassName": class,
        },
    })
}
