//! Child processes and the promise that none of them outlives us.
//!
//! A child is ended by, in this order: its [`Child`] (stop, else drop), the
//! kernel when we die (PR_SET_PDEATHSIG, Linux), and a watcher process that sees
//! our end of a pipe close. The last also finds grandchildren and work directories.

mod child;
mod exit;
mod keeper;
mod limits;
mod ports;
mod probe;
mod procfs;
mod shared;
mod signals;
mod spec;
mod supervisor;
mod watcher;

pub use child::{Child, How, StopError, Stopped};
pub use exit::{Exit, Usage};
pub use limits::raise_open_files_limit;
pub use ports::{free_ports, is_address_in_use};
pub use probe::{NotReady, until_ready};
pub(crate) use procfs::Stat;
pub use signals::{Interrupt, Signal};
pub use spec::ChildSpec;
pub use supervisor::{SpawnError, Supervisor, WorkDir, WorkDirError};
pub use watcher::watch;
