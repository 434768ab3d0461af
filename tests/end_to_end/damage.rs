//! Tools that crash, ports that are taken, directories that cannot be written.

use tempo_perf::tools::Tool;

use crate::real_tools::real;
use crate::support::built::perf;
use crate::support::front_door::{FrontDoor, Turn};
use crate::support::scratch::{Scratch, names_in};

/// A k6 that does `run` as the script `instead` says, and all else as k6 does.
fn broken_k6(scratch: &Scratch, instead: &str) -> std::path::PathBuf {
    let k6 = real(Tool::K6);
    let body = format!(
        "case \"$1\" in\nrun) {instead} ;;\n*) exec '{}' \"$@\" ;;\nesac",
        k6.display()
    );
    scratch.script("k6", &body)
}

#[test]
fn a_k6_that_ends_with_an_error_leaves_the_case_unmeasured() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let k6 = broken_k6(
        &scratch,
        "echo 'GoError: the script is broken' >&2; exit 107",
    );
    let finished = FrontDoor::new(&scratch, &["1x-demo"])
        .env("TEMPO_PERF_K6_BIN", &k6)
        .seconds(5)
        .run()
        .exits_with(101)
        .says(&[
            "exit code 107",
            "GoError: the script is broken",
            "unmeasured",
        ]);
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    report.is_in_state("final");
    assert_eq!(report.all("violated"), [""; 0], "nothing was measured");
    let check = report.check("bytes acknowledged");
    assert_eq!(check["outcome"], "unmeasured");
    let reason = check["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("GoError: the script is broken"), "{reason}");
    finished.leaves_evidence_of("1x-demo");
}

#[test]
fn a_k6_that_is_killed_leaves_the_case_unmeasured() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let k6 = broken_k6(&scratch, "echo 'last words'; kill -KILL $$");
    let finished = FrontDoor::new(&scratch, &["1x-demo", "--test-type=ingestion"])
        .env("TEMPO_PERF_K6_BIN", &k6)
        .seconds(5)
        .run()
        .exits_with(101)
        .says(&["k6 was ended by signal SIGKILL", "last words"]);
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    report.has("bytes acknowledged", "unmeasured");
    assert_eq!(report.all("violated"), [""; 0]);
}

#[test]
fn a_port_that_is_lost_is_replaced_and_the_case_passes() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let calls = scratch.path().join("calls");
    let body = format!(
        "case \"$1\" in --version) exec '{real}' \"$@\" ;; esac\n\
         echo \"$@\" >> '{calls}'\n\
         if [ \"$(wc -l < '{calls}')\" -eq 1 ]; then\n\
           echo 'listen tcp 127.0.0.1:1: bind: address already in use' >&2\n  exit 1\nfi\n\
         exec '{real}' \"$@\"",
        real = real(Tool::Prometheus).display(),
        calls = calls.display(),
    );
    let prometheus = scratch.script("prometheus", &body);
    let finished = FrontDoor::new(&scratch, &["1x-demo", "--test-type=ingestion"])
        .env("TEMPO_PERF_PROMETHEUS_BIN", &prometheus)
        .seconds(5)
        .run()
        .passes();
    scratch.assert_nothing_is_left();
    finished.report("1x-demo").is_in_state("final");
    let calls = std::fs::read_to_string(calls).expect("Prometheus was started");
    let addresses: Vec<&str> = calls
        .split_whitespace()
        .filter(|word| word.starts_with("--web.listen-address="))
        .collect();
    assert_eq!(addresses.len(), 2, "{calls}");
    assert_ne!(
        addresses[0], addresses[1],
        "the second try needs another port"
    );
}

#[test]
fn a_set_up_that_fails_says_why_and_leaves_nothing() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let body = format!(
        "case \"$1\" in --config) echo 'bad configuration' >&2; exit 3 ;; esac\nexec '{}' \"$@\"",
        real(Tool::Otelcol).display()
    );
    let collector = scratch.script("otelcol", &body);
    let finished = FrontDoor::new(&scratch, &["1x-demo"])
        .env("TEMPO_PERF_OTELCOL_BIN", &collector)
        .seconds(5)
        .run()
        .exits_with(101)
        .says(&[
            "OpenTelemetry Collector",
            "exit code 3",
            "bad configuration",
        ]);
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    report.is_in_state("final");
    let error = report.json["error"].as_str().unwrap_or_default();
    assert!(error.contains("bad configuration"), "{error}");
    finished.text("1x-demo-otelcol.log");
}

#[test]
fn an_output_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    std::fs::write(&file, "").expect("a file can be written");
    FrontDoor::new(&scratch, &["1x-demo"])
        .env("TEMPO_PERF_OUTPUT", file.join("results"))
        .seconds(5)
        .run()
        .exits_with(101)
        .says(&[
            &file.join("results").display().to_string(),
            "choose another with --output",
        ]);
    scratch.assert_nothing_is_left();
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_even_where_all_checks_pass() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let mut running = FrontDoor::new(&scratch, &["1x-demo", "--test-type=ingestion"])
        .seconds(5)
        .start();
    running.wait_for_load("1x-demo");
    let csv = running.output().join("1x-demo-metrics.csv");
    std::fs::create_dir(&csv).expect("a directory in the way");
    let finished = running
        .wait()
        .exits_with(101)
        .says(&[&format!("cannot write {}", csv.display())]);
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    report.is_in_state("final");
    report.has("traces missing", "passed");
    let error = report.json["error"].as_str().unwrap_or_default();
    assert!(error.contains("1x-demo-metrics.csv"), "{error}");
    let junit = finished.text("1x-demo-junit.xml");
    assert!(junit.contains("errors=\"1\""), "{junit}");
}

#[test]
#[ignore = "mounts a tmpfs: needs root, or user namespaces"]
fn a_full_output_directory_is_named_and_leaves_nothing() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let results = scratch.path().join("results");
    std::fs::create_dir(&results).expect("a directory can be made");
    // In a mount namespace of its own, which ends with the run: no mount is left,
    // whatever happens.
    let script = format!(
        "mount -t tmpfs -o size=16k tmpfs '{0}' && '{1}' 1x-demo --test-type=ingestion\n\
         code=$?\nls '{0}'\nexit $code",
        results.display(),
        perf().display(),
    );
    let root = nix::unistd::geteuid().is_root();
    let namespace: &[&str] = if root {
        &["--mount"]
    } else {
        &["--user", "--map-root-user", "--mount"]
    };
    let args = [namespace, &["sh", "-c", &script]].concat();
    FrontDoor::through(&scratch, "unshare", &args)
        .seconds(5)
        .run()
        .exits_with(101)
        .says(&["No space left on device", &results.display().to_string()])
        .never_says(&["panicked"]);
    scratch.assert_nothing_is_left();
    assert_eq!(names_in(&results), [""; 0], "the mount must be gone");
}
