//! Taking a run down, or telling how to, where it is to be left running.

use std::time::Instant;

use super::{KubernetesEnvironment, failed};
use crate::environment::EnvironmentError;
use crate::environment::kubernetes::clean_up::tear_down::{self, Limits};
use crate::error_chain::chain;

impl KubernetesEnvironment {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            cr_deletion: self.options.cr_deletion_timeout,
            namespace_deletion: self.options.namespace_deletion_timeout,
        }
    }

    pub(super) fn target(&self, uid: Option<String>) -> tear_down::Target {
        let target = tear_down::Target::new(&self.options.namespace, self.options.run);
        match uid {
            Some(uid) => target.with_uid(&uid),
            None => target,
        }
    }

    pub(super) fn disarm(&self) {
        if let Some(mut guard) = self.guard.lock().expect("no holder panics").take() {
            guard.disarm();
        }
    }

    /// Everything is tried; what could not be removed comes in one error.
    pub(super) async fn take_down(&self) -> Result<(), EnvironmentError> {
        {
            let mut up = self.up();
            up.ways.clear();
            up.prometheus = None;
        }
        let mut errors = Vec::new();
        // Without a guard nothing was ever created, or all is gone already.
        if self.guard.lock().expect("no holder panics").is_some() {
            let held = self.held.get();
            if let Some(held) = held {
                held.claim.lease.expect_end();
            }
            let target = self.target(held.map(|held| held.claim.uid.clone()));
            let progress = |line: &str| eprintln!("  {line}");
            let client = &self.connected.client;
            let start = Instant::now();
            let torn = tear_down::tear_down(client, &target, self.limits(), &progress).await;
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
            self.note_stage("resources", start, removed.emptied);
            self.note_stage("namespace", emptied, removed.namespace_gone);
        }
        let work_dir = self.work_dir.lock().expect("no holder panics").take();
        if let Some(dir) = work_dir
            && let Err(err) = dir.delete()
        {
            errors.push(chain(&err));
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(failed(format!("cleanup failed: {}", errors.join("; ")))),
        }
    }

    /// For `--skip-cleanup`; from here on nothing takes it down but a sweep.
    pub(super) fn left_running(&self) -> String {
        self.disarm();
        if self.held.get().is_none() {
            return String::new();
        }
        let (namespace, context) = (&self.options.namespace, &self.connected.context);
        let kubectl = match context.as_str() {
            "in-cluster" => "kubectl".to_string(),
            context => format!("kubectl --context {context}"),
        };
        let sweep = match context.as_str() {
            "in-cluster" => "tempo-perf sweep".to_string(),
            context => format!("tempo-perf sweep --context {context}"),
        };
        let (query, port) = self.blueprint().query_service();
        format!(
            "left running in namespace {namespace}:\n  \
             {kubectl} get all -n {namespace}\n  \
             {kubectl} port-forward -n {namespace} service/{query} {port}\n\
             to remove it, a minute from now or later: {sweep} --namespace {namespace}\n"
        )
    }
}
