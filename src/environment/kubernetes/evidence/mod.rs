//! What a run tells beside Prometheus: what it is made of, counters while it goes
//! on, and logs, events and objects for those who ask why.

pub mod components;
pub mod cores;
pub mod counters;
pub mod logs;
