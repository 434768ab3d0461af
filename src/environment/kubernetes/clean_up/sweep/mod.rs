//! Removing what runs left behind that no longer live: namespaces with our label,
//! and objects outside of them whose namespace is gone.

pub mod command;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use crate::environment::kubernetes::clean_up::cluster_objects::{self, ClusterObject};
use crate::environment::kubernetes::clean_up::tally::Tally;
use crate::environment::kubernetes::clean_up::tear_down::{Limits, Target, tear_down};
use crate::environment::kubernetes::cluster::api_error::ApiError;
use crate::environment::kubernetes::cluster::names::{NAMESPACE_LABEL, RUN_LABEL};
use crate::environment::kubernetes::cluster::retry::persist;
use crate::environment::kubernetes::holder::examine::{Liveness, examine, run_of, who};
use crate::environment::kubernetes::holder::lease::ABANDONED_AFTER;
use crate::process::Interrupt;

/// How long the API server may be away when something is listed.
const API_LIMIT: Duration = Duration::from_secs(30);

/// What is swept, and how.
pub struct SweepOptions<'a> {
    /// This namespace alone.
    pub namespace: Option<String>,
    /// Only tell what would be removed.
    pub dry_run: bool,
    pub limits: Limits,
    pub interrupt: &'a Interrupt,
}

impl SweepOptions<'_> {
    fn covers(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|it| it == namespace)
    }
}

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Removed, or to be removed in a dry run: namespaces and cluster-scoped
    /// objects without one.
    pub removed: usize,
    /// Namespaces of live runs.
    pub live: usize,
    /// What was abandoned and is not gone, or could not be judged.
    pub failed: Vec<String>,
}

/// Sweeps a cluster; `say` gets one line for everything found. Nothing without
/// our run label is touched, and nothing of a run that may be live.
pub async fn sweep(
    client: &Client,
    options: &SweepOptions<'_>,
    say: &dyn Fn(&str),
) -> Result<Swept, ApiError> {
    // Before the namespaces: an object that is made later belongs to a run that
    // began later, whose namespace might not be in our list.
    let deadline = Instant::now() + API_LIMIT;
    let objects = cluster_objects::list(client, RUN_LABEL, deadline).await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let params = ListParams::default().labels(RUN_LABEL);
    let found = persist(deadline, async || namespaces.list(&params).await).await?;
    let ours: Vec<Namespace> = found
        .items
        .into_iter()
        .filter(|namespace| options.covers(&namespace.name_any()))
        .collect();
    let mut swept = Swept::default();
    if let Some(asked) = &options.namespace
        && ours.is_empty()
    {
        let there = persist(deadline, async || namespaces.get_opt(asked).await).await?;
        // A typo must not look like a clean cluster; but gone is what it was to be.
        match there {
            None => say(&format!("namespace {asked} is not there")),
            Some(_) => {
                let line = format!(
                    "namespace {asked} is not tempo-perf's (no label {RUN_LABEL}): left alone"
                );
                say(&line);
                swept.failed.push(line);
            }
        }
    }
    let each = ours
        .iter()
        .map(|namespace| sweep_namespace(client, namespace, options, say));
    for fate in futures::future::join_all(each).await {
        match fate {
            Fate::Live => swept.live += 1,
            Fate::Removed => swept.removed += 1,
            Fate::Failed(why) => swept.failed.push(why),
        }
    }
    match objects {
        Ok(mut objects) => {
            // Those of namespaces that were looked at went with them, or stay.
            objects.retain(|object| {
                !ours.iter().any(|namespace| {
                    object.namespace == namespace.metadata.name
                        && run_of(namespace) == Some(object.run.as_str())
                })
            });
            sweep_objects(client, &objects, options, say, &mut swept).await?;
        }
        Err(error) => {
            let line = format!("cannot list ClusterRoles and ClusterRoleBindings: {error}");
            say(&line);
            swept.failed.push(line);
        }
    }
    Ok(swept)
}

enum Fate {
    Live,
    Removed,
    Failed(String),
}

async fn sweep_namespace(
    client: &Client,
    namespace: &Namespace,
    options: &SweepOptions<'_>,
    say: &dyn Fn(&str),
) -> Fate {
    let name = namespace.name_any();
    let failed = |line: String| {
        say(&line);
        Fate::Failed(line)
    };
    let liveness = tokio::select! {
        biased;
        signal = options.interrupt.wait() => {
            return failed(format!("namespace {name}: left alone, interrupted by {signal}"));
        }
        liveness = examine(client, namespace, ABANDONED_AFTER, say) => liveness,
    };
    let who = who(namespace);
    let why = match liveness {
        Ok(Liveness::Live) => {
            say(&format!("namespace {name}: left alone, in use by {who}"));
            return Fate::Live;
        }
        Ok(Liveness::Abandoned(why)) => why,
        Err(error) => {
            return failed(format!(
                "namespace {name}: left alone, whether it is in use cannot be told: cannot read \
                 the Lease in namespace {name}: {error}"
            ));
        }
    };
    let found = format!("namespace {name}: left behind by {who} ({why})");
    if options.dry_run {
        say(&format!("{found}, would be removed"));
        return Fate::Removed;
    }
    say(&format!("{found}, removing it"));
    let uid = namespace.metadata.uid.as_deref().unwrap_or_default();
    let target = Target::new(&name, run_of(namespace).unwrap_or_default()).with_uid(uid);
    let progress = |line: &str| say(&format!("namespace {name}: {line}"));
    let (removed, errors) = match tear_down(client, &target, options.limits, &progress).await {
        Ok(removed) => (removed, Vec::new()),
        Err(failed) => (failed.removed, failed.errors),
    };
    for warning in &removed.warnings {
        say(&format!("namespace {name}: warning: {warning}"));
    }
    if !removed.objects.is_empty() {
        let objects = removed.objects.join(", ");
        say(&format!("namespace {name}: removed {objects}"));
    }
    if errors.is_empty() {
        return Fate::Removed;
    }
    failed(format!(
        "namespace {name}: not removed: {}",
        errors.join("; ")
    ))
}

