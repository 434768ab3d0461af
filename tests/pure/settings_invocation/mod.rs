//! Flags and variables, as a user gives them.

mod flags;
mod kubernetes;
mod selection;
mod tools;

use std::collections::BTreeMap;
use std::ffi::OsString;

use tempo_perf::settings::{Invocation, Settings, SettingsError};

/// Parses flags, separated by spaces, in an environment of `NAME=value` words.
fn parse(flags: &str, variables: &str) -> Result<Invocation, SettingsError> {
    let args = std::iter::once("perf")
        .chain(flags.split_whitespace())
        .map(OsString::from);
    let mut environment: BTreeMap<&str, &str> = variables
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap())
        .collect();
    environment.entry("HOME").or_insert("/home/user");
    Settings::parse(args, &|name| environment.get(name).map(OsString::from))
}

#[track_caller]
fn settings(flags: &str, variables: &str) -> Settings {
    parse(flags, variables)
        .unwrap_or_else(|error| panic!("{error}"))
        .settings
}

#[track_caller]
fn refused(flags: &str, variables: &str) -> String {
    parse(flags, variables)
        .expect_err("the settings must be refused")
        .to_string()
}
