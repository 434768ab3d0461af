//! Finding, downloading and building tools.
//! Touches: starts processes of its own, listens on 127.0.0.1, and writes to
//! temporary directories.
#![cfg(unix)]

mod building;
#[cfg(target_os = "linux")]
mod downloading;
mod finding;
mod machine;
#[cfg(target_os = "linux")]
mod releases;