async fn sweep_objects(
    client: &Client,
    objects: &[ClusterObject],
    options: &SweepOptions<'_>,
    say: &dyn Fn(&str),
    swept: &mut Swept,
) -> Result<(), ApiError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let mut runs: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for name in objects.iter().filter_map(|it| it.namespace.as_deref()) {
        if !options.covers(name) || runs.contains_key(name) {
            continue;
        }
        let deadline = Instant::now() + API_LIMIT;
        let found = persist(deadline, async || namespaces.get_opt(name).await).await?;
        let run = found.map(|it| run_of(&it).unwrap_or_default().to_owned());
        runs.insert(name, run);
    }
    for object in objects {
        let why = match belongs(object, &runs) {
            Belongs::Orphan(why) => why,
            Belongs::Unknown if options.namespace.is_none() => {
                say(&format!(
                    "{object}: left alone, it has no label {NAMESPACE_LABEL}"
                ));
                continue;
            }
            Belongs::Unknown | Belongs::ToARun => continue,
        };
        let found = format!("{object}: left behind by run {} ({why})", object.run);
        if options.dry_run {
            say(&format!("{found}, would be removed"));
            swept.removed += 1;
            continue;
        }
        let Tally { errors, .. } =
            cluster_objects::remove(client, object, Instant::now() + API_LIMIT).await;
        if errors.is_empty() {
            say(&format!("{found}, removed"));
            swept.removed += 1;
        } else {
            let line = format!("{found}, not removed: {}", errors.join("; "));
            say(&line);
            swept.failed.push(line);
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Belongs {
    /// With the reason.
    Orphan(String),
    /// Its namespace is there, or is not to be swept.
    ToARun,
    Unknown,
}

/// `runs` has the run label of each namespace that was looked at, empty if it has
/// none; and `None` for a namespace that is not there.
fn belongs(object: &ClusterObject, runs: &BTreeMap<&str, Option<String>>) -> Belongs {
    let Some(namespace) = object.namespace.as_deref() else {
        return Belongs::Unknown;
    };
    match runs.get(namespace) {
        None => Belongs::ToARun,
        Some(None) => Belongs::Orphan(format!("its namespace {namespace} is gone")),
        Some(Some(run)) if *run == object.run => Belongs::ToARun,
        Some(Some(_)) => {
            Belongs::Orphan(format!("namespace {namespace} is not that run's any more"))
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::environment::kubernetes::clean_up::cluster_objects::Scope;

    #[rstest]
    #[case::namespace_gone(
        Some("gone"),
        Belongs::Orphan("its namespace gone is gone".to_owned())
    )]
    #[case::namespace_there(Some("same"), Belongs::ToARun)]
    #[case::a_later_run(
        Some("later"),
        Belongs::Orphan("namespace later is not that run's any more".to_owned())
    )]
    #[case::somebody_elses_namespace(
        Some("foreign"),
        Belongs::Orphan("namespace foreign is not that run's any more".to_owned())
    )]
    #[case::not_asked_for(Some("elsewhere"), Belongs::ToARun)]
    #[case::no_label(None, Belongs::Unknown)]
    fn an_object_goes_with_its_runs_namespace(
        #[case] namespace: Option<&str>,
        #[case] expected: Belongs,
    ) {
        let object = ClusterObject {
            scope: Scope::ClusterRole,
            name: "tempo-perf-write".to_owned(),
            uid: "u".to_owned(),
            run: "7".to_owned(),
            namespace: namespace.map(str::to_owned),
        };
        let runs = BTreeMap::from([
            ("gone", None),
            ("same", Some("7".to_owned())),
            ("later", Some("8".to_owned())),
            ("foreign", Some(String::new())),
        ]);
        assert_eq!(belongs(&object, &runs), expected);
    }

    #[rstest]
    #[case::all(None, true)]
    #[case::namespace(Some("tempo-perf-small"), true)]
    #[case::other_namespace(Some("tempo-perf"), false)]
    fn a_sweep_can_be_narrowed(#[case] namespace: Option<&str>, #[case] expected: bool) {
        let options = SweepOptions {
            namespace: namespace.map(str::to_owned),
            dry_run: true,
            limits: Limits {
                cr_deletion: Duration::ZERO,
                namespace_deletion: Duration::ZERO,
            },
            interrupt: &Interrupt::manual(),
        };
        assert_eq!(options.covers("tempo-perf-small"), expected);
    }
}
