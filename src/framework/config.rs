//! What the steps of a [`super::Framework`] are told.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::profile::{
    self, CollectorMode, Ingestion, K6, Overrides, Profile, Query, QuerySpec, Resources, Slo,
    Storage, StorageKind, Tempo, Toleration, TraceProfile, Variant, Vus,
};
use crate::settings::S3Credentials;

/// What a Tempo is given. Everything but `overrides` needs Kubernetes;
/// [`super::SetUp::Done`] names what was not applied.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResourceConfig {
    pub resources: Option<Resources>,
    /// On how many ingesters each trace is written.
    pub replication_factor: Option<u32>,
    pub overrides: Option<Overrides>,
    pub storage: Option<StorageConfig>,
    /// Labels of the nodes on which Tempo's pods may run.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that Tempo's pods stand.
    pub tolerations: Vec<Toleration>,
}

/// Where Tempo keeps its blocks on Kubernetes.
#[derive(Clone, Default, PartialEq)]
pub struct StorageConfig {
    pub kind: StorageKind,
    pub bucket: Option<String>,
    /// Needed without `endpoint`, as on AWS.
    pub region: Option<String>,
    /// The URL of a store that is not AWS.
    pub endpoint: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    /// The Secret with the credentials, in place of the two keys.
    pub secret_name: Option<String>,
}

impl ResourceConfig {
    /// The keys that were given, if both were.
    pub(super) fn s3_credentials(&self) -> Option<S3Credentials> {
        let storage = self.storage.as_ref()?;
        Some(S3Credentials {
            access_key_id: storage.access_key_id.clone()?,
            secret_access_key: storage.secret_access_key.clone()?,
        })
    }
}

/// Without the secret key: this ends in logs.
impl fmt::Debug for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = |secret: &Option<String>| secret.as_ref().map(|_| "(given)");
        f.debug_struct("StorageConfig")
            .field("kind", &self.kind)
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("access_key_id", &given(&self.access_key_id))
            .field("secret_access_key", &given(&self.secret_access_key))
            .field("secret_name", &self.secret_name)
            .finish()
    }
}

/// A load and its bounds: the `k6`, `thresholds` and `slos` of a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct K6Config {
    /// In MB of 1,048,576 bytes.
    pub mb_per_second: f64,
    pub queries_per_second: f64,
    /// Without the warm-up; at least five scrapes, which is 5 s on one machine.
    pub duration: Duration,
    /// Load before the window that is judged.
    pub warmup: Duration,
    /// Virtual users of each k6 run.
    pub vus_min: u32,
    pub vus_max: u32,
    pub trace_profile: TraceProfile,
    /// Solved from the rate when absent.
    pub traces_per_request: Option<u32>,
    /// The built-in mix when absent.
    pub queries: Option<Vec<QuerySpec>>,
    /// k6's expressions by metric, in place of their defaults; as in a profile.
    pub thresholds: Option<BTreeMap<String, Vec<String>>>,
    /// In place of the defaults of their names; as in a profile.
    pub slos: Option<Vec<Slo>>,
}

/// The load of the profile `1x-demo`, for five minutes.
impl Default for K6Config {
    fn default() -> Self {
        const DEMO: &str = include_str!("../../profiles/1x-demo.yaml");
        let demo = profile::parse(Path::new("1x-demo.yaml"), DEMO);
        Self::from(&demo.expect("a test reads this profile"))
    }
}

impl From<&Profile> for K6Config {
    fn from(profile: &Profile) -> Self {
        let k6 = &profile.k6;
        Self {
            mb_per_second: k6.ingestion.mb_per_second,
            queries_per_second: k6.query.queries_per_second,
            duration: k6.duration.unwrap_or(crate::plan::DEFAULT_DURATION),
            warmup: k6.warmup.unwrap_or_default(),
            vus_min: k6.vus.min,
            vus_max: k6.vus.max,
            trace_profile: k6.ingestion.trace_profile,
            traces_per_request: k6.ingestion.traces_per_request,
            queries: k6.query.queries.clone(),
            thresholds: profile.thresholds.clone(),
            slos: profile.slos.clone(),
        }
    }
}

