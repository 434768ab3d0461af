//! JUnit: a file for each case, and one for all cases of an invocation, which
//! any of its processes can rebuild from the reports.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Property, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::ReportError;
use super::atomic_file::write_atomically;
use super::console::{Style, failure_line, failure_message, table};
use super::document::{CaseResult, Report, State};

/// The class name of all cases.
const CLASS: &str = "perf";

/// What the file of an invocation was made from.
#[derive(Debug, Default)]
pub struct InvocationJunit {
    /// Profiles in the file.
    pub cases: Vec<String>,
    /// Profiles that are still running and so not in the file yet.
    pub running: Vec<String>,
    /// Reports that could not be read, and so may be missing from the file.
    pub unreadable: Vec<ReportError>,
}

/// The JUnit report of one case. A failed case has the type `violated` if any
/// check was violated, else `unmeasured`; the message counts both. A case that
/// was interrupted, could not be carried out or judged nothing is an `error`.
pub fn case_junit(report: &Report) -> Junit {
    let mut junit = Junit::new("tempo-perf");
    junit.add_test_suite(suite(report));
    junit
}

/// Rebuilds the file at `path` from all reports in `output_dir` that belong to
/// the invocation and have ended. Safe when several processes do so at once.
///
/// Fails when the directory cannot be read or the file not be written; single
/// reports that cannot be read are in the result.
pub fn rebuild_invocation_junit(
    path: &Path,
    output_dir: &Path,
    invocation_id: &str,
) -> Result<InvocationJunit, ReportError> {
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(parent).map_err(ReportError::write(parent))?;
    }
    // Held until the end: the last to write must be the last to have read.
    let _lock = exclusive(path)?;

    let mut result = InvocationJunit::default();
    let mut reports = Vec::new();
    for entry in fs::read_dir(output_dir).map_err(ReportError::read(output_dir))? {
        let entry = entry.map_err(ReportError::read(output_dir))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || !name.ends_with("-report.json") {
            continue;
        }
        match Report::read(&entry.path()) {
            Ok(report) if report.invocation_id != invocation_id => {}
            Ok(report) if report.state == State::Running => result.running.push(report.profile),
            Ok(report) => reports.push(report),
            Err(error) => result.unreadable.push(error),
        }
    }
    reports.sort_by(|a, b| (a.started, &a.profile).cmp(&(b.started, &b.profile)));
    result.running.sort();

    let mut junit = Junit::new("tempo-perf");
    for report in &reports {
        junit.add_test_suite(suite(report));
    }
    let xml = junit.to_string().map_err(|source| ReportError::Junit {
        path: path.to_owned(),
        source,
    })?;
    write_atomically(path, |out| out.write_all(xml.as_bytes()))?;
    result.cases = reports.into_iter().map(|report| report.profile).collect();
    Ok(result)
}

fn exclusive(path: &Path) -> Result<File, ReportError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lock_path: PathBuf = path.with_file_name(format!(".{name}.lock"));
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(ReportError::write(&lock_path))?;
    file.lock().map_err(ReportError::write(&lock_path))?;
    Ok(file)
}

fn suite(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new(report.profile.as_str());
    let mut case = TestCase::new(report.profile.as_str(), status(report));
    case.set_classname(CLASS)
        .set_assertions(report.checks.len());
    if let Some(started) = chrono_time(report.started) {
        suite.set_timestamp(started);
        case.set_timestamp(started);
    }
    if let Some(finished) = report.finished {
        let took = finished.duration_since(report.started);
        let took = Duration::try_from(took).unwrap_or_default();
        suite.set_time(took);
        case.set_time(took);
    }
    let mut output = table(&report.checks, Style::Plain);
    for entry in &report.not_applied {
        output.push_str(&format!(
            "not applied here: {}: {}\n",
            entry.field, entry.reason
        ));
    }
    for note in &report.notes {
        output.push_str(&format!("note: {note}\n"));
    }
    case.set_system_out(output);
    suite.add_properties(properties(report));
    suite.add_test_case(case);
    suite
}

fn status(report: &Report) -> TestCaseStatus {
    let failure = |kind: &str| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_type(kind)
            .set_message(failure_line(&report.checks))
            .set_description(failure_message(&report.checks));
        status
    };
    let error = |kind: &str, text: &str| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status
            .set_type(kind)
            .set_message(text.lines().next().unwrap_or_default())
            .set_description(text);
        status
    };
    match report.result() {
        CaseResult::Passed => TestCaseStatus::success(),
        CaseResult::Violated => failure("violated"),
        CaseResult::Unmeasured => failure("unmeasured"),
        CaseResult::Running => error("running", "the case has not ended"),
        CaseResult::Error(text) if report.state == State::Interrupted => {
            error("interrupted", &text)
        }
        CaseResult::Error(text) => error("error", &text),
    }
}

fn properties(report: &Report) -> Vec<Property> {
    let mut properties = vec![
        Property::new("profile", report.profile.as_str()),
        Property::new("target", report.target.to_string()),
        Property::new("run_id", report.run_id.as_str()),
        Property::new("invocation_id", report.invocation_id.as_str()),
        Property::new("seed", report.seed.to_string()),
    ];
    if report.built_in_trace_store {
        properties.push(Property::new("backend", "built-in trace store (not Tempo)"));
    }
    if let Some(window) = &report.window {
        properties.push(Property::new("window_start", window.start.to_string()));
        properties.push(Property::new("window_end", window.end.to_string()));
    }
    for component in &report.components {
        properties.push(Property::new(
            format!("version.{}", component.name),
            component.version.as_str(),
        ));
    }
    properties
}

/// quick-junit takes chrono's type.
fn chrono_time(at: Timestamp) -> Option<DateTime<FixedOffset>> {
    let nanoseconds = u32::try_from(at.subsec_nanosecond()).ok()?;
    DateTime::from_timestamp(at.as_second(), nanoseconds).map(|time| time.fixed_offset())
}
