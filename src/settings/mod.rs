//! Settings of an invocation: flags after `--` and environment variables, read
//! once. A flag beats a variable, a variable beats the profile, the profile
//! beats the default. An empty variable counts as unset.
//!
//! To add an option, add a field to [`Settings`] or to one of the structs inside
//! it. Its doc comment is the help, which ends with `[default: …]` where the
//! default is no value. Its attribute names the variable (`env`), the default,
//! the `value_name`, the heading, and one of `values` to read it, which paths and
//! switches do without. There is no other place.

mod command;
mod given;
mod headings;
mod invocation;
pub mod kubernetes;
mod malformed;
mod options;
mod select;
mod target;
mod tools;
pub(crate) mod values;

pub use given::Given;
pub use invocation::{Invocation, SettingsError};
pub use kubernetes::{
    ImageSettings, KubernetesSettings, PrometheusChoice, S3Credentials, StorageSettings,
};
pub use malformed::Malformed;
pub(crate) use options::{CR_DELETION_TIMEOUT, SEED};
pub use options::{Settings, TargetChoice, TestType};
pub use select::{SelectError, find, select};
pub use target::{Target, resolve_target};
pub use tools::{ReleaseAddresses, ToolSettings, ToolSource};
