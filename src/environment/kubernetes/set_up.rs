//! Setting up and taking down: the namespace first, what needs nothing else side
//! by side, and everything judged before a workload exists.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::Value;
use url::Url;

use super::blueprint::{CR_NAME, Flavor, StoragePlan};
use super::conditions::{collector_ready, minio_ready, tempo_ready};
use super::holder::Holder;
use super::namespace::{InNamespace, create, dry_run};
use super::object_storage::{self, Credentials};
use super::ownership::{self, ClaimError, ClaimRequest};
use super::port_forward::{self, ChoosePod, PortForward};
use super::prerequisites::{self, Wanted};
use super::prometheus::{self, Chosen};
use super::rights;
use super::teardown_guard::TeardownGuard;
use super::view::{Kind, View};
use super::watch::NamespaceWatch;
use super::{
    COLLECTOR_OTLP_HTTP_PORT, Found, Held, KubernetesEnvironment, TEMPO_HTTP_PORT, failed, load,
    manifests,
};
use crate::environment::EnvironmentError;
use crate::error_chain::chain;
use crate::plan::k6_load;
use crate::profile::{StorageKind, Variant};
use crate::report::Component;
use crate::settings::PrometheusChoice;

/// Tempo's pods, by the labels that its operator gives them.
pub(super) fn tempo_pods(view: &View) -> impl Iterator<Item = &Arc<Pod>> {
    view.pods.values().filter(|pod| {
        let label = |key: &str| pod.labels().get(key).map(String::as_str);
        label("app.kubernetes.io/instance") == Some(CR_NAME)
            && label("app.kubernetes.io/managed-by") == Some("tempo-operator")
    })
}

/// As the operator names it.
pub(super) fn component_of(pod: &Pod) -> Option<&str> {
    let labels = pod.labels();
    labels
        .get("app.kubernetes.io/component")
        .map(String::as_str)
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|it| it.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .any(|it| it.type_ == "Ready" && it.status == "True")
}

impl KubernetesEnvironment {
    /// Step 1: whatever is missing is named at once; nothing is created.
    pub(super) async fn look_at_the_cluster(&self) -> Result<(), EnvironmentError> {
        if self.found.get().is_some() {
            return Ok(());
        }
        let version = super::reachable(&self.connected)
            .await
            .map_err(|err| failed(chain(&err)))?;
        eprintln!(
            "  cluster     {}, context {} (Kubernetes {version})",
            self.connected.server, self.connected.context
        );
        let client = &self.connected.client;
        let settings = &self.options.settings;
        let wanted = Wanted {
            namespace: self.options.namespace.clone(),
            variant: self.options.profile.tempo.variant,
            storage_class: settings.storage_class.clone(),
            node_selector: self.options.profile.tempo.node_selector.clone(),
            own_prometheus: !matches!(settings.prometheus, PrometheusChoice::Url(_)),
        };
        let (mut found, credentials) = futures::join!(
            prerequisites::look(client, &wanted),
            self.find_credentials()
        );
        let chosen = prometheus::choose(
            client,
            found.flavor,
            &settings.prometheus,
            self.options.prometheus_token.clone(),
            &self.options.namespace,
            settings.enable_user_workload_monitoring,
        )
        .await;
        for why in [credentials.as_ref().err(), chosen.as_ref().err()] {
            found.others.extend(why.cloned());
        }
        if let Ok(chosen) = &chosen {
            let missing = self.missing_beside(chosen, found.flavor).await;
            found.others.extend(missing);
        }
        for warning in &found.warnings {
            eprintln!("  warning     {warning}");
        }
        let (Ok(credentials), Ok(chosen), true) = (credentials, chosen, found.all_met()) else {
            return Err(failed(found.to_string()));
        };
        eprintln!("  prometheus  {}", chosen.describe());
        *self.blueprint.lock().expect("no holder panics") =
            self.options.blueprint(found.flavor, chosen.scraper());
        let looked_at = Found {
            version,
            prometheus: chosen,
            credentials,
        };
        // Two looks at once find the same.
        let _ = self.found.set(looked_at);
        Ok(())
    }

