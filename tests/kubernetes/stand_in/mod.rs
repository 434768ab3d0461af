//! A stand-in for the Tempo operator and the OpenTelemetry operator, which are
//! not at hand where these tests run. Its controllers run in the test process
//! against a real API server and do what `kubernetes-facts.md` says of both
//! operators, the awkward parts included. What it does not have: webhooks (the
//! API server cannot reach the test process), the gateway, multi-tenancy,
//! `spec.size` beyond its rate limits, NetworkPolicies and ServiceMonitors. Its
//! readiness probes start after 1 s, not after 15 s, and repeat each second.

mod collector;
mod controllers;
mod crds;
mod image;
mod monolithic;
mod objects;
mod pki;
mod stack;
mod stack_manifests;
mod status;
mod storage;
mod tempo_objects;
mod tempo_pods;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use kube::Client;
use libtest_mimic::Failed;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;

pub use image::{ABSENT_IMAGE, IMAGE};

pub const TEMPO_VERSION: &str = "2.10.8";
/// What the statuses of the custom resources name as the operators' versions.
const TEMPO_OPERATOR_VERSION: &str = "0.22.0";
const COLLECTOR_OPERATOR_VERSION: &str = "0.158.0";

/// The kinds of custom resources.
pub fn kinds() -> [kube::api::ApiResource; 3] {
    [
        objects::tempo_monolithic(),
        objects::tempo_stack(),
        objects::collector(),
    ]
}

/// How the stand-in treats one namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As the operators do.
    #[default]
    AsDocumented,
    /// Tempo's containers end at start with exit code 1, over and over; those
    /// that run already are replaced.
    CrashTempo,
    /// Tempo's containers run, but their readiness probes never succeed.
    TempoNeverReady,
    /// Tempo's pods want an image that does not exist.
    TempoImageMissing,
    /// The collector's pod wants an image that does not exist.
    CollectorImageMissing,
    /// Finalizers are never removed, the collector's included, which it has
    /// here as if the operator might manage ClusterRoles.
    KeepFinalizer,
    /// Nothing is reconciled: custom resources have no status and no finalizer,
    /// and keep the finalizer that they have.
    NotReconciling,
    /// A ResourceQuota comes into being right after the namespace, if that is
    /// labelled as one of ours.
    Quota { pods: u32 },
}

/// Why a reconciliation was given up; it is tried again soon.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Kube(#[from] kube::Error),
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot write a configuration: {0}")]
    Yaml(#[from] serde_yaml::Error),
    #[error("the stand-in does not know {0}")]
    Unknown(String),
}

/// Behaviours by namespace; a change has all custom resources reconciled.
#[derive(Debug)]
pub(crate) struct Behaviours {
    by_namespace: Mutex<HashMap<String, Behaviour>>,
    changed: watch::Sender<u64>,
}

impl Behaviours {
    fn new() -> Self {
        Self {
            by_namespace: Mutex::default(),
            changed: watch::Sender::new(0),
        }
    }

    fn of(&self, namespace: &str) -> Behaviour {
        let all = self.by_namespace.lock().expect("no holder panics");
        all.get(namespace).copied().unwrap_or_default()
    }

    fn set(&self, namespace: &str, behaviour: Behaviour) {
        let mut all = self.by_namespace.lock().expect("no holder panics");
        all.insert(namespace.to_owned(), behaviour);
        self.changed.send_modify(|count| *count += 1);
    }
}

/// What the controllers share.
pub(crate) struct Context {
    client: Client,
    behaviours: Arc<Behaviours>,
}

/// The running stand-in; dropped, it stops as an operator scaled to 0 does.
pub struct StandIn {
    behaviours: Arc<Behaviours>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Imports the image (once in a process), applies missing CRDs and starts
    /// the controllers, on a thread of their own.
    pub fn start(cluster: &Cluster) -> Result<Self, Failed> {
        static IMPORTED: OnceLock<Result<(), String>> = OnceLock::new();
        IMPORTED
            .get_or_init(|| image::import(cluster.testbed()))
            .clone()?;
        cluster.block_on(crds::ensure(cluster.client(), cluster.crd_dir()))?;

        // A client belongs to the runtime that it was made in.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("stand-in")
            .enable_all()
            .build()?;
        let client = runtime.block_on(cluster.new_client())?;
        let behaviours = Arc::new(Behaviours::new());
        let stop = CancellationToken::new();
        let context = Arc::new(Context {
            client,
            behaviours: Arc::clone(&behaviours),
        });
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("stand-in".to_owned())
            .spawn(move || {
                runtime.block_on(controllers::run(context, stopped));
                runtime.shutdown_timeout(Duration::from_secs(2));
            })?;
        Ok(Self {
            behaviours,
            stop,
            thread: Some(thread),
        })
    }

    /// From now on treats `namespace` so; it need not exist yet.
    pub fn in_namespace(&self, namespace: &str, behaviour: Behaviour) {
        self.behaviours.set(namespace, behaviour);
    }

    /// Removes the CRDs, runs `without` and puts them back, whatever came of it.
    ///
    /// # Errors
    /// Also when there is any custom resource: it would go with its CRD.
    pub fn without_crds<T>(
        &self,
        cluster: &Cluster,
        without: impl FnOnce() -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let removed = cluster.block_on(crds::remove(cluster.client()));
        let result = removed.map_err(Failed::from).and_then(|()| without());
        cluster.block_on(crds::ensure(cluster.client(), cluster.crd_dir()))?;
        result
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            eprintln!("kubernetes: the stand-in for the operators panicked");
        }
    }
}
