//! Objects that outlive a namespace: roles and bindings of the whole cluster, our
//! own by label, and those that an operator made for a custom resource.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Instant;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::tally::Tally;
use crate::environment::kubernetes::cluster::api_error::ApiError;
use crate::environment::kubernetes::cluster::deletion::delete_exactly;
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::cluster::names::{
    MANAGED_BY_LABEL, NAMESPACE_LABEL, OPENTELEMETRY_OPERATOR, RUN_LABEL, TEMPO_OPERATOR,
};
use crate::environment::kubernetes::cluster::retry::persist;

/// Names of objects end here, in the OpenTelemetry operator's naming.
const LONGEST_NAME: usize = 63;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// First in every list, so that no binding is left that names no role.
    ClusterRoleBinding,
    ClusterRole,
}

/// A cluster-scoped object with our run label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterObject {
    pub scope: Scope,
    pub name: String,
    pub uid: String,
    pub run: String,
    /// Of [`NAMESPACE_LABEL`]; absent on an object that somebody else labelled.
    pub namespace: Option<String>,
}

impl std::fmt::Display for ClusterObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.scope, self.name)
    }
}

/// The cluster-scoped objects of ours that match a label selector.
pub async fn list(
    client: &Client,
    selector: &str,
    deadline: Instant,
) -> Result<Vec<ClusterObject>, ApiError> {
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let (bindings, roles) = tokio::try_join!(
        list_of(&bindings, Scope::ClusterRoleBinding, selector, deadline),
        list_of(&roles, Scope::ClusterRole, selector, deadline),
    )?;
    Ok(bindings.into_iter().chain(roles).collect())
}

async fn list_of<K>(
    api: &Api<K>,
    scope: Scope,
    selector: &str,
    deadline: Instant,
) -> Result<Vec<ClusterObject>, ApiError>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let params = ListParams::default().labels(selector);
    let found = persist(deadline, async || api.list_metadata(&params).await).await?;
    let objects = found.items.iter().filter_map(|object| {
        let labels = object.metadata.labels.as_ref()?;
        Some(ClusterObject {
            scope,
            name: object.metadata.name.clone()?,
            uid: object.metadata.uid.clone()?,
            run: labels.get(RUN_LABEL)?.clone(),
            namespace: labels.get(NAMESPACE_LABEL).cloned(),
        })
    });
    Ok(objects.collect())
}

/// Removes the cluster-scoped objects of one run.
pub async fn remove_of_run(
    client: &Client,
    run: &str,
    namespace: &str,
    deadline: Instant,
) -> Tally {
    let selector = format!("{RUN_LABEL}={run},{NAMESPACE_LABEL}={namespace}");
    let mut tally = Tally::default();
    match list(client, &selector, deadline).await {
        Ok(objects) => {
            for object in &objects {
                tally.add(remove(client, object, deadline).await);
            }
        }
        // Who may not look at them has hardly made any.
        Err(error) if error.is_forbidden() => tally.warnings.push(format!(
            "whether ClusterRoles or ClusterRoleBindings of run {run} are left cannot be seen: {error}"
        )),
        Err(error) => tally.errors.push(format!(
            "cannot list the ClusterRoles and ClusterRoleBindings of run {run}: {error}"
        )),
    }
    tally
}

/// Removes one object that was listed.
pub async fn remove(client: &Client, object: &ClusterObject, deadline: Instant) -> Tally {
    let ClusterObject { name, uid, .. } = object;
    let params = DeleteParams::default();
    let deleted = match object.scope {
        Scope::ClusterRole => {
            let api: Api<ClusterRole> = Api::all(client.clone());
            delete_exactly(&api, name, uid, params, deadline).await
        }
        Scope::ClusterRoleBinding => {
            let api: Api<ClusterRoleBinding> = Api::all(client.clone());
            delete_exactly(&api, name, uid, params, deadline).await
        }
    };
    match deleted {
        Ok(()) => Tally::removed(object.to_string()),
        Err(error) => Tally::error(format!("cannot delete {object}: {error}")),
    }
}

/// What an operator makes for a custom resource outside of its namespace, and
/// removes by its finalizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers {
    pub role: String,
    pub binding: String,
    /// The operator's value of [`MANAGED_BY_LABEL`].
    pub managed_by: &'static str,
}

