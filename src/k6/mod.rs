//! The load generator: what k6 is told, how it is started, and what it says.

pub mod command;
pub mod corpus_command;
pub mod exit;
pub mod load;
pub mod log;
pub mod query_mix;
pub mod scripts;
pub mod summary;

/// The script of a run, by the run's name.
pub fn script_of(run: &str) -> &'static str {
    match run {
        "query" => "query-test.js",
        "readback" => "readback-test.js",
        _ => "ingestion-test.js",
    }
}
