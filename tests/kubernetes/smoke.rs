//! The stand-in itself: does it behave as the operators are known to, and does
//! data pass through what it makes?

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use libtest_mimic::Failed;
use serde_json::json;

use crate::Scenario;
use crate::cluster::Cluster;
use crate::restricted_namespace::{
    COLLECTOR, MONOLITHIC, RestrictedNamespace, STACK, collector, ensure, monolithic, stack,
};
use crate::stand_in::{Behaviour, StandIn};

pub const SCENARIOS: [Scenario; 3] = [
    Scenario::new(
        "traces_pass_through_all_that_the_stand_in_makes",
        &["tempo-perf-smoke"],
        traces_pass,
    )
    .slow(),
    Scenario::new(
        "awkward_states_are_as_the_operators_have_them",
        &["tempo-perf-awkward", "tempo-perf-quota"],
        awkward_states,
    )
    .slow(),
    Scenario::new(
        "the_stand_in_survives_the_api_server",
        &["tempo-perf-restart"],
        api_server_restart,
    )
    .slow(),
];

/// An object store must be there, and this listens in every cluster.
const STORE: &str = "https://kubernetes.default.svc:443";

fn traces_pass(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    cluster.block_on(async {
        let namespace = RestrictedNamespace::new(cluster.client(), "tempo-perf-smoke").await?;
        namespace.create_secret("minio", STORE).await?;
        tokio::try_join!(
            namespace.create(MONOLITHIC, "mono", monolithic(true)),
            namespace.create(STACK, "stk", stack(true)),
            namespace.create(COLLECTOR, "mono", collector("tempo-mono", &namespace.name)),
            namespace.create(
                COLLECTOR,
                "stk",
                collector("tempo-stk-distributor", &namespace.name)
            ),
        )?;
        namespace.workloads_ready(8).await?;
        namespace
            .wait("the monolithic's Ready", || {
                namespace.has(MONOLITHIC, "mono", "Ready")
            })
            .await?;

        let spans = namespace
            .pass_one_trace("mono-collector", "tempo-mono", 1)
            .await?;
        let counted = namespace.proxied("tempo-mono", 3200, "metrics").await?;
        counts_spans(&counted, spans)?;

        let spans = namespace
            .pass_one_trace("stk-collector", "tempo-stk-query-frontend", 2)
            .await?;
        let frontend = namespace
            .proxied("tempo-stk-query-frontend", 3200, "metrics")
            .await?;
        ensure(frontend.contains("process_cpu_seconds_total"), &frontend)?;
        ensure(!frontend.contains("tempo_distributor_"), &frontend)?;
        let metrics = namespace.scrape_with_certificate("distributor").await?;
        counts_spans(&metrics, spans)?;
        for component in ["ingester", "querier", "compactor"] {
            let metrics = namespace.scrape_with_certificate(component).await?;
            ensure(metrics.contains("process_start_time_seconds"), &metrics)?;
        }
        let plain = namespace.scrape_without_tls("distributor").await?;
        ensure(plain.contains("HTTP request to an HTTPS server"), &plain)?;

        let collected = namespace
            .proxied("mono-collector-monitoring", 8888, "metrics")
            .await?;
        ensure(
            collected.contains("otelcol_exporter_sent_spans"),
            &collected,
        )?;
        namespace.remove().await
    })?;
    cluster.assert_nothing_left()
}

