//! Component logs for the output directory.

use std::path::PathBuf;

use super::EnvironmentError;
use crate::error_chain::chain;
use crate::report::OutputDir;

/// Copies each log that exists; a part that never started has none.
pub(super) fn copy(
    output: &OutputDir,
    logs: impl IntoIterator<Item = (&'static str, PathBuf)>,
) -> Result<Vec<PathBuf>, EnvironmentError> {
    let mut copied = Vec::new();
    for (component, from) in logs {
        if !from.exists() {
            continue;
        }
        let to = output
            .component_log(component, None)
            .map_err(|err| EnvironmentError::Failed(chain(&err)))?;
        std::fs::copy(&from, &to).map_err(|err| {
            EnvironmentError::Failed(format!(
                "cannot copy {} to {}: {err}",
                from.display(),
                to.display()
            ))
        })?;
        copied.push(to);
    }
    Ok(copied)
}
