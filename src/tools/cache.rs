//! The cache of tools: a directory for each build and each release, and in it a
//! binary with its digest.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::process::Interrupt;

use super::inspect;
use super::{Interrupted, Progress};

/// The cache cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {} in the cache of tools", .path.display())]
pub struct CacheError {
    what: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl CacheError {
    pub(super) fn new(what: &'static str, path: &Path, source: io::Error) -> Self {
        CacheError {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// What lies in the cache under a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cached {
    Nothing,
    /// The binary that was kept there.
    Sound(PathBuf),
    /// A binary that is not what was kept there, and why.
    Spoilt(PathBuf, String),
}

/// A place for one binary.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    cache: PathBuf,
    /// Anything that changes the binary changes it.
    key: String,
    binary: &'static str,
}

impl Entry {
    pub fn new(cache: &Path, key: String, binary: &'static str) -> Self {
        Entry {
            cache: cache.to_owned(),
            key,
            binary,
        }
    }

    pub fn path(&self) -> PathBuf {
        self.cache.join(&self.key).join(self.binary)
    }

    fn digest_path(&self) -> PathBuf {
        self.path().with_extension("sha256")
    }

    /// A directory for the making of the binary, for the holder of the lock.
    pub fn workshop(&self) -> Result<PathBuf, CacheError> {
        let dir = self.cache.join(format!(".making-{}", self.key));
        // Of one that was killed together with its watcher.
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(|source| CacheError::new("delete", &dir, source))?;
        }
        Ok(dir)
    }

    /// Holds the binary to its recorded digest: after a power cut, or with a full
    /// disk, a file can be there and be empty.
    pub async fn look(&self) -> Cached {
        let entry = self.clone();
        tokio::task::spawn_blocking(move || entry.look_now())
            .await
            .unwrap_or_else(|panic| Cached::Spoilt(self.path(), panic.to_string()))
    }

    fn look_now(&self) -> Cached {
        let path = self.path();
        if !path.exists() {
            return Cached::Nothing;
        }
        let spoilt = |why: String| {
            let text = format!("{} {why}", path.display());
            Cached::Spoilt(path.clone(), text)
        };
        let Ok(recorded) = fs::read_to_string(self.digest_path()) else {
            return spoilt("has no recorded SHA-256".to_owned());
        };
        match digest_of(&path) {
            Ok(found) if !recorded.starts_with(&found) => {
                spoilt("is not what was kept there: its SHA-256 is another".to_owned())
            }
            Ok(_) if !inspect::is_executable(&path) => {
                spoilt("is not an executable file".to_owned())
            }
            Ok(_) => Cached::Sound(path),
            Err(error) => spoilt(format!("cannot be read: {error}")),
        }
    }

    /// Moves the binary to its place. It appears whole and with its digest, or not
    /// at all, even if the power goes.
    pub fn keep(&self, made: &Path) -> Result<(), CacheError> {
        let path = self.path();
        let home = self.cache.join(&self.key);
        let wrong = |source| CacheError::new("write", &path, source);
        fs::create_dir_all(&home).map_err(|source| CacheError::new("create", &home, source))?;
        let digest = digest_of(made).map_err(wrong)?;
        let keep = || -> io::Result<()> {
            File::open(made)?.sync_all()?;
            // First, so that a binary is never there without it. As sha256sum
            // writes it, so that `sha256sum -c` can read it.
            let new = self.digest_path().with_extension("sha256.new");
            fs::write(&new, format!("{digest}  {}\n", self.binary))?;
            File::open(&new)?.sync_all()?;
            fs::rename(&new, self.digest_path())?;
            fs::rename(made, &path)?;
            File::open(&home)?.sync_all()?;
            File::open(&self.cache)?.sync_all()
        };
        keep().map_err(wrong)
    }

    /// Takes the lock of this entry, and says for whom it waits. `doing` is what
    /// its holder does: "building k6 1.8.1".
    pub async fn lock(
        &self,
        doing: &str,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> Result<File, LockError> {
        const FIRST_PAUSE: Duration = Duration::from_millis(20);
        const LONGEST_PAUSE: Duration = Duration::from_millis(500);
        // By then the holder has written its number, or has gone.
        const SILENCE: Duration = Duration::from_millis(100);
        fs::create_dir_all(&self.cache)
            .map_err(|source| CacheError::new("create", &self.cache, source))?;
        let path = self.cache.join(format!("{}.lock", self.key));
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|source| CacheError::new("open", &path, source))?;
        let mut pause = FIRST_PAUSE;
        let start = Instant::now();
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => {
                    return Err(CacheError::new("lock", &path, source).into());
                }
                Err(TryLockError::WouldBlock) => {}
            }
            if start.elapsed() >= SILENCE && !std::mem::replace(&mut told, true) {
                let holder = fs::read_to_string(&path).unwrap_or_default();
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                progress.line(&format!("waiting for {holder}, which is {doing}"));
            }
            tokio::select! {
                signal = interrupt.wait() => {
                    return Err(Interrupted::new(signal, format!("waiting for {}", self.binary)).into());
                }
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
        let write = || {
            use std::io::Write as _;
            file.set_len(0)?;
            (&file).write_all(std::process::id().to_string().as_bytes())
        };
        write().map_err(|source| CacheError::new("write", &path, source))?;
        Ok(file)
    }
}

/// The SHA-256 of a file, in hexadecimal.
pub(super) fn digest_of(path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kept(dir: &Path) -> Entry {
        let entry = Entry::new(&dir.join("cache"), "k6-1-x".to_owned(), "k6");
        let made = dir.join("made");
        fs::write(&made, "a binary").unwrap();
        fs::set_permissions(&made, fs::Permissions::from_mode(0o755)).unwrap();
        entry.keep(&made).unwrap();
        entry
    }

    #[test]
    fn what_was_kept_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let entry = kept(dir.path());
        assert_eq!(entry.look_now(), Cached::Sound(entry.path()));
        let other = Entry::new(&dir.path().join("cache"), "k6-2-x".to_owned(), "k6");
        assert_eq!(other.look_now(), Cached::Nothing);
    }

    #[test]
    fn the_digest_is_one_that_sha256sum_reads() {
        let dir = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(kept(dir.path()).digest_path()).unwrap();
        assert_eq!(
            text,
            "a31362f60e9c65899145b6d69e92ceb0ae73fdc3a44f91dd654c9301548c4f5f  k6\n"
        );
    }

    #[rstest::rstest]
    #[case::empty(|entry: &Entry| fs::write(entry.path(), "").unwrap(), "is not what was kept there")]
    #[case::altered(|entry: &Entry| fs::write(entry.path(), "a binarz").unwrap(), "is not what was kept there")]
    #[case::no_digest(|entry: &Entry| fs::remove_file(entry.digest_path()).unwrap(), "has no recorded SHA-256")]
    #[case::empty_digest(|entry: &Entry| fs::write(entry.digest_path(), "").unwrap(), "is not what was kept there")]
    #[case::no_x_bit(
        |entry: &Entry| fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o644)).unwrap(),
        "is not an executable file"
    )]
    fn what_changed_since_is_not_trusted(#[case] spoil: fn(&Entry), #[case] why: &str) {
        let dir = tempfile::tempdir().unwrap();
        let entry = kept(dir.path());
        spoil(&entry);
        match entry.look_now() {
            Cached::Spoilt(path, text) => {
                assert_eq!(path, entry.path());
                assert!(text.contains(why), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}
