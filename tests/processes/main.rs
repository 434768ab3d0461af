//! Processes that are started, watched and ended, without a case around them.

mod k6_scripts;
#[path = "../support/proc.rs"]
mod proc;
#[path = "../support/real_tools.rs"]
mod real_tools;
mod set_up;
mod supervisor;
mod tools;
mod waiting;
