//! The kinds of object that a run makes or looks at, with what the API calls them.

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::core::{ApiResource, GroupVersionKind};

use crate::profile::Variant;

/// Group of the Tempo operator's kinds, and of its gateway's tenants.
pub const TEMPO_GROUP: &str = "tempo.grafana.com";

/// A kind that a CustomResourceDefinition brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomKind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// As in the API's paths and in RBAC rules.
    pub plural: &'static str,
}

impl CustomKind {
    pub const TEMPO_MONOLITHIC: Self = Self {
        group: TEMPO_GROUP,
        version: "v1alpha1",
        kind: "TempoMonolithic",
        plural: "tempomonolithics",
    };
    pub const TEMPO_STACK: Self = Self {
        group: TEMPO_GROUP,
        version: "v1alpha1",
        kind: "TempoStack",
        plural: "tempostacks",
    };
    pub const COLLECTOR: Self = Self {
        group: "opentelemetry.io",
        version: "v1beta1",
        kind: "OpenTelemetryCollector",
        plural: "opentelemetrycollectors",
    };
    pub const SERVICE_MONITOR: Self = Self {
        group: "monitoring.coreos.com",
        version: "v1",
        kind: "ServiceMonitor",
        plural: "servicemonitors",
    };
    pub const PROMETHEUS: Self = Self {
        group: "monitoring.coreos.com",
        version: "v1",
        kind: "Prometheus",
        plural: "prometheuses",
    };
    pub const ROUTE: Self = Self {
        group: "route.openshift.io",
        version: "v1",
        kind: "Route",
        plural: "routes",
    };

    /// Those whose operators act on them, and hold them by finalizers.
    pub const OPERATED: [Self; 3] = [Self::TEMPO_MONOLITHIC, Self::TEMPO_STACK, Self::COLLECTOR];

    /// What Tempo is.
    pub const fn tempo(variant: Variant) -> Self {
        match variant {
            Variant::Monolithic => Self::TEMPO_MONOLITHIC,
            Variant::Stack => Self::TEMPO_STACK,
        }
    }

    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    pub fn resource(&self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }
}

/// Kind and plural.
const fn built_in<K: Resource>() -> (&'static str, &'static str) {
    (K::KIND, K::URL_PATH_SEGMENT)
}

/// Kubernetes' own kinds that manifests are of, with their plurals.
const BUILT_IN: [(&str, &str); 13] = [
    built_in::<ClusterRole>(),
    built_in::<ClusterRoleBinding>(),
    built_in::<ConfigMap>(),
    built_in::<Deployment>(),
    built_in::<Job>(),
    built_in::<NetworkPolicy>(),
    built_in::<PersistentVolumeClaim>(),
    built_in::<Role>(),
    built_in::<RoleBinding>(),
    built_in::<Secret>(),
    built_in::<Service>(),
    built_in::<ServiceAccount>(),
    built_in::<StatefulSet>(),
];

/// The resource of a manifest's kind; `None` for a kind that no manifest is of.
pub fn resource_of(gvk: &GroupVersionKind) -> Option<ApiResource> {
    let custom = CustomKind::OPERATED
        .iter()
        .chain([&CustomKind::SERVICE_MONITOR])
        .map(|custom| (custom.kind, custom.plural));
    let mut known = BUILT_IN.into_iter().chain(custom);
    let (_, plural) = known.find(|(kind, _)| *kind == gvk.kind)?;
    Some(ApiResource::from_gvk_with_plural(gvk, plural))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("NetworkPolicy", "networkpolicies")]
    #[case("TempoStack", "tempostacks")]
    #[case("ConfigMap", "configmaps")]
    #[case("Job", "jobs")]
    fn resources_have_the_names_of_the_api(#[case] kind: &str, #[case] expected: &str) {
        let gvk = GroupVersionKind::gvk("g", "v", kind);
        let resource = resource_of(&gvk).expect("a kind of ours");
        assert_eq!(
            (resource.plural.as_str(), resource.kind.as_str()),
            (expected, kind)
        );
    }

    #[test]
    fn a_kind_that_no_manifest_is_of_has_none() {
        assert_eq!(resource_of(&GroupVersionKind::gvk("", "v1", "Node")), None);
    }
}
