//! The steps of the set-up, from the namespace to the first scrape.

use std::sync::Arc;

use kube::ResourceExt as _;

use super::look::ClusterFacts;
use crate::environment::EnvironmentError;
use crate::environment::failed;
use crate::environment::kubernetes::cluster::create::{create, create_all};
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::cluster::names::{
    COLLECTOR_OTLP_HTTP_PORT, CR_NAME, TEMPO_HTTP_PORT,
};
use crate::environment::kubernetes::cluster::port_forward::{self, ChoosePod, PortForward};
use crate::environment::kubernetes::evidence::logs;
use crate::environment::kubernetes::load::bucket;
use crate::environment::kubernetes::load::files::K6Files;
use crate::environment::kubernetes::load::run::K6Jobs;
use crate::environment::kubernetes::manifests;
use crate::environment::kubernetes::manifests::blueprint::{Blueprint, StoragePlan};
use crate::environment::kubernetes::prerequisites::operators;
use crate::environment::kubernetes::prerequisites::prometheus::{self, PrometheusSource};
use crate::environment::kubernetes::watch::conditions::{
    collector_ready, is_ready, minio_ready, tempo_ready,
};
use crate::environment::kubernetes::watch::namespace::WatchedNamespace;
use crate::environment::kubernetes::watch::pods::{collector_pods, component_of, tempo_pods};
use crate::environment::kubernetes::watch::view::{Kind, View};
use crate::environment::kubernetes::watch::watches::NamespaceWatch;
use crate::plan::Plan;
use crate::plan::kubernetes::KubernetesSite;
use crate::profile::Variant;

/// What Tempo said of itself when it was ready.
#[derive(Debug, Clone, Default)]
pub struct TempoSaid {
    /// In the status of its custom resource.
    pub version: String,
    /// By its HTTP API.
    pub build_info: String,
}

/// Watches what a run has in its namespace. Tempo may be of either kind, where a
/// later plan tells of which.
pub async fn watch(client: &kube::Client, blueprint: &Blueprint, either: bool) -> NamespaceWatch {
    let monolithic = (Kind::TempoMonolithics, CustomKind::TEMPO_MONOLITHIC);
    let stack = (Kind::TempoStacks, CustomKind::TEMPO_STACK);
    let ((kind, _), (other, other_custom)) = match blueprint.variant {
        Variant::Monolithic => (monolithic, stack),
        Variant::Stack => (stack, monolithic),
    };
    // One of the kinds may not be there.
    let is_watched = either && operators::is_served(client, other_custom).await;
    let kinds: Vec<Kind> = Kind::BUILT_IN
        .into_iter()
        .chain([kind])
        .chain(is_watched.then_some(other))
        .chain([Kind::Collectors])
        .collect();
    NamespaceWatch::start(client, &blueprint.namespace, &kinds)
}

/// What the steps of one set-up share.
#[derive(Clone, Copy)]
pub struct Steps<'a> {
    pub plan: &'a Plan,
    pub site: &'a KubernetesSite,
    pub cluster: &'a ClusterFacts,
    pub blueprint: &'a Blueprint,
    pub namespace: &'a WatchedNamespace,
}

