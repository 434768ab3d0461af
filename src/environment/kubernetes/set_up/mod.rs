//! Setting up: the namespace first, what needs nothing else side by side, and
//! everything judged before a workload exists.

pub mod acquire;
pub mod look;
pub mod prometheus;
pub mod run_namespace;
pub mod steps;
