//! The pinned Go modules. They are part of the binary, so that it builds the same
//! tools wherever it runs.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::Tool;
use super::cache::Entry;
use super::inspect::Version;

macro_rules! pinned {
    ($path:literal) => {
        include_str!(concat!("../../fixtures/tools/", $path))
    };
}

/// What one tool is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pin {
    pub tool: Tool,
    /// Name and text of each file of the module.
    pub files: &'static [(&'static str, &'static str)],
    /// The package to build.
    package: &'static str,
    /// The module whose version is the tool's.
    module: &'static str,
}

impl Pin {
    pub fn of(tool: Tool) -> Pin {
        match tool {
            Tool::K6 => Pin {
                tool,
                files: &[
                    ("go.mod", pinned!("k6/go.mod")),
                    ("go.sum", pinned!("k6/go.sum")),
                ],
                package: "go.k6.io/k6",
                module: "go.k6.io/k6",
            },
            Tool::Otelcol => Pin {
                tool,
                files: &[
                    ("go.mod", pinned!("otelcol/go.mod")),
                    ("go.sum", pinned!("otelcol/go.sum")),
                    ("main.go", pinned!("otelcol/main.go")),
                ],
                package: ".",
                module: "go.opentelemetry.io/collector/otelcol",
            },
            Tool::Prometheus => Pin {
                tool,
                files: &[
                    ("go.mod", pinned!("prometheus/go.mod")),
                    ("go.sum", pinned!("prometheus/go.sum")),
                ],
                package: "github.com/prometheus/prometheus/cmd/prometheus",
                module: "github.com/prometheus/prometheus",
            },
        }
    }

    /// The tool's version as it states it itself.
    ///
    /// # Panics
    /// If go.mod does not name the module; a test goes through all pins.
    pub fn version(&self) -> Version {
        let module = self
            .go_mod_lines()
            .find_map(|line| {
                let mut words = line.trim_start_matches("require ").split_whitespace();
                (words.next() == Some(self.module)).then(|| words.next())?
            })
            .and_then(|version| Version::parse(version.strip_prefix('v')?))
            .expect("a pinned go.mod names its module with a version");
        match self.tool {
            // Prometheus 3.13.5 is the Go module v0.313.5.
            Tool::Prometheus => Version::new(module.minor / 100, module.minor % 100, module.patch),
            Tool::K6 | Tool::Otelcol => module,
        }
    }

    /// The oldest Go that builds it.
    ///
    /// # Panics
    /// If go.mod has no go line; a test goes through all pins.
    pub fn oldest_go(&self) -> Version {
        self.go_mod_lines()
            .find_map(|line| Version::parse(line.strip_prefix("go ")?))
            .expect("a pinned go.mod has a go line")
    }

    /// Arguments of `go` without the output's path.
    pub fn build_args(&self) -> Vec<String> {
        let version = self.version();
        let stated = match self.tool {
            Tool::K6 => String::new(),
            Tool::Otelcol => format!(" -X main.version={version}"),
            Tool::Prometheus => {
                format!(" -X github.com/prometheus/common/version.Version={version}")
            }
        };
        let mut args = vec![
            "build".to_owned(),
            "-trimpath".to_owned(),
            "-buildvcs=false".to_owned(),
            "-mod=readonly".to_owned(),
            format!("-ldflags=-s -w{stated}"),
        ];
        if self.tool == Tool::Prometheus {
            args.push("-tags=remove_all_sd".to_owned());
        }
        args
    }

    pub fn package(&self) -> &'static str {
        self.package
    }

    /// Where a build of the pin lies, once there is one.
    pub fn entry(&self, cache: &Path) -> Entry {
        Entry::new(cache, self.key(), self.tool.name())
    }

    /// Names the build in the cache: anything that changes the binary changes it.
    /// The Go version is left out on purpose, so that an update of Go does not
    /// cost minutes in the next run; the platform is in, as homes are shared.
    fn key(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        for (name, text) in self.files {
            add(name);
            add(text);
        }
        add(self.package);
        for arg in self.build_args() {
            add(&arg);
        }
        add(std::env::consts::OS);
        add(std::env::consts::ARCH);
        let digest: String = hash
            .finalize()
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{}-{}-{digest}", self.tool.name(), self.version())
    }

    fn go_mod_lines(&self) -> impl Iterator<Item = &'static str> {
        self.files
            .iter()
            .filter(|(name, _)| *name == "go.mod")
            .flat_map(|(_, text)| text.lines().map(str::trim))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_states_its_versions_and_fits_its_own_demand() {
        for tool in Tool::ALL {
            let pin = Pin::of(tool);
            assert!(pin.version() >= tool.oldest(), "{tool}");
            assert!(pin.oldest_go() >= Version::new(1, 25, 0), "{tool}");
        }
        assert_eq!(Pin::of(Tool::K6).version().to_string(), "1.8.1");
        assert_eq!(Pin::of(Tool::Otelcol).version().to_string(), "0.160.0");
        assert_eq!(Pin::of(Tool::Prometheus).version().to_string(), "3.13.5");
    }

    #[test]
    fn a_changed_pin_is_another_build() {
        let pin = Pin::of(Tool::K6);
        let mut changed = pin;
        changed.files = &[
            ("go.mod", "go 1.26\nrequire go.k6.io/k6 v1.8.1"),
            ("go.sum", ""),
        ];
        assert!(pin.key().starts_with("k6-1.8.1-"));
        assert_ne!(pin.key(), changed.key());
    }
}
