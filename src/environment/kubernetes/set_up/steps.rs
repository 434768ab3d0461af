//! The steps of the set-up, from the namespace to the first scrape.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::future::try_join_all;
use kube::ResourceExt as _;
use url::Url;

use super::acquire::{self, AcquireError, AcquireRequest};
use crate::environment::EnvironmentError;
use crate::environment::kubernetes::clean_up::guard::TeardownGuard;
use crate::environment::kubernetes::cluster::create::{create, create_all, dry_run};
use crate::environment::kubernetes::cluster::kinds::CustomKind;
use crate::environment::kubernetes::cluster::names::{
    COLLECTOR_OTLP_HTTP_PORT, CR_NAME, TEMPO_HTTP_PORT,
};
use crate::environment::kubernetes::cluster::port_forward::{self, ChoosePod, PortForward};
use crate::environment::kubernetes::evidence::logs;
use crate::environment::kubernetes::holder::process::Holder;
use crate::environment::kubernetes::load;
use crate::environment::kubernetes::manifests;
use crate::environment::kubernetes::manifests::blueprint::StoragePlan;
use crate::environment::kubernetes::prerequisites::operators;
use crate::environment::kubernetes::prerequisites::prometheus::{self, Chosen};
use crate::environment::kubernetes::watch::conditions::{
    collector_ready, is_ready, minio_ready, tempo_ready,
};
use crate::environment::kubernetes::watch::namespace::InNamespace;
use crate::environment::kubernetes::watch::pods::{collector_pods, component_of, tempo_pods};
use crate::environment::kubernetes::watch::view::{Kind, View};
use crate::environment::kubernetes::watch::watches::NamespaceWatch;
use crate::environment::kubernetes::{Held, KubernetesEnvironment, failed};
use crate::error_chain::chain;
use crate::plan::k6_load;
use crate::profile::Variant;

impl KubernetesEnvironment {
    /// Step 2: the namespace, and what the pods in it will need. Only once.
    pub(in crate::environment::kubernetes) async fn claim(
        &self,
    ) -> Result<&Held, EnvironmentError> {
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
        let request = AcquireRequest {
            manifest: manifests::namespace(&blueprint, BTreeMap::new()),
            holder: Holder::this_process(self.options.run),
            limits: self.limits(),
            interrupt: &self.interrupt,
            progress: &|line: &str| eprintln!("  {line}"),
        };
        let claiming = self.waits.during(acquire::acquire(client, request));
        let claim = claiming.await.map_err(|err| {
            // Of a lost answer it is not known whether the namespace is there; else
            // nothing of ours is.
            if !matches!(err, AcquireError::Api { .. }) {
                self.disarm();
            }
            match err {
                AcquireError::Interrupted(signal) => EnvironmentError::Interrupted(signal),
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
        tokio::try_join!(create_all(&here.client, &objects), files)?;
        Ok(())
    }

    /// Kinds of custom resources that Tempo may be.
    async fn tempo_kinds(&self) -> Vec<Kind> {
        let (kind, other, other_custom) = match self.blueprint().variant {
            Variant::Monolithic => (
                Kind::TempoMonolithics,
                Kind::TempoStacks,
                CustomKind::TEMPO_STACK,
            ),
            Variant::Stack => (
                Kind::TempoStacks,
                Kind::TempoMonolithics,
                CustomKind::TEMPO_MONOLITHIC,
            ),
        };
        if self.options.load_is_known {
            return vec![kind];
        }
        // What Tempo will be is told later; but one of the kinds may not be there.
        match operators::is_served(&self.connected.client, other_custom).await {
            true => vec![kind, other],
            false => vec![kind],
        }
    }

    /// Everything, in parallel wherever nothing forces an order.
    pub(in crate::environment::kubernetes) async fn set_up_all(
        &self,
    ) -> Result<(), EnvironmentError> {
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
    pub(in crate::environment::kubernetes) async fn create_storage(
        &self,
    ) -> Result<(), EnvironmentError> {
        let (here, blueprint) = (self.here()?, self.blueprint());
        match &blueprint.storage {
            StoragePlan::Minio { .. } => {
                create_all(&here.client, &manifests::minio(&blueprint)).await?;
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
    pub(in crate::environment::kubernetes) async fn create_tempo(
        &self,
    ) -> Result<(), EnvironmentError> {
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
        let component = self.blueprint().query_component();
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
    pub(in crate::environment::kubernetes) async fn create_collector(
        &self,
    ) -> Result<(), EnvironmentError> {
        let (here, blueprint) = (self.here()?, self.blueprint());
        create(&here.client, &manifests::collector(&blueprint)).await?;
        let ready = |view: &View| collector_ready(view, CR_NAME);
        let limit = self.options.ready_timeout;
        let waited = here.until("OpenTelemetry Collector", limit, ready).await;
        self.or_explain(waited).await?;
        let watch = Arc::clone(&here.watch);
        let choose: ChoosePod = Arc::new(move || {
            let view = watch.view();
            let pod = collector_pods(&view).find(|pod| is_ready(pod));
            pod.map(|pod| pod.name_any())
        });
        let way = self
            .open_way(&here.namespace, choose, COLLECTOR_OTLP_HTTP_PORT)
            .await?;
        self.up().push = way.join("/v1/traces").ok();
        Ok(())
    }

    pub(in crate::environment::kubernetes) async fn open_way(
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
    pub(in crate::environment::kubernetes) async fn or_explain(
        &self,
        waited: Result<(), EnvironmentError>,
    ) -> Result<(), EnvironmentError> {
        match (waited, self.here()) {
            (Err(EnvironmentError::Failed(why)), Ok(here)) => {
                let said = logs::last_words(here).await;
                Err(failed(format!("{why}{said}")))
            }
            (waited, _) => waited,
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
