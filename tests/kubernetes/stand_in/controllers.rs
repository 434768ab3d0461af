//! The controllers: what has a custom resource looked at again, and how.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join;
use futures::stream::{self, Stream, StreamExt};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::utils::{Backoff, StreamBackoff};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{Config, Controller, WatchStreamExt};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tempo_perf::environment::kubernetes::cluster::names::RUN_LABEL;
use tokio_util::sync::CancellationToken;

use super::objects::{self, Owner, apply};
use super::{Behaviour, Context, Error, collector, monolithic, stack};

/// After an error, be it the API server's absence or a CRD's. The default of
/// `kube` grows to 30 s, longer than tests want to wait.
const RETRY: Duration = Duration::from_millis(500);
/// Changes that come together are looked at once.
const DEBOUNCE: Duration = Duration::from_millis(20);

const TEMPO_FINALIZER: &str = "tempo.grafana.com/finalizer";
const COLLECTOR_FINALIZER: &str = "opentelemetrycollector.opentelemetry.io/finalizer";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Monolithic,
    Stack,
    Collector,
}

impl Kind {
    fn resource(self) -> ApiResource {
        match self {
            Self::Monolithic => objects::tempo_monolithic(),
            Self::Stack => objects::tempo_stack(),
            Self::Collector => objects::collector(),
        }
    }

    fn finalizer(self) -> &'static str {
        match self {
            Self::Monolithic | Self::Stack => TEMPO_FINALIZER,
            Self::Collector => COLLECTOR_FINALIZER,
        }
    }

    /// With its stock rights the OpenTelemetry operator adds none.
    fn adds_finalizer(self, behaviour: Behaviour) -> bool {
        self != Self::Collector || behaviour == Behaviour::KeepFinalizer
    }

    /// Name of the storage Secret that a custom resource refers to.
    fn storage_secret(self, cr: &DynamicObject) -> Option<&str> {
        let pointer = match self {
            Self::Monolithic => monolithic::SECRET,
            Self::Stack => stack::SECRET,
            Self::Collector => return None,
        };
        cr.data.pointer(pointer).and_then(Value::as_str)
    }
}

/// Runs all controllers until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let controllers = futures::future::join_all(
        [Kind::Monolithic, Kind::Stack, Kind::Collector]
            .map(|kind| run_controller(kind, Arc::clone(&context))),
    );
    let all = join(controllers, keep_quotas(&context));
    let _ = stop.run_until_cancelled(all).await;
}

async fn run_controller(kind: Kind, context: Arc<Context>) {
    let resource = kind.resource();
    let client = &context.client;
    let everything = watcher::Config::default;
    let controller = Controller::new_with(
        Api::<DynamicObject>::all_with(client.clone(), &resource),
        everything(),
        resource.clone(),
    );
    let known = controller.store();
    let of_secret = {
        let resource = resource.clone();
        move |secret: Secret| -> Vec<ObjectRef<DynamicObject>> {
            known
                .state()
                .iter()
                .filter(|cr| {
                    cr.namespace() == secret.namespace()
                        && kind.storage_secret(cr) == Some(&secret.name_any())
                })
                .map(|cr| ObjectRef::from_obj_with(&**cr, resource.clone()))
                .collect()
        }
    };
    let of_pod = {
        let resource = resource.clone();
        move |pod: Pod| {
            let name = pod.labels().get("app.kubernetes.io/instance")?;
            let reference = ObjectRef::new_with(name, resource.clone());
            Some(reference.within(&pod.namespace()?))
        }
    };
    controller
        .with_config(Config::default().debounce(DEBOUNCE).concurrency(8))
        .trigger_backoff(Constant)
        .owns(Api::<StatefulSet>::all(client.clone()), everything())
        .owns(Api::<Deployment>::all(client.clone()), everything())
        .watches(
            Api::<Pod>::all(client.clone()),
            everything().labels("app.kubernetes.io/managed-by=tempo-operator"),
            of_pod,
        )
        .watches(Api::<Secret>::all(client.clone()), everything(), of_secret)
        .reconcile_all_on(changes(&context))
        .run(
            move |cr, context| reconcile(kind, cr, context),
            |_, _, _| Action::requeue(RETRY),
            Arc::clone(&context),
        )
        .for_each(|result| async move {
            if let Err(err) = result {
                tracing::debug!(?kind, %err, "not reconciled");
            }
        })
        .await;
}

