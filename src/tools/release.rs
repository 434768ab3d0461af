//! Official releases: which archive holds a tool for a machine, where it lies, and
//! what it is checked against.

use std::fmt;
use std::path::Path;

use url::Url;

use crate::profile::without_user;

use super::Tool;
use super::cache::Entry;

/// What can be downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    Tool(Tool),
    Tempo,
}

impl Product {
    /// The file in the archive.
    fn binary(self) -> &'static str {
        match self {
            Product::Tool(tool) => tool.name(),
            Product::Tempo => "tempo",
        }
    }

    /// The variable that takes a mirror of its releases.
    pub(super) fn address_variable(self) -> &'static str {
        match self {
            Product::Tool(Tool::K6) => "TEMPO_PERF_K6_RELEASES",
            Product::Tool(Tool::Otelcol) => "TEMPO_PERF_OTELCOL_RELEASES",
            Product::Tool(Tool::Prometheus) => "TEMPO_PERF_PROMETHEUS_RELEASES",
            Product::Tempo => "TEMPO_PERF_TEMPO_RELEASES",
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Product::Tool(tool) => tool.fmt(f),
            Product::Tempo => f.write_str("Tempo"),
        }
    }
}

/// Digests of archives that more than one public source states alike, none of
/// them the release page alone. An archive that is not here is held to the
/// checksums file beside it.
const DIGESTS: [(&str, &str); 2] = [
    (
        "otelcol_0.160.0_linux_amd64.tar.gz",
        "5415b8daf782f17cc463c3e46816abf181a68a04b7bcf98c273c3c204096c743",
    ),
    (
        "otelcol_0.160.0_darwin_arm64.tar.gz",
        "a56143a40a2c205cdd63da4af0249f2534691785c14cdd2a0c532becb4335521",
    ),
];

/// An operating system and an architecture, as Rust names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Platform {
    os: &'static str,
    arch: &'static str,
}

impl Platform {
    pub const HERE: Platform = Platform {
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
    };

    /// As Go names them.
    fn go(self) -> Option<(&'static str, &'static str)> {
        let os = match self.os {
            "linux" => "linux",
            "macos" => "darwin",
            _ => return None,
        };
        let arch = match self.arch {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            _ => return None,
        };
        Some((os, arch))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Release {
    pub product: Product,
    /// As the product states it.
    pub version: String,
    /// The archive's file name.
    pub archive: String,
    pub binary: &'static str,
    checksums: String,
    base: Url,
    platform: Platform,
}

impl Release {
    /// The release of `version` below `base`; none if there is none for the
    /// platform.
    pub fn of(product: Product, version: &str, base: &Url, platform: Platform) -> Option<Release> {
        let (os, arch) = platform.go()?;
        let (archive, checksums) = match product {
            Product::Tool(Tool::K6) => (
                match os {
                    "darwin" => format!("k6-v{version}-macos-{arch}.zip"),
                    _ => format!("k6-v{version}-{os}-{arch}.tar.gz"),
                },
                format!("k6-v{version}-checksums.txt"),
            ),
            // The smaller of the project's two general ones; OTLP is all we need.
            Product::Tool(Tool::Otelcol) => {
                let archive = format!("otelcol_{version}_{os}_{arch}.tar.gz");
                // Since 0.158 each archive has a file of its own.
                let checksums = format!("{archive}.sha256");
                (archive, checksums)
            }
            Product::Tool(Tool::Prometheus) => (
                format!("prometheus-{version}.{os}-{arch}.tar.gz"),
                "sha256sums.txt".to_owned(),
            ),
            Product::Tempo => (
                format!("tempo_{version}_{os}_{arch}.tar.gz"),
                "SHA256SUMS".to_owned(),
            ),
        };
        Some(Release {
            product,
            version: version.to_owned(),
            archive,
            binary: product.binary(),
            checksums,
            base: base.clone(),
            platform,
        })
    }

    pub fn archive_url(&self) -> String {
        self.url(&self.archive)
    }

    pub fn checksums_url(&self) -> String {
        self.url(&self.checksums)
    }

    fn url(&self, file: &str) -> String {
        let base = self.base.as_str().trim_end_matches('/');
        format!("{base}/v{}/{file}", self.version)
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    pub fn known_digest(&self) -> Option<&'static str> {
        DIGESTS
            .iter()
            .find(|(archive, _)| *archive == self.archive)
            .map(|(_, digest)| *digest)
    }

    pub fn entry(&self, cache: &Path) -> Entry {
        // The platform is in, as homes are shared.
        let Platform { os, arch } = self.platform;
        let key = format!("{}-{}-release-{os}-{arch}", self.binary, self.version);
        Entry::new(cache, key, self.binary)
    }
}

/// "k6 1.8.1".
impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product, self.version)
    }
}

/// A URL as it may be shown.
pub(super) fn shown(url: &str) -> String {
    without_user(url)
}

