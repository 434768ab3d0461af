//! The environment that a user has, whoever runs the tests.

use std::ffi::OsString;
use std::process::Command;

/// Variables that settle something and do not begin with `TEMPO_`.
const PLAIN_VARIABLES: [&str; 8] = [
    "DURATION",
    "SIZE",
    "MB_PER_SECOND",
    "QUERIES_PER_SECOND",
    "VUS_MIN",
    "VUS_MAX",
    "TRACE_PROFILE",
    "KUBECONFIG",
];

/// Variables that choose the tools that a run finds, and no more.
const TOOL_VARIABLES: [&str; 8] = [
    "TEMPO_PERF_K6_BIN",
    "TEMPO_PERF_OTELCOL_BIN",
    "TEMPO_PERF_PROMETHEUS_BIN",
    "TEMPO_PERF_TOOLS_DIR",
    "TEMPO_PERF_TOOLS",
    "TEMPO_PERF_K6_RELEASES",
    "TEMPO_PERF_OTELCOL_RELEASES",
    "TEMPO_PERF_PROMETHEUS_RELEASES",
];

/// Takes from the environment what would change a run: settings of whoever runs
/// the tests, what cargo and nextest tell their tests, and a Tempo on PATH.
pub fn as_users_do(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let setting = text.starts_with("TEMPO_") && !TOOL_VARIABLES.contains(&&*text);
        let of_cargo = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix));
        if setting
            || of_cargo
            || text.starts_with("NEXTEST")
            || text.starts_with("KUBERNETES_")
            || PLAIN_VARIABLES.contains(&&*text)
        {
            command.env_remove(&name);
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let without_tempo = std::env::split_paths(&path).filter(|dir| !dir.join("tempo").is_file());
    let path: OsString = std::env::join_paths(without_tempo).expect("parts of a PATH make a PATH");
    command.env("PATH", path);
}
