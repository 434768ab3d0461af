//! The tools that a run would use, for tests that start one themselves.

use std::ffi::OsString;
use std::path::PathBuf;

use tempo_perf::process::{Interrupt, Supervisor};
use tempo_perf::settings::Settings;
use tempo_perf::tools::{Progress, Tool, Toolbox};

use crate::support::front_door::TEMPO_PERF;

/// The binary that a run would use.
pub fn real(tool: Tool) -> PathBuf {
    let settings = Settings::from_args([OsString::from("end_to_end")])
        .expect("the variables are well-formed")
        .settings;
    let toolbox = Toolbox::new(
        settings.tools,
        Supervisor::new(TEMPO_PERF, false),
        Interrupt::manual(),
        Progress::stderr(),
    );
    tokio::runtime::Runtime::new()
        .expect("a runtime can be made")
        .block_on(toolbox.resolve(tool))
        .expect("the tool can be had")
        .path
}
