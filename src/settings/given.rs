//! Options as flags and variables give them: a struct that derives `Args`, read
//! with all mistakes at once. clap alone stops at the first mistake, names the
//! flag where a variable is wrong and takes an empty variable for a value. So it
//! parses twice: the command line with each value as it is, then each value by
//! its type.

use std::error::Error;
use std::ffi::{OsStr, OsString};

use clap::builder::{Resettable, ValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::malformed::{Malformed, Unfit};
use super::values;
use crate::profile::without_user;

/// Looks up a variable of the environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The options of a subcommand, with the variables of this process.
#[derive(Debug)]
pub struct Given<T>(pub T);

impl<T: Args> Args for Given<T> {
    fn augment_args(command: Command) -> Command {
        untyped::<T>(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        untyped::<T>(command)
    }
}

impl<T: Args> FromArgMatches for Given<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let read = Read::<T>::new(matches, &|name| std::env::var_os(name));
        if read.malformed.is_empty() {
            return Ok(Self(read.value));
        }
        let lines: Vec<String> = read.malformed.iter().map(Malformed::to_string).collect();
        Err(clap::Error::raw(
            ErrorKind::ValueValidation,
            lines.join("\n"),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The options of `T` when nothing is said.
pub fn defaults<T: Args>() -> T {
    let nothing = untyped::<T>(Command::new("nothing")).get_matches_from(["nothing"]);
    Read::new(&nothing, &|_| None).value
}

/// Adds the options of `T` to a command line. Those with a variable are taken as
/// they are, for [`Read`]; the others are clap's affair.
pub fn untyped<T: Args>(command: Command) -> Command {
    T::augment_args(command).mut_args(|arg| {
        let Some(variable) = arg.get_env() else {
            return arg;
        };
        let variable = format!(" [variable: {}]", variable.display());
        let arg = switch(arg);
        let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        if let [default] = arg.get_default_values()
            && !default.is_empty()
        {
            help += &format!(" [default: {}]", default.display());
        }
        arg.help(help + &variable)
            .env(Resettable::Reset)
            .default_value(Resettable::Reset)
            .value_parser(ValueParser::os_string())
    })
}

/// The options of `T`, each read by its type.
fn typed<T: Args>() -> Command {
    T::augment_args(Command::new("options"))
        .no_binary_name(true)
        .mut_args(|arg| switch(arg).env(Resettable::Reset))
}

/// A `bool` with a variable takes `--flag` and `--flag=false`, with an equals sign
/// only: the word after `--dry-run` is a case.
fn switch(arg: Arg) -> Arg {
    if arg.get_env().is_none() || arg.get_action().takes_values() {
        return arg;
    }
    let default = match arg.get_default_values() {
        [default, ..] => default.clone(),
        [] => "false".into(),
    };
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .value_name("BOOL")
        .value_parser(values::switch)
        .default_missing_value("true")
        .default_value(default)
}

/// What was said of the options of `T`, read.
pub struct Read<T> {
    /// With the default in place of a value that is malformed.
    pub value: T,
    pub malformed: Vec<Malformed>,
    said: Vec<Said>,
}

impl<T: Args> Read<T> {
    /// `matches` are those of a command with [`untyped`] options.
    pub fn new(matches: &ArgMatches, variable: Variables) -> Self {
        let said: Vec<Said> = T::augment_args(Command::new("options"))
            .get_arguments()
            .filter_map(|arg| Said::find(arg, matches, variable))
            .collect();
        let mut command = typed::<T>();
        let mut malformed = Vec::new();
        let mut sound = Vec::new();
        for said in &said {
            match command.try_get_matches_from_mut([&said.word]) {
                Ok(_) => sound.push(&said.word),
                Err(error) => malformed.push(said.malformed(&error)),
            }
        }
        let value = command
            .try_get_matches_from_mut(sound)
            .and_then(|matches| T::from_arg_matches(&matches))
            .expect("each value is sound, and what was not said has a default");
        Self {
            value,
            malformed,
            said,
        }
    }

    /// What an option was given by, if it was.
    fn source_if_said(&self, flag: &str) -> Option<&str> {
        let said = self.said.iter().find(|said| said.flag == flag)?;
        Some(&said.source)
    }

    pub fn is_said(&self, flag: &str) -> bool {
        self.source_if_said(flag).is_some()
    }

    /// The name that an option was given by, else its flag.
    pub fn source(&self, flag: &str) -> String {
        self.source_if_said(flag).unwrap_or(flag).to_owned()
    }

    /// A value that does not go with the others.
    pub fn refuse(&mut self, flag: &str, found: impl Into<String>, expected: impl Into<String>) {
        self.malformed.push(Malformed {
            source: self.source(flag),
            found: found.into(),
            expected: expected.into(),
        });
    }
}

/// An option that was given.
struct Said {
    /// With its hyphens.
    flag: String,
    /// The flag or the variable.
    source: String,
    value: OsString,
    /// What the command line would say in its place.
    word: OsString,
}

impl Said {
    /// A flag beats its variable; of an option that has one, an empty value
    /// counts as not given.
    fn find(arg: &Arg, matches: &ArgMatches, variable: Variables) -> Option<Self> {
        let id = arg.get_id().as_str();
        let flag = format!("--{}", arg.get_long()?);
        let values = matches
            .get_raw(id)
            .filter(|_| matches.value_source(id) == Some(ValueSource::CommandLine))
            .map(|values| values.collect::<Vec<_>>().join(",".as_ref()));
        let (source, value) = match arg.get_env().and_then(OsStr::to_str) {
            None => (flag.clone(), values?),
            Some(name) => values
                .filter(|value| !value.is_empty())
                .map(|value| (flag.clone(), value))
                .or_else(|| Some((name.to_owned(), variable(name)?)))
                .filter(|(_, value)| !value.is_empty())?,
        };
        let mut word = OsString::from(&flag);
        if arg.get_env().is_some() || arg.get_action().takes_values() {
            word.push("=");
            word.push(&value);
        }
        Some(Self {
            flag,
            source,
            value,
            word,
        })
    }

    fn malformed(&self, error: &clap::Error) -> Malformed {
        let unfit = error
            .source()
            .and_then(|source| source.downcast_ref::<Unfit>());
        let (found, expected) = match unfit {
            Some(Unfit { which, expected }) => {
                let mut found = format!("{:?}", without_user(&self.value.to_string_lossy()));
                if !which.is_empty() {
                    found += &format!(", which {which}");
                }
                (found, expected.as_str())
            }
            // What clap checks before it calls what reads the value.
            None => ("bytes that are not UTF-8".to_owned(), "text in UTF-8"),
        };
        Malformed {
            source: self.source.clone(),
            found,
            expected: expected.to_owned(),
        }
    }
}