impl Steps<'_> {
    /// Step 2: what the pods of the run will need. `changed_outside` is told what
    /// was changed outside of the namespace, even where something fails later.
    pub async fn create_objects(
        &self,
        k6: &mut K6Jobs,
        changed_outside: &mut Option<String>,
    ) -> Result<(), EnvironmentError> {
        let client = &self.namespace.client;
        if self.site.enable_user_workload_monitoring
            && matches!(self.cluster.prometheus, PrometheusSource::Thanos { .. })
            && let Some(changed) = prometheus::enable_user_workloads(client)
                .await
                .map_err(failed)?
        {
            eprintln!("  changed     {changed}");
            *changed_outside = Some(changed);
        }
        let access = manifests::access(self.blueprint);
        let credentials = &self.cluster.credentials;
        let secret = manifests::storage_secret(
            self.blueprint,
            &credentials.access_key_id,
            &credentials.secret_access_key,
        );
        let mut objects = access.namespaced;
        objects.extend(access.cluster);
        objects.push(secret);
        objects.extend(manifests::network_policies(self.blueprint));
        let files = k6.files(self.namespace, self.blueprint, &self.plan.corpus);
        tokio::try_join!(create_all(client, &objects), files)?;
        Ok(())
    }

    /// Step 3: MinIO, and its bucket; or a look at the bucket that exists.
    pub async fn create_storage(&self, files: &K6Files) -> Result<(), EnvironmentError> {
        let limit = self.plan.ready_timeout;
        match &self.blueprint.storage {
            StoragePlan::Minio { .. } => {
                let objects = manifests::minio(self.blueprint);
                create_all(&self.namespace.client, &objects).await?;
                // It makes the bucket before it listens.
                self.or_explain(self.namespace.until("MinIO", limit, minio_ready).await)
                    .await
            }
            StoragePlan::S3 { .. } => {
                bucket::check(self.namespace, self.blueprint, files, limit).await
            }
        }
    }

    /// Step 4.
    pub async fn create_tempo(&self) -> Result<TempoSaid, EnvironmentError> {
        let namespace = self.namespace;
        create(&namespace.client, &manifests::tempo(self.blueprint)).await?;
        let ready = |view: &View| tempo_ready(view, self.blueprint.variant, CR_NAME);
        let limit = self.plan.ready_timeout;
        self.or_explain(namespace.until("Tempo", limit, ready).await)
            .await?;
        Ok(TempoSaid {
            version: tempo_version(&namespace.watch.view()),
            build_info: self.ask_tempo().await.unwrap_or_default(),
        })
    }

    /// What its HTTP API says of itself; only who stands in for Tempo says what
    /// the custom resource does not.
    async fn ask_tempo(&self) -> Option<String> {
        if self.blueprint.has_gateway() {
            return None;
        }
        let component = self.blueprint.query_component();
        let view = self.namespace.watch.view();
        let pod =
            tempo_pods(&view).find(|pod| is_ready(pod) && component_of(pod) == Some(component));
        let (pod, path) = (pod?.name_any(), "/api/status/buildinfo");
        let (client, name) = (&self.namespace.client, &self.namespace.name);
        match port_forward::get(client, name, &pod, TEMPO_HTTP_PORT, path, None).await {
            Ok(text) => Some(text),
            Err(why) => {
                tracing::warn!("Tempo's version is not known: {why}");
                None
            }
        }
    }

    /// Step 5; gives the way to it.
    pub async fn create_collector(&self) -> Result<PortForward, EnvironmentError> {
        let namespace = self.namespace;
        create(&namespace.client, &manifests::collector(self.blueprint)).await?;
        let ready = |view: &View| collector_ready(view, CR_NAME);
        let limit = self.plan.ready_timeout;
        let waited = namespace
            .until("OpenTelemetry Collector", limit, ready)
            .await;
        self.or_explain(waited).await?;
        let watch = Arc::clone(&namespace.watch);
        let choose: ChoosePod = Arc::new(move || {
            let view = watch.view();
            let pod = collector_pods(&view).find(|pod| is_ready(pod));
            pod.map(|pod| pod.name_any())
        });
        self.open_port_forward(&namespace.name, choose, COLLECTOR_OTLP_HTTP_PORT)
            .await
    }

    pub(super) async fn open_port_forward(
        &self,
        namespace: &str,
        choose: ChoosePod,
        port: u16,
    ) -> Result<PortForward, EnvironmentError> {
        PortForward::open(self.namespace.client.clone(), namespace, choose, port)
            .await
            .map_err(|err| failed(format!("no port on 127.0.0.1: {err}")))
    }

    /// Adds the last words of containers that fail to an error.
    pub(super) async fn or_explain(
        &self,
        waited: Result<(), EnvironmentError>,
    ) -> Result<(), EnvironmentError> {
        match waited {
            Err(EnvironmentError::Failed(why)) => {
                let said = logs::last_words(self.namespace).await;
                Err(failed(format!("{why}{said}")))
            }
            waited => waited,
        }
    }
}

/// As the custom resource's status has it, with the operator's own.
fn tempo_version(view: &View) -> String {
    let custom = [&view.tempo_monolithics, &view.tempo_stacks];
    let status = custom
        .into_iter()
        .find_map(|objects| objects.get(CR_NAME))
        .map(|object| object.data["status"].clone())
        .unwrap_or_default();
    status["tempoVersion"]
        .as_str()
        .unwrap_or_default()
        .to_string()
}