fn awkward_states(cluster: &Cluster) -> Result<(), Failed> {
    let stand_in = StandIn::start(cluster)?;
    cluster.block_on(async {
        let namespace = RestrictedNamespace::new(cluster.client(), "tempo-perf-awkward").await?;
        // No Secret: a ConfigurationError, which goes by itself.
        namespace
            .create(MONOLITHIC, "mono", monolithic(true))
            .await?;
        namespace
            .wait("a ConfigurationError", || {
                namespace.has(MONOLITHIC, "mono", "ConfigurationError")
            })
            .await?;
        let region = [("region", "eu-west-1")];
        namespace
            .create_secret_with("minio", STORE, &region)
            .await?;
        namespace
            .wait("a message on the Secret's fields", || async {
                let conditions = namespace.conditions(MONOLITHIC, "mono").await?;
                Ok(conditions
                    .to_string()
                    .contains("long lived and short lived"))
            })
            .await?;
        namespace.delete_secret().await?;
        namespace.create_secret("minio", STORE).await?;
        namespace
            .wait("Ready", || namespace.has(MONOLITHIC, "mono", "Ready"))
            .await?;

        // Without its object store Tempo ends at start.
        namespace
            .create_secret("nowhere", "http://minio.nowhere.svc:9000")
            .await?;
        let mut spec = monolithic(true);
        spec["storage"]["traces"]["s3"]["secret"] = json!("nowhere");
        namespace.create(MONOLITHIC, "lost", spec).await?;
        namespace
            .wait_for_pod("tempo-lost", "\"exitCode\":1")
            .await?;
        namespace
            .api(MONOLITHIC)
            .delete("lost", &DeleteParams::default())
            .await?;

        // Pod Security refuses all pods, and the stack is Ready.
        namespace.create(STACK, "stk", stack(false)).await?;
        namespace
            .wait("Ready", || namespace.has(STACK, "stk", "Ready"))
            .await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        ensure(namespace.has(STACK, "stk", "Ready").await?, "it stays so")?;
        let pods: Api<Pod> = Api::namespaced(cluster.client(), &namespace.name);
        let of_stack = ListParams::default().labels("app.kubernetes.io/name=tempo");
        ensure(
            pods.list(&of_stack).await?.items.is_empty(),
            "without a pod",
        )?;

        // A monolithic that crashes is Pending, and recovers.
        stand_in.in_namespace(&namespace.name, Behaviour::CrashTempo);
        namespace
            .wait("Pending", || namespace.has(MONOLITHIC, "mono", "Pending"))
            .await?;
        namespace
            .wait_for_pod("tempo-mono", "\"exitCode\":1")
            .await?;

        // Images that cannot be pulled, of Tempo and of the collector.
        stand_in.in_namespace(&namespace.name, Behaviour::TempoImageMissing);
        namespace
            .wait_for_pod("stand-in:absent", "ErrImagePull")
            .await?;
        stand_in.in_namespace(&namespace.name, Behaviour::CollectorImageMissing);
        namespace
            .create(COLLECTOR, "perf", collector("tempo-mono", &namespace.name))
            .await?;
        namespace
            .wait("Ready", || namespace.has(COLLECTOR, "perf", "Ready"))
            .await?;
        namespace
            .wait_for_pod("perf-collector", "ErrImagePull")
            .await?;

        // A finalizer that stays keeps a custom resource.
        stand_in.in_namespace(&namespace.name, Behaviour::KeepFinalizer);
        namespace
            .api(MONOLITHIC)
            .delete("mono", &DeleteParams::default())
            .await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        ensure(
            namespace.api(MONOLITHIC).get_opt("mono").await?.is_some(),
            "its finalizer must keep it",
        )?;
        stand_in.in_namespace(&namespace.name, Behaviour::AsDocumented);

        // What is not reconciled has no status.
        stand_in.in_namespace(&namespace.name, Behaviour::NotReconciling);
        namespace
            .create(MONOLITHIC, "idle", monolithic(true))
            .await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let idle = namespace.api(MONOLITHIC).get("idle").await?;
        ensure(idle.finalizers().is_empty(), "no finalizer")?;
        ensure(idle.data["status"].is_null(), "no status")?;
        stand_in.in_namespace(&namespace.name, Behaviour::AsDocumented);
        namespace.remove().await?;

        stand_in.in_namespace("tempo-perf-quota", Behaviour::Quota { pods: 0 });
        let namespace = RestrictedNamespace::new(cluster.client(), "tempo-perf-quota").await?;
        namespace.create_secret("minio", STORE).await?;
        namespace
            .create(MONOLITHIC, "mono", monolithic(true))
            .await?;
        let events: Api<k8s_openapi::api::core::v1::Event> =
            Api::namespaced(cluster.client(), &namespace.name);
        namespace
            .wait("an event that tells of the quota", || async {
                let events = serde_json::to_string(&events.list(&ListParams::default()).await?)?;
                Ok(events.contains("exceeded quota: stand-in"))
            })
            .await?;
        namespace.remove().await
    })?;
    stand_in.without_crds(cluster, || {
        let left = cluster.block_on(cluster.client().list_api_groups())?;
        let groups = serde_json::to_string(&left)?;
        ensure(!groups.contains("tempo.grafana.com"), &groups)
    })?;
    cluster.assert_nothing_left()
}

fn api_server_restart(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let namespace = cluster.block_on(RestrictedNamespace::new(
        cluster.client(),
        "tempo-perf-restart",
    ))?;
    cluster.restart_api_server()?;
    cluster.block_on(async {
        namespace.create_secret("minio", STORE).await?;
        namespace
            .create(MONOLITHIC, "mono", monolithic(true))
            .await?;
        namespace
            .wait("Ready", || namespace.has(MONOLITHIC, "mono", "Ready"))
            .await?;
        namespace.remove().await
    })?;
    cluster.assert_nothing_left()
}

fn counts_spans(metrics: &str, spans: usize) -> Result<(), Failed> {
    let line = metrics
        .lines()
        .find(|line| line.starts_with("tempo_distributor_spans_received_total"));
    ensure(
        line.is_some_and(|line| line.ends_with(&format!(" {spans}"))),
        &format!("{spans} spans expected: {line:?}"),
    )
}
