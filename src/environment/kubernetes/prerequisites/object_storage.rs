//! Where Tempo keeps its blocks, and the credentials for it. They are only ever
//! in memory and in the Secret of the run.

use std::fmt;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::names::S3_SECRET;
use crate::environment::kubernetes::manifests::blueprint::StoragePlan;
use crate::plan::kubernetes::DEFAULT_MINIO_SIZE;
use crate::profile::{Storage, StorageKind};
use crate::settings::S3Credentials;

/// Random bytes of MinIO's password, of which it wants at least 8 characters.
const PASSWORD_BYTES: usize = 24;

/// What opens the object store.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// New ones for a MinIO of this run alone.
    ///
    /// # Errors
    /// When the operating system has no random numbers.
    pub fn random() -> Result<Self, String> {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let mut bytes = [0; PASSWORD_BYTES];
        getrandom::fill(&mut bytes).map_err(|err| format!("no random numbers: {err}"))?;
        Ok(Self {
            access_key_id: "tempo".into(),
            secret_access_key: URL_SAFE_NO_PAD.encode(bytes),
        })
    }
}

/// The plan of a profile's storage section.
pub fn plan_of(storage: &Storage) -> StoragePlan {
    match storage.kind {
        StorageKind::Minio => StoragePlan::Minio {
            size: storage
                .size
                .clone()
                .unwrap_or_else(|| DEFAULT_MINIO_SIZE.into()),
        },
        StorageKind::S3 => StoragePlan::S3 {
            // The profile's rules demand a bucket.
            bucket: storage.bucket.clone().unwrap_or_default(),
            region: storage.region.clone(),
            endpoint: storage.endpoint.clone().unwrap_or_else(|| {
                let region = storage.region.as_deref().unwrap_or("us-east-1");
                format!("https://s3.{region}.amazonaws.com")
            }),
            secret_name: storage
                .secret_name
                .clone()
                .unwrap_or_else(|| S3_SECRET.into()),
        },
    }
}

/// Names under which a Secret may hold the two keys: Tempo's operator's, and
/// those of AWS's own tools.
const KEY_NAMES: [(&str, &str); 2] = [
    ("access_key_id", "access_key_secret"),
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
];

/// The credentials of an external store: those of the named Secret in
/// `secret_namespace`, else the given ones.
///
/// # Errors
/// What is missing, and where it was looked for.
pub async fn find(
    client: &Client,
    storage: &Storage,
    given: Option<&S3Credentials>,
    secret_namespace: &str,
) -> Result<Credentials, String> {
    let Some(name) = &storage.secret_name else {
        return match given {
            Some(given) => Ok(Credentials {
                access_key_id: given.access_key_id.clone(),
                secret_access_key: given.secret_access_key.clone(),
            }),
            None => Err(
                "storage.type is s3 and there are no credentials; set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY, or name a Secret with storage.secretName"
                    .into(),
            ),
        };
    };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), secret_namespace);
    let place = format!("storage.secretName: Secret {name} in namespace {secret_namespace}");
    let secret = match secrets.get(name).await {
        Ok(secret) => secret,
        Err(kube::Error::Api(status)) if status.code == 404 => {
            return Err(format!(
                "{place} is not there; it is looked for in the namespace of the kubeconfig's context"
            ));
        }
        Err(err) => return Err(format!("{place}: {}", words(&err))),
    };
    in_secret(&secret).ok_or_else(|| {
        format!(
            "{place} has no credentials; expected the keys access_key_id and access_key_secret, \
             or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    })
}

fn in_secret(secret: &Secret) -> Option<Credentials> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| {
        let value = String::from_utf8(data.get(key)?.0.clone()).ok()?;
        // A file that was made with an editor ends in a line's end.
        let value = value.trim().to_string();
        (!value.is_empty()).then_some(value)
    };
    KEY_NAMES.iter().find_map(|(id, secret)| {
        Some(Credentials {
            access_key_id: text(id)?,
            secret_access_key: text(secret)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn secret(data: serde_json::Value) -> Secret {
        serde_json::from_value(json!({"stringData": {}, "data": data})).expect("a Secret")
    }

    // "id" and "key\n" in base64.
    #[rstest]
    #[case::operator(json!({"access_key_id": "aWQ=", "access_key_secret": "a2V5Cg=="}), true)]
    #[case::aws(json!({"AWS_ACCESS_KEY_ID": "aWQ=", "AWS_SECRET_ACCESS_KEY": "a2V5Cg=="}), true)]
    #[case::half(json!({"access_key_id": "aWQ="}), false)]
    #[case::empty(json!({"access_key_id": "", "access_key_secret": "a2V5"}), false)]
    fn keys_are_read_under_both_names(#[case] data: serde_json::Value, #[case] found: bool) {
        let expected = found.then(|| Credentials {
            access_key_id: "id".into(),
            secret_access_key: "key".into(),
        });
        assert_eq!(in_secret(&secret(data)), expected);
    }

    #[test]
    fn passwords_are_long_and_never_twice_the_same_nor_shown() {
        let (one, other) = (
            Credentials::random().unwrap(),
            Credentials::random().unwrap(),
        );
        assert!(one.secret_access_key.len() >= 32);
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "Credentials(…)");
    }

    #[test]
    fn aws_needs_no_endpoint() {
        let storage = Storage {
            kind: StorageKind::S3,
            bucket: Some("b".into()),
            region: Some("us-east-2".into()),
            ..Storage::default()
        };
        let StoragePlan::S3 {
            endpoint,
            secret_name,
            ..
        } = plan_of(&storage)
        else {
            panic!("an external store");
        };
        assert_eq!(endpoint, "https://s3.us-east-2.amazonaws.com");
        assert_eq!(secret_name, "tempo-s3");
    }
}
