//! Commands beside the test: so far the trace store.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tempo_perf::store;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    TraceStore(store::TraceStoreArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::TraceStore(args) = Cli::parse().command;
    match store::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}