    /// What the chosen Prometheus and the gateway lack.
    async fn missing_beside(&self, chosen: &Chosen, flavor: Flavor) -> Vec<String> {
        let mut rights = Vec::new();
        if matches!(chosen, Chosen::Operated { .. } | Chosen::Thanos { .. }) {
            rights.extend(rights::rights_of_monitored(flavor));
        }
        if flavor == Flavor::OpenShift {
            rights.extend(rights::rights_of_gateway());
        }
        let client = &self.connected.client;
        let asked = rights::not_ours(client, &self.options.namespace, rights).await;
        let mut missing = match asked {
            Ok(missing) => rights::tell_rights(&missing),
            Err(why) => vec![format!("permissions: cannot be asked for: {why}")],
        };
        if let Chosen::Named { url, token } = chosen {
            let answers = async {
                let client = prometheus::client_of(url, token.clone(), None)?;
                let asked = client.single_value("vector(1)", Timestamp::now()).await;
                asked.map_err(|err| chain(&err))
            };
            missing.extend(answers.await.err().map(|why| format!("Prometheus: {why}")));
        }
        missing
    }

    async fn find_credentials(&self) -> Result<Credentials, String> {
        let storage = &self.options.profile.storage;
        match storage.kind {
            StorageKind::Minio => Credentials::random(),
            StorageKind::S3 => {
                let given = self
                    .options
                    .settings
                    .s3_credentials
                    .as_ref()
                    .map_err(ToString::to_string)?;
                object_storage::find(
                    &self.connected.client,
                    storage,
                    given.as_ref(),
                    &self.connected.default_namespace,
                )
                .await
            }
        }
    }

    /// Step 2: the namespace, and what the pods in it will need. Only once.
    pub(super) async fn claim(&self) -> Result<&Held, EnvironmentError> {
        let held = self
            .held
            .get_or_try_init(|| self.stage("namespace", self.claim_now()))
            .await?;
        self.furnished
            .get_or_try_init(|| self.stage("objects", self.furnish(held)))
            .await?;
        Ok(held)
    }

    async fn claim_now(&self) -> Result<Held, EnvironmentError> {
        let blueprint = self.blueprint();
        let client = &self.connected.client;
        // Armed first: deleting what was never created is fine.
        let guard = TeardownGuard::arm(self.connected.clone(), self.target(None), self.limits());
        *self.guard.lock().expect("no holder panics") = Some(guard);
        let request = ClaimRequest {
            manifest: manifests::namespace(&blueprint, BTreeMap::new()),
            holder: Holder::this_process(self.options.run),
            limits: self.limits(),
            interrupt: &self.interrupt,
            progress: &|line: &str| eprintln!("  {line}"),
        };
        let claiming = self.waits.during(ownership::claim(client, request));
        let claim = claiming.await.map_err(|err| {
            // Of a lost answer it is not known whether the namespace is there; else
            // nothing of ours is.
            if !matches!(err, ClaimError::Api { .. }) {
                self.disarm();
            }
            match err {
                ClaimError::Interrupted(signal) => EnvironmentError::Interrupted(signal),
                other => failed(chain(&other)),
            }
        })?;
        if let Some(guard) = self.guard.lock().expect("no holder panics").as_mut() {
            guard.set_namespace_uid(&claim.uid);
        }
        let kinds: Vec<Kind> = Kind::BUILT_IN
            .into_iter()
            .chain(self.tempo_kinds().await)
            .chain([Kind::Collectors])
            .collect();
        let here = InNamespace {
            client: client.clone(),
            namespace: blueprint.namespace.clone(),
            watch: Arc::new(NamespaceWatch::start(client, &blueprint.namespace, &kinds)),
            interrupt: self.interrupt.clone(),
            waits: Arc::clone(&self.waits),
        };
        Ok(Held { here, claim })
    }

    /// What the pods of the run will need, and what is judged before they exist.
    async fn furnish(&self, held: &Held) -> Result<(), EnvironmentError> {
        let (found, blueprint, here) = (self.found()?, self.blueprint(), &held.here);
        if self.options.settings.enable_user_workload_monitoring
            && matches!(found.prometheus, Chosen::Thanos { .. })
            && let Some(changed) = prometheus::enable_user_workloads(&here.client)
                .await
                .map_err(failed)?
        {
            eprintln!("  changed     {changed}");
            self.up().changed_outside.push(changed);
        }
        let access = manifests::access(&blueprint);
        let secret = manifests::storage_secret(
            &blueprint,
            &found.credentials.access_key_id,
            &found.credentials.secret_access_key,
        );
        let mut objects = access.namespaced;
        objects.extend(access.cluster);
        objects.push(secret);
        objects.extend(manifests::network_policies(&blueprint));
        let files = self.k6.create_files(here, &blueprint);
        tokio::try_join!(create_all(here, &objects), files)?;
        Ok(())
    }