/// The SHA-256 of `archive` in a checksums file, whose lines are a digest and a
/// name, or which is one digest alone.
pub(super) fn digest_in(text: &str, archive: &str) -> Option<String> {
    let is_digest =
        |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|words: &Vec<&str>| !words.is_empty())
        .collect();
    let digest = match lines.as_slice() {
        [words] if words.len() == 1 => words[0],
        // The asterisk says that the file was read as binary.
        _ => lines.iter().find_map(|words| match words.as_slice() {
            [digest, name] if name.trim_start_matches('*').trim_start_matches("./") == archive => {
                Some(*digest)
            }
            _ => None,
        })?,
    };
    is_digest(digest).then(|| digest.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLATFORMS: [(&str, &str); 4] = [
        ("linux", "x86_64"),
        ("linux", "aarch64"),
        ("macos", "x86_64"),
        ("macos", "aarch64"),
    ];

    fn release(product: Product, version: &str, os: &'static str, arch: &'static str) -> Release {
        let base = Url::parse("https://releases.example/download/").unwrap();
        Release::of(product, version, &base, Platform { os, arch }).unwrap()
    }

    #[test]
    fn the_names_of_the_releases() {
        let mut names = String::new();
        for (product, version) in [
            (Product::Tool(Tool::K6), "1.8.1"),
            (Product::Tool(Tool::Otelcol), "0.160.0"),
            (Product::Tool(Tool::Prometheus), "3.13.5"),
            (Product::Tempo, "2.10.8"),
        ] {
            for (os, arch) in PLATFORMS {
                let release = release(product, version, os, arch);
                names += &format!("{} {}\n", release.archive_url(), release.checksums);
            }
        }
        insta::assert_snapshot!(names.replace("https://releases.example/download/", ""), @"
        v1.8.1/k6-v1.8.1-linux-amd64.tar.gz k6-v1.8.1-checksums.txt
        v1.8.1/k6-v1.8.1-linux-arm64.tar.gz k6-v1.8.1-checksums.txt
        v1.8.1/k6-v1.8.1-macos-amd64.zip k6-v1.8.1-checksums.txt
        v1.8.1/k6-v1.8.1-macos-arm64.zip k6-v1.8.1-checksums.txt
        v0.160.0/otelcol_0.160.0_linux_amd64.tar.gz otelcol_0.160.0_linux_amd64.tar.gz.sha256
        v0.160.0/otelcol_0.160.0_linux_arm64.tar.gz otelcol_0.160.0_linux_arm64.tar.gz.sha256
        v0.160.0/otelcol_0.160.0_darwin_amd64.tar.gz otelcol_0.160.0_darwin_amd64.tar.gz.sha256
        v0.160.0/otelcol_0.160.0_darwin_arm64.tar.gz otelcol_0.160.0_darwin_arm64.tar.gz.sha256
        v3.13.5/prometheus-3.13.5.linux-amd64.tar.gz sha256sums.txt
        v3.13.5/prometheus-3.13.5.linux-arm64.tar.gz sha256sums.txt
        v3.13.5/prometheus-3.13.5.darwin-amd64.tar.gz sha256sums.txt
        v3.13.5/prometheus-3.13.5.darwin-arm64.tar.gz sha256sums.txt
        v2.10.8/tempo_2.10.8_linux_amd64.tar.gz SHA256SUMS
        v2.10.8/tempo_2.10.8_linux_arm64.tar.gz SHA256SUMS
        v2.10.8/tempo_2.10.8_darwin_amd64.tar.gz SHA256SUMS
        v2.10.8/tempo_2.10.8_darwin_arm64.tar.gz SHA256SUMS
        ");
    }

    #[test]
    fn other_platforms_have_none() {
        let base = Url::parse("https://releases.example").unwrap();
        for (os, arch) in [("linux", "riscv64"), ("freebsd", "x86_64")] {
            let platform = Platform { os, arch };
            let release = Release::of(Product::Tool(Tool::K6), "1.8.1", &base, platform);
            assert_eq!(release, None, "{os} {arch}");
        }
    }

    #[test]
    fn machines_of_another_kind_that_share_a_home_do_not_share_a_tool() {
        let path = |os, arch| {
            let release = release(Product::Tempo, "3.0.3", os, arch);
            release.entry(Path::new("/cache")).path()
        };
        assert_eq!(
            path("linux", "x86_64"),
            Path::new("/cache/tempo-3.0.3-release-linux-x86_64/tempo")
        );
        assert_ne!(path("linux", "x86_64"), path("linux", "aarch64"));
    }

    /// A digest of another version would be of no use, and nobody would notice.
    #[test]
    fn the_digests_are_of_what_is_pinned() {
        let of_pins: Vec<String> = PLATFORMS
            .iter()
            .map(|(os, arch)| {
                let version = super::super::pin::Pin::of(Tool::Otelcol).version();
                release(Product::Tool(Tool::Otelcol), &version.to_string(), os, arch).archive
            })
            .collect();
        for (archive, digest) in DIGESTS {
            assert!(of_pins.iter().any(|name| name == archive), "{archive}");
            assert!(digest_in(digest, archive).is_some(), "{digest}");
        }
    }

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

    #[rstest::rstest]
    #[case::its_line(format!("{A}  x.tar.gz\n{B}  k6.tar.gz\n"), Some(B))]
    #[case::binary(format!("{A} *k6.tar.gz"), Some(A))]
    #[case::with_a_directory(format!("{A}  ./k6.tar.gz\r\n"), Some(A))]
    #[case::alone(format!("{A}\n"), Some(A))]
    #[case::not_alone(format!("{A}\n{B}\n"), None)]
    #[case::of_another(format!("{A}  k6.tar.gz.sbom\n"), None)]
    #[case::the_end_of_a_name(format!("{A}  xk6.tar.gz\n"), None)]
    #[case::too_short("aaaa  k6.tar.gz\n".to_owned(), None)]
    #[case::not_hexadecimal(format!("{}  k6.tar.gz\n", A.replace('a', "g")), None)]
    #[case::a_page("<!DOCTYPE html>\n<title>Log in</title>\n".to_owned(), None)]
    #[case::empty(String::new(), None)]
    fn checksums(#[case] text: String, #[case] expected: Option<&str>) {
        assert_eq!(
            digest_in(&text, "k6.tar.gz"),
            expected.map(str::to_ascii_lowercase)
        );
    }
}
