//! The programs under test, and cargo, which builds those that are missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use super::users_environment::as_users_do;

pub const TEMPO_PERF: &str = env!("CARGO_BIN_EXE_tempo-perf");

/// Cargo, as it runs this test.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    as_users_do(&mut command);
    command
}

/// The profile of cargo that this test was built with.
pub fn cargo_profile() -> String {
    let dir = Path::new(TEMPO_PERF).parent().and_then(Path::file_name);
    match dir
        .expect("a target directory has a name")
        .to_string_lossy()
    {
        name if name == "debug" => "dev".to_owned(),
        name => name.into_owned(),
    }
}

/// The harness of `cargo test --test perf`, built if need be: it is no part of
/// a plain `cargo test`.
pub fn perf() -> &'static Path {
    static PERF: OnceLock<PathBuf> = OnceLock::new();
    PERF.get_or_init(|| built(&["test", "--no-run", "--test", "perf"], "perf"))
}

/// What cargo builds, if need be, as `name`.
pub fn built(command: &[&str], name: &str) -> PathBuf {
    let built = cargo()
        .args(command)
        .arg("--message-format=json")
        .args(["--profile", &cargo_profile()])
        .output()
        .expect("cargo can be started");
    let stderr = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{name} must build:\n{stderr}");
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap_or_else(|| panic!("cargo must tell where {name} is:\n{stderr}"))
}
