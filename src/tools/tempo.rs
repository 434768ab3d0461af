//! A Tempo on this machine: the user's own, a release that was asked for, or the
//! one on PATH.

use std::path::PathBuf;

use crate::error_chain::chain;

use super::build;
use super::cache::Cached;
use super::inspect::{self, Version};
use super::release::Product;
use super::resolve::{ToolError, Toolbox, absolute};
use super::{DownloadError, Origin};

const TEMPO_VARIABLE: &str = "TEMPO_PERF_TEMPO_BIN";

/// A Tempo on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tempo {
    pub path: PathBuf,
    /// Unknown if it was built without one.
    pub version: Option<Version>,
    pub origin: Origin,
}

impl Tempo {
    pub fn major(&self) -> Option<u64> {
        self.version.map(|version| version.major)
    }

    /// The release of that version.
    pub(super) fn released(path: PathBuf, version: &str) -> Tempo {
        Tempo {
            path: absolute(path),
            version: Version::parse(version),
            origin: Origin::Release,
        }
    }
}

/// Tempo as it is, before anything is downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TempoStatus {
    Ready(Tempo),
    /// The version that was asked for.
    Missing(String),
    /// None was asked for, and none is there.
    None,
}

impl Toolbox {
    /// TEMPO_PERF_TEMPO_BIN, else the release of TEMPO_PERF_TEMPO_VERSION, else a
    /// Grafana Tempo on PATH.
    pub async fn look_tempo(&self) -> Result<TempoStatus, ToolError> {
        if let Some(path) = &self.settings.tempo {
            let version =
                inspect::inspect_tempo(path)
                    .await
                    .map_err(|source| ToolError::Variable {
                        variable: TEMPO_VARIABLE,
                        source,
                    })?;
            return Ok(TempoStatus::Ready(Tempo {
                path: absolute(path.clone()),
                version,
                origin: Origin::Variable,
            }));
        }
        if let Some(version) = &self.settings.tempo_version {
            let release =
                self.release(Product::Tempo, version)
                    .ok_or_else(|| ToolError::Download {
                        product: Product::Tempo,
                        version: version.clone(),
                        error: Box::new(DownloadError::NoRelease {
                            product: Product::Tempo,
                        }),
                    })?;
            return Ok(match release.entry(&self.settings.cache).look().await {
                Cached::Sound(path) => TempoStatus::Ready(Tempo::released(path, version)),
                Cached::Nothing => TempoStatus::Missing(version.clone()),
                Cached::Spoilt(_, reason) => {
                    self.progress.line(&format!("not used: {reason}"));
                    TempoStatus::Missing(version.clone())
                }
            });
        }
        for path in build::on_path(&self.search_path, "tempo") {
            match inspect::inspect_tempo(&path).await {
                Ok(version) => {
                    return Ok(TempoStatus::Ready(Tempo {
                        path,
                        version,
                        origin: Origin::Path,
                    }));
                }
                Err(error) => self.progress.line(&format!("not used: {}", chain(&error))),
            }
        }
        Ok(TempoStatus::None)
    }
}
