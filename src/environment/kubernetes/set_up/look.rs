//! Step 1 of the set-up: a look at the cluster, before anything is created.

use jiff::Timestamp;

use crate::environment::EnvironmentError;
use crate::environment::failed;
use crate::environment::kubernetes::cluster::client::{Connected, reachable};
use crate::environment::kubernetes::manifests::blueprint::Flavor;
use crate::environment::kubernetes::prerequisites::credentials::{self, Credentials};
use crate::environment::kubernetes::prerequisites::prometheus::{self, PrometheusSource};
use crate::environment::kubernetes::prerequisites::{self, Requirements, rights};
use crate::error_chain::chain;
use crate::plan::Plan;
use crate::plan::kubernetes::KubernetesSite;
use crate::profile::{Storage, StorageKind};
use crate::settings::PrometheusChoice;

/// What the look at the cluster gave.
#[derive(Debug)]
pub struct ClusterFacts {
    pub version: String,
    pub flavor: Flavor,
    pub prometheus: PrometheusSource,
    pub credentials: Credentials,
}

/// Whatever is missing is named at once; nothing is created. `token` is for a
/// Prometheus that the user names.
///
/// # Errors
/// [`EnvironmentError::Prerequisites`], and a cluster that does not answer.
pub async fn look_at_the_cluster(
    connected: &Connected,
    plan: &Plan,
    site: &KubernetesSite,
    token: Option<String>,
) -> Result<ClusterFacts, EnvironmentError> {
    let version = reachable(connected)
        .await
        .map_err(|err| failed(chain(&err)))?;
    eprintln!(
        "  cluster     {}, context {} (Kubernetes {version})",
        connected.server, connected.context
    );
    let client = &connected.client;
    let wanted = Requirements {
        namespace: site.namespace.clone(),
        variant: plan.profile.tempo.variant,
        storage_class: site.storage_class.clone(),
        node_selector: plan.profile.tempo.node_selector.clone(),
        own_prometheus: !matches!(site.prometheus, PrometheusChoice::Url(_)),
    };
    let (mut found, credentials) = futures::join!(
        prerequisites::look(client, &wanted),
        find_credentials(connected, &plan.profile.storage, site)
    );
    let prometheus = prometheus::choose(
        client,
        found.flavor,
        &site.prometheus,
        token,
        &site.namespace,
        site.enable_user_workload_monitoring,
    )
    .await;
    for why in [credentials.as_ref().err(), prometheus.as_ref().err()] {
        found.others.extend(why.cloned());
    }
    if let Ok(prometheus) = &prometheus {
        let missing = missing_beside(connected, site, prometheus, found.flavor).await;
        found.others.extend(missing);
    }
    for warning in &found.warnings {
        eprintln!("  warning     {warning}");
    }
    let (Ok(credentials), Ok(prometheus), true) = (credentials, prometheus, found.all_met()) else {
        return Err(EnvironmentError::Prerequisites {
            tempo: found.tempo.is_ok(),
            otel: found.otel.is_ok(),
            in_full: found.to_string(),
        });
    };
    eprintln!("  prometheus  {}", prometheus.describe());
    Ok(ClusterFacts {
        version,
        flavor: found.flavor,
        prometheus,
        credentials,
    })
}

/// Bearer token of a Prometheus that the user names.
///
/// # Errors
/// The file cannot be read.
pub fn prometheus_token(site: &KubernetesSite) -> Result<Option<String>, EnvironmentError> {
    let Some(path) = &site.prometheus_token_file else {
        return Ok(None);
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_string())),
        Err(err) => Err(failed(format!(
            "--prometheus-token-file: cannot read {}: {err}",
            path.display()
        ))),
    }
}

/// What the chosen Prometheus and the gateway lack.
async fn missing_beside(
    connected: &Connected,
    site: &KubernetesSite,
    prometheus: &PrometheusSource,
    flavor: Flavor,
) -> Vec<String> {
    let mut rights = Vec::new();
    if matches!(
        prometheus,
        PrometheusSource::Operated { .. } | PrometheusSource::Thanos { .. }
    ) {
        rights.extend(rights::rights_of_monitored(flavor));
    }
    if flavor == Flavor::OpenShift {
        rights.extend(rights::rights_of_gateway());
    }
    let asked = rights::not_ours(&connected.client, &site.namespace, rights).await;
    let mut missing = match asked {
        Ok(missing) => rights::tell_rights(&missing),
        Err(why) => vec![format!("permissions: cannot be asked for: {why}")],
    };
    if let PrometheusSource::Named { url, token } = prometheus {
        let answers = async {
            let client = prometheus::client_of(url, token.clone(), None)?;
            let asked = client.single_value("vector(1)", Timestamp::now()).await;
            asked.map_err(|err| chain(&err))
        };
        missing.extend(answers.await.err().map(|why| format!("Prometheus: {why}")));
    }
    missing
}

async fn find_credentials(
    connected: &Connected,
    storage: &Storage,
    site: &KubernetesSite,
) -> Result<Credentials, String> {
    match storage.kind {
        StorageKind::Minio => Credentials::random(),
        StorageKind::S3 => {
            credentials::find(
                &connected.client,
                storage,
                site.s3_credentials.as_ref(),
                &connected.default_namespace,
            )
            .await
        }
    }
}
