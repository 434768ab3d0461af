//! Proxies, few open files, other runs beside this one, a Tempo that exists.

use std::io::BufRead;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::built::{TEMPO_PERF, perf};
use crate::support::front_door::{FrontDoor, Turn};
use crate::support::proc::is_running;
use crate::support::scratch::Scratch;

const STOP_LIMIT: Duration = Duration::from_secs(45);

#[test]
fn dead_proxies_and_few_open_files_do_not_matter_to_a_local_run() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let script = format!("ulimit -n 256; exec '{}' 1x-demo", perf().display());
    let dead = "http://127.0.0.1:1";
    let mut door = FrontDoor::through(&scratch, "sh", &["-c", &script]).seconds(6);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        door = door.env(name, dead).env(&name.to_lowercase(), dead);
    }
    let finished = door.env("NO_PROXY", "").env("no_proxy", "").run().passes();
    scratch.assert_nothing_is_left();
    finished.report("1x-demo").is_in_state("final");
}

#[test]
fn two_runs_at_once_do_not_meet_and_a_third_into_the_same_directory_is_refused() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let door = |output: &str| {
        FrontDoor::new(&scratch, &["1x-demo"])
            .output(output)
            .seconds(6)
    };
    let mut first = door("first").start();
    let second = door("second").start();
    first.wait_for_load("1x-demo");
    let holder = format!("process {}, since ", first.pid());
    door("first").log_as("third").run().exits_with(101).says(&[
        &holder,
        "is running profile 1x-demo into",
        "choose another directory",
    ]);
    // The refused one must not have touched what the first one writes.
    assert!(first.output().join("1x-demo-k6-ingestion.log").is_file());
    assert!(!first.output().join("earlier").exists());
    for running in [first, second] {
        // On a busy machine one may slow the other down; never more than that.
        let finished = running.wait().never_says(&[
            "address already in use",
            "panicked",
            "ended during the run",
        ]);
        let code = finished.status.code();
        assert!(matches!(code, Some(0 | 101)), "{finished:#?}");
        let report = finished.report("1x-demo");
        report.is_in_state("final");
        report.has("spans lost before Tempo", "passed");
        report.has("traces missing", "passed");
        report.has("traces altered", "passed");
    }
    scratch.assert_nothing_is_left();
}

#[test]
fn skip_cleanup_leaves_tempo_reachable_and_says_how_to_stop_it() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let finished = FrontDoor::new(
        &scratch,
        &["1x-demo", "--test-type=ingestion", "--skip-cleanup"],
    )
    .seconds(5)
    .run()
    .passes()
    .says(&["left running:", "to stop and remove it: "]);
    let said = |label: &str| {
        let line = finished
            .stderr
            .lines()
            .find(|line| line.trim().starts_with(label));
        let line = line.unwrap_or_else(|| panic!("{label} must be shown:\n{}", finished.stderr));
        line.trim().trim_start_matches(label).trim().to_owned()
    };
    for (label, path, expected) in [
        ("Tempo's API", "/api/echo", "echo"),
        ("Tempo's API", "/api/search/tags", "service.name"),
        ("Prometheus", "/-/ready", "Ready"),
    ] {
        let base = said(label);
        let url = format!("{base}{path}");
        let body = get(&url);
        assert!(body.contains(expected), "{url} answers: {body}");
    }
    let left = scratch.processes();
    assert_eq!(left.len(), 3, "store, collector and Prometheus: {left:#?}");
    let stopped = Command::new("sh")
        .args(["-c", &said("to stop and remove it:")])
        .output()
        .expect("a shell can be started");
    assert!(stopped.status.success(), "{stopped:?}");
    scratch.assert_nothing_is_left_within(STOP_LIMIT);
}

/// A store started by hand: a Tempo that exists already.
struct Store {
    process: std::process::Child,
    http: String,
    otlp: String,
}

impl Store {
    fn start() -> Self {
        let mut process = Command::new(TEMPO_PERF)
            .arg("trace-store")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("the store can be started");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it was piped");
        std::io::BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the store tells its addresses");
        let told: serde_json::Value = serde_json::from_str(&line).expect("as JSON");
        let url = |key: &str| format!("http://{}", told[key].as_str().expect("an address"));
        Self {
            http: url("http"),
            otlp: url("otlp_http"),
            process,
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_tempo_that_exists_is_measured_and_stays() {
    let _turn = Turn::wait();
    let scratch = Scratch::new();
    let store = Store::start();
    let finished = FrontDoor::new(&scratch, &["1x-demo"])
        .env("TEMPO_ENDPOINT", &store.otlp)
        .env("TEMPO_QUERY_ENDPOINT", &store.http)
        .seconds(8)
        .run()
        .passes();
    scratch.assert_nothing_is_left();
    let report = finished.report("1x-demo");
    report.is_in_state("final");
    assert_eq!(report.json["target"], "endpoint");
    assert_eq!(report.json["built_in_trace_store"], true);
    for check in [
        "bytes acknowledged",
        "queries done",
        "spans lost before Tempo",
        "traces missing",
    ] {
        report.has(check, "passed");
    }
    // Its data is not old enough to be searched before the load ends.
    report.has("searches that found traces", "not_applicable");
    finished.leaves_evidence_of("1x-demo");
    assert!(
        is_running(store.process.id() as i32),
        "it is not ours to stop"
    );
    assert!(get(&format!("{}/api/echo", store.http)).contains("echo"));
    drop(store);
}

#[test]
fn an_endpoint_that_does_not_answer_is_named_before_any_load() {
    let scratch = Scratch::new();
    FrontDoor::new(&scratch, &["1x-demo"])
        .env("TEMPO_ENDPOINT", "http://127.0.0.1:1")
        .env("TEMPO_QUERY_ENDPOINT", "http://127.0.0.1:1")
        .seconds(5)
        .run()
        .exits_with(101)
        .says(&["TEMPO_QUERY_ENDPOINT: http://127.0.0.1:1/api/echo does not answer as Tempo does"]);
    scratch.assert_nothing_is_left();
}

fn get(url: &str) -> String {
    let url = url.parse().expect("a URL");
    let client = tempo_perf::metrics::http_client(&url).expect("a client");
    let answer = async {
        let answer = client
            .get(url)
            .send()
            .await
            .map_err(|err| format!("{err:?}"))?;
        answer.text().await.map_err(|err| format!("{err:?}"))
    };
    tokio::runtime::Runtime::new()
        .expect("a runtime can be made")
        .block_on(answer)
        .unwrap_or_else(|err| err)
}
