//! The limit of open files.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, for us and the children
/// to come; returns the limit in force.
pub fn raise_open_files_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        // macOS reports no hard limit, and refuses more than a kernel constant.
        return Ok(soft);
    }
    Ok(hard)
}
