//! Waiting for what holds or does not.

use std::time::Duration;

use crate::proc;

pub const LIMIT: Duration = Duration::from_secs(20);

#[track_caller]
pub fn eventually(expected: &str, mut holds: impl FnMut() -> bool) {
    proc::eventually(expected, LIMIT, || {
        holds().then_some(()).ok_or_else(|| "not yet".to_owned())
    });
}
