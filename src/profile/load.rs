//! From a file to a profile or all its mistakes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::tree::{self, Content, Scalar};
use super::{Mistake, Position, Profile, ProfileErrors, check, rules, schema};

/// No profile is a hundredth of this; a larger file is some other file.
const LARGEST_BYTES: u64 = 1_048_576;

/// Reads the profile `path`.
///
/// # Errors
/// All mistakes of the file.
pub fn load(path: &Path) -> Result<Profile, ProfileErrors> {
    let whole = |found: String, expected: String| ProfileErrors {
        mistakes: vec![Mistake {
            file: path.to_owned(),
            position: None,
            key: String::new(),
            found,
            expected,
        }],
    };
    if path.extension().is_none_or(|extension| extension != "yaml") {
        let renamed = path.with_extension("yaml");
        let name = renamed.file_name().unwrap_or_default().to_string_lossy();
        return Err(whole(
            "a profile whose name does not end in .yaml".into(),
            format!("it to be renamed to {name}"),
        ));
    }
    let bytes = match read_bounded(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            return Err(whole(
                "a file of more than 1 MiB".into(),
                "a profile, which is a page of YAML".into(),
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            return Err(whole("a directory".into(), "a YAML file".into()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(whole("no such file".into(), "a YAML file".into()));
        }
        Err(error) => {
            return Err(whole(
                format!("a file that cannot be read ({error})"),
                "a readable YAML file".into(),
            ));
        }
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(path, text),
        Err(error) => {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            let mut errors = whole(
                "bytes that are not UTF-8".into(),
                "a text file in UTF-8".into(),
            );
            errors.mistakes[0].position = Some(Position {
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
            });
            Err(errors)
        }
    }
}

/// The bytes of a regular file, or none when they are too many.
fn read_bounded(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // Opening a pipe would block until somebody writes to it.
    let kind = fs::metadata(path)?;
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= LARGEST_BYTES).then_some(bytes))
}

/// Reads a profile from the text of the file `path`.
///
/// # Errors
/// All mistakes of the text.
pub fn parse(path: &Path, text: &str) -> Result<Profile, ProfileErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut mistakes = Vec::new();
    let mut report = |at: Position, key: &str, found: String, expected: String| {
        mistakes.push(Mistake {
            file: path.to_owned(),
            position: Some(at),
            key: key.to_owned(),
            found,
            expected,
        });
    };
    let start = Position { line: 1, column: 1 };

    let (root, problems) = tree::parse(text);
    let sound = problems.is_empty();
    for problem in problems {
        report(problem.at, &problem.key, problem.found, problem.expected);
    }
    match &root {
        Some(root) if matches!(root.content, Content::Map(_)) => {
            check::check(schema::schema(), root, "", start, &mut report);
            rules::check(root, &stem, &mut report);
        }
        Some(root) if root.scalar() != Some(Scalar::Null) => {
            report(
                root.at,
                "",
                root.describe(),
                format!("a profile, which starts with name: {stem}"),
            );
        }
        _ if sound => {
            report(
                start,
                "",
                "an empty file".into(),
                format!("a profile, which starts with name: {stem}"),
            );
        }
        _ => {}
    }

    if mistakes.is_empty() {
        match tree::read(text) {
            Ok(profile) => return Ok(profile),
            // The two parsers differ at the edges of YAML.
            Err(error) => {
                let at = error.location().map_or(start, |at| Position {
                    line: at.line(),
                    column: at.column(),
                });
                let problem = tree::syntax(text, at, &error.to_string());
                mistakes.push(Mistake {
                    file: path.to_owned(),
                    position: Some(problem.at),
                    key: String::new(),
                    found: problem.found,
                    expected: problem.expected,
                });
            }
        }
    }
    mistakes.sort_by_key(|mistake| mistake.position);
    Err(ProfileErrors { mistakes })
}
