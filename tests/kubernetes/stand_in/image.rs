//! The image of Tempo's pods: this test binary with the libraries that it is
//! linked to, so that nothing has to be built a second time.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Tempo's image would be; the testbed has no registry to pull it from.
pub const IMAGE: &str = "docker.io/tempo-perf/stand-in:test";
/// A name under which no image exists.
pub const ABSENT_IMAGE: &str = "docker.io/tempo-perf/stand-in:absent";

/// As Tempo's own image.
const USER: &str = "10001";
const PROGRAM: &str = "stand-in";

/// Builds the image and imports it into the testbed, whose directory this is.
pub fn import(testbed: &Path) -> Result<(), String> {
    let binary = std::env::current_exe().map_err(|err| format!("cannot find myself: {err}"))?;
    let scratch = tempfile::tempdir().map_err(|err| format!("no temporary directory: {err}"))?;
    let stripped = scratch.path().join(PROGRAM);
    strip(&binary, &stripped)?;
    let mut command = Command::new(testbed.join("cluster"));
    command.arg("image").arg(IMAGE).arg(&stripped);
    for library in libraries(&binary)? {
        // At the very path where the loader found it.
        command.arg(format!("{0}={0}", library.display()));
    }
    command.args(["--user", USER]);
    output_of(&mut command)?;
    Ok(())
}

/// Symbols and line tables are most of the binary.
fn strip(binary: &Path, to: &Path) -> Result<(), String> {
    let stripped = Command::new("strip").arg("-o").arg(to).arg(binary).output();
    match stripped {
        Ok(output) if output.status.success() => Ok(()),
        // Without binutils the image is larger, and as good.
        _ => std::fs::copy(binary, to)
            .map(|_| ())
            .map_err(|err| format!("cannot copy {}: {err}", binary.display())),
    }
}

/// The loader and the shared libraries of `binary`, as `ldd` finds them.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = output_of(Command::new("ldd").arg(binary))?;
    if let Some(missing) = listed.lines().find(|line| line.contains("not found")) {
        return Err(format!("ldd of {}: {}", binary.display(), missing.trim()));
    }
    // "libm.so.6 => /lib/…/libm.so.6 (0x…)", and "/lib64/ld-….so.2 (0x…)" for
    // the loader; the kernel's own linux-vdso has no path.
    let libraries: Vec<_> = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    if libraries.is_empty() {
        return Err(format!(
            "ldd of {} names no library: {listed}",
            binary.display()
        ));
    }
    Ok(libraries)
}

fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|err| format!("cannot start {command:?}: {err}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {}", output.status, stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
