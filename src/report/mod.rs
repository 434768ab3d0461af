//! What a run leaves behind: the results directory, `report.json`, JUnit and
//! the table on the console.

mod atomic_file;
mod console;
mod document;
mod junit;
mod output_dir;

use std::io;
use std::path::{Path, PathBuf};

pub use atomic_file::write_atomically;
pub use console::{Style, counts_line, failure_message, table};
pub use document::{CaseResult, Component, Report, SCHEMA_VERSION, Stage, State, Window};
pub use junit::{InvocationJunit, case_junit, rebuild_invocation_junit};
pub use output_dir::{COMPONENTS, OutputDir, write_metrics_csv};

/// A file of the results that could not be written or read; names it.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no report of this program", path.display())]
    NotAReport {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{}: schema version {found}, this program reads {SCHEMA_VERSION}", path.display())]
    SchemaVersion { path: PathBuf, found: u64 },
    #[error("cannot make the JUnit file {}", path.display())]
    Junit {
        path: PathBuf,
        source: quick_junit::SerializeError,
    },
    #[error("the output directory {} is not usable; choose another with --output", path.display())]
    OutputDir { path: PathBuf, source: io::Error },
    #[error(
        "{holder} is running profile {profile} into {}; wait for it, or choose another directory with --output",
        path.display()
    )]
    Busy {
        profile: String,
        path: PathBuf,
        holder: String,
    },
    #[error("cannot move the earlier {} to {}", from.display(), to.display())]
    MoveAside {
        from: PathBuf,
        to: PathBuf,
        source: io::Error,
    },
    #[error("{name:?} is no component that has a log; known are {}", COMPONENTS.join(", "))]
    UnknownComponent { name: String },
}

impl ReportError {
    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write {
            path: path.to_owned(),
            source,
        }
    }

    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read {
            path: path.to_owned(),
            source,
        }
    }
}
