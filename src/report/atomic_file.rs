//! Files that are there as a whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::ReportError;

/// Writes `path` by way of a hidden file beside it: whoever reads `path` sees
/// the old content or the new. A failure (a full disk, for one) names `path`,
/// leaves the old content and removes the hidden file.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> io::Result<()>,
) -> Result<(), ReportError> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let write = || -> io::Result<()> {
        let temporary = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            // Less the umask, as for any file: others may collect results.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(dir)?;
        let mut buffered = BufWriter::new(temporary.as_file());
        fill(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        // Some file systems report a full disk only here.
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        Ok(())
    };
    write().map_err(ReportError::write(path))
}