    /// Kinds of custom resources that Tempo may be.
    async fn tempo_kinds(&self) -> Vec<Kind> {
        let (kind, other) = match self.blueprint().variant {
            Variant::Monolithic => (Kind::TempoMonolithics, Kind::TempoStacks),
            Variant::Stack => (Kind::TempoStacks, Kind::TempoMonolithics),
        };
        if self.options.load_is_known {
            return vec![kind];
        }
        // What Tempo will be is told later; but one of the kinds may not be there.
        match prerequisites::is_served(&self.connected.client, other.plural()).await {
            true => vec![kind, other],
            false => vec![kind],
        }
    }

    /// Everything, in parallel wherever nothing forces an order.
    pub(super) async fn set_up_all(&self) -> Result<(), EnvironmentError> {
        let start = Instant::now();
        let held = self.claim().await?;
        let (here, blueprint) = (&held.here, self.blueprint());
        let custom = [
            manifests::tempo(&blueprint),
            manifests::collector(&blueprint),
        ];
        self.stage(
            "dry run",
            try_join_all(custom.iter().map(|object| dry_run(&here.client, object))),
        )
        .await?;
        let runs = k6_load::runs(self.options.test_type);
        let limit = self.options.ready_timeout;
        let through_tempo = async {
            self.stage("storage", self.create_storage()).await?;
            self.stage("Tempo", self.create_tempo()).await
        };
        let k6 = self.k6.prepare(here, &blueprint, runs, limit);
        tokio::try_join!(
            through_tempo,
            self.stage("collector", self.create_collector()),
            self.stage("Prometheus", self.create_prometheus()),
            self.stage("k6 pods", k6),
        )?;
        self.stage("first scrape", self.note_what_is_up()).await?;
        self.note_own_share("own share", start);
        Ok(())
    }

    fn note_own_share(&self, name: &str, start: Instant) {
        let own = self.waits.own_share(start, Instant::now());
        self.note_stage(name, start, own);
    }

    /// Step 3: MinIO, and its bucket; or a look at the bucket that exists.
    pub(super) async fn create_storage(&self) -> Result<(), EnvironmentError> {
        let (here, blueprint) = (self.here()?, self.blueprint());
        match &blueprint.storage {
            StoragePlan::Minio { .. } => {
                create_all(here, &manifests::minio(&blueprint)).await?;
                let limit = self.options.ready_timeout;
                // It makes the bucket before it listens.
                self.or_explain(here.until("MinIO", limit, minio_ready).await)
                    .await
            }
            StoragePlan::S3 { .. } => {
                let limit = self.options.ready_timeout;
                load::bucket::check(here, &blueprint, &self.k6.files(), limit).await
            }
        }
    }

    /// Step 4.
    pub(super) async fn create_tempo(&self) -> Result<(), EnvironmentError> {
        let (here, blueprint) = (self.here()?, self.blueprint());
        create(&here.client, &manifests::tempo(&blueprint)).await?;
        let ready = |view: &View| tempo_ready(view, blueprint.variant, CR_NAME);
        let waited = here.until("Tempo", self.options.ready_timeout, ready).await;
        self.or_explain(waited).await?;
        self.up().tempo_version = tempo_version(&here.watch.view());
        self.ask_tempo(here).await;
        Ok(())
    }

    /// What its HTTP API says of itself; only who stands in for Tempo says what
    /// the custom resource does not.
    async fn ask_tempo(&self, here: &InNamespace) {
        if self.blueprint().has_gateway() {
            return;
        }
        let component = match self.blueprint().variant {
            Variant::Monolithic => "tempo",
            Variant::Stack => "query-frontend",
        };
        let view = here.watch.view();
        let pod =
            tempo_pods(&view).find(|pod| is_ready(pod) && component_of(pod) == Some(component));
        let Some(pod) = pod else { return };
        let (pod, path) = (pod.name_any(), "/api/status/buildinfo");
        let (client, namespace) = (&here.client, &here.namespace);
        let asked = port_forward::get(client, namespace, &pod, TEMPO_HTTP_PORT, path, None);
        match asked.await {
            Ok(text) => self.up().tempo_says = text,
            Err(why) => tracing::warn!("Tempo's version is not known: {why}"),
        }
    }

