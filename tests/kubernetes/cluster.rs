//! The testbed cluster as scenarios use it: a client, what the harness left in
//! it, and its API server as a process that can be ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::{Discovery, verbs};
use kube::{Api, Client, Config, ResourceExt};
use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempo_perf::environment::kubernetes::cluster::names::RUN_LABEL;
use tempo_perf::error_chain::chain;

use crate::support::front_door::{Finished, FrontDoor};
use crate::support::scratch::Scratch;

/// Never KUBECONFIG: `cargo test` must not touch a user's own cluster.
pub const KUBECONFIG_VARIABLE: &str = "TEMPO_PERF_TEST_KUBECONFIG";
pub const TESTBED_VARIABLE: &str = "TEMPO_PERF_TESTBED";
pub const CRD_VARIABLE: &str = "TEMPO_PERF_CRD_DIR";

/// Begin of the names of the harness's namespaces.
pub const NAMESPACE_PREFIX: &str = "tempo-perf-";

/// For the API server to answer at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For namespaces that the harness has deleted and whose end it did not await,
/// as after SIGKILL and sweep.
const TERMINATION_LIMIT: Duration = Duration::from_secs(60);
/// The testbed starts a program again after 1 s; the API server needs some more.
const RESTART_LIMIT: Duration = Duration::from_secs(90);

/// Set while others use the same cluster: then only what concerns a scenario's
/// own namespaces counts as left behind.
const SHARED_VARIABLE: &str = "TEMPO_PERF_TEST_SHARED";

