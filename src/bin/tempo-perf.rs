//! `tempo-perf`: the programs beside the cases.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tempo_perf::environment::kubernetes::SweepArgs;
use tempo_perf::error_chain::chain;
use tempo_perf::k6::corpus_command::{self, CorpusArgs};
use tempo_perf::settings::Given;
use tempo_perf::{front_door, process, tools};
use tempo_perf_trace_store::TraceStoreArgs;

#[derive(Parser)]
#[command(name = "tempo-perf", about, version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    TraceStore(TraceStoreArgs),
    Corpus(Given<CorpusArgs>),
    Tools(tools::ToolsArgs),
    Validate(ValidateArgs),
    Sweep(Given<SweepArgs>),
    /// Ends what a killed run left behind; started by the runs themselves
    #[command(hide = true)]
    Watch,
}

/// Check all profiles and tell every mistake with its place
#[derive(Args)]
struct ValidateArgs {
    /// Directory with the profiles
    #[arg(long, default_value = "profiles")]
    profiles_dir: PathBuf,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Tools(args) => return args.run(),
        Command::Sweep(Given(args)) => {
            front_door::show_warnings();
            return args.run();
        }
        Command::Validate(args) => match front_door::validate(&args.profiles_dir) {
            Ok(code) => return code,
            Err(err) => Err(err.into()),
        },
        Command::TraceStore(args) => run_store(args),
        Command::Corpus(Given(args)) => corpus_command::run(&args).map_err(Into::into),
        Command::Watch => process::watch(std::io::stdin()).map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {}", chain(err.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run_store(args: TraceStoreArgs) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime
        .block_on(tempo_perf_trace_store::run(args))
        .map_err(Into::into)
}
