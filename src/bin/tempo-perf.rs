//! `tempo-perf`: the tools beside the cases.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "tempo-perf", about, version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Ends what a killed run left behind; started by the runs themselves
    #[command(hide = true)]
    Watch,
    Tools(tempo_perf::tools::ToolsArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Tools(args) => args.run(),
        Command::Watch => match tempo_perf::process::watch(std::io::stdin()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
