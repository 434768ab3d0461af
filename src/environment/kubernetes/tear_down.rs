//! Tearing a run down, or telling how to, where it is to be left running.

use std::time::Instant;

use super::KubernetesEnvironment;
use crate::environment::kubernetes::clean_up::tear_down::{TeardownTarget, tear_down};
use crate::environment::{EnvironmentError, StageLog, failed};
use crate::error_chain::chain;

impl KubernetesEnvironment {
    pub(super) fn target(&self, uid: Option<&str>) -> TeardownTarget {
        let target = TeardownTarget::new(&self.namespace_name, self.run);
        match uid {
            Some(uid) => target.with_uid(uid),
            None => target,
        }
    }

    pub(super) fn disarm(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.disarm();
        }
    }

    /// Everything is tried; what could not be removed comes in one error.
    pub(super) async fn remove_run(&mut self, stages: &StageLog) -> Result<(), EnvironmentError> {
        if let Some(namespace) = &mut self.namespace {
            namespace.close_port_forwards();
        }
        let mut errors = Vec::new();
        // Without a guard nothing was ever created, or all is gone already.
        if self.guard.is_some() {
            let hold = self.namespace.as_ref().map(|namespace| &namespace.hold);
            if let Some(hold) = hold {
                hold.lease.expect_end();
            }
            let target = self.target(hold.map(|hold| hold.uid.as_str()));
            let progress = |line: &str| eprintln!("  {line}");
            let client = &self.connected.client;
            let start = Instant::now();
            let torn = tear_down(client, &target, self.limits, &progress).await;
            self.disarm();
            let removed = match torn {
                Ok(removed) => removed,
                Err(failed) => {
                    errors.extend(failed.errors);
                    failed.removed
                }
            };
            for warning in &removed.warnings {
                eprintln!("  warning     {warning}");
            }
            let emptied = start + removed.emptied;
            stages.note("resources", start, removed.emptied);
            stages.note("namespace", emptied, removed.namespace_gone);
        }
        if let Some(dir) = self.work_dir.take()
            && let Err(err) = dir.delete()
        {
            errors.push(chain(&err));
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(failed(format!("cleanup failed: {}", errors.join("; ")))),
        }
    }

    /// For `--skip-cleanup`; from here on nothing tears it down but a sweep.
    pub(super) fn left_running(&mut self) -> String {
        self.disarm();
        let Some(blueprint) = self.namespace.as_ref().map(|it| &it.blueprint) else {
            return String::new();
        };
        let (namespace, context) = (&self.namespace_name, &self.connected.context);
        let kubectl = match context.as_str() {
            "in-cluster" => "kubectl".to_string(),
            context => format!("kubectl --context {context}"),
        };
        let sweep = match context.as_str() {
            "in-cluster" => "tempo-perf sweep".to_string(),
            context => format!("tempo-perf sweep --context {context}"),
        };
        let (query, port) = blueprint.query_service();
        format!(
            "left running in namespace {namespace}:\n  \
             {kubectl} get all -n {namespace}\n  \
             {kubectl} port-forward -n {namespace} service/{query} {port}\n\
             to remove it, a minute from now or later: {sweep} --namespace {namespace}\n"
        )
    }
}
