//! Performance tests for Grafana Tempo. The README says what the project does
//! and how to run it; the modules below are in the order of the data's way.

// What cannot fail says why, by `expect`.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod case;
pub mod checks;
pub mod corpus;
pub mod environment;
pub mod error_chain;
pub mod framework;
pub mod front_door;
pub mod k6;
pub mod machine;
pub mod metrics;
pub mod nearest;
pub mod plan;
pub mod process;
pub mod profile;
pub mod promql_variables;
pub mod report;
pub mod settings;
pub mod tools;
pub mod units;
