//! What `end_to_end` and `kubernetes` share: starting the harness as a user does,
//! and looking at what it leaves.

pub mod front_door;
pub mod proc;
