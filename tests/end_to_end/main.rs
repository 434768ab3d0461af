//! The front door with the real tools: whole cases, and whatever may go wrong
//! with them. Each test counts the processes before and after.
//! Touches: starts k6, a collector, Prometheus and the trace store on 127.0.0.1,
//! one test at a time; writes to temporary directories.
#![cfg(target_os = "linux")]

mod front_door;
mod proc;

mod damage;
mod evidence;
mod judged;
mod selection;
mod signals;
mod surroundings;
