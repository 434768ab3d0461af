//! One file out of a release archive.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use flate2::read::GzDecoder;

/// Writes the first regular file named `binary`, in whatever directory of the
/// archive, to `to`. False if there is none.
pub(super) fn unpack(archive: &Path, is_zip: bool, binary: &str, to: &Path) -> io::Result<bool> {
    let file = File::open(archive)?;
    if is_zip {
        let mut zip = zip::ZipArchive::new(file)?;
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index)?;
            if entry.is_file() && entry.enclosed_name().is_some_and(|path| is(&path, binary)) {
                write(&mut entry, to)?;
                return Ok(true);
            }
        }
    } else {
        let mut tar = tar::Archive::new(GzDecoder::new(file));
        for entry in tar.entries()? {
            let mut entry = entry?;
            if entry.header().entry_type().is_file() && is(&entry.path()?, binary) {
                write(&mut entry, to)?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn is(path: &Path, binary: &str) -> bool {
    path.file_name().is_some_and(|name| name == binary)
}

fn write(entry: &mut impl io::Read, to: &Path) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(to)?;
    io::copy(entry, &mut file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Names and contents; a name that ends in a slash is a directory.
    const FILES: [(&str, &str); 4] = [
        ("k6-v1.8.1-macos-arm64/", ""),
        ("k6-v1.8.1-macos-arm64/k6/", ""),
        ("k6-v1.8.1-macos-arm64/README.md", "read me"),
        ("k6-v1.8.1-macos-arm64/bin/k6", "the binary"),
    ];

    fn tar(to: &Path) {
        let gzip = flate2::write::GzEncoder::new(File::create(to).unwrap(), Default::default());
        let mut tar = tar::Builder::new(gzip);
        for (name, text) in FILES {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            if name.ends_with('/') {
                header.set_entry_type(tar::EntryType::Directory);
            }
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
    }

    fn zip(to: &Path) {
        let mut zip = zip::ZipWriter::new(File::create(to).unwrap());
        for (name, text) in FILES {
            let options = zip::write::SimpleFileOptions::default();
            if name.ends_with('/') {
                zip.add_directory(name, options).unwrap();
            } else {
                zip.start_file(name, options).unwrap();
                zip.write_all(text.as_bytes()).unwrap();
            }
        }
        zip.finish().unwrap();
    }

    #[rstest::rstest]
    #[case::tar(tar, false)]
    #[case::zip(zip, true)]
    fn the_binary_is_found_in_any_directory(#[case] write: fn(&Path), #[case] is_zip: bool) {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        write(&archive);
        let to = dir.path().join("k6");
        assert!(unpack(&archive, is_zip, "k6", &to).unwrap());
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "the binary");
        let mode = std::fs::metadata(&to).unwrap().permissions().mode();
        assert_eq!(mode & 0o100, 0o100, "{mode:o}");
        let other = dir.path().join("other");
        assert!(!unpack(&archive, is_zip, "prometheus", &other).unwrap());
        assert!(!other.exists());
    }

    #[rstest::rstest]
    #[case::tar(tar, false)]
    #[case::zip(zip, true)]
    fn half_an_archive_is_an_error(#[case] write: fn(&Path), #[case] is_zip: bool) {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("archive");
        write(&archive);
        let bytes = std::fs::read(&archive).unwrap();
        std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
        let to = dir.path().join("k6");
        let unpacked = unpack(&archive, is_zip, "k6", &to);
        assert!(unpacked.is_err(), "{unpacked:?}");
    }
}