    /// Step 5.
    pub(super) async fn create_collector(&self) -> Result<(), EnvironmentError> {
        let (here, blueprint) = (self.here()?, self.blueprint());
        create(&here.client, &manifests::collector(&blueprint)).await?;
        let ready = |view: &View| collector_ready(view, CR_NAME);
        let limit = self.options.ready_timeout;
        let waited = here.until("OpenTelemetry Collector", limit, ready).await;
        self.or_explain(waited).await?;
        let watch = Arc::clone(&here.watch);
        let choose: ChoosePod = Arc::new(move || {
            let view = watch.view();
            let pod = view.pods.values().find(|pod| {
                pod.labels()
                    .get("app.kubernetes.io/component")
                    .is_some_and(|it| it == "opentelemetry-collector")
                    && is_ready(pod)
            });
            pod.map(|pod| pod.name_any())
        });
        let way = self
            .open_way(&here.namespace, choose, COLLECTOR_OTLP_HTTP_PORT)
            .await?;
        self.up().push = way.join("/v1/traces").ok();
        Ok(())
    }

    pub(super) async fn open_way(
        &self,
        namespace: &str,
        choose: ChoosePod,
        port: u16,
    ) -> Result<Url, EnvironmentError> {
        let client = self.connected.client.clone();
        let way = PortForward::open(client, namespace, choose, port)
            .await
            .map_err(|err| failed(format!("no port on 127.0.0.1: {err}")))?;
        let url = way.url();
        self.up().ways.push(way);
        Ok(url)
    }

    /// Adds the last words of containers that fail to an error.
    pub(super) async fn or_explain(
        &self,
        waited: Result<(), EnvironmentError>,
    ) -> Result<(), EnvironmentError> {
        match (waited, self.here()) {
            (Err(EnvironmentError::Failed(why)), Ok(here)) => {
                let said = super::evidence::last_words(here).await;
                Err(failed(format!("{why}{said}")))
            }
            (waited, _) => waited,
        }
    }

    pub(super) fn components_now(&self) -> Vec<Component> {
        let component = |name: &str, version: String, origin: Option<String>| Component {
            name: name.into(),
            version,
            origin,
        };
        let image = |name: &str, image: &str| {
            let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
            component(name, tag.to_string(), Some(image.to_string()))
        };
        let blueprint = self.blueprint();
        let up = self.up();
        let view = self
            .here()
            .map(|here| here.watch.view())
            .unwrap_or_default();
        let running = |container: &str| {
            view.pods.values().find_map(|pod| {
                let containers = &pod.spec.as_ref()?.containers;
                containers
                    .iter()
                    .find(|it| it.name == container)?
                    .image
                    .clone()
            })
        };
        let tempo_image =
            tempo_pods(&view).find_map(|pod| pod.spec.as_ref()?.containers.first()?.image.clone());
        let mut components = vec![
            component("tempo", up.tempo_version.clone(), tempo_image),
            match running("otc-container") {
                Some(found) => image("collector", &found),
                None => component(
                    "collector",
                    String::new(),
                    blueprint.images.collector.clone(),
                ),
            },
            image("k6", &blueprint.images.k6),
        ];
        if matches!(blueprint.storage, StoragePlan::Minio { .. }) {
            components.push(image("minio", &blueprint.images.minio));
        }
        if let Some(found) = self.found.get() {
            components.push(match found.prometheus {
                Chosen::Own { .. } => image("prometheus", &blueprint.images.prometheus),
                _ => component(
                    "prometheus",
                    String::new(),
                    Some(found.prometheus.describe()),
                ),
            });
            components.push(component(
                "kubernetes",
                found.version.clone(),
                Some(format!(
                    "{}, context {}",
                    self.connected.server, self.connected.context
                )),
            ));
        }
        components
    }
}

/// Creates objects side by side; but whoever is no administrator may bind only a
/// role that is there.
pub(super) async fn create_all(
    here: &InNamespace,
    objects: &[Value],
) -> Result<(), EnvironmentError> {
    let is_binding = |object: &&Value| {
        let kind = object["kind"].as_str().unwrap_or_default();
        kind.ends_with("RoleBinding")
    };
    let (bindings, others): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(is_binding);
    for wave in [others, bindings] {
        let created = wave.into_iter().map(|object| create(&here.client, object));
        try_join_all(created).await?;
    }
    Ok(())
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
