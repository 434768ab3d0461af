//! Whose a namespace is, and whether its run still lives.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;

use super::lease::renewal_seen;
use super::process::{HOLDER_ANNOTATION, Holder, Known, judge_here};
use crate::environment::kubernetes::cluster::api_error::ApiError;
use crate::environment::kubernetes::cluster::names::RUN_LABEL;

/// Whether a run still holds its namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Liveness {
    Live,
    /// With the reason.
    Abandoned(String),
}

/// Finds out whether a namespace of ours is still held: at once where its
/// process can be looked up on this machine, else by watching its Lease for
/// `abandoned_after`.
///
/// # Errors
/// When the Lease cannot be read.
pub async fn examine(
    client: &Client,
    namespace: &Namespace,
    abandoned_after: Duration,
    progress: &dyn Fn(&str),
) -> Result<Liveness, ApiError> {
    match holder_of(namespace).map_or(Known::Elsewhere, |holder| judge_here(&holder)) {
        Known::Live => return Ok(Liveness::Live),
        Known::Abandoned(why) => return Ok(Liveness::Abandoned(why)),
        Known::Elsewhere => {}
    }
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let seconds = abandoned_after.as_secs();
    progress(&format!(
        "namespace {name} belongs to {}, not on this machine: watching its Lease for up to {seconds} s",
        who(namespace)
    ));
    match renewal_seen(client, name, abandoned_after).await {
        Ok(true) => Ok(Liveness::Live),
        Ok(false) => Ok(Liveness::Abandoned(format!(
            "its Lease was not renewed within {seconds} s"
        ))),
        Err(error) => Err(error),
    }
}

/// The value of the run label; `None` for a namespace that is not ours.
pub fn run_of(namespace: &Namespace) -> Option<&str> {
    let labels = namespace.metadata.labels.as_ref()?;
    labels.get(RUN_LABEL).map(String::as_str)
}

/// Who has written that it holds a namespace.
pub fn holder_of(namespace: &Namespace) -> Option<Holder> {
    let annotations = namespace.metadata.annotations.as_ref()?;
    Holder::from_annotation(annotations.get(HOLDER_ANNOTATION)?)
}

/// A namespace's run for people, with its start.
pub struct Who {
    holder: Option<Holder>,
    run: String,
}

/// Who a namespace of ours belongs to.
pub fn who(namespace: &Namespace) -> Who {
    Who {
        holder: holder_of(namespace),
        run: run_of(namespace).unwrap_or("unknown").to_owned(),
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(holder) => {
                let since = holder.since.strftime("%Y-%m-%d %H:%M:%S UTC");
                write!(f, "{holder}, since {since}")
            }
            None => write!(f, "run {} (no word of its process)", self.run),
        }
    }
}
