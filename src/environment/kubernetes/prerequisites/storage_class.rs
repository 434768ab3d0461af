//! The storage class of a run's claims.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::environment::kubernetes::cluster::api_error::words;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// The class that claims get; a warning where it cannot be told.
pub async fn usable(client: &Client, named: Option<&str>) -> Result<Option<String>, String> {
    let api: Api<StorageClass> = Api::all(client.clone());
    let classes = match api.list(&ListParams::default()).await {
        Ok(classes) => classes.items,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Ok(Some(format!(
                "StorageClass: not allowed to list them ({})",
                status.message
            )));
        }
        Err(err) => return Err(format!("StorageClass: {}", words(&err))),
    };
    choose_class(&classes, named).map(|()| None)
}

fn choose_class(classes: &[StorageClass], named: Option<&str>) -> Result<(), String> {
    let name = |class: &StorageClass| class.metadata.name.clone().unwrap_or_default();
    let known = || {
        let mut known: Vec<String> = classes.iter().map(name).collect();
        known.sort();
        match known.is_empty() {
            true => "the cluster has none".to_string(),
            false => format!("the cluster has {}", known.join(", ")),
        }
    };
    match named {
        Some(wanted) if classes.iter().any(|class| name(class) == wanted) => Ok(()),
        Some(wanted) => Err(format!(
            "StorageClass: found no \"{wanted}\" (--storage-class); {}",
            known()
        )),
        None => {
            let is_default = |class: &&StorageClass| {
                let annotations = class.metadata.annotations.as_ref();
                annotations
                    .and_then(|them| them.get(DEFAULT_CLASS))
                    .map(String::as_str)
                    == Some("true")
            };
            match classes.iter().any(|class| is_default(&class)) {
                true => Ok(()),
                false => Err(format!(
                    "StorageClass: none is the default; name one with --storage-class, or mark \
                     one with {DEFAULT_CLASS}=true; {}",
                    known()
                )),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn class(name: &str, default: bool) -> StorageClass {
        let annotations = json!({DEFAULT_CLASS: default.to_string()});
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": annotations},
            "provisioner": "x",
        }))
        .expect("a storage class")
    }

    #[rstest]
    #[case::default(&[class("a", false), class("b", true)], None, Ok(()))]
    #[case::named(&[class("a", false)], Some("a"), Ok(()))]
    #[case::no_default(&[class("a", false)], None, Err("none is the default"))]
    #[case::not_there(&[class("b", true), class("a", false)], Some("c"), Err("found no \"c\" (--storage-class); the cluster has a, b"))]
    #[case::no_class(&[], None, Err("the cluster has none"))]
    fn a_storage_class_is_usable(
        #[case] classes: &[StorageClass],
        #[case] named: Option<&str>,
        #[case] expected: Result<(), &str>,
    ) {
        match (choose_class(classes, named), expected) {
            (Ok(()), Ok(())) => {}
            (Err(why), Err(words)) => assert!(why.contains(words), "{why}"),
            (found, expected) => panic!("expected {expected:?}, found {found:?}"),
        }
    }
}
