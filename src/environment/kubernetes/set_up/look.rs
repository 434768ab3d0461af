//! Step 1 of the set-up: a look at the cluster, before anything is created.

use jiff::Timestamp;

use crate::environment::EnvironmentError;
use crate::environment::kubernetes::cluster::client::reachable;
use crate::environment::kubernetes::manifests::blueprint::Flavor;
use crate::environment::kubernetes::prerequisites::object_storage::{self, Credentials};
use crate::environment::kubernetes::prerequisites::prometheus::{self, Chosen};
use crate::environment::kubernetes::prerequisites::{self, Wanted, rights};
use crate::environment::kubernetes::{Found, KubernetesEnvironment, failed};
use crate::error_chain::chain;
use crate::profile::StorageKind;
use crate::settings::PrometheusChoice;

impl KubernetesEnvironment {
    /// Step 1: whatever is missing is named at once; nothing is created.
    pub(in crate::environment::kubernetes) async fn look_at_the_cluster(
        &self,
    ) -> Result<(), EnvironmentError> {
        if self.found.get().is_some() {
            return Ok(());
        }
        let version = reachable(&self.connected)
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
}
