//! The APIs of the two operators, and whether the cluster serves them.

use kube::Client;

use crate::environment::kubernetes::cluster::api_error::words;
use crate::profile::Variant;

/// An API that a run uses, and what for.
pub struct NeededApi {
    pub group: &'static str,
    version: &'static str,
    pub plural: &'static str,
    fix: &'static str,
}

impl NeededApi {
    pub fn tempo(variant: Variant) -> Self {
        Self {
            group: "tempo.grafana.com",
            version: "v1alpha1",
            plural: match variant {
                Variant::Monolithic => "tempomonolithics",
                Variant::Stack => "tempostacks",
            },
            fix: "install the Tempo operator (https://github.com/grafana/tempo-operator)",
        }
    }

    pub const COLLECTOR: Self = Self {
        group: "opentelemetry.io",
        version: "v1beta1",
        plural: "opentelemetrycollectors",
        fix: "install the OpenTelemetry operator \
              (https://github.com/open-telemetry/opentelemetry-operator)",
    };

    /// Served means established: the API server lists no other resource.
    pub async fn look(&self, client: &Client) -> Result<(), String> {
        let name = format!("{}.{}", self.plural, self.group);
        let wanted = format!("{}/{}", self.group, self.version);
        match client.list_api_group_resources(&wanted).await {
            Ok(served) if served.resources.iter().any(|it| it.name == self.plural) => Ok(()),
            Ok(_) => Err(format!(
                "{name}: no such resource in {wanted}; {}",
                self.fix
            )),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let served = self.served_versions(client).await;
                Err(match served {
                    Some(served) => format!(
                        "{name}: the cluster serves {served} and not {}; {}, in a version that does",
                        self.version, self.fix
                    ),
                    None => format!("{name}: no such CustomResourceDefinition; {}", self.fix),
                })
            }
            Err(err) => Err(format!("{name}: {}", words(&err))),
        }
    }

    async fn served_versions(&self, client: &Client) -> Option<String> {
        let groups = client.list_api_groups().await.ok()?;
        let group = groups.groups.iter().find(|it| it.name == self.group)?;
        let versions: Vec<&str> = group
            .versions
            .iter()
            .map(|it| it.version.as_str())
            .collect();
        Some(versions.join(", "))
    }
}

/// Whether the Tempo operator's resources of this name are there.
pub async fn is_served(client: &Client, plural: &str) -> bool {
    let group = NeededApi::tempo(Variant::Monolithic);
    let wanted = format!("{}/{}", group.group, group.version);
    let served = client.list_api_group_resources(&wanted).await;
    served.is_ok_and(|served| served.resources.iter().any(|it| it.name == plural))
}
