//! The tools that a run would use, for tests that start one themselves.

use std::ffi::OsString;
use std::path::PathBuf;

use tempo_perf::process::{Interrupt, Supervisor};
use tempo_perf::settings::Settings;
use tempo_perf::tools::{Progress, Tool, Toolbox};

/// The binary that a run would use, got if need be.
pub fn real(tool: Tool) -> PathBuf {
    // On a thread of its own: some tests call it from within a runtime.
    let getting = std::thread::spawn(move || {
        let settings = Settings::from_args([OsString::from("real_tools")])
            .expect("the variables are well-formed")
            .settings;
        let toolbox = Toolbox::new(
            settings.tools,
            Supervisor::new(env!("CARGO_BIN_EXE_tempo-perf"), false),
            Interrupt::manual(),
            Progress::stderr(),
        );
        let mut got = tokio::runtime::Runtime::new()
            .expect("a runtime can be made")
            .block_on(toolbox.resolve_all(&[tool]))
            .expect("the tool can be had");
        got.remove(0).path
    });
    getting.join().expect("the tool can be had")
}
