//! What the Tempo operator demands of a storage Secret (kubernetes-facts,
//! section 3). Only S3: nothing else is used here.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use url::Url;

const STATIC_KEYS: [&str; 4] = ["bucket", "endpoint", "access_key_id", "access_key_secret"];

/// Credentials as Tempo's pods would get them.
#[derive(Debug, PartialEq, Eq)]
pub enum S3 {
    Static { bucket: String, endpoint: String },
    Token { bucket: String },
}

impl S3 {
    /// `host:port` of the object store; a token's is the cloud's own.
    pub fn address(&self) -> Option<String> {
        let Self::Static { endpoint, .. } = self else {
            return None;
        };
        let url = Url::parse(endpoint).ok()?;
        // Without a scheme, as in `minio:9000`, there is no host to look at.
        Some(format!(
            "{}:{}",
            url.host_str()?,
            url.port_or_known_default()?
        ))
    }
}

/// The message of the condition `ConfigurationError`.
pub fn missing(name: &str) -> String {
    format!(
        "could not fetch storage configuration secret: Secret \"{name}\" not found. \
         Tempo will start once the storage secret is available"
    )
}

/// Checks a Secret's data; `mode` is the custom resource's `credentialMode`.
pub fn check(data: &BTreeMap<String, ByteString>, mode: Option<&str>) -> Result<S3, String> {
    let text = |key: &str| {
        let bytes = &data.get(key)?.0;
        Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.is_empty())
    };
    let required =
        |key: &str| text(key).ok_or_else(|| format!("storage secret must contain \"{key}\" field"));
    let has = |keys: &[&str]| keys.iter().any(|key| data.contains_key(*key));
    let long_lived = has(&["endpoint", "access_key_id", "access_key_secret"]);
    let short_lived = has(&["region", "role_arn"]);
    let is_static = match mode {
        Some(mode) => mode == "static",
        None if long_lived && short_lived => {
            return Err(
                "storage secret contains fields for long lived and short lived configuration"
                    .to_owned(),
            );
        }
        None => !short_lived,
    };
    if !is_static {
        required("region")?;
        return Ok(S3::Token {
            bucket: required("bucket")?,
        });
    }
    for key in STATIC_KEYS {
        required(key)?;
    }
    let endpoint = required("endpoint")?;
    if Url::parse(&endpoint).is_err() {
        return Err("\"endpoint\" field of storage secret must be a valid URL".to_owned());
    }
    Ok(S3::Static {
        bucket: required("bucket")?,
        endpoint,
    })
}
