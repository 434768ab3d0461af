//! The cases: each profile is a trial. What runs them is `tempo_perf::front_door`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tempo_perf::front_door::main(std::env::args_os(), env!("CARGO_BIN_EXE_tempo-perf"))
}
