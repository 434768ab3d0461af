//! Which profiles an invocation runs.

use super::options::Settings;
use crate::nearest::nearest;
use crate::profile::Discovered;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectError {
    #[error("{origin}: found no profile \"{name}\"; expected {expected}")]
    Unknown {
        origin: String,
        name: String,
        expected: String,
    },
    #[error("no profile matches {selection}; expected {expected}")]
    NothingMatches { selection: String, expected: String },
}

/// The profile called `name`.
///
/// # Errors
/// There is none: names the nearest one and `origin`, the flag or variable.
pub fn find<'a>(
    discovered: &'a [Discovered],
    origin: &str,
    name: &str,
) -> Result<&'a Discovered, SelectError> {
    discovered
        .iter()
        .find(|case| case.name == name)
        .ok_or_else(|| SelectError::Unknown {
            origin: origin.to_owned(),
            name: name.to_owned(),
            expected: expected(name, discovered),
        })
}

/// The profiles to run. `--profiles` restricts them; a filter that is the name
/// of a profile selects it alone, any other by substring, as libtest does.
/// libtest-mimic may filter the result once more without changing it.
///
/// # Errors
/// `--profiles` or `--size` name an unknown profile, or nothing is selected
/// (a typo must not be green), except with `--list`.
pub fn select(
    discovered: Vec<Discovered>,
    settings: &Settings,
    libtest: &libtest_mimic::Arguments,
) -> Result<Vec<Discovered>, SelectError> {
    for name in &settings.profiles {
        find(&discovered, &settings.profiles_source, name)?;
    }
    if let Some(size) = &settings.size {
        find(&discovered, &settings.size_source, size)?;
    }
    let exact = |text: &str| libtest.exact || discovered.iter().any(|case| case.name == text);
    let filter = libtest.filter.as_deref().map(|text| (text, exact(text)));
    // No case is marked as ignored, and none is a benchmark.
    let none_of_this_kind = libtest.ignored || libtest.bench;
    let wanted = |name: &str| {
        let restricted =
            settings.profiles.is_empty() || settings.profiles.iter().any(|p| p == name);
        let filtered = filter.is_none_or(|(text, exact)| {
            if exact {
                name == text
            } else {
                name.contains(text)
            }
        });
        let skipped = libtest.skip.iter().any(|text| {
            if libtest.exact {
                name == text
            } else {
                name.contains(text.as_str())
            }
        });
        restricted && filtered && !skipped && !none_of_this_kind
    };
    if libtest.list || discovered.iter().any(|case| wanted(&case.name)) {
        // libtest-mimic itself answers `--list --ignored`, with nothing.
        return Ok(discovered
            .into_iter()
            .filter(|case| none_of_this_kind || wanted(&case.name))
            .collect());
    }
    let mut said = Vec::new();
    if let Some(text) = &libtest.filter {
        said.push(format!("\"{text}\""));
    }
    if !settings.profiles.is_empty() {
        said.push(format!(
            "{}={}",
            settings.profiles_source,
            settings.profiles.join(",")
        ));
    }
    said.extend(libtest.skip.iter().map(|text| format!("--skip={text}")));
    if libtest.ignored {
        said.push("--ignored".to_owned());
    }
    if libtest.bench {
        said.push("--bench".to_owned());
    }
    if said.is_empty() {
        said.push(format!("anything in {}", settings.profiles_dir.display()));
    }
    Err(SelectError::NothingMatches {
        selection: said.join(" with "),
        expected: expected(libtest.filter.as_deref().unwrap_or_default(), &discovered),
    })
}

fn expected(name: &str, discovered: &[Discovered]) -> String {
    let known: Vec<&str> = discovered.iter().map(|case| case.name.as_str()).collect();
    match nearest(name, known.iter().copied()) {
        _ if known.is_empty() => {
            "a YAML file for each profile in the profiles directory".to_owned()
        }
        Some(near) if near != name => format!("{near} (known are {})", known.join(", ")),
        _ => format!("some of {}", known.join(", ")),
    }
}
