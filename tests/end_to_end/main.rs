//! The front door with the real tools: whole cases, and whatever may go wrong
//! with them. Each test counts the processes before and after.
//! Touches: starts k6, a collector, Prometheus and the trace store on 127.0.0.1,
//! one test at a time; writes to temporary directories.
#![cfg(target_os = "linux")]

mod damage;
mod evidence;
mod judged;
mod left_behind;
#[path = "../support/real_tools.rs"]
mod real_tools;
mod selection;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod surroundings;
