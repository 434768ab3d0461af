//! The k6 scripts, carried in the program: a run needs no checkout.

use std::io;
use std::path::{Path, PathBuf};

macro_rules! scripts {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../k6/", $name)))),*]
    };
}

/// Every script, by its path below `k6/`.
pub const SCRIPTS: &[(&str, &str)] = scripts![
    "ingestion-test.js",
    "query-test.js",
    "combined-test.js",
    "readback-test.js",
    "bucket-check.js",
    "lib/corpus.js",
    "lib/identity.js",
    "lib/ingestion.js",
    "lib/load.js",
    "lib/log.js",
    "lib/options.js",
    "lib/query.js",
    "lib/readback.js",
    "lib/sigv4.js",
    "lib/summary.js",
];

/// Writes all scripts below `dir`, and returns it.
pub fn write(dir: &Path) -> io::Result<PathBuf> {
    std::fs::create_dir_all(dir.join("lib"))?;
    for (name, text) in SCRIPTS {
        std::fs::write(dir.join(name), text)?;
    }
    Ok(dir.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_of_the_checkout_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("k6");
        for dir in [root.clone(), root.join("lib")] {
            for entry in std::fs::read_dir(dir).expect("k6/ is there") {
                let path = entry.expect("k6/ can be read").path();
                if path.extension().is_some_and(|extension| extension == "js") {
                    let name = path
                        .strip_prefix(&root)
                        .expect("below k6/")
                        .to_string_lossy();
                    assert!(SCRIPTS.iter().any(|(known, _)| *known == name), "{name}");
                }
            }
        }
    }
}
