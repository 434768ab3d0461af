//! What every other test relies on: that what stays is noticed.

use std::fs;
use std::process::Command;

use crate::support::front_door::LOAD_LIMIT;
use crate::support::proc::eventually;
use crate::support::scratch::Scratch;

#[test]
fn a_process_and_a_work_directory_that_stay_are_noticed() {
    let scratch = Scratch::new();
    let noticed = |scratch: &Scratch| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            scratch.assert_nothing_is_left();
        }))
        .is_err()
    };
    assert!(!noticed(&scratch));
    let mut left = Command::new("sleep")
        .arg("60")
        .env("TMPDIR", scratch.tmp())
        .spawn()
        .expect("sleep can be started");
    eventually("it must be noticed", LOAD_LIMIT, || {
        // Between fork and exec it has our own environment.
        if noticed(&scratch) {
            Ok(())
        } else {
            Err(String::new())
        }
    });
    left.kill().expect("our child can be killed");
    left.wait().expect("and waited for");
    assert!(!noticed(&scratch));
    let dir = scratch.tmp().join("tempo-perf-1x-demo-1");
    fs::create_dir(&dir).expect("a directory can be made");
    assert!(noticed(&scratch));
}
