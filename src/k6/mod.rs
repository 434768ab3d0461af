//! The load generator: what k6 is told, how it is started, and what it says.

pub mod command;
pub mod corpus_command;
pub mod exit;
pub mod load;
pub mod log;
pub mod query_mix;
mod run;
pub mod scripts;
pub mod solve;
pub mod summary;

pub use run::Run;
