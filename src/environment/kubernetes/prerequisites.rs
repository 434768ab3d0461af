//! What must be there before anything is created, looked at all at once, so
//! that all that is missing is named at once.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, Client};

use super::api_error::words;
use super::blueprint::Flavor;
use super::rights::{not_ours, rights, tell_rights};
use crate::profile::{Variant, quantity};

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

/// An API that a run uses, and what for.
pub(super) struct NeededApi {
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
    async fn look(&self, client: &Client) -> Result<(), String> {
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

/// Looks at everything; waits for nothing and creates nothing.
pub async fn look(client: &Client, wanted: &Wanted) -> Prerequisites {
    let tempo_api = NeededApi::tempo(wanted.variant);
    let (tempo, otel, missing, storage, nodes, openshift) = futures::join!(
        tempo_api.look(client),
        NeededApi::COLLECTOR.look(client),
        not_ours(client, &wanted.namespace, rights(wanted)),
        usable_storage_class(client, wanted.storage_class.as_deref()),
        nodes(client),
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
            let judged = judge_nodes(&nodes, &wanted.node_selector);
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

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// The class that claims get; a warning where it cannot be told.
async fn usable_storage_class(
    client: &Client,
    named: Option<&str>,
) -> Result<Option<String>, String> {
    let api: Api<StorageClass> = Api::all(client.clone());
    let classes = match api.list(&ListParams::default()).await {
        Ok(classes) => classes.items,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Ok(Some(format!(
                "StorageClass: not allowed to list them ({})",
                status.message
            )));
        }
        Err(err) => return Err(format!("StorageClass: {}", words(&err))),
    };
    choose_class(&classes, named).map(|()| None)
}

fn choose_class(classes: &[StorageClass], named: Option<&str>) -> Result<(), String> {
    let name = |class: &StorageClass| class.metadata.name.clone().unwrap_or_default();
    let known = || {
        let mut known: Vec<String> = classes.iter().map(name).collect();
        known.sort();
        match known.is_empty() {
            true => "the cluster has none".to_string(),
            false => format!("the cluster has {}", known.join(", ")),
        }
    };
    match named {
        Some(wanted) if classes.iter().any(|class| name(class) == wanted) => Ok(()),
        Some(wanted) => Err(format!(
            "StorageClass: found no \"{wanted}\" (--storage-class); {}",
            known()
        )),
        None => {
            let is_default = |class: &&StorageClass| {
                let annotations = class.metadata.annotations.as_ref();
                annotations
                    .and_then(|them| them.get(DEFAULT_CLASS))
                    .map(String::as_str)
                    == Some("true")
            };
            match classes.iter().any(|class| is_default(&class)) {
                true => Ok(()),
                false => Err(format!(
                    "StorageClass: none is the default; name one with --storage-class, or mark \
                     one with {DEFAULT_CLASS}=true; {}",
                    known()
                )),
            }
        }
    }
}

async fn nodes(client: &Client) -> Result<Vec<Node>, String> {
    let api: Api<Node> = Api::all(client.clone());
    let list = api
        .list(&ListParams::default())
        .await
        .map_err(|err| words(&err))?;
    Ok(list.items)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct NodesJudged {
    missing: Vec<String>,
    warnings: Vec<String>,
}

/// What the smallest set-up asks for: k6 twice, collector, MinIO, Prometheus
/// and a monolithic Tempo.
const LEAST_CORES: f64 = 2.0;
const LEAST_MEMORY_BYTES: f64 = 4.0 * 1024.0 * 1024.0 * 1024.0;

fn judge_nodes(nodes: &[Node], selector: &BTreeMap<String, String>) -> NodesJudged {
    let usable: Vec<&Node> = nodes.iter().filter(|node| is_usable(node)).collect();
    let mut judged = NodesJudged::default();
    if usable.is_empty() {
        judged.missing.push(format!(
            "nodes: none of {} is ready and schedulable",
            nodes.len()
        ));
        return judged;
    }
    let selected = |node: &&Node| {
        let labels = node.metadata.labels.clone().unwrap_or_default();
        selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    };
    if !selector.is_empty() {
        let shown: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let shown = shown.join(",");
        let count = usable.iter().filter(|node| selected(node)).count();
        if count == 0 {
            judged.missing.push(format!(
                "nodes: none of the {} that are ready has the labels of the node selector {shown}",
                usable.len()
            ));
        } else if count == usable.len() {
            judged.missing.push(format!(
                "nodes: all {count} that are ready have the labels {shown}, and MinIO, collector, \
                 Prometheus and k6 keep off those; label fewer, or run without a node selector"
            ));
        }
    }
    let sum = |resource: &str| -> f64 {
        usable
            .iter()
            .filter_map(|node| {
                let allocatable = node.status.as_ref()?.allocatable.as_ref()?;
                quantity::parse(&allocatable.get(resource)?.0).ok()
            })
            .sum()
    };
    let (cores, memory) = (sum("cpu"), sum("memory"));
    if cores < LEAST_CORES || memory < LEAST_MEMORY_BYTES {
        judged.warnings.push(format!(
            "nodes: {cores:.1} cores and {:.1} GiB in all; even the smallest profile wants \
             {LEAST_CORES} cores and {} GiB",
            memory / f64::from(1 << 30),
            LEAST_MEMORY_BYTES / f64::from(1 << 30)
        ));
    } else if usable.len() == 1 {
        judged.warnings.push(
            "nodes: Tempo and the load share the only one, and take CPU from each other".into(),
        );
    }
    judged
}

fn is_usable(node: &Node) -> bool {
    let cordoned = node
        .spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or(false);
    let ready = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && !cordoned
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

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

    fn class(name: &str, default: bool) -> StorageClass {
        let annotations = json!({DEFAULT_CLASS: default.to_string()});
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": annotations},
            "provisioner": "x",
        }))
        .expect("a storage class")
    }

    #[rstest]
    #[case::default(&[class("a", false), class("b", true)], None, Ok(()))]
    #[case::named(&[class("a", false)], Some("a"), Ok(()))]
    #[case::no_default(&[class("a", false)], None, Err("none is the default"))]
    #[case::not_there(&[class("b", true), class("a", false)], Some("c"), Err("found no \"c\" (--storage-class); the cluster has a, b"))]
    #[case::no_class(&[], None, Err("the cluster has none"))]
    fn a_storage_class_is_usable(
        #[case] classes: &[StorageClass],
        #[case] named: Option<&str>,
        #[case] expected: Result<(), &str>,
    ) {
        match (choose_class(classes, named), expected) {
            (Ok(()), Ok(())) => {}
            (Err(why), Err(words)) => assert!(why.contains(words), "{why}"),
            (found, expected) => panic!("expected {expected:?}, found {found:?}"),
        }
    }

    fn node(name: &str, role: &str, ready: bool, cores: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"role": role}},
            "status": {
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                "allocatable": {"cpu": cores, "memory": "8Gi"},
            },
        }))
        .expect("a node")
    }

    #[rstest]
    #[case::enough(vec![node("a", "x", true, "4"), node("b", "y", true, "4")], "role=x", &[], &[])]
    #[case::selector_of_none(vec![node("a", "x", true, "4"), node("b", "y", false, "4")], "role=y", &["has the labels of the node selector role=y"], &["share the only one"])]
    #[case::selector_of_all(vec![node("a", "x", true, "4"), node("b", "x", true, "4")], "role=x", &["all 2 that are ready have the labels role=x"], &[])]
    #[case::none_ready(vec![node("a", "x", false, "4")], "", &["none of 1 is ready"], &[])]
    #[case::small(vec![node("a", "x", true, "1500m")], "", &[], &["1.5 cores and 8.0 GiB in all"])]
    fn nodes_are_judged(
        #[case] nodes: Vec<Node>,
        #[case] selector: &str,
        #[case] missing: &[&str],
        #[case] warnings: &[&str],
    ) {
        let selector = selector
            .split_once('=')
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .into_iter()
            .collect();
        let judged = judge_nodes(&nodes, &selector);
        for (found, expected) in [(&judged.missing, missing), (&judged.warnings, warnings)] {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (line, words) in found.iter().zip(expected) {
                assert!(line.contains(words), "{line}");
            }
        }
    }
}
