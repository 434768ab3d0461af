//! Profiles: what a user writes in `profiles/NAME.yaml`, how it is read, and
//! what is said when it is wrong: all mistakes of a file at once, each with its
//! place, what was found and what would be right.

mod check;
mod discover;
mod error;
mod format;
pub(crate) mod labels;
pub mod limits;
mod load;
pub(crate) mod quantity;
mod rules;
pub mod schema;
pub(crate) mod storage;
mod text;
pub mod threshold;
mod tree;
mod types;
pub mod variables;

pub use discover::{DiscoverError, Discovered, discover};
pub use error::{Mistake, Position, ProfileErrors};
pub(crate) use format::{check as check_format, without_user};
pub use load::{load, parse};
pub use types::*;
