//! The teardown of a run that panics.

use super::tear_down::{Limits, Target, tear_down};
use crate::environment::kubernetes::cluster::client::Connected;

/// Takes a run down when it is dropped, unless it was disarmed. For a panic: every
/// other way calls [`tear_down`] itself, and learns of its errors.
#[must_use = "dropped at once, it would tear down at once"]
pub struct TeardownGuard {
    armed: Option<(Connected, Target, Limits)>,
}

impl TeardownGuard {
    /// To be armed before the first object is made: removing what was never
    /// created is fine.
    pub fn arm(connected: Connected, target: Target, limits: Limits) -> Self {
        Self {
            armed: Some((connected, target, limits)),
        }
    }

    /// Makes it the guard of a namespace that exists by now.
    pub fn set_namespace_uid(&mut self, uid: &str) {
        if let Some((_, target, _)) = &mut self.armed {
            target.namespace_uid = Some(uid.to_owned());
        }
    }

    pub fn disarm(&mut self) {
        self.armed = None;
    }
}

impl Drop for TeardownGuard {
    fn drop(&mut self) {
        let Some((connected, target, limits)) = self.armed.take() else {
            return;
        };
        let namespace = target.namespace.clone();
        eprintln!("taking down namespace {namespace}, after a run that ended unexpectedly");
        // The runtime that we are dropped on may be ending: it cannot be blocked
        // on, nor can connections that it drives be used.
        let thread = std::thread::Builder::new()
            .name("teardown".to_owned())
            .spawn(move || run(&connected, &target, limits));
        let outcome = match thread.map(std::thread::JoinHandle::join) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("the teardown itself panicked".to_owned()),
            Err(error) => Err(format!("no thread for it: {error}")),
        };
        if let Err(error) = outcome {
            eprintln!(
                "error: namespace {namespace} was not taken down whole: {error}; \
                 `tempo-perf sweep` removes the rest"
            );
        }
    }
}

fn run(connected: &Connected, target: &Target, limits: Limits) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime for it: {error}"))?;
    runtime.block_on(async {
        let client = connected
            .fresh_client()
            .map_err(|error| error.to_string())?;
        let progress = |line: &str| eprintln!("  {line}");
        let (removed, result) = match tear_down(&client, target, limits, &progress).await {
            Ok(removed) => (removed, Ok(())),
            Err(failed) => {
                let errors = failed.to_string();
                (failed.removed, Err(errors))
            }
        };
        for warning in &removed.warnings {
            eprintln!("  warning: {warning}");
        }
        result
    })
}
