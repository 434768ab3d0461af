//! Runs as a user who may do what the README's ClusterRole grants, and no more.

use std::path::PathBuf;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use libtest_mimic::Failed;
use serde_json::json;

use crate::Scenario;
use crate::cluster::Cluster;
use crate::runs::CASE_LIMIT;
use crate::stand_in::StandIn;
use crate::support::scratch::Scratch;

pub const SCENARIOS: [Scenario; 2] = [
    Scenario::new(
        "the_role_of_the_readme_is_enough",
        &["tempo-perf-1x-demo", "runners-enough"],
        enough,
    )
    .slow(),
    Scenario::new(
        "rights_that_are_missing_are_named_at_once",
        &["tempo-perf-1x-demo", "runners-missing"],
        missing,
    ),
];

/// None of the names that leftovers are known by.
const NAME: &str = "runner-of-cases";

/// A service account in the place of a user.
struct Runner<'a> {
    cluster: &'a Cluster,
    /// Where the account lives.
    namespace: &'static str,
    kubeconfig: PathBuf,
}

impl<'a> Runner<'a> {
    fn new(
        cluster: &'a Cluster,
        scratch: &Scratch,
        namespace: &'static str,
        role: &ClusterRole,
    ) -> Result<Self, Failed> {
        let client = cluster.client();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let roles: Api<ClusterRole> = Api::all(client.clone());
        let bindings: Api<ClusterRoleBinding> = Api::all(client);
        let home = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        let account = serde_json::from_value(json!({"metadata": {"name": NAME}}))?;
        let binding = serde_json::from_value(json!({
            "metadata": {"name": NAME},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME,
            },
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
        }))?;
        let made = PostParams::default();
        // Dropped from here on, it takes away what is there.
        let mut runner = Self {
            cluster,
            namespace,
            kubeconfig: scratch.path().join("runner.kubeconfig"),
        };
        let token = cluster.block_on(async {
            namespaces.create(&made, &home).await?;
            accounts.create(&made, &account).await?;
            roles.create(&made, role).await?;
            bindings.create(&made, &binding).await?;
            let request = TokenRequest {
                spec: TokenRequestSpec {
                    expiration_seconds: Some(3600),
                    ..TokenRequestSpec::default()
                },
                ..TokenRequest::default()
            };
            accounts.create_token_request(NAME, &made, &request).await
        })?;
        let token = token.status.ok_or("a token")?.token;
        runner.write_kubeconfig(&token)?;
        Ok(runner)
    }

    /// The testbed's, with another user.
    fn write_kubeconfig(&mut self, token: &str) -> Result<(), Failed> {
        let text = std::fs::read_to_string(self.cluster.kubeconfig())?;
        let mut kubeconfig: serde_yaml::Value = serde_yaml::from_str(&text)?;
        kubeconfig["users"][0]["user"] = serde_yaml::to_value(json!({"token": token}))?;
        std::fs::write(&self.kubeconfig, serde_yaml::to_string(&kubeconfig)?)?;
        Ok(())
    }
}

impl Drop for Runner<'_> {
    fn drop(&mut self) {
        let client = self.cluster.client();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let roles: Api<ClusterRole> = Api::all(client.clone());
        let bindings: Api<ClusterRoleBinding> = Api::all(client);
        let now = DeleteParams::default();
        let gone = self.cluster.block_on(async {
            bindings.delete(NAME, &now).await?;
            roles.delete(NAME, &now).await?;
            namespaces.delete(self.namespace, &now).await
        });
        if let Err(err) = gone {
            eprintln!("kubernetes: {NAME}: {err}");
        }
    }
}

/// As the README has it.
fn role() -> Result<ClusterRole, Failed> {
    let readme = include_str!("../../README.md");
    let block = readme
        .split("```yaml\n")
        .filter_map(|rest| rest.split("```").next())
        .find(|block| block.contains("kind: ClusterRole"))
        .ok_or("the README has a ClusterRole")?;
    let mut role: ClusterRole = serde_yaml::from_str(block)?;
    role.metadata.name = Some(NAME.into());
    Ok(role)
}

fn enough(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let runner = Runner::new(cluster, &scratch, "runners-enough", &role()?)?;
    let finished = cluster
        .harness(&scratch, &["1x-demo"])
        .env("KUBECONFIG", &runner.kubeconfig)
        .seconds(6)
        .start()
        .wait_within(CASE_LIMIT)
        .passes()
        // The rights of container metrics are among them.
        .never_says(&["forbidden", "are not measured"]);
    let csv = finished.text("1x-demo-metrics.csv");
    assert!(csv.contains(",memory_usage_total,"), "{csv}");
    cluster.assert_nothing_left()
}

fn missing(cluster: &Cluster) -> Result<(), Failed> {
    let _stand_in = StandIn::start(cluster)?;
    let scratch = Scratch::new();
    let mut few = role()?;
    few.rules.get_or_insert_default().retain(|rule| {
        let resources = rule.resources.as_deref().unwrap_or_default();
        !resources
            .iter()
            .any(|it| it == "jobs" || it == "pods/exec" || it == "nodes/proxy")
    });
    let runner = Runner::new(cluster, &scratch, "runners-missing", &few)?;
    cluster
        .harness(&scratch, &["1x-demo"])
        .env("KUBECONFIG", &runner.kubeconfig)
        .seconds(6)
        .start()
        .wait_within(CASE_LIMIT)
        .exits_with(101)
        .says(&[
            "prerequisites not met: Tempo=true, OTel=true",
            "permissions: not allowed to",
            "create, delete, list, watch jobs.batch",
            "create, get pods/exec",
            "create, get pods/portforward",
        ]);
    cluster.assert_nothing_left()
}