/// The testbed.
pub struct Cluster {
    /// Namespaces of the scenario that runs.
    namespaces: Mutex<&'static [&'static str]>,
    kubeconfig: PathBuf,
    testbed: PathBuf,
    crd_dir: PathBuf,
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Cluster {
    /// `None` when the environment names none.
    ///
    /// # Errors
    /// When it names one, but not all that is needed, or it does not answer.
    pub fn from_env() -> Result<Option<Self>, String> {
        let Some(kubeconfig) = path_of(KUBECONFIG_VARIABLE) else {
            return Ok(None);
        };
        let required = |name: &str, what: &str| {
            path_of(name).ok_or_else(|| {
                format!("{KUBECONFIG_VARIABLE} is set, but {name} is not: it must name {what}")
            })
        };
        let testbed = required(
            TESTBED_VARIABLE,
            "the testbed's directory, with `cluster` in it",
        )?;
        let crd_dir = required(CRD_VARIABLE, "the directory with the operators' CRDs")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|err| format!("cannot start a runtime: {err}"))?;
        let client = runtime.block_on(async {
            let client = connect(&kubeconfig).await?;
            match tokio::time::timeout(CONNECT_LIMIT, client.apiserver_version()).await {
                Ok(Ok(_)) => Ok(client),
                Ok(Err(err)) => Err(format!(
                    "the cluster of {} does not answer: {}",
                    kubeconfig.display(),
                    chain(&err)
                )),
                Err(_) => Err(format!(
                    "the cluster of {} does not answer within {CONNECT_LIMIT:?}",
                    kubeconfig.display()
                )),
            }
        })?;
        Ok(Some(Self {
            namespaces: Mutex::new(&[]),
            kubeconfig,
            testbed,
            crd_dir,
            runtime,
            client,
        }))
    }

    /// Begins a scenario that has these namespaces. There is one testbed on a
    /// machine, and whoever holds the lock has it alone.
    pub fn begin(&self, namespaces: &'static [&'static str]) -> File {
        *self.namespaces.lock().expect("no holder panics") = namespaces;
        let path = std::env::temp_dir().join("tempo-perf-testbed.lock");
        let lock = File::create(&path).expect("a temporary file can be written");
        lock.lock().expect("a file can be locked");
        lock
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub fn testbed(&self) -> &Path {
        &self.testbed
    }

    pub fn crd_dir(&self) -> &Path {
        &self.crd_dir
    }

    /// For use within [`Cluster::block_on`].
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// For use within the runtime that awaits it.
    pub async fn new_client(&self) -> Result<Client, String> {
        connect(&self.kubeconfig).await
    }

    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The harness on this cluster, with `args` as they follow `--`: started as
    /// a user does, its output below `scratch`. Give it `.profiles_dir(…)`.
    pub fn harness<'a>(&self, scratch: &'a Scratch, args: &[&str]) -> FrontDoor<'a> {
        let mut all = vec!["--target=kubernetes"];
        all.extend(args);
        FrontDoor::new(scratch, &all).env("KUBECONFIG", &self.kubeconfig)
    }

    /// `tempo-perf` on this cluster, for `sweep`.
    pub fn tempo_perf(&self, scratch: &Scratch, args: &[&str]) -> Finished {
        FrontDoor::through(scratch, crate::support::built::TEMPO_PERF, args)
            .env("KUBECONFIG", &self.kubeconfig)
            .log_as("tempo-perf")
            .run()
    }

    /// What is in the cluster of any run, as lines: objects with the label of
    /// runs, namespaces by name, volumes by the namespace of their claim.
    pub async fn leftovers(&self) -> Result<Vec<String>, kube::Error> {
        let client = &self.client;
        let mut found = Vec::new();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for namespace in namespaces.list(&ListParams::default()).await? {
            let name = namespace.name_any();
            if is_ours(&name) || namespace.labels().contains_key(RUN_LABEL) {
                let phase = namespace.status.and_then(|status| status.phase);
                found.push(format!("Namespace {name} ({})", phase.unwrap_or_default()));
            }
        }
        let volumes: Api<PersistentVolume> = Api::all(client.clone());
        for volume in volumes.list(&ListParams::default()).await? {
            let claim = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.claim_ref.as_ref());
            let namespace = claim.and_then(|claim| claim.namespace.as_deref());
            if let Some(namespace) = namespace.filter(|namespace| is_ours(namespace)) {
                found.push(format!(
                    "PersistentVolume {} of {namespace}",
                    volume.name_any()
                ));
            }
        }
        let roles: Api<ClusterRole> = Api::all(client.clone());
        for role in roles.list(&ListParams::default()).await? {
            found.extend(of_a_run("ClusterRole", &role.name_any()));
        }
        let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
        for binding in bindings.list(&ListParams::default()).await? {
            found.extend(of_a_run("ClusterRoleBinding", &binding.name_any()));
        }
        for resource in self.kinds().await? {
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let labelled = ListParams::default().labels(RUN_LABEL);
            // A kind may go away between discovery and this.
            let objects = match api.list(&labelled).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => continue,
                other => other?,
            };
            for object in objects {
                let name = object.name_any();
                found.push(match object.namespace() {
                    Some(namespace) => format!("{} {namespace}/{name}", resource.kind),
                    None => format!("{} {name}", resource.kind),
                });
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// All kinds of objects that can be listed. Events are no leftovers: they
    /// outlive what they tell of, and have no labels.
    async fn kinds(&self) -> Result<Vec<ApiResource>, kube::Error> {
        let discovery = Discovery::new(self.client.clone()).run_aggregated().await?;
        let kinds = discovery
            .groups()
            .flat_map(|group| group.recommended_resources());
        Ok(kinds
            .filter(|(resource, capabilities)| {
                capabilities.supports_operation(verbs::LIST)
                    && capabilities.supports_operation(verbs::DELETE)
                    && resource.kind != "Event"
                    && resource.kind != "Namespace"
            })
            .map(|(resource, _)| resource)
            .collect())
    }

    /// Fails if the cluster holds anything of a run after a grace for namespaces
    /// that are going already.
    pub fn assert_nothing_left(&self) -> Result<(), Failed> {
        let deadline = Instant::now() + TERMINATION_LIMIT;
        loop {
            let mut left = self.block_on(self.leftovers())?;
            if std::env::var_os(SHARED_VARIABLE).is_some() {
                left.retain(|line| self.concerns_scenario(line));
            }
            if left.is_empty() {
                return Ok(());
            }
            // Volumes go after their namespace; nothing else may be waited for.
            let going = |line: &String| {
                line.starts_with("PersistentVolume ") || line.ends_with("(Terminating)")
            };
            let in_going_namespace = |line: &String| {
                left.iter()
                    .filter(|it| it.ends_with("(Terminating)"))
                    .any(|it| {
                        let namespace = it.trim_start_matches("Namespace ");
                        let namespace = namespace.trim_end_matches(" (Terminating)");
                        line.contains(&format!(" {namespace}/"))
                    })
            };
            let waits = left
                .iter()
                .all(|line| going(line) || in_going_namespace(line));
            if !waits || Instant::now() > deadline {
                return Err(format!("the cluster still holds:\n  {}", left.join("\n  ")).into());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Removes what [`Cluster::leftovers`] names of the scenario's own
    /// namespaces, finalizers included: for after one that failed, so that the
    /// next one finds a clean cluster.
    pub fn clear(&self) -> Result<(), Failed> {
        self.block_on(async {
            let client = &self.client;
            let namespaces: Api<Namespace> = Api::all(client.clone());
            let roles: Api<ClusterRole> = Api::all(client.clone());
            let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
            for line in self.leftovers().await? {
                if !self.concerns_scenario(&line) {
                    continue;
                }
                let mut words = line.split_whitespace();
                let (Some(kind), Some(name)) = (words.next(), words.next()) else {
                    continue;
                };
                let now = DeleteParams::default();
                match kind {
                    "Namespace" => {
                        ignore_absence(namespaces.delete(name, &now).await)?;
                        self.strip_finalizers(name).await?;
                    }
                    "ClusterRole" => ignore_absence(roles.delete(name, &now).await)?,
                    "ClusterRoleBinding" => ignore_absence(bindings.delete(name, &now).await)?,
                    // Goes with its namespace.
                    _ => {}
                }
            }
            Ok::<_, kube::Error>(())
        })?;
        self.assert_nothing_left()
    }

    /// Names in a line of leftovers are separated by blanks and slashes;
    /// cluster-scoped objects have the namespace within their name.
    fn concerns_scenario(&self, line: &str) -> bool {
        let namespaces = self.namespaces.lock().expect("no holder panics");
        let mut words = line.split([' ', '/']).skip(1);
        words.any(|word| {
            namespaces.iter().any(|namespace| {
                word == *namespace || (line.starts_with("ClusterRole") && word.contains(namespace))
            })
        })
    }

    async fn strip_finalizers(&self, namespace: &str) -> Result<(), kube::Error> {
        for kind in crate::stand_in::kinds() {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), namespace, &kind);
            let found = match api.list(&ListParams::default()).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => continue,
                other => other?,
            };
            for cr in found {
                let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                let name = cr.name_any();
                ignore_absence(api.patch(&name, &PatchParams::default(), &none).await)?;
            }
        }
        Ok(())
    }

    /// Ends the API server as a crash does and waits until the testbed has
    /// started it again and it is ready.
    pub fn restart_api_server(&self) -> Result<(), Failed> {
        let old = self.kill_api_server()?;
        let deadline = Instant::now() + RESTART_LIMIT;
        loop {
            let restarted = self.api_server().is_ok_and(|pid| pid != old);
            if restarted && self.block_on(self.is_ready()) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("the API server is not back within {RESTART_LIMIT:?}").into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Ends the API server and returns its process ID at once.
    pub fn kill_api_server(&self) -> Result<i32, Failed> {
        let pid = self.api_server()?;
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        Ok(pid)
    }

    async fn is_ready(&self) -> bool {
        let request = axum::http::Request::get("/readyz").body(Vec::new());
        match request {
            Ok(request) => self.client.request_text(request).await.is_ok(),
            Err(_) => false,
        }
    }

    /// The kube-apiserver below the testbed's node, whose process ID is in the
    /// directory of its kubeconfig.
    fn api_server(&self) -> Result<i32, String> {
        let state = self.kubeconfig.parent().unwrap_or(Path::new("."));
        let file = state.join("node.pid");
        let node = fs::read_to_string(&file)
            .map_err(|err| format!("{}: {err}; is this a testbed's?", file.display()))?;
        let node: i32 = node
            .trim()
            .parse()
            .map_err(|_| format!("{}: {node:?} is no process ID", file.display()))?;
        let mut below = vec![node];
        let mut at = 0;
        while let Some(&parent) = below.get(at) {
            below.extend(children_of(parent));
            at += 1;
        }
        below
            .into_iter()
            .find(|pid| name_of(*pid) == "kube-apiserver")
            .ok_or_else(|| format!("no kube-apiserver below the testbed's node, process {node}"))
    }
}

fn ignore_absence<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        other => other.map(|_| ()),
    }
}

fn path_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

async fn connect(kubeconfig: &Path) -> Result<Client, String> {
    let unusable = |err: &dyn std::fmt::Display| format!("{}: {err}", kubeconfig.display());
    let read = Kubeconfig::read_from(kubeconfig).map_err(|err| unusable(&err))?;
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .map_err(|err| unusable(&err))?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Client::try_from(config).map_err(|err| unusable(&err))
}

fn is_ours(namespace: &str) -> bool {
    namespace.starts_with(NAMESPACE_PREFIX)
}

/// The names that the operators and the harness give to cluster-scoped objects
/// contain the namespace; labels are looked at for all kinds.
fn of_a_run(kind: &str, name: &str) -> Option<String> {
    name.contains(NAMESPACE_PREFIX)
        .then(|| format!("{kind} {name}"))
}

fn children_of(pid: i32) -> Vec<i32> {
    // Each thread has children of its own.
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

fn name_of(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}
