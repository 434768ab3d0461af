//! k6 in the cluster: what its pods hold, how they are told their load, and how
//! their log and summary come back.
//!
//! A pod starts long before its load and waits for it. The load, with the common
//! start time in it, is written into the running pod; so both runs can be told
//! one instant once both of them run, and no image is pulled in the meantime.

pub mod bucket;
mod ending;
pub mod files;
mod follow;
mod frame;
mod hand_over;
mod job;
mod log;
pub mod run;
