//! The scripts in a real k6, against a server in this process. Each test takes
//! a few seconds and listens on 127.0.0.1 only.

mod ingestion;
mod queries;
mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use tempo_perf::corpus::Corpus;
use tempo_perf::k6::Run;
use tempo_perf::k6::command::k6_command;
use tempo_perf::k6::load::{IngestionScenario, Load, planned_iterations, scenario_ms};
use tempo_perf::k6::log::{self, K6Log};
use tempo_perf::k6::summary::Summary;
use tempo_perf::profile::TraceProfile;
use tempo_perf::tools::Tool;

use crate::real_tools::real;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const RUN: u32 = 77;
const SEED: u32 = 5;

/// The k6 of the cases, got if need be.
fn k6_binary() -> &'static Path {
    static K6: OnceLock<PathBuf> = OnceLock::new();
    K6.get_or_init(|| real(Tool::K6))
}

struct Outcome {
    code: Option<i32>,
    log: K6Log,
    text: String,
    summary: Summary,
}

async fn run(script: &str, mut load: Load) -> Outcome {
    load.list_metrics();
    let file = load.summary_path.with_extension("load");
    std::fs::write(&file, serde_json::to_string(&load).expect("plain values")).expect("writable");
    let command = k6_command(
        &Path::new(ROOT).join("k6").join(script),
        &file,
        Run::Ingestion,
        None,
    );
    let output = tokio::process::Command::new(k6_binary())
        .args(&command.args)
        .envs(command.env)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("k6 must start");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let summary = std::fs::read_to_string(&load.summary_path)
        .unwrap_or_else(|error| panic!("{error}: {text}"));
    Outcome {
        code: output.status.code(),
        log: log::parse(&text),
        summary: Summary::parse(&summary).unwrap_or_else(|error| panic!("{error:#}: {text}")),
        text,
    }
}

fn load(dir: &Path, profile: TraceProfile, duration_ms: u64) -> Load {
    Load {
        title: "test".to_owned(),
        corpus_dir: dir.to_owned(),
        trace_profile: profile,
        seed: SEED,
        run: RUN,
        start_at_unix_ms: None,
        duration_ms,
        scenario_ms: scenario_ms(duration_ms),
        graceful_stop_ms: 10_000,
        ingestion: None,
        query: None,
        readback: None,
        thresholds: BTreeMap::from([("iteration_exceptions".into(), vec!["count==0".into()])]),
        summary_path: dir.join("summary.json"),
        headers: BTreeMap::from([("X-Scope-OrgID".into(), "t".into())]),
        bearer_token_file: None,
    }
}

fn ingestion(corpus: &Corpus, base: &str, duration_ms: u64, traces: u32) -> IngestionScenario {
    IngestionScenario {
        url: format!("{base}/v1/traces").parse().expect("a URL"),
        rate_per_1000s: 20_000,
        requests: planned_iterations(20_000, duration_ms),
        traces_per_request: traces,
        max_request_bytes: corpus.max_request_bytes(traces),
        warmup_requests: 0,
        pre_allocated_vus: 2,
        max_vus: 2,
        timeout_ms: 5000,
        log_limit_per_vu: 3,
    }
}
