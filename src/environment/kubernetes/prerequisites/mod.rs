//! What must be there before anything is created: the operators, rights, nodes,
//! storage, and a Prometheus to measure with.

mod look;
mod nodes;
pub mod object_storage;
pub mod operators;
pub mod prometheus;
pub mod rights;
mod storage_class;

pub use look::{Wanted, look};
