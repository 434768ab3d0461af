//! Processes that are started, watched and ended, without a case around them.

mod k6_scripts;
mod set_up;
mod supervisor;
mod tools;
