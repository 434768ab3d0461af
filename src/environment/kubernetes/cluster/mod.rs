//! Connecting to a cluster, and single calls of its API.

pub mod api_error;
pub mod client;
pub mod create;
pub mod deletion;
pub mod kinds;
pub mod names;
pub mod port_forward;
pub mod retry;
