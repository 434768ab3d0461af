//! The results directory and the files in it, as a run leaves them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use serde_json::json;
use tempo_perf::checks::{Bound, Check, Outcome, Source};
use tempo_perf::k6::Run;
use tempo_perf::machine::Machine;
use tempo_perf::plan::NotApplied;
use tempo_perf::report::{
    CaseResult, Component, OutputDir, Report, ReportError, SCHEMA_VERSION, Stage, State, Window,
    case_junit, rebuild_invocation_junit, write_atomically,
};
use tempo_perf::settings::Target;
use tempo_perf::settings::TestType;

fn check(name: &str, outcome: Outcome) -> Check {
    Check {
        name: name.into(),
        source: Source::Prometheus,
        expression: format!("{name}{{job=\"tempo\"}} < 1 & more"),
        observed: match outcome {
            Outcome::Passed => Some(0.5),
            Outcome::Violated => Some(1.5),
            Outcome::Unmeasured | Outcome::NotApplicable => None,
        },
        bound: Bound {
            min: None,
            max: Some(1.0),
            exclusive: false,
        },
        unit: "s".into(),
        outcome,
        reason: (outcome == Outcome::Unmeasured).then(|| "no series matches".into()),
        likely_cause: None,
    }
}

fn report(profile: &str, outcomes: &[Outcome]) -> Report {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    Report {
        schema_version: SCHEMA_VERSION,
        state: State::Final,
        profile: profile.into(),
        test_type: TestType::Combined,
        target: Target::Local,
        run_id: "r1".into(),
        seed: 42,
        invocation_id: "i1".into(),
        started: at("2026-11-23T06:00:00Z"),
        finished: Some(at("2026-11-23T06:05:12.5Z")),
        error: None,
        built_in_trace_store: true,
        plan: json!({"rate_bytes_per_second": 52428.8}),
        components: vec![Component {
            name: "k6".into(),
            version: "1.8.1".into(),
            origin: Some("cache".into()),
        }],
        machine: Machine {
            os: "linux".into(),
            arch: "x86_64".into(),
            cpus: Some(4),
            cpu_model: None,
            memory_bytes: Some(8_589_934_592),
            kernel: Some("6.12.0".into()),
            hostname: None,
        },
        window: Some(Window {
            start: at("2026-11-23T06:00:05Z"),
            end: at("2026-11-23T06:05:05Z"),
        }),
        load: json!({"spans_sent": 9883}),
        stages: vec![Stage {
            name: "load".into(),
            start_seconds: 2.5,
            duration_seconds: 300.0,
        }],
        checks: outcomes
            .iter()
            .enumerate()
            .map(|(index, outcome)| check(&format!("check_{index}"), *outcome))
            .collect(),
        not_applied: vec![NotApplied {
            field: "tempo.resources".into(),
            reason: "a local process has no limits".into(),
        }],
        notes: vec!["queries began after 5s".into()],
        files: vec![format!("{profile}-report.json")],
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_report_is_read_back_as_it_was_written() {
    let report = report("small", &[Outcome::Passed, Outcome::Unmeasured]);
    let text = serde_json::to_string_pretty(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    insta::assert_snapshot!(text);
}

#[test]
fn a_case_that_judged_nothing_is_an_error_and_violated_outweighs_unmeasured() {
    use Outcome::{NotApplicable, Passed, Unmeasured, Violated};
    let result = |outcomes: &[Outcome]| report("x", outcomes).result();
    assert_eq!(result(&[Passed, NotApplicable]), CaseResult::Passed);
    assert_eq!(
        result(&[Passed, Unmeasured, Violated]),
        CaseResult::Violated
    );
    assert_eq!(result(&[Passed, Unmeasured]), CaseResult::Unmeasured);
    assert!(matches!(result(&[]), CaseResult::Error(_)));
    assert!(matches!(result(&[NotApplicable]), CaseResult::Error(_)));
    let interrupted = Report {
        state: State::Interrupted,
        ..report("x", &[Passed])
    };
    assert!(matches!(interrupted.result(), CaseResult::Error(_)));
}

#[test]
fn junit_of_a_failed_case() {
    let failed = report(
        "small",
        &[Outcome::Violated, Outcome::Passed, Outcome::Unmeasured],
    );
    insta::assert_snapshot!(case_junit(&failed).to_string().unwrap());
}

#[test]
fn junit_of_an_interrupted_case() {
    let interrupted = Report {
        state: State::Interrupted,
        built_in_trace_store: false,
        window: None,
        finished: None,
        ..report("small", &[])
    };
    insta::assert_snapshot!(case_junit(&interrupted).to_string().unwrap());
}

#[test]
fn an_unwritable_directory_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    // The last one exists, and not even root can create files in it.
    for path in [file.clone(), file.join("below"), "/proc".into()] {
        let error = OutputDir::open(&path, "small").unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the output directory {} is not usable; choose another with --output",
                path.display()
            )
        );
    }
}

#[test]
fn a_second_run_of_a_profile_is_refused_and_told_by_whom() {
    let dir = tempfile::tempdir().unwrap();
    let first = OutputDir::open(dir.path(), "small").unwrap();
    fs::write(first.report(), "{}").unwrap();

    let error = OutputDir::open(dir.path(), "small").unwrap_err();
    assert!(matches!(error, ReportError::Busy { .. }), "{error}");
    let text = error.to_string();
    let holder = format!("process {}, since 20", std::process::id());
    assert!(text.starts_with(&holder), "{text}");
    assert!(text.contains("is running profile small into"), "{text}");
    assert!(first.report().exists(), "a refused run must move nothing");

    OutputDir::open(dir.path(), "small-x").expect("another profile may share the directory");
    drop(first);
    OutputDir::open(dir.path(), "small").expect("the directory is free again");
}

