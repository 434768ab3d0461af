//! What must be there before anything is created: the operators, rights, nodes,
//! storage, and a Prometheus to measure with.

pub mod credentials;
mod look;
mod nodes;
pub mod operators;
pub mod prometheus;
pub mod rights;
mod storage_class;

pub use look::{Requirements, look};