/// The profile that says the same, held to the same rules as a file.
///
/// # Errors
/// All mistakes, one a line: the field as a profile calls it, what was found
/// and what would be right.
pub(super) fn profile(
    name: &str,
    variant: Variant,
    resources: &ResourceConfig,
    collector: CollectorMode,
    k6: &K6Config,
) -> Result<Profile, String> {
    let storage = resources.storage.clone().unwrap_or_default();
    let profile = Profile {
        name: name.into(),
        description: None,
        tempo: Tempo {
            variant,
            resources: resources.resources.clone(),
            replication_factor: resources.replication_factor,
            overrides: resources.overrides.clone(),
            node_selector: resources.node_selector.clone(),
            tolerations: resources.tolerations.clone(),
        },
        storage: Storage {
            kind: storage.kind,
            size: None,
            bucket: storage.bucket,
            region: storage.region,
            endpoint: storage.endpoint,
            secret_name: storage.secret_name,
        },
        k6: K6 {
            duration: Some(k6.duration),
            warmup: Some(k6.warmup),
            vus: Vus {
                min: k6.vus_min,
                max: k6.vus_max,
            },
            ingestion: Ingestion {
                mb_per_second: k6.mb_per_second,
                trace_profile: k6.trace_profile,
                traces_per_request: k6.traces_per_request,
                collector,
            },
            query: Query {
                queries_per_second: k6.queries_per_second,
                queries: k6.queries.clone(),
            },
        },
        thresholds: k6.thresholds.clone(),
        slos: k6.slos.clone(),
    };
    let text = serde_yaml::to_string(&profile).map_err(|err| err.to_string())?;
    let file = format!("{name}.yaml");
    match profile::parse(Path::new(&file), &text) {
        Ok(_) => Ok(profile),
        Err(errors) => Err(errors
            .mistakes
            .iter()
            .map(|wrong| {
                format!(
                    "{}: found {}; expected {}",
                    wrong.key, wrong.found, wrong.expected
                )
            })
            .collect::<Vec<_>>()
            .join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn made(k6: &K6Config) -> Result<Profile, String> {
        let resources = ResourceConfig::default();
        profile(
            "a-test",
            Variant::Stack,
            &resources,
            CollectorMode::Synchronous,
            k6,
        )
    }

    #[test]
    fn the_default_load_is_that_of_1x_demo() {
        let config = K6Config::default();
        assert_eq!((config.mb_per_second, config.vus_max), (0.05, 5));
        assert_eq!(K6Config::from(&made(&config).unwrap()), config);
    }

    #[rstest]
    #[case::rate(K6Config { mb_per_second: -1.0, ..K6Config::default() }, "k6.ingestion.mbPerSecond: found -1")]
    #[case::nan(K6Config { queries_per_second: f64::NAN, ..K6Config::default() }, "k6.query.queriesPerSecond: found ")]
    #[case::users(K6Config { vus_min: 9, ..K6Config::default() }, "k6.vus")]
    #[case::threshold(
        K6Config { thresholds: Some(BTreeMap::from([("http_reqs".into(), vec!["count".into()])])), ..K6Config::default() },
        "thresholds.http_reqs"
    )]
    fn a_mistake_is_named_as_in_a_profile(#[case] config: K6Config, #[case] words: &str) {
        let message = made(&config).unwrap_err();
        assert!(
            message.starts_with(words),
            "{message:?} must start with {words:?}"
        );
    }

    #[test]
    fn a_name_that_is_no_dns_label_is_refused() {
        let config = K6Config::default();
        let resources = ResourceConfig::default();
        let named = profile(
            "My Test",
            Variant::Monolithic,
            &resources,
            CollectorMode::Queued,
            &config,
        );
        let message = named.unwrap_err();
        assert!(message.starts_with("name: "), "{message}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let storage = StorageConfig {
            access_key_id: Some("AKIA".into()),
            secret_access_key: Some("hush".into()),
            ..StorageConfig::default()
        };
        let shown = format!("{storage:?}");
        assert!(
            !shown.contains("AKIA") && !shown.contains("hush"),
            "{shown}"
        );
    }
}