impl Leftovers {
    /// Names as the operators give them (tempo-operator
    /// internal/manifests/{monolithic,gateway}; opentelemetry-operator
    /// internal/naming).
    pub fn of(kind: &str, name: &str, namespace: &str) -> Self {
        if kind == CustomKind::COLLECTOR.kind {
            let cut = |text: String| text.chars().take(LONGEST_NAME).collect();
            Leftovers {
                role: cut(format!("{name}-{namespace}-cluster-role")),
                binding: cut(format!("{name}-{namespace}-collector")),
                managed_by: OPENTELEMETRY_OPERATOR,
            }
        } else {
            let gateway = format!("tempo-{name}-gateway-{namespace}");
            Leftovers {
                role: gateway.clone(),
                binding: gateway,
                managed_by: TEMPO_OPERATOR,
            }
        }
    }

    fn are_managed(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let managed_by = labels.and_then(|labels| labels.get(MANAGED_BY_LABEL));
        managed_by.is_some_and(|value| value == self.managed_by)
    }
}

/// Removes what an operator left behind whose finalizer was taken away. Only
/// what carries the operator's own label; mostly there is nothing.
pub async fn remove_leftovers(client: &Client, leftovers: &Leftovers, deadline: Instant) -> Tally {
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let mut tally = remove_managed(
        &bindings,
        "ClusterRoleBinding",
        &leftovers.binding,
        leftovers,
        deadline,
    )
    .await;
    tally.add(remove_managed(&roles, "ClusterRole", &leftovers.role, leftovers, deadline).await);
    tally
}

async fn remove_managed<K>(
    api: &Api<K>,
    kind: &str,
    name: &str,
    leftovers: &Leftovers,
    deadline: Instant,
) -> Tally
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let failed = |error| {
        Tally::error(format!(
            "cannot remove {kind} {name}, which {} may have left: {error}",
            leftovers.managed_by
        ))
    };
    let found = match persist(deadline, async || api.get_opt(name).await).await {
        Ok(Some(found)) if leftovers.are_managed(found.meta().labels.as_ref()) => found,
        Ok(_) => return Tally::default(),
        Err(error) => return failed(error),
    };
    let uid = found.uid().unwrap_or_default();
    match delete_exactly(api, name, &uid, DeleteParams::default(), deadline).await {
        Ok(()) => Tally::removed(format!("{kind} {name} of {}", leftovers.managed_by)),
        Err(error) => failed(error),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::monolithic(
        "TempoMonolithic",
        "tempo-perf-gateway-tempo-perf-small",
        "tempo-perf-gateway-tempo-perf-small",
        "tempo-operator"
    )]
    #[case::stack(
        "TempoStack",
        "tempo-perf-gateway-tempo-perf-small",
        "tempo-perf-gateway-tempo-perf-small",
        "tempo-operator"
    )]
    #[case::collector(
        "OpenTelemetryCollector",
        "perf-tempo-perf-small-cluster-role",
        "perf-tempo-perf-small-collector",
        "opentelemetry-operator"
    )]
    fn leftovers_have_the_operators_names(
        #[case] kind: &str,
        #[case] role: &str,
        #[case] binding: &str,
        #[case] managed_by: &'static str,
    ) {
        let expected = Leftovers {
            role: role.to_owned(),
            binding: binding.to_owned(),
            managed_by,
        };
        assert_eq!(Leftovers::of(kind, "perf", "tempo-perf-small"), expected);
    }

    #[test]
    fn the_collectors_names_are_cut() {
        let namespace = "n".repeat(60);
        let leftovers = Leftovers::of("OpenTelemetryCollector", "perf", &namespace);
        assert_eq!(leftovers.role, format!("perf-{}", "n".repeat(58)));
    }

    #[rstest]
    #[case::the_operators(Some((MANAGED_BY_LABEL, "tempo-operator")), true)]
    #[case::helms(Some((MANAGED_BY_LABEL, "Helm")), false)]
    #[case::unlabelled(None, false)]
    fn only_what_the_operator_manages_is_its_leftover(
        #[case] label: Option<(&str, &str)>,
        #[case] expected: bool,
    ) {
        let labels = label.map(|(key, value)| BTreeMap::from([(key.to_owned(), value.to_owned())]));
        let leftovers = Leftovers::of("TempoStack", "perf", "n");
        assert_eq!(leftovers.are_managed(labels.as_ref()), expected);
    }
}
