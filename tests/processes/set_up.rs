//! What a set-up that goes wrong tells whoever waits for it.
//! Touches: starts processes of its own, and writes to temporary directories.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;

use tempo_perf::environment::local::{Backend, LocalEnvironment};
use tempo_perf::environment::{Environment, EnvironmentError, Part, StageLog};
use tempo_perf::framework::Framework;
use tempo_perf::plan;
use tempo_perf::process::{Interrupt, Supervisor};
use tempo_perf::profile::{self, Variant};
use tempo_perf::settings::{Settings, Target, ToolSettings};
use tempo_perf::tools::{Origin, ResolvedTool, Tool};
use tracing_test::traced_test;

use crate::tools::machine::{Machine, PRODUCT};

const TEMPO_PERF: &str = env!("CARGO_BIN_EXE_tempo-perf");

/// Other ports are chosen, which takes a while and may end in an error: the
/// reader is told of each attempt and why.
#[tokio::test]
#[traced_test]
async fn a_set_up_on_other_ports_is_told() {
    let machine = Machine::new();
    let words = "echo 'listen tcp 127.0.0.1:1: bind: address already in use' >&2; exit 1";
    let program = machine.write_program("program", &format!("#!/bin/sh\n{words}\n"));
    let tool = |tool| ResolvedTool {
        tool,
        path: program.clone(),
        version: "1".to_owned(),
        origin: Origin::Variable,
        passed_over: Vec::new(),
    };
    let backend = Backend::TraceStore {
        path: program.clone(),
        memory_bytes: 1 << 20,
        faults: Vec::new(),
    };
    let settings = Settings {
        pod_ready_timeout: Duration::from_secs(20),
        ..Settings::default()
    };
    let profile = profile::load(Path::new("profiles/small.yaml")).unwrap();
    let plan = plan::plan(&profile, &settings, Target::Local, 2, &[], 1).unwrap();
    let tools = Tool::ALL.map(tool).into();
    let supervisor = Supervisor::new(TEMPO_PERF, false);
    let mut environment =
        LocalEnvironment::new(&plan, backend, tools, supervisor, Interrupt::manual()).unwrap();
    let stages = StageLog::default();
    let error = environment
        .set_up(&plan, &Part::ALL, &stages)
        .await
        .unwrap_err();
    assert!(
        matches!(error, EnvironmentError::PortLost { .. }),
        "{error}"
    );
    logs_assert(|lines| {
        let told =
            |line: &&&str| line.contains("WARN") && line.contains("lost its port, trying others");
        match lines.iter().filter(told).count() {
            2 => Ok(()),
            other => Err(format!("two of three attempts are followed: {other}")),
        }
    });
    environment.tear_down(&stages).await.unwrap();
}

/// As when the future of a test is given up: nothing has called `cleanup`.
#[tokio::test]
#[traced_test]
async fn a_framework_that_is_dropped_without_cleanup_says_so() {
    let machine = Machine::new();
    let k6 = machine.write_program("k6", PRODUCT);
    // Never ready: it listens nowhere.
    let prometheus = machine.write_program(
        "prometheus",
        "#!/bin/sh\n\
         [ \"$1\" = --version ] && { echo 'prometheus, version 3.13.5'; exit; }\n\
         touch \"$0.started\"\n\
         exec sleep 600\n",
    );
    let started = prometheus.with_file_name("prometheus.started");
    let settings = Settings {
        tools: ToolSettings {
            k6: Some(k6),
            prometheus: Some(prometheus),
            ..ToolSettings::default()
        },
        ..Settings::default()
    };
    let mut framework = Framework::builder("a-test")
        .program(TEMPO_PERF)
        .settings(settings)
        .endpoint(Some("http://127.0.0.1:1".parse().unwrap()), None)
        .build()
        .unwrap();
    let has_started = async {
        while !started.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        done = framework.setup_tempo(Variant::Monolithic, None) => panic!("it hangs: {done:?}"),
        () = has_started => {}
    }
    assert!(!logs_contain("dropped without"));
    drop(framework);
    assert!(logs_contain("a-test: dropped without cleanup()"));
}
