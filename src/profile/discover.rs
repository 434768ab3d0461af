//! The profiles of a directory. Listing them opens no connection and writes
//! nothing, and a bad profile costs its own case only.

use std::io;
use std::path::{Path, PathBuf};

use super::{Profile, ProfileErrors, load};

/// A file in the profiles directory that is, or was meant to be, a profile.
#[derive(Debug)]
pub struct Discovered {
    /// The case's name: the file's without `.yaml`. A file that must be renamed
    /// keeps its ending, as it may lie beside the right one.
    pub name: String,
    pub path: PathBuf,
    pub profile: Result<Profile, ProfileErrors>,
}

#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    #[error(
        "found no profiles directory \"{}\"; expected one with a YAML file for each case: \
         run in the checkout, or name it with --profiles-dir or TEMPO_PERF_PROFILES_DIR",
        .0.display()
    )]
    Absent(PathBuf),
    #[error("cannot list the profiles directory \"{}\"", .directory.display())]
    Unreadable {
        directory: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Reads all profiles of `directory`, sorted by name. Hidden files and files of
/// other types are passed over.
///
/// # Errors
/// The directory is absent or cannot be listed; never for a profile in it.
pub fn discover(directory: &Path) -> Result<Vec<Discovered>, DiscoverError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => DiscoverError::Absent(directory.to_owned()),
        _ => DiscoverError::Unreadable {
            directory: directory.to_owned(),
            source,
        },
    };
    let mut found = Vec::new();
    for entry in directory.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let file_name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let yaml = path.extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml")
        });
        if !yaml || file_name.starts_with('.') {
            continue;
        }
        let name = file_name
            .strip_suffix(".yaml")
            .unwrap_or(&file_name)
            .to_owned();
        found.push(Discovered {
            name,
            profile: load(&path),
            path,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}
