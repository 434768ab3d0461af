//! Removing a run from a cluster: its own teardown, that of a run that panics,
//! and the sweep of runs that no longer live.

mod cluster_objects;
mod custom_resources;
pub mod guard;
pub mod sweep;
pub mod tally;
pub mod tear_down;
mod volumes;
