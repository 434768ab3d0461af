//! What is decided, checked and written, from given inputs: no connection leaves
//! the test, and no process is started but a copy of it.

mod corpus_command;
mod corpus_identity;
mod corpus_payloads;
mod k6_summary;
mod kubernetes_api;
mod kubernetes_manifests;
mod kubernetes_ownership;
mod metrics_collection;
mod plan;
mod profile_errors;
mod profile_schema;
mod report_console;
mod report_files;
mod settings_invocation;
mod verdict;
