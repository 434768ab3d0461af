//! Processes that are started, watched and ended, without a case around them.

mod k6_scripts;
mod supervisor;
mod tools;