/// An item for each change of behaviours.
fn changes(context: &Context) -> impl Stream<Item = ()> + Send + use<> {
    let receiver = context.behaviours.changed.subscribe();
    stream::unfold(receiver, |mut receiver| async {
        receiver.changed().await.ok()?;
        Some(((), receiver))
    })
}

async fn reconcile(
    kind: Kind,
    cr: Arc<DynamicObject>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let resource = kind.resource();
    let owner = Owner::new(&context.client, &resource, &cr);
    let behaviour = context.behaviours.of(&owner.namespace);
    let finalizer = kind.finalizer();
    if behaviour == Behaviour::NotReconciling {
        return Ok(Action::await_change());
    }
    if cr.metadata.deletion_timestamp.is_some() {
        if owner.has_finalizer(finalizer) && behaviour != Behaviour::KeepFinalizer {
            // Nothing of the stand-in is cluster-scoped; all else has an owner.
            owner.remove_finalizer(finalizer).await?;
        }
        return Ok(Action::await_change());
    }
    if kind.adds_finalizer(behaviour) && !owner.has_finalizer(finalizer) {
        let mut patch = json!({"metadata": {"finalizers": owner.finalizers_with(finalizer)}});
        if kind == Kind::Monolithic && owner.field("/spec/timeout").is_null() {
            // The operator writes the whole object back, with this zero value.
            patch["spec"] = json!({"timeout": "0s"});
        }
        owner.patch(patch).await?;
        return Ok(Action::await_change());
    }
    match kind {
        Kind::Monolithic => monolithic::reconcile(&owner, behaviour).await?,
        Kind::Stack => stack::reconcile(&owner, behaviour).await?,
        Kind::Collector => collector::reconcile(&owner, behaviour).await?,
    }
    Ok(Action::await_change())
}

/// Gives namespaces the quota that their behaviour asks for.
async fn keep_quotas(context: &Context) {
    let api: Api<Namespace> = Api::all(context.client.clone());
    let ours = watcher::Config::default().labels(RUN_LABEL);
    let made = StreamBackoff::new(watcher(api.clone(), ours), Constant)
        .applied_objects()
        .map(|result| result.map(|_| ()));
    let changed = changes(context).map(Ok);
    let mut events = Box::pin(stream::select(made, changed));
    while let Some(event) = events.next().await {
        let kept = match event {
            Ok(()) => keep_quotas_once(context, &api).await,
            Err(err) => {
                tracing::debug!(%err, "namespaces cannot be watched");
                continue;
            }
        };
        if let Err(err) = kept {
            eprintln!("kubernetes: the stand-in could not apply a quota: {err}");
        }
    }
}

async fn keep_quotas_once(context: &Context, api: &Api<Namespace>) -> Result<(), Error> {
    let ours = ListParams::default().labels(RUN_LABEL);
    for namespace in api.list(&ours).await?.items {
        if namespace.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let name = namespace.name_any();
        if let Behaviour::Quota { pods } = context.behaviours.of(&name) {
            let quota = json!({
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "stand-in", "namespace": name},
                "spec": {"hard": {"pods": pods.to_string()}},
            });
            apply(&context.client, &name, &quota).await?;
        }
    }
    Ok(())
}

/// Waits as long as before, each time.
struct Constant;

impl Iterator for Constant {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(RETRY)
    }
}

impl Backoff for Constant {
    fn reset(&mut self) {}
}