#[test]
fn earlier_files_move_aside_and_those_of_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let earlier = serde_json::to_string(&report("small", &[])).unwrap();
    write("small-report.json", &earlier);
    write("small-k6-query.log", "one");
    write("small-tempo.log", "two");
    for other in [
        "small-x-report.json",
        "small-x-tempo.log",
        "small-notes.txt",
    ] {
        write(other, "stays");
    }

    let output = OutputDir::open(dir.path(), "small").unwrap();
    let moved = dir.path().join("earlier/small-2026-11-23T06-00-00Z");
    assert_eq!(
        names(&moved),
        ["small-k6-query.log", "small-report.json", "small-tempo.log"]
    );
    assert_eq!(
        names(dir.path()),
        [
            ".small.lock",
            "earlier",
            "small-notes.txt",
            "small-x-report.json",
            "small-x-tempo.log"
        ]
    );
    drop(output);

    // The same time again must not overwrite what is there.
    write("small-report.json", &earlier);
    drop(OutputDir::open(dir.path(), "small").unwrap());
    assert_eq!(
        names(&dir.path().join("earlier")),
        ["small-2026-11-23T06-00-00Z", "small-2026-11-23T06-00-00Z-2"]
    );

    // A run that was killed early leaves no report with a time.
    write("small-report.json", "{");
    drop(OutputDir::open(dir.path(), "small").unwrap());
    assert!(!dir.path().join("small-report.json").exists());
    assert_eq!(names(&dir.path().join("earlier")).len(), 3);
}

#[test]
fn a_fresh_directory_is_created_and_nothing_moves() {
    let dir = tempfile::tempdir().unwrap();
    let output = OutputDir::open(&dir.path().join("a/b"), "small").unwrap();
    assert_eq!(names(output.path()), [".small.lock"]);
    output
        .write_report(&report("small", &[Outcome::Passed]))
        .unwrap();
    output
        .write_junit(&report("small", &[Outcome::Passed]))
        .unwrap();
    fs::write(output.k6_log(Run::Ingestion), "log").unwrap();
    assert_eq!(
        output.existing_files().unwrap(),
        [
            "small-junit.xml",
            "small-k6-ingestion.log",
            "small-report.json"
        ]
    );
}

/// A limit on the size of files stands in for a full disk, which needs root:
/// both fail in the middle of a write. In a process of its own, because the
/// limit and the ignored signal hold for all of it.
#[test]
fn a_full_disk_names_the_file_and_leaves_the_old_one() {
    const CHILD: &str = "REPORT_FILES_TEST_FULL_DISK";
    if std::env::var_os(CHILD).is_none() {
        // Over pipes: the limit would hold for a log that our output goes to.
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "report_files::a_full_disk_names_the_file_and_leaves_the_old_one",
            ])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success(), "{}: {told}", child.status);
        assert!(told.contains("1 passed"), "the child must run it: {told}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small-metrics.csv");
    fs::write(&path, "old").unwrap();
    // SAFETY: ignoring a signal runs no handler.
    #[expect(unsafe_code)]
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 65_536, 65_536).unwrap();

    let error = write_atomically(&path, |out| out.write_all(&[b'x'; 200_000])).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot write {}", path.display())
    );
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("File too large"), "{source}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(dir.path()), ["small-metrics.csv"]);
}

#[test]
fn results_can_be_read_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (ours, plain) = (dir.path().join("ours"), dir.path().join("plain"));
    write_atomically(&ours, |out| out.write_all(b"x")).unwrap();
    fs::write(&plain, "x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}

#[test]
fn the_file_of_an_invocation_is_rebuilt_from_its_ended_cases() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        report("small", &[Outcome::Passed]),
        Report {
            started: "2026-11-23T05:00:00Z".parse().unwrap(),
            ..report("large", &[Outcome::Violated])
        },
        Report {
            state: State::Running,
            ..report("medium", &[])
        },
        Report {
            invocation_id: "another".into(),
            ..report("xlarge", &[Outcome::Passed])
        },
    ];
    for case in &cases {
        let output = OutputDir::open(dir.path(), &case.profile).unwrap();
        output.write_report(case).unwrap();
    }
    fs::write(dir.path().join("broken-report.json"), "{").unwrap();
    fs::write(
        dir.path().join("future-report.json"),
        r#"{"schema_version":2}"#,
    )
    .unwrap();

    let path = dir.path().join("ci/junit.xml");
    // All at once, as nextest's processes may.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let built = rebuild_invocation_junit(&path, dir.path(), "i1").unwrap();
                assert_eq!(built.cases, ["large", "small"]);
                assert_eq!(built.running, ["medium"]);
                let mut unreadable: Vec<String> =
                    built.unreadable.iter().map(ToString::to_string).collect();
                unreadable.sort();
                let [broken, future] = unreadable.as_slice() else {
                    panic!("expected two unreadable reports, got {unreadable:?}");
                };
                assert!(broken.ends_with("broken-report.json is no report of this program"));
                assert!(future.ends_with("schema version 2, this program reads 1"));
            });
        }
    });
    let xml = fs::read_to_string(&path).unwrap();
    let junit = quick_junit::Report::deserialize_from_str(&xml).unwrap();
    assert_eq!((junit.tests, junit.failures, junit.errors), (2, 1, 0));
    assert_eq!(
        names(&dir.path().join("ci")),
        [".junit.xml.lock", "junit.xml"]
    );
}
