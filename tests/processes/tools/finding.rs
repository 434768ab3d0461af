//! Finding tools that are there: by a variable, in the cache or on PATH.

use std::fs;

use tempo_perf::error_chain::chain;
use tempo_perf::tools::{Origin, Tool, ToolStatus};

use super::machine::{Machine, get};

#[tokio::test]
async fn a_tool_on_path_is_used_if_its_version_fits() {
    let machine = Machine::new();
    let path = machine.write_program("bin/k6", "#!/bin/sh\necho 'k6 v2.2.0 (go1.26.8)'\n");
    let found = get(&machine.toolbox(), Tool::K6).await.unwrap();
    assert_eq!(
        (found.origin, found.version.as_str()),
        (Origin::Path, "2.2.0")
    );
    assert_eq!(found.path, path);
}

#[tokio::test]
async fn what_does_not_fit_on_path_is_passed_over_with_the_reason() {
    let machine = Machine::with_go("/bin/cp $product $out");
    machine.write_program("bin/k6", "#!/bin/sh\necho 'k6 v0.49.0 (go1.21)'\n");
    machine.write_program(
        "bin/prometheus",
        "#!/bin/sh\necho 'prometheus, version  (branch: )'\n",
    );
    machine.write_program(
        "bin/otelcol-contrib",
        "#!/bin/sh\n[ $1 = --version ] && echo 'otelcol-contrib version 0.130.0' || echo receivers:\n",
    );
    let mut reasons = Vec::new();
    for status in machine.toolbox().look_all(&Tool::ALL).await.unwrap() {
        let ToolStatus::Missing(missing) = status else {
            panic!("{status:?} must not be used");
        };
        reasons.extend(
            missing
                .passed_over
                .into_iter()
                .map(|passed| machine.plain(&passed.reason)),
        );
    }
    assert_eq!(
        reasons,
        [
            "[dir]/bin/k6 is k6 0.49.0; needed is 1.8.0 or later",
            "[dir]/bin/otelcol-contrib has no otlp receiver",
            "[dir]/bin/prometheus does not say its version",
        ]
    );
    let built = get(&machine.toolbox(), Tool::K6).await.unwrap();
    assert_eq!(built.origin, Origin::Built);
    let shown = machine.plain(&machine.shown());
    assert!(
        shown.starts_with("not used: [dir]/bin/k6 is k6 0.49.0;"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_bad_variable_is_an_error_that_names_it() {
    let machine = Machine::with_go("/bin/cp $product $out");
    let plain_file = machine.path("notes.txt");
    fs::write(&plain_file, "k6").unwrap();
    let old = machine.write_program("old-k6", "#!/bin/sh\necho 'k6 v1.7.9 (go1.24)'\n");
    let stranger = machine.write_program("stranger", "#!/bin/sh\necho 'hello, world'\n");
    let mut messages = Vec::new();
    for path in [machine.path("nowhere"), plain_file, old, stranger] {
        let toolbox = machine.toolbox_with(|settings| settings.k6 = Some(path));
        let error = get(&toolbox, Tool::K6).await.unwrap_err();
        messages.push(machine.plain(&chain(&error)));
    }
    insta::assert_snapshot!(messages.join("\n"), @r#"
    TEMPO_PERF_K6_BIN does not name a binary that can be used: [dir]/nowhere does not exist
    TEMPO_PERF_K6_BIN does not name a binary that can be used: [dir]/notes.txt is not an executable file
    TEMPO_PERF_K6_BIN does not name a binary that can be used: [dir]/old-k6 is k6 1.7.9; needed is 1.8.0 or later
    TEMPO_PERF_K6_BIN does not name a binary that can be used: [dir]/stranger is not k6: version answers "hello, world"
    "#);
    assert_eq!(machine.builds(), 0);
}

#[tokio::test]
async fn a_chosen_prometheus_without_a_version_is_asked_for_its_flags() {
    let machine = Machine::new();
    for (help, expected) in [
        ("--[no-]web.enable-remote-write-receiver", Some("unknown")),
        ("--web.enable-lifecycle", None),
    ] {
        let script = format!(
            "#!/bin/sh\n[ $1 = --version ] && echo 'prometheus, version  (branch: )' || echo '{help}'\n"
        );
        let path = machine.write_program("mine", &script);
        let toolbox = machine.toolbox_with(|settings| settings.prometheus = Some(path));
        let found = get(&toolbox, Tool::Prometheus).await;
        let version = found.as_ref().ok().map(|tool| tool.version.as_str());
        assert_eq!(version, expected, "{found:?}");
    }
}

#[tokio::test]
async fn tempo_is_taken_from_path_if_it_is_grafanas() {
    let machine = Machine::new();
    assert_eq!(machine.toolbox().find_tempo().await.unwrap(), None);
    machine.write_program("bin/tempo", "#!/bin/sh\necho 'Tempo, a metronome'\n");
    assert_eq!(machine.toolbox().find_tempo().await.unwrap(), None);
    assert!(machine.shown().contains("is not Grafana Tempo"));
    machine.write_program(
        "bin/tempo",
        "#!/bin/sh\necho 'tempo, version  (branch: )'\n",
    );
    let tempo = machine.toolbox().find_tempo().await.unwrap().unwrap();
    assert_eq!((tempo.origin, tempo.major()), (Origin::Path, None));
    let chosen = machine.write_program("mine", "#!/bin/sh\necho 'tempo, version v3.0.3 (x)'\n");
    let toolbox = machine.toolbox_with(|settings| settings.tempo = Some(chosen));
    let tempo = toolbox.find_tempo().await.unwrap().unwrap();
    assert_eq!((tempo.origin, tempo.major()), (Origin::Variable, Some(3)));
}

/// T3: k6 writes native histograms, which older ones refuse.
#[tokio::test]
async fn a_prometheus_without_native_histograms_is_not_used() {
    let old = |version: &str| format!("#!/bin/sh\necho 'prometheus, version {version} (x)'\n");
    let machine = Machine::with_go("/bin/cp $product $out");
    machine.write_program("bin/prometheus", &old("3.8.1"));
    let built = get(&machine.toolbox(), Tool::Prometheus).await.unwrap();
    assert_eq!(built.origin, Origin::Built);
    let shown = machine.plain(&machine.shown());
    let line = "not used: [dir]/bin/prometheus is Prometheus 3.8.1; needed is 3.9.0 or later\n";
    assert!(shown.starts_with(line), "{shown}");

    let chosen = machine.write_program("mine", &old("3.8.1"));
    let toolbox = machine.toolbox_with(|settings| settings.prometheus = Some(chosen));
    let error = get(&toolbox, Tool::Prometheus).await.unwrap_err();
    insta::assert_snapshot!(machine.plain(&chain(&error)), @"TEMPO_PERF_PROMETHEUS_BIN does not name a binary that can be used: [dir]/mine is Prometheus 3.8.1; needed is 3.9.0 or later");

    let machine = Machine::new();
    machine.write_program("bin/prometheus", &old("3.9.0"));
    let found = get(&machine.toolbox(), Tool::Prometheus).await.unwrap();
    assert_eq!(found.origin, Origin::Path);
}

/// T6.
#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let machine = Machine::new();
    let nowhere = machine.path("nowhere");
    let toolbox = machine.toolbox_with(|settings| {
        settings.k6 = Some(nowhere.clone());
        settings.tempo = Some(nowhere);
    });
    let error = toolbox.resolve_local().await.unwrap_err();
    insta::assert_snapshot!(machine.plain(&chain(&error)), @"
    TEMPO_PERF_K6_BIN does not name a binary that can be used: [dir]/nowhere does not exist
    OpenTelemetry Collector is not there, and without Go it cannot be built; install Go 1.26.0 or later, or take a binary of 0.120.0 or later from https://github.com/open-telemetry/opentelemetry-collector-releases/releases and set TEMPO_PERF_OTELCOL_BIN
    Prometheus is not there, and without Go it cannot be built; install Go 1.26.0 or later, or take a binary of 3.9.0 or later from https://github.com/prometheus/prometheus/releases and set TEMPO_PERF_PROMETHEUS_BIN
    TEMPO_PERF_TEMPO_BIN does not name a binary that can be used: [dir]/nowhere does not exist
    ");
}

/// T1: as after a power cut.
#[tokio::test]
async fn a_build_that_was_damaged_in_the_cache_is_made_again() {
    let machine = Machine::with_go("/bin/cp $product $out");
    let first = get(&machine.toolbox(), Tool::K6).await.unwrap();
    fs::write(&first.path, "").unwrap();
    let second = get(&machine.toolbox(), Tool::K6).await.unwrap();
    assert_eq!((second.origin, second.path), (Origin::Built, first.path));
    assert_eq!(machine.builds(), 2);
    let shown = machine.shown();
    assert!(
        shown.contains("/k6 is not what was kept there: its SHA-256 is another\nbuilding k6"),
        "{shown}"
    );
    let third = get(&machine.toolbox(), Tool::K6).await.unwrap();
    assert_eq!(third.origin, Origin::Cache);
}
