//! The kinds of the two operators, and whether the cluster serves them.

use kube::Client;

use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::profile::Variant;

/// A kind that a run needs, and what to do where it is not there.
pub struct NeededKind {
    custom: CustomKind,
    fix: &'static str,
}

impl NeededKind {
    pub fn tempo(variant: Variant) -> Self {
        Self {
            custom: CustomKind::tempo(variant),
            fix: "install the Tempo operator (https://github.com/grafana/tempo-operator)",
        }
    }

    pub const COLLECTOR: Self = Self {
        custom: CustomKind::COLLECTOR,
        fix: "install the OpenTelemetry operator \
              (https://github.com/open-telemetry/opentelemetry-operator)",
    };

    /// Served means established: the API server lists no other resource.
    pub async fn look(&self, client: &Client) -> Result<(), String> {
        let CustomKind {
            group,
            version,
            plural,
            ..
        } = self.custom;
        let name = format!("{plural}.{group}");
        let wanted = self.custom.api_version();
        match client.list_api_group_resources(&wanted).await {
            Ok(served) if served.resources.iter().any(|it| it.name == plural) => Ok(()),
            Ok(_) => Err(format!(
                "{name}: no such resource in {wanted}; {}",
                self.fix
            )),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let served = self.served_versions(client).await;
                Err(match served {
                    Some(served) => format!(
                        "{name}: the cluster serves {served} and not {version}; {}, in a version that does",
                        self.fix
                    ),
                    None => format!("{name}: no such CustomResourceDefinition; {}", self.fix),
                })
            }
            Err(err) => Err(format!("{name}: {}", words(&err))),
        }
    }

    async fn served_versions(&self, client: &Client) -> Option<String> {
        let groups = client.list_api_groups().await.ok()?;
        let group = groups
            .groups
            .iter()
            .find(|it| it.name == self.custom.group)?;
        let versions: Vec<&str> = group
            .versions
            .iter()
            .map(|it| it.version.as_str())
            .collect();
        Some(versions.join(", "))
    }
}

/// Whether a kind is there.
pub async fn is_served(client: &Client, custom: CustomKind) -> bool {
    let served = client.list_api_group_resources(&custom.api_version()).await;
    served.is_ok_and(|served| served.resources.iter().any(|it| it.name == custom.plural))
}
