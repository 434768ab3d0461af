//! The rights that a run needs, and which of them are ours.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::manifests::blueprint::Flavor;
use crate::profile::Variant;

/// Reviews under way at a time.
const CONCURRENT_REVIEWS: usize = 16;

/// A right that a run needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    pub verb: &'static str,
    pub group: &'static str,
    pub resource: &'static str,
    pub subresource: Option<&'static str>,
    /// In the run's namespace; else for the cluster.
    pub namespaced: bool,
}

pub const fn right(verb: &'static str, group: &'static str, resource: &'static str) -> Right {
    Right {
        verb,
        group,
        resource,
        subresource: None,
        namespaced: true,
    }
}

const fn for_cluster(mut right: Right) -> Right {
    right.namespaced = false;
    right
}

pub const fn of(mut right: Right, subresource: &'static str) -> Right {
    right.subresource = Some(subresource);
    right
}

impl Right {
    fn thing(&self) -> String {
        let mut thing = self.resource.to_string();
        if let Some(subresource) = self.subresource {
            thing.push('/');
            thing.push_str(subresource);
        }
        if !self.group.is_empty() {
            thing.push('.');
            thing.push_str(self.group);
        }
        thing
    }

    /// Whether we have it.
    ///
    /// # Errors
    /// When the API server does not answer the question.
    pub async fn is_ours(&self, client: &Client, namespace: &str) -> Result<bool, String> {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(self.verb.into()),
                    group: Some(self.group.into()),
                    resource: Some(self.resource.into()),
                    subresource: self.subresource.map(Into::into),
                    namespace: self.namespaced.then(|| namespace.to_string()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
        let answered = api
            .create(&PostParams::default(), &review)
            .await
            .map_err(|err| words(&err))?;
        Ok(answered.status.is_some_and(|status| status.allowed))
    }
}

/// Every right that a run needs whatever it finds; the README's RBAC manifest
/// grants these. Our own Prometheus needs a Role.
pub fn rights(variant: Variant, own_prometheus: bool) -> Vec<Right> {
    let mut rights = vec![
        for_cluster(right("create", "", "namespaces")),
        for_cluster(right("get", "", "namespaces")),
        for_cluster(right("delete", "", "namespaces")),
        of(right("get", "", "pods"), "log"),
        of(right("create", "", "pods"), "exec"),
        of(right("get", "", "pods"), "exec"),
        of(right("create", "", "pods"), "portforward"),
        of(right("get", "", "pods"), "portforward"),
        right("get", "", "secrets"),
        right("get", "", "configmaps"),
        right("create", "", "serviceaccounts"),
        right("create", "", "services"),
        right("create", "networking.k8s.io", "networkpolicies"),
    ];
    let watched = [
        ("", "pods"),
        ("", "events"),
        ("", "persistentvolumeclaims"),
        ("", "secrets"),
        ("", "configmaps"),
        ("apps", "deployments"),
        ("apps", "statefulsets"),
        ("batch", "jobs"),
    ];
    for (group, resource) in watched {
        rights.extend(["list", "watch"].map(|verb| right(verb, group, resource)));
    }
    let made = [
        ("", "secrets"),
        ("", "configmaps"),
        ("", "persistentvolumeclaims"),
        ("apps", "deployments"),
        ("apps", "statefulsets"),
        ("batch", "jobs"),
    ];
    rights.extend(made.map(|(group, resource)| right("create", group, resource)));
    rights.push(right("delete", "batch", "jobs"));
    for verb in ["create", "get", "update"] {
        rights.push(right(verb, "coordination.k8s.io", "leases"));
    }
    for custom in [CustomKind::tempo(variant), CustomKind::COLLECTOR] {
        let verbs = ["create", "list", "watch", "delete", "patch"];
        rights.extend(verbs.map(|verb| right(verb, custom.group, custom.plural)));
    }
    if own_prometheus {
        for resource in ["roles", "rolebindings"] {
            rights.push(right("create", "rbac.authorization.k8s.io", resource));
        }
    }
    rights
}

/// What our own Prometheus needs to read the kubelets' container metrics: to
/// grant the right, and to hold it.
pub fn rights_for_container_metrics() -> Vec<Right> {
    let group = "rbac.authorization.k8s.io";
    // What was made must be found and deleted again.
    let made = ["clusterroles", "clusterrolebindings"]
        .into_iter()
        .flat_map(|resource| {
            ["create", "list", "delete"].map(|verb| for_cluster(right(verb, group, resource)))
        });
    made.chain([
        for_cluster(right("list", "", "nodes")),
        for_cluster(of(right("get", "", "nodes"), "proxy")),
    ])
    .collect()
}

/// What a Prometheus of the cluster needs, beside [`rights`]: our monitors, and on
/// OpenShift a token that may read the Thanos querier and Tempo's gateway.
pub fn rights_of_monitored(flavor: Flavor) -> Vec<Right> {
    let mut rights = vec![right(
        "create",
        CustomKind::SERVICE_MONITOR.group,
        CustomKind::SERVICE_MONITOR.plural,
    )];
    if flavor == Flavor::OpenShift {
        rights.push(of(right("create", "", "serviceaccounts"), "token"));
    }
    rights
}

/// What Tempo's gateway needs, beside [`rights`]: roles for its tenant.
pub fn rights_of_gateway() -> Vec<Right> {
    let group = "rbac.authorization.k8s.io";
    let made = ["clusterroles", "clusterrolebindings"]
        .into_iter()
        .flat_map(|resource| {
            ["create", "list", "delete"].map(|verb| for_cluster(right(verb, group, resource)))
        });
    made.collect()
}

/// Those of `rights` that we do not have.
///
/// # Errors
/// When the API server does not answer.
pub async fn not_ours(
    client: &Client,
    namespace: &str,
    rights: Vec<Right>,
) -> Result<Vec<Right>, String> {
    let asked: Vec<(Right, Result<bool, String>)> = stream::iter(rights)
        .map(|right| async move {
            let ours = right.is_ours(client, namespace).await;
            (right, ours)
        })
        .buffered(CONCURRENT_REVIEWS)
        .collect()
        .await;
    let mut missing = Vec::new();
    for (right, ours) in asked {
        if !ours? {
            missing.push(right);
        }
    }
    Ok(missing)
}

/// One line for rights of the same thing.
pub fn tell_rights(missing: &[Right]) -> Vec<String> {
    let mut by_thing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for right in missing {
        by_thing.entry(right.thing()).or_default().push(right.verb);
    }
    for verbs in by_thing.values_mut() {
        verbs.sort_unstable();
        verbs.dedup();
    }
    if by_thing.is_empty() {
        return Vec::new();
    }
    let each: Vec<String> = by_thing
        .iter()
        .map(|(thing, verbs)| format!("{} {thing}", verbs.join(", ")))
        .collect();
    vec![format!(
        "permissions: not allowed to {}; have the ClusterRole of the README bound to you",
        each.join("; ")
    )]
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
    use rstest::rstest;

    use super::*;

    /// The rules of the ClusterRole in the README.
    fn readme_rules() -> Vec<PolicyRule> {
        let readme = include_str!("../../../../README.md");
        let block = readme
            .split("```yaml\n")
            .filter_map(|rest| rest.split("```").next())
            .find(|block| block.contains("kind: ClusterRole"))
            .expect("the README has the ClusterRole of a user");
        let role: ClusterRole = serde_yaml::from_str(block).expect("a ClusterRole");
        role.rules.expect("it has rules")
    }

    #[rstest]
    #[case::monolithic(Variant::Monolithic)]
    #[case::stack(Variant::Stack)]
    fn the_readme_grants_every_right_that_is_asked_for(#[case] variant: Variant) {
        let rules = readme_rules();
        let has = |list: &Option<Vec<String>>, word: &str| {
            list.iter().flatten().any(|granted| granted == word)
        };
        for right in rights(variant, true)
            .into_iter()
            .chain(rights_for_container_metrics())
        {
            let mut resource = right.resource.to_string();
            if let Some(subresource) = right.subresource {
                resource = format!("{resource}/{subresource}");
            }
            let granted = rules.iter().any(|rule| {
                has(&rule.api_groups, right.group)
                    && has(&rule.resources, &resource)
                    && rule.verbs.iter().any(|verb| verb == right.verb)
            });
            assert!(
                granted,
                "the README must grant {} {}",
                right.verb,
                right.thing()
            );
        }
    }

    #[test]
    fn our_own_prometheus_needs_roles_and_others_do_not() {
        let of_stack = |own| rights(Variant::Stack, own);
        let roles = |own| of_stack(own).iter().any(|it| it.resource == "roles");
        assert_eq!((roles(true), roles(false)), (true, false));
        let stacks = |it: &Right| it.resource == "tempostacks" && it.verb == "create";
        assert!(of_stack(false).iter().any(stacks));
    }
}
