//! What the load costs: k6's CPU seconds for each MB and its peak memory, with
//! a server in this process that discards what it gets. All slots are written
//! anew for every trace.
//!
//! `cargo bench --bench load_cost`; the k6 is that of the cases, and
//! `LOAD_COST_SECONDS` sets the length of each run. One row in seconds of one core: the machine should
//! have nothing else to do.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use tempo_perf::corpus::Corpus;
use tempo_perf::k6::Run;
use tempo_perf::k6::command::k6_command;
use tempo_perf::k6::load::{IngestionScenario, Load, planned_iterations, scenario_ms};
use tempo_perf::k6::solve::solve_ingestion;
use tempo_perf::k6::summary::Summary;
use tempo_perf::process::{Interrupt, Supervisor};
use tempo_perf::profile::TraceProfile;
use tempo_perf::settings::Settings;
use tempo_perf::tools::{Progress, Tool, Toolbox};
use tempo_perf::units::{BYTES_PER_MB, ByteRate};

struct Case {
    mb_per_second: f64,
    profile: TraceProfile,
    vus: u32,
}

const CASES: [Case; 4] = [
    Case {
        mb_per_second: 1.0,
        profile: TraceProfile::Large,
        vus: 10,
    },
    Case {
        mb_per_second: 5.0,
        profile: TraceProfile::Large,
        vus: 20,
    },
    Case {
        mb_per_second: 23.0,
        profile: TraceProfile::Large,
        vus: 50,
    },
    Case {
        mb_per_second: 23.0,
        profile: TraceProfile::Xlarge,
        vus: 200,
    },
];

const AIM_CPU_SECONDS_PER_MB: f64 = 0.02;
const AIM_MEMORY_MB: f64 = 400.0;

fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = match std::env::var("LOAD_COST_SECONDS") {
        Ok(text) => text.parse()?,
        Err(_) => 15,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let settings = Settings::from_args([OsString::from("load_cost")])?.settings;
    let supervisor = Supervisor::new(env!("CARGO_BIN_EXE_tempo-perf"), false);
    let toolbox = Toolbox::new(
        settings.tools,
        supervisor,
        Interrupt::install()?,
        Progress::stderr(),
    );
    let k6 = runtime
        .block_on(toolbox.resolve_all(&[Tool::K6]))?
        .remove(0);
    println!("k6 {} ({})", k6.version, k6.path.display());
    let url = runtime.block_on(start_sink())?;

    println!("    MB/s  traces   VUs  per request   reached   CPU-s/MB   peak MB  dropped  p99 ms");
    for case in CASES {
        let dir = tempfile::tempdir()?;
        let row = measure(&k6.path, dir.path(), &url, &case, seconds * 1000)?;
        println!("{row}");
    }
    println!("aims: {AIM_CPU_SECONDS_PER_MB} CPU-s/MB at 23 MB/s, {AIM_MEMORY_MB} MB at 200 VUs");
    Ok(())
}

async fn start_sink() -> std::io::Result<String> {
    let app = Router::new()
        .route("/v1/traces", post(|_: Bytes| async { [0x0a_u8, 0] }))
        .layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}/v1/traces"))
}

fn measure(
    k6: &Path,
    dir: &Path,
    url: &str,
    case: &Case,
    duration_ms: u64,
) -> Result<String, Box<dyn Error>> {
    let corpus = Corpus::generate(case.profile, 1);
    corpus.write_to(dir)?;
    let solved = solve_ingestion(
        &corpus,
        ByteRate::from_mb_per_second(case.mb_per_second),
        None,
    );
    let rate = solved.requests.per_thousand_seconds();
    let mut load = Load {
        title: "load cost".to_owned(),
        corpus_dir: dir.to_owned(),
        trace_profile: case.profile,
        seed: 1,
        run: 1,
        start_at_unix_ms: None,
        duration_ms,
        scenario_ms: scenario_ms(duration_ms),
        graceful_stop_ms: 10_000,
        ingestion: Some(IngestionScenario {
            url: url.parse()?,
            rate_per_1000s: rate,
            requests: planned_iterations(rate, duration_ms),
            traces_per_request: solved.traces_per_request,
            max_request_bytes: corpus.max_request_bytes(solved.traces_per_request),
            warmup_requests: 0,
            pre_allocated_vus: case.vus,
            max_vus: case.vus,
            timeout_ms: 10_000,
            log_limit_per_vu: 5,
        }),
        query: None,
        readback: None,
        thresholds: BTreeMap::new(),
        summary_path: dir.join("summary.json"),
        headers: BTreeMap::new(),
        bearer_token_file: None,
    };
    load.list_metrics();
    let file = dir.join("load.json");
    std::fs::write(&file, serde_json::to_vec(&load)?)?;

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("k6/ingestion-test.js");
    let command = k6_command(&script, &file, Run::Ingestion, None);
    let log = std::fs::File::create(dir.join("k6.log"))?;
    let cpu_before = cpu_of_children()?;
    let mut child = Command::new(k6)
        .args(&command.args)
        .envs(command.env)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // Gone between the two lines: the last value is the peak.
        peak_kib = peak_memory_kib(child.id())
            .unwrap_or(peak_kib)
            .max(peak_kib);
        std::thread::sleep(Duration::from_millis(100));
    };
    let cpu = cpu_of_children()? - cpu_before;
    if !status.success() {
        let log = std::fs::read_to_string(dir.join("k6.log"))?;
        return Err(format!("k6 ended with {status}:\n{log}").into());
    }

    let summary = Summary::parse(&std::fs::read_to_string(&load.summary_path)?)?;
    let bytes = summary.counter("acknowledged_bytes")?.count;
    let megabytes = bytes / BYTES_PER_MB as f64;
    let planned = planned_iterations(rate, duration_ms) * u64::from(solved.traces_per_request);
    Ok(format!(
        "{:8.1}  {:6}  {:4}  {:11}  {:7.2} %  {:9.4}  {:8.0}  {:7}  {:6.1}",
        case.mb_per_second,
        case.profile.name(),
        case.vus,
        solved.traces_per_request,
        100.0 * bytes / corpus.bytes_of(0..planned) as f64,
        cpu / megabytes,
        peak_kib as f64 / 1024.0,
        summary.counter("dropped_iterations")?.count,
        summary.trends["http_req_duration{op:push}"].p99,
    ))
}

/// User and system time of all children that have ended, in seconds.
fn cpu_of_children() -> nix::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds =
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(microseconds as f64 / 1e6)
}

fn peak_memory_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
