//! Downloading a release into the cache, once for all runs of a machine.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, RANGE};

use crate::metrics::http_client_builder;
use crate::process::{Interrupt, Supervisor, WorkDirError};

use super::cache::{CacheError, Cached, LockError, digest_of};
use super::inspect::{self, InspectError, Trust, Version};
use super::progress::{LIVE, elapsed};
use super::release::{Product, Release, digest_in, shown};
use super::unpack::unpack;
use super::{Interrupted, Progress};

/// A connection over which nothing comes for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// Connections that one download may take if each brings it further.
const TRIES: usize = 5;

const MB: f64 = (1 << 20) as f64;

#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error(
        "there is no release of {product} for {} on {}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )]
    NoRelease { product: Product },
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
    #[error("cannot get {url}")]
    Get {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} answers {status}")]
    Status { url: String, status: StatusCode },
    #[error("{url} does not start at byte {from}, which was asked for")]
    Range { url: String, from: u64 },
    #[error("{url} has no SHA-256 of {archive}")]
    NoChecksum { url: String, archive: String },
    #[error("{url} has the SHA-256 {found}; {by} says {expected}")]
    Checksum {
        url: String,
        found: String,
        by: String,
        expected: String,
    },
    #[error("cannot unpack {archive}")]
    Unpack {
        archive: String,
        #[source]
        source: io::Error,
    },
    #[error("{archive} has no file {binary}")]
    NotInside {
        archive: String,
        binary: &'static str,
    },
    #[error("{url} holds version {found}; expected {expected}")]
    OtherVersion {
        url: String,
        found: Version,
        expected: String,
    },
    #[error("the {product} of {url} does not work")]
    Useless {
        product: Product,
        url: String,
        #[source]
        source: InspectError,
    },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    WorkDir(#[from] WorkDirError),
}

impl From<LockError> for DownloadError {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Interrupted(interrupted) => interrupted.into(),
            LockError::Cache(error) => error.into(),
        }
    }
}

/// What a download needs of its surroundings.
pub(super) struct Downloader<'a> {
    pub cache: &'a Path,
    pub supervisor: &'a Supervisor,
    pub interrupt: &'a Interrupt,
    pub progress: &'a Progress,
}

