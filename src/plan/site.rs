//! Where a run happens, with all that only this place needs to know.

use serde::Serialize;
use url::Url;

use super::kubernetes::KubernetesSite;
use crate::profile::Profile;
use crate::settings::{Settings, Target};

/// The place of a run. In a report it is told where it is a cluster.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Site {
    Local(LocalSite),
    Endpoint(EndpointSite),
    Kubernetes(Box<KubernetesSite>),
}

/// Everything on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct LocalSite {
    /// Faults that the built-in trace store is to have.
    #[serde(skip)]
    pub store_faults: Vec<String>,
}

/// A Tempo that exists.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointSite {
    /// Its OTLP/HTTP receiver.
    #[serde(skip)]
    pub push: Option<Url>,
    /// Its HTTP API.
    #[serde(skip)]
    pub query: Option<Url>,
}

impl Site {
    pub(super) fn new(target: Target, profile: &Profile, settings: &Settings) -> Self {
        match target {
            Target::Local => Site::Local(LocalSite {
                store_faults: settings.store_faults.clone(),
            }),
            Target::Endpoint => Site::Endpoint(EndpointSite {
                push: settings.tempo_endpoint.clone(),
                query: settings.tempo_query_endpoint.clone(),
            }),
            Target::Kubernetes => {
                Site::Kubernetes(Box::new(KubernetesSite::new(profile, settings)))
            }
        }
    }

    pub fn kubernetes(&self) -> Option<&KubernetesSite> {
        match self {
            Site::Kubernetes(site) => Some(site),
            Site::Local(_) | Site::Endpoint(_) => None,
        }
    }

    /// For serde: whether it is no cluster.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.kubernetes().is_none()
    }
}
