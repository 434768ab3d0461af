//! The profile as settings change it: the plan's profile is what runs.

use super::NotApplied;
use super::PlanError;
use crate::profile::storage::{Problem, misfits};
use crate::profile::{K6, Profile, Storage, StorageKind};
use crate::settings::{Malformed, PrometheusChoice, Settings, StorageSettings, Target};

/// The profile with SIZE, then the single variables over its `k6` section, and
/// with what settings say of nodes and storage; and the fields of the profile
/// that have no meaning any more.
pub(super) fn with_overrides(
    profile: &Profile,
    settings: &Settings,
    target: Target,
    sizes: &[Profile],
) -> Result<(Profile, Vec<NotApplied>), PlanError> {
    let mut profile = profile.clone();
    override_load(&mut profile, settings, sizes)?;
    let replaced = override_place(&mut profile, settings, target)?;
    Ok((profile, replaced))
}

/// Sets what settings say of nodes and storage; gives the fields of the profile
/// that have no meaning any more.
///
/// # Errors
/// On Kubernetes, what does not fit together then.
pub(crate) fn override_place(
    profile: &mut Profile,
    settings: &Settings,
    target: Target,
) -> Result<Vec<NotApplied>, PlanError> {
    if let Some(selector) = &settings.kubernetes.node_selector {
        profile.tempo.node_selector = selector.clone();
    }
    let replaced = override_storage(&mut profile.storage, &settings.kubernetes.storage);
    // Elsewhere none of it is used, and variables for a cluster may well be set.
    if target == Target::Kubernetes {
        let malformed = mistakes(&profile.storage, settings);
        if !malformed.is_empty() {
            return Err(PlanError::Settings(malformed));
        }
    }
    Ok(replaced)
}

fn override_load(
    profile: &mut Profile,
    settings: &Settings,
    sizes: &[Profile],
) -> Result<(), PlanError> {
    if let Some(size) = &settings.size {
        let Some(named) = sizes.iter().find(|candidate| &candidate.name == size) else {
            return Err(PlanError::UnknownSize {
                found: size.clone(),
                dir: settings.profiles_dir.clone(),
                known: sizes
                    .iter()
                    .map(|p| p.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            });
        };
        let K6 {
            duration, warmup, ..
        } = profile.k6;
        profile.k6 = K6 {
            duration,
            warmup,
            ..named.k6.clone()
        };
    }
    let k6 = &mut profile.k6;
    if let Some(rate) = settings.mb_per_second {
        k6.ingestion.mb_per_second = rate.mb_per_second();
    }
    if let Some(rate) = settings.queries_per_second {
        k6.query.queries_per_second = rate.as_per_second();
    }
    k6.vus.min = settings.vus_min.unwrap_or(k6.vus.min);
    k6.vus.max = settings.vus_max.unwrap_or(k6.vus.max);
    if k6.vus.min > k6.vus.max {
        return Err(PlanError::VusOutOfOrder {
            min: k6.vus.min,
            max: k6.vus.max,
        });
    }
    if let Some(trace_profile) = settings.trace_profile {
        k6.ingestion.trace_profile = trace_profile;
    }
    Ok(())
}

/// Field by field. Another kind of storage than the profile's leaves all of the
/// profile's fields without a meaning.
fn override_storage(storage: &mut Storage, said: &StorageSettings) -> Vec<NotApplied> {
    let mut replaced = Vec::new();
    if let Some(kind) = said.kind.filter(|kind| *kind != storage.kind) {
        for key in ["size", "bucket", "region", "endpoint", "secretName"] {
            if storage.field(key).is_some() {
                replaced.push(NotApplied {
                    field: format!("storage.{key}"),
                    reason: format!(
                        "the type is {} by {}",
                        name_of(kind),
                        Settings::names_of("--storage-type")
                    ),
                });
            }
        }
        *storage = Storage {
            kind,
            ..Storage::default()
        };
    }
    for (field, value) in [
        (&mut storage.bucket, &said.bucket),
        (&mut storage.region, &said.region),
        (&mut storage.endpoint, &said.endpoint),
        (&mut storage.secret_name, &said.secret_name),
    ] {
        if value.is_some() {
            field.clone_from(value);
        }
    }
    replaced
}

fn name_of(kind: StorageKind) -> &'static str {
    match kind {
        StorageKind::Minio => "minio",
        StorageKind::S3 => "s3",
    }
}

/// What does not fit together in settings for Kubernetes. The profile alone was
/// sound, so every mistake is one of settings.
fn mistakes(storage: &Storage, settings: &Settings) -> Vec<Malformed> {
    let said = &settings.kubernetes;
    let mut malformed: Vec<Malformed> = misfits(storage.kind, |key| storage.field(key).is_some())
        .into_iter()
        .map(|misfit| {
            let source = flag_of(misfit.key)
                .map_or_else(|| format!("storage.{}", misfit.key), Settings::names_of);
            let (found, expected) = match misfit.problem {
                Problem::Absent { expected, .. } => ("nothing".to_owned(), expected.to_owned()),
                Problem::Foreign { belongs_to } => (
                    format!("{:?}", storage.field(misfit.key).unwrap_or_default()),
                    format!(
                        "it only with --storage-type {belongs_to}, or type: {belongs_to} in the profile"
                    ),
                ),
            };
            Malformed {
                source,
                found,
                expected,
            }
        })
        .collect();
    if storage.kind == StorageKind::S3
        && storage.secret_name.is_none()
        && let Err(half) = &said.s3_credentials
    {
        malformed.push(half.clone());
    }
    if said.prometheus_token_file.is_some() && !matches!(said.prometheus, PrometheusChoice::Url(_))
    {
        malformed.push(Malformed {
            source: Settings::names_of("--prometheus-token-file"),
            found: "a file, and no address to send its token to".into(),
            expected: format!(
                "the URL of that Prometheus in {}",
                Settings::names_of("--prometheus")
            ),
        });
    }
    malformed
}

fn flag_of(key: &str) -> Option<&'static str> {
    Some(match key {
        "bucket" => "--storage-bucket",
        "region" => "--storage-region",
        "endpoint" => "--storage-endpoint",
        "secretName" => "--storage-secret-name",
        _ => return None,
    })
}
