//! Setting up: the namespace first, what needs nothing else side by side, and
//! everything judged before a workload exists.

pub mod acquire;
mod look;
mod prometheus;
mod steps;
