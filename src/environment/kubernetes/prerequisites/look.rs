//! What must be there before anything is created, looked at all at once, so
//! that all that is missing is named at once.

use std::collections::BTreeMap;
use std::fmt;

use kube::Client;

use super::operators::NeededKind;
use super::rights::{not_ours, rights, tell_rights};
use super::{nodes, storage_class};
use crate::environment::kubernetes::cluster::api_error::words;
use crate::environment::kubernetes::manifests::blueprint::Flavor;
use crate::profile::Variant;

/// The operators, and what else must be there; all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prerequisites {
    pub tempo: Result<(), String>,
    pub otel: Result<(), String>,
    /// Everything else that is missing, with what to do.
    pub others: Vec<String>,
    /// What may go wrong and need not.
    pub warnings: Vec<String>,
    pub flavor: Flavor,
}

impl Prerequisites {
    pub fn all_met(&self) -> bool {
        self.tempo.is_ok() && self.otel.is_ok() && self.others.is_empty()
    }
}

/// The first line is that of the Go program.
impl fmt::Display for Prerequisites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all_met() {
            return f.write_str("prerequisites met");
        }
        write!(
            f,
            "prerequisites not met: Tempo={}, OTel={}",
            self.tempo.is_ok(),
            self.otel.is_ok()
        )?;
        let operators = [&self.tempo, &self.otel];
        let missing = operators
            .into_iter()
            .filter_map(|found| found.as_ref().err());
        for line in missing.chain(&self.others) {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

/// What a run wants of the cluster.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub namespace: String,
    pub variant: Variant,
    pub storage_class: Option<String>,
    pub node_selector: BTreeMap<String, String>,
    /// Whether our own Prometheus needs a Role.
    pub own_prometheus: bool,
}

/// Looks at everything; waits for nothing and creates nothing.
pub async fn look(client: &Client, wanted: &Wanted) -> Prerequisites {
    let tempo_api = NeededKind::tempo(wanted.variant);
    let (tempo, otel, missing, storage, nodes, openshift) = futures::join!(
        tempo_api.look(client),
        NeededKind::COLLECTOR.look(client),
        not_ours(
            client,
            &wanted.namespace,
            rights(wanted.variant, wanted.own_prometheus)
        ),
        storage_class::usable(client, wanted.storage_class.as_deref()),
        nodes::list(client),
        is_openshift(client),
    );
    let mut others = Vec::new();
    let mut warnings = Vec::new();
    match missing {
        Ok(missing) => others.extend(tell_rights(&missing)),
        Err(why) => others.push(format!("permissions: cannot be asked for: {why}")),
    }
    match storage {
        Ok(None) => {}
        Ok(Some(warning)) => warnings.push(warning),
        Err(why) => others.push(why),
    }
    match nodes {
        Ok(nodes) => {
            let judged = nodes::judge(&nodes, &wanted.node_selector);
            others.extend(judged.missing);
            warnings.extend(judged.warnings);
        }
        Err(why) => warnings.push(format!("nodes: capacity is not known: {why}")),
    }
    let flavor = match openshift {
        Ok(true) => Flavor::OpenShift,
        Ok(false) => Flavor::Vanilla,
        Err(why) => {
            others.push(format!("API groups: {why}"));
            Flavor::Vanilla
        }
    };
    Prerequisites {
        tempo,
        otel,
        others,
        warnings,
        flavor,
    }
}

/// MicroShift has routes but not the cluster's configuration, and no gateway's
/// certificates or monitoring stack with it.
async fn is_openshift(client: &Client) -> Result<bool, String> {
    let groups = client
        .list_api_groups()
        .await
        .map_err(|err| words(&err))?
        .groups;
    Ok(groups
        .iter()
        .any(|group| group.name == "config.openshift.io"))
}

#[cfg(test)]
mod tests {

    use super::super::rights::{of, right};
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_at_once_below_the_line_of_the_go_program() {
        let prerequisites = Prerequisites {
            tempo: Err("tempostacks.tempo.grafana.com: no such CustomResourceDefinition".into()),
            otel: Err(
                "opentelemetrycollectors.opentelemetry.io: the cluster serves v1alpha1".into(),
            ),
            others: tell_rights(&[
                of(right("create", "", "pods"), "exec"),
                right("create", "batch", "jobs"),
                right("delete", "batch", "jobs"),
            ]),
            warnings: Vec::new(),
            flavor: Flavor::Vanilla,
        };
        insta::assert_snapshot!(prerequisites, @r"
        prerequisites not met: Tempo=false, OTel=false
          tempostacks.tempo.grafana.com: no such CustomResourceDefinition
          opentelemetrycollectors.opentelemetry.io: the cluster serves v1alpha1
          permissions: not allowed to create, delete jobs.batch; create pods/exec; have the ClusterRole of the README bound to you
        ");
    }
}
