//! The results directory: names of files, one run of a profile at a time, and
//! what an earlier run left there.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::ReportError;
use super::atomic_file::write_atomically;
use super::document::Report;
use super::junit::case_junit;
use crate::k6::Run;
use crate::metrics::{Collected, write_csv};

/// Components that have a log. A fixed list: with free names, a file of profile
/// `small-x` could be taken for one of profile `small`. For the same reason no
/// name here may end in `-` and another name of this module.
pub const COMPONENTS: [&str; 18] = [
    "tempo",
    "trace-store",
    "otelcol",
    "prometheus",
    "minio",
    "distributor",
    "ingester",
    "querier",
    "query-frontend",
    "compactor",
    "gateway",
    "metrics-generator",
    "live-store",
    "block-builder",
    "backend-scheduler",
    "backend-worker",
    "tempo-operator",
    "otel-operator",
];

/// Ends of names behind `{profile}-`, but for the logs of components.
const ENDINGS: [&str; 11] = [
    "k6-ingestion.log",
    "k6-query.log",
    "k6-readback.log",
    "k6-ingestion-metrics.json",
    "k6-query-metrics.json",
    "k6-readback-metrics.json",
    "metrics.csv",
    "junit.xml",
    "report.json",
    "events.json",
    "objects.json",
];

/// The results directory as one run of one profile has it, until it is dropped.
#[derive(Debug)]
pub struct OutputDir {
    dir: PathBuf,
    profile: String,
    /// Closing it gives the lock back. The file stays: removing it could take
    /// the lock from a run that has just opened it.
    _lock: File,
}

/// Who holds the lock, for the message to those who do not.
#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    since: Timestamp,
}

