//! Who holds a namespace of ours: the process that is written down in it, the
//! Lease that it renews, and whether it still lives.

pub mod examine;
pub mod lease;
pub mod process;
