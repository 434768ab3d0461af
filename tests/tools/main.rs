//! Finding, downloading and building tools.
//! Touches: starts processes of its own, listens on 127.0.0.1, and writes to
//! temporary directories.
#![cfg(unix)]

mod building;
mod downloading;
mod finding;
mod machine;
mod releases;
