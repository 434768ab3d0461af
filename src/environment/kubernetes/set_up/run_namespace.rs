//! What a run has in the cluster while it goes on.

use super::acquire::NamespaceHold;
use super::prometheus::{BeforeLoad, PrometheusAccess};
use super::steps::TempoSaid;
use crate::environment::kubernetes::cluster::port_forward::PortForward;
use crate::environment::kubernetes::load::run::K6Jobs;
use crate::environment::kubernetes::manifests::blueprint::Blueprint;
use crate::environment::kubernetes::watch::namespace::WatchedNamespace;

/// The namespace of a run while it is ours, and what is set up in it.
pub struct RunNamespace {
    pub watched: WatchedNamespace,
    pub hold: NamespaceHold,
    /// What the objects in it were made from last.
    pub blueprint: Blueprint,
    /// Whether what pods need is in it.
    pub has_objects: bool,
    /// What was changed outside of the namespace and stays so.
    pub changed_outside: Option<String>,
    pub k6: K6Jobs,
    pub tempo: Option<TempoSaid>,
    /// The way to the collector.
    pub collector: Option<PortForward>,
    pub prometheus: Option<PrometheusAccess>,
    pub before_load: Option<BeforeLoad>,
}

impl RunNamespace {
    /// A namespace that was just acquired, with nothing in it but its Lease.
    pub fn new(watched: WatchedNamespace, hold: NamespaceHold, blueprint: Blueprint) -> Self {
        Self {
            watched,
            hold,
            blueprint,
            has_objects: false,
            changed_outside: None,
            k6: K6Jobs::default(),
            tempo: None,
            collector: None,
            prometheus: None,
            before_load: None,
        }
    }

    /// Ends what of it is on this machine: port-forwards, and who uses them.
    pub fn close_port_forwards(&mut self) {
        self.collector = None;
        self.prometheus = None;
    }
}
