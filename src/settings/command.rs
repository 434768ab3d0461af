//! The command line: the options of this project and those of every Rust test.

use clap::builder::Resettable;
use clap::{Args, Command};

use super::given::untyped;
use super::headings::EVERY_TEST;
use super::options::Settings;

const ABOUT: &str = "\
Performance tests for Grafana Tempo: each profile is a case, which puts its load on a Tempo,
judges it, writes what it saw to the output directory and takes everything down again.";

const USAGE: &str = "cargo test --test perf -- [OPTIONS] [CASE]";

const AFTER: &str = "\
A flag beats its variable, a variable beats the profile, the profile beats the default. An empty
value counts as not given. On and off are true and false, or 1 and 0; a bare flag means true.

Examples:
  cargo test --test perf -- 1x-demo                        run one profile
  cargo test --test perf -- --profiles=small,medium        run two
  cargo test --test perf -- 1x-small --dry-run             see what it would do
  DURATION=30m cargo nextest run --test perf -- 1x-small   run under cargo-nextest";

/// The help of libtest's own options, by their names in libtest-mimic.
const LIBTEST_HELP: [(&str, &str); 16] = [
    (
        "filter",
        "Run the case of this name alone; any other text runs all cases whose \
         names contain it [default: all]",
    ),
    ("list", "Print the names of the cases and run none"),
    ("exact", "Let CASE and --skip match whole names only"),
    (
        "skip",
        "Leave out cases whose names contain this; may be repeated",
    ),
    (
        "test_threads",
        "Cases at the same time; more than one would measure each other [default: 1]",
    ),
    (
        "format",
        "How progress of the cases is printed: pretty, terse or json [default: pretty]",
    ),
    ("quiet", "The same as --format=terse"),
    (
        "color",
        "When to use colours: auto, always or never [default: auto]",
    ),
    (
        "logfile",
        "Write the list of results to this file, not to the terminal",
    ),
    (
        "ignored",
        "Run ignored cases only; there are none, so this is an error",
    ),
    ("include_ignored", "Run ignored cases too; there are none"),
    (
        "nocapture",
        "Accepted and without effect: output is never captured",
    ),
    (
        "show_output",
        "Accepted and without effect: output is never captured",
    ),
    (
        "test",
        "Accepted and without effect: there are no benchmarks among the cases",
    ),
    (
        "bench",
        "Run benchmarks only; there are none, so this is an error",
    ),
    ("unstable_flags", "Accepted and without effect"),
];

/// The whole command line.
pub fn command() -> Command {
    let command = untyped::<Settings>(Command::new("perf")).next_help_heading(Resettable::Reset);
    let mut command = libtest_mimic::Arguments::augment_args(command);
    for (id, help) in LIBTEST_HELP {
        command = command.mut_arg(id, |arg| {
            let arg = arg.help(help).long_help(None);
            match id {
                "filter" => arg.value_name("CASE"),
                "unstable_flags" => arg
                    .help_heading(EVERY_TEST)
                    .value_name("FLAG")
                    .hide_possible_values(true),
                "color" | "format" => arg
                    .help_heading(EVERY_TEST)
                    .value_name("HOW")
                    .hide_possible_values(true),
                "skip" => arg.help_heading(EVERY_TEST).value_name("TEXT"),
                "test_threads" => arg.help_heading(EVERY_TEST).value_name("NUMBER"),
                "logfile" => arg.help_heading(EVERY_TEST).value_name("FILE"),
                _ => arg.help_heading(EVERY_TEST),
            }
        });
    }
    command
        .about(ABOUT)
        .long_about(None)
        .override_usage(USAGE)
        .help_template("{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}")
        .after_help(AFTER)
        .args_override_self(true)
        // As wide as this text, whatever the terminal: clap's own measure makes
        // the help differ from one place to the next.
        .term_width(100)
        .disable_version_flag(true)
}