impl OutputDir {
    /// Creates `dir` if needed, proves that files can be created in it, locks
    /// it for `profile`, and moves files of an earlier run of `profile` to
    /// `earlier/{profile}-{UTC time of that run}/`. Nothing is ever deleted.
    ///
    /// Fails when the directory is not usable, and when another run of the
    /// same profile has it; runs of other profiles may share it.
    pub fn open(dir: &Path, profile: &str) -> Result<Self, ReportError> {
        let unusable = |source: io::Error| ReportError::OutputDir {
            path: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(unusable)?;
        // Permission bits do not tell (root, read-only mounts): try it.
        let mut probe = tempfile::Builder::new()
            .prefix(".probe-")
            .tempfile_in(dir)
            .map_err(unusable)?;
        probe.write_all(b"probe").map_err(unusable)?;
        probe.close().map_err(unusable)?;

        let lock = lock(dir, profile)?;
        let output = Self {
            dir: dir.to_owned(),
            profile: profile.to_owned(),
            _lock: lock,
        };
        output.move_earlier_aside()?;
        Ok(output)
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// k6's own output.
    pub fn k6_log(&self, run: Run) -> PathBuf {
        self.file(&format!("k6-{}.log", run.files()))
    }

    /// k6's summary as typed numbers.
    pub fn k6_metrics(&self, run: Run) -> PathBuf {
        self.file(&format!("k6-{}-metrics.json", run.files()))
    }

    pub fn metrics_csv(&self) -> PathBuf {
        self.file("metrics.csv")
    }

    /// Events of the run's namespace.
    pub fn kubernetes_events(&self) -> PathBuf {
        self.file("events.json")
    }

    /// Custom resources, workloads and pods of the run's namespace, with their
    /// states.
    pub fn kubernetes_objects(&self) -> PathBuf {
        self.file("objects.json")
    }

    pub fn junit(&self) -> PathBuf {
        self.file("junit.xml")
    }

    pub fn report(&self) -> PathBuf {
        self.file("report.json")
    }

    /// `{profile}-{component}.log`; with an `instance` (a pod's name)
    /// `{profile}-{component}.{instance}.log`. Fails for a component that is
    /// not in [`COMPONENTS`].
    pub fn component_log(
        &self,
        component: &str,
        instance: Option<&str>,
    ) -> Result<PathBuf, ReportError> {
        if !COMPONENTS.contains(&component) {
            return Err(ReportError::UnknownComponent {
                name: component.to_owned(),
            });
        }
        Ok(match instance {
            None => self.file(&format!("{component}.log")),
            Some(instance) => self.file(&format!("{component}.{instance}.log")),
        })
    }

    /// Files of this run that exist now, by name.
    pub fn existing_files(&self) -> Result<Vec<String>, ReportError> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.dir).map_err(ReportError::read(&self.dir))? {
            let entry = entry.map_err(ReportError::read(&self.dir))?;
            if let Some(name) = entry.file_name().to_str()
                && is_file_of(&self.profile, name)
            {
                names.insert(name.to_owned());
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Writes `{profile}-report.json`, replacing what was there.
    pub fn write_report(&self, report: &Report) -> Result<(), ReportError> {
        self.write_json(&self.report(), report)
    }

    /// Writes `{profile}-junit.xml`.
    pub fn write_junit(&self, report: &Report) -> Result<(), ReportError> {
        let path = self.junit();
        let xml = case_junit(report)
            .to_string()
            .map_err(|source| ReportError::Junit {
                path: path.clone(),
                source,
            })?;
        write_atomically(&path, |out| out.write_all(xml.as_bytes()))
    }

    /// Writes `{profile}-metrics.csv`.
    pub fn write_metrics_csv(&self, collected: &Collected) -> Result<(), ReportError> {
        write_metrics_csv(&self.metrics_csv(), collected)
    }

    /// Writes `value` as JSON to `path`, one of this directory's.
    pub fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), ReportError> {
        write_atomically(path, |out| {
            serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
            out.write_all(b"\n")
        })
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.dir.join(format!("{}-{ending}", self.profile))
    }

    fn move_earlier_aside(&self) -> Result<(), ReportError> {
        let names = self.existing_files()?;
        if names.is_empty() {
            return Ok(());
        }
        let time = self.time_of_earlier_run(&names)?;
        let time = time
            .to_zoned(TimeZone::UTC)
            .strftime("%Y-%m-%dT%H-%M-%SZ")
            .to_string();
        let earlier = self.dir.join("earlier");
        fs::create_dir_all(&earlier).map_err(ReportError::write(&earlier))?;
        let target = new_directory(&earlier, &format!("{}-{time}", self.profile))?;
        for name in names {
            let (from, to) = (self.dir.join(&name), target.join(&name));
            fs::rename(&from, &to).map_err(|source| ReportError::MoveAside { from, to, source })?;
        }
        Ok(())
    }

    /// From its report; else, when it was killed before it wrote one that can
    /// be read, the time of the oldest file.
    fn time_of_earlier_run(&self, names: &[String]) -> Result<Timestamp, ReportError> {
        #[derive(Deserialize)]
        struct Started {
            started: Timestamp,
        }
        if let Ok(text) = fs::read(self.report())
            && let Ok(Started { started }) = serde_json::from_slice(&text)
        {
            return Ok(started);
        }
        let mut oldest = Timestamp::now();
        for name in names {
            let path = self.dir.join(name);
            let modified = fs::symlink_metadata(&path)
                .and_then(|metadata| metadata.modified())
                .map_err(ReportError::read(&path))?;
            if let Ok(modified) = Timestamp::try_from(modified) {
                oldest = oldest.min(modified);
            }
        }
        Ok(oldest)
    }
}

/// Writes the answers of the catalogue to `path`, whole or not at all.
pub fn write_metrics_csv(path: &Path, collected: &Collected) -> Result<(), ReportError> {
    write_atomically(path, |out| {
        write_csv(collected, out).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) => error,
            other => io::Error::other(format!("{other:?}")),
        })
    })
}