impl Downloader<'_> {
    /// The digest that the archive must have. It is small, so that it also shows
    /// in good time whether the address can be reached at all.
    pub async fn digest(&self, release: &Release) -> Result<String, DownloadError> {
        let url = release.checksums_url();
        let get = async {
            let answer = client(release)?.get(&url).timeout(SILENCE).send().await;
            let answer = answer.map_err(|error| cannot_get(&url, error))?;
            if answer.status() != StatusCode::OK {
                return Err(refused(&url, answer.status()));
            }
            answer.text().await.map_err(|error| cannot_get(&url, error))
        };
        let text = self.or_interrupt(release, get).await?;
        let published =
            digest_in(&text, &release.archive).ok_or_else(|| DownloadError::NoChecksum {
                url: shown(&url),
                archive: release.archive.clone(),
            })?;
        match release.known_digest() {
            Some(known) if known != published => Err(DownloadError::Checksum {
                url: shown(&release.archive_url()),
                found: published,
                by: "the list in tempo-perf".to_owned(),
                expected: known.to_owned(),
            }),
            _ => Ok(published),
        }
    }

    /// Downloads the release, unless another run does so or just did.
    pub async fn download(
        &self,
        release: &Release,
        digest: &str,
    ) -> Result<PathBuf, DownloadError> {
        let entry = release.entry(self.cache);
        let doing = format!("downloading {release}");
        let _lock = entry.lock(&doing, self.interrupt, self.progress).await?;
        if let Cached::Sound(path) = entry.look().await {
            return Ok(path);
        }
        let start = Instant::now();
        // Stays when this run is killed, for the next one to go on with.
        let part = self.cache.join(format!("{}.part", release.archive));
        self.fetch(release, &part, digest).await?;
        let dir = self.supervisor.transient_dir(entry.workshop()?)?;
        fs::create_dir_all(dir.path())
            .map_err(|source| CacheError::new("create", dir.path(), source))?;
        let binary = dir.path().join(release.binary);
        let unpacked = unpack_aside(release, &part, &binary).await;
        fs::remove_file(&part).map_err(|source| CacheError::new("delete", &part, source))?;
        unpacked?;
        let works = match release.product {
            Product::Tool(tool) => inspect::inspect(tool, &binary, Trust::Found).await,
            Product::Tempo => inspect::inspect_tempo(&binary).await,
        };
        let stated = works.map_err(|source| DownloadError::Useless {
            product: release.product,
            url: shown(&release.archive_url()),
            source,
        })?;
        // A mirror may hold another one, with a checksum that fits it.
        if let Some(found) = stated.filter(|it| Some(*it) != Version::parse(&release.version)) {
            return Err(DownloadError::OtherVersion {
                url: shown(&release.archive_url()),
                found,
                expected: release.version.clone(),
            });
        }
        entry.keep(&binary)?;
        dir.delete()?;
        let took = elapsed(start.elapsed());
        self.progress
            .line(&format!("downloaded {release} in {took}"));
        Ok(entry.path())
    }

    /// The archive with that digest at `part`.
    async fn fetch(
        &self,
        release: &Release,
        part: &Path,
        digest: &str,
    ) -> Result<(), DownloadError> {
        let url = release.archive_url();
        loop {
            let from_before = length(part);
            self.transfer_all(release, part).await?;
            let found = {
                let part = part.to_owned();
                tokio::task::spawn_blocking(move || digest_of(&part))
                    .await
                    .unwrap_or_else(|panic| Err(io::Error::other(panic)))
            }
            .map_err(|source| CacheError::new("read", part, source))?;
            if found == digest {
                return Ok(());
            }
            fs::remove_file(part).map_err(|source| CacheError::new("delete", part, source))?;
            let error = DownloadError::Checksum {
                url: shown(&url),
                found,
                by: shown(&release.checksums_url()),
                expected: digest.to_owned(),
            };
            if from_before == 0 {
                return Err(error);
            }
            // What an earlier run left may have been the beginning of another file.
            self.progress.line(&format!("starting over: {error}"));
        }
    }

    /// All of the archive, over more than one connection if need be.
    async fn transfer_all(&self, release: &Release, part: &Path) -> Result<(), DownloadError> {
        let mut tries = 0;
        loop {
            let before = length(part);
            match self.transfer(release, part).await {
                Err(error @ DownloadError::Get { .. })
                    if length(part) > before && tries + 1 < TRIES =>
                {
                    tries += 1;
                    self.progress.line(&format!(
                        "going on after: {}",
                        crate::error_chain::chain(&error)
                    ));
                }
                done => return done,
            }
        }
    }

    /// What of the archive is missing in `part`, over one connection.
    async fn transfer(&self, release: &Release, part: &Path) -> Result<(), DownloadError> {
        let url = release.archive_url();
        let mut from = length(part);
        let wrong = |source| CacheError::new("write", part, source);
        let client = client(release)?;
        let ask = async {
            loop {
                let mut request = client.get(&url);
                if from > 0 {
                    request = request.header(RANGE, format!("bytes={from}-"));
                }
                let answer = request.send().await;
                let answer = answer.map_err(|error| cannot_get(&url, error))?;
                match answer.status() {
                    StatusCode::OK => from = 0,
                    StatusCode::PARTIAL_CONTENT if starts_at(&answer, from) => {}
                    StatusCode::PARTIAL_CONTENT => {
                        let url = shown(&url);
                        return Err(DownloadError::Range { url, from });
                    }
                    // There is no more of it: it is whole, or not ours.
                    StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                        from = 0;
                        continue;
                    }
                    status => return Err(refused(&url, status)),
                }
                return Ok((answer, from));
            }
        };
        let (mut answer, from) = self.or_interrupt(release, ask).await?;
        let total = answer.content_length().map(|rest| from + rest);
        let place = shown(&url);
        self.progress.line(&match (from, total) {
            (0, Some(total)) => format!("downloading {release}, {}: {place}", megabytes(total)),
            (0, None) => format!("downloading {release}: {place}"),
            (from, _) => format!("downloading {release} from {} on: {place}", megabytes(from)),
        });
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(part)
            .map_err(wrong)?;
        file.set_len(from).map_err(wrong)?;
        let mut done = from;
        let start = Instant::now();
        let mut ticker = self.progress.ticker();
        let mut ticks = tokio::time::interval(LIVE);
        let outcome = loop {
            tokio::select! {
                biased;
                signal = self.interrupt.wait() => {
                    break Err(Interrupted::new(signal, format!("downloading {release}")).into());
                }
                _ = ticks.tick() => {
                    let of = total.map_or_else(String::new, |total| format!(" of {}", megabytes(total)));
                    let took = elapsed(start.elapsed());
                    ticker.show(&format!("downloading {release}: {}{of}, {took}", megabytes(done)));
                }
                chunk = answer.chunk() => match chunk {
                    Ok(Some(bytes)) => {
                        done += bytes.len() as u64;
                        if let Err(error) = file.write_all(&bytes).map_err(wrong) {
                            break Err(error.into());
                        }
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(cannot_get(&url, error)),
                }
            }
        };
        self.progress.clear();
        outcome
    }

    async fn or_interrupt<T>(
        &self,
        release: &Release,
        work: impl Future<Output = Result<T, DownloadError>>,
    ) -> Result<T, DownloadError> {
        tokio::select! {
            biased;
            signal = self.interrupt.wait() => {
                Err(Interrupted::new(signal, format!("downloading {release}")).into())
            }
            done = work => done,
        }
    }
}

/// Follows redirects, as release pages use them; proxies are those of the
/// variables.
fn client(release: &Release) -> Result<reqwest::Client, DownloadError> {
    http_client_builder(release.base())
        .read_timeout(SILENCE)
        .https_only(release.base().scheme() == "https")
        .user_agent(concat!("tempo-perf/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(DownloadError::Client)
}

async fn unpack_aside(release: &Release, part: &Path, binary: &Path) -> Result<(), DownloadError> {
    let (part, to) = (part.to_owned(), binary.to_owned());
    let (is_zip, name) = (release.archive.ends_with(".zip"), release.binary);
    let unpacked = tokio::task::spawn_blocking(move || unpack(&part, is_zip, name, &to))
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)));
    let archive = release.archive.clone();
    match unpacked {
        Ok(true) => Ok(()),
        Ok(false) => Err(DownloadError::NotInside {
            archive,
            binary: name,
        }),
        Err(source) => Err(DownloadError::Unpack { archive, source }),
    }
}

fn length(part: &Path) -> u64 {
    fs::metadata(part).map_or(0, |file| file.len())
}

/// Whether the answer says `Content-Range: bytes FROM-…`.
fn starts_at(answer: &reqwest::Response, from: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE);
    range
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes "))
        .and_then(|range| range.split('-').next()?.trim().parse().ok())
        == Some(from)
}

fn cannot_get(url: &str, error: reqwest::Error) -> DownloadError {
    DownloadError::Get {
        url: shown(url),
        source: error.without_url(),
    }
}

fn refused(url: &str, status: StatusCode) -> DownloadError {
    DownloadError::Status {
        url: shown(url),
        status,
    }
}

/// "34.5 MB".
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / MB)
}
