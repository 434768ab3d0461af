//! What `end_to_end` and `kubernetes` share: starting the harness as a user does,
//! and looking at what it leaves. `processes` takes single files of it.

pub mod built;
pub mod front_door;
pub mod ports;
pub mod proc;
pub mod report;
pub mod scratch;
pub mod users_environment;