fn lock(dir: &Path, profile: &str) -> Result<File, ReportError> {
    let path = dir.join(format!(".{profile}.lock"));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(ReportError::write(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // Between taking the lock and writing its name, a holder is unknown.
            let holder = fs::read(&path)
                .ok()
                .and_then(|text| serde_json::from_slice::<Holder>(&text).ok())
                .map_or_else(
                    || "another process".to_owned(),
                    |Holder { pid, since }| format!("process {pid}, since {since:.0},"),
                );
            return Err(ReportError::Busy {
                profile: profile.to_owned(),
                path: dir.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(source)) => return Err(ReportError::Write { path, source }),
    }
    let holder = Holder {
        pid: std::process::id(),
        since: Timestamp::now(),
    };
    let write = |file: &mut File| -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        serde_json::to_writer(&mut *file, &holder)?;
        file.flush()
    };
    write(&mut file).map_err(ReportError::write(&path))?;
    Ok(file)
}

/// Creates a directory of a name that is not taken yet.
fn new_directory(parent: &Path, name: &str) -> Result<PathBuf, ReportError> {
    let mut path = parent.join(name);
    for number in 2.. {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = parent.join(format!("{name}-{number}"));
            }
            Err(source) => return Err(ReportError::Write { path, source }),
            Ok(()) => break,
        }
    }
    Ok(path)
}

/// Whether `name` is a file of a run of `profile`, and not of a profile whose
/// name begins alike.
fn is_file_of(profile: &str, name: &str) -> bool {
    let Some(ending) = name
        .strip_prefix(profile)
        .and_then(|rest| rest.strip_prefix('-'))
    else {
        return false;
    };
    if ENDINGS.contains(&ending) {
        return true;
    }
    // Profiles and components have no dot in their names; instances may.
    ending.ends_with(".log")
        && ending
            .split_once('.')
            .is_some_and(|(component, _)| COMPONENTS.contains(&component))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("small", "small-report.json", true)]
    #[case("small", "small-k6-ingestion.log", true)]
    #[case("small", "small-tempo.log", true)]
    #[case("small", "small-ingester.tempo-x-ingester-0.log", true)]
    #[case("small", "small-x-report.json", false)]
    #[case("small", "small-x-tempo.log", false)]
    #[case("small", "small-x-ingester.pod-0.log", false)]
    #[case("small", "1x-small-report.json", false)]
    #[case("small", "small-notes.txt", false)]
    #[case("small", "small-tempo.log.gz", false)]
    #[case("small", ".small.lock", false)]
    #[case("small-k6", "small-k6-query.log", false)]
    #[case("small", "small", false)]
    fn files_belong_to_exactly_their_profile(
        #[case] profile: &str,
        #[case] name: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(is_file_of(profile, name), expected);
    }

    /// Else `{a}-{b}-{ending}` could be of profile `a` and of profile `a-b`.
    #[test]
    fn no_ending_is_the_end_of_another() {
        let logs = COMPONENTS.map(|component| format!("{component}.log"));
        let all: Vec<&str> = ENDINGS
            .into_iter()
            .chain(logs.iter().map(String::as_str))
            .collect();
        for long in &all {
            for short in &all {
                assert!(
                    !long.ends_with(&format!("-{short}")),
                    "{long} ends in {short}"
                );
            }
        }
    }

    #[test]
    fn every_path_is_recognised_again() {
        let dir = tempfile::tempdir().unwrap();
        let output = OutputDir::open(dir.path(), "small").unwrap();
        let mut paths = vec![output.metrics_csv(), output.junit(), output.report()];
        for run in [Run::Ingestion, Run::Query, Run::ReadBack] {
            paths.extend([output.k6_log(run), output.k6_metrics(run)]);
        }
        for component in COMPONENTS {
            paths.push(output.component_log(component, None).unwrap());
            paths.push(output.component_log(component, Some("a.b-0")).unwrap());
        }
        for path in paths {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(is_file_of("small", name), "{name}");
        }
        let error = output.component_log("loki", None).unwrap_err();
        assert!(error.to_string().starts_with("\"loki\" is no component"));
    }
}
