//! Where tools come from, and which Tempo.

use rstest::rstest;

use super::{parse, refused};

#[rstest]
#[case::release("2.10.8", Some("2.10.8"))]
#[case::as_the_tag("v3.0.3", Some("3.0.3"))]
#[case::candidate("3.1.0-rc.0", Some("3.1.0-rc.0"))]
#[case::two_numbers("3.0", None)]
#[case::four_numbers("3.0.0.1", None)]
#[case::word("latest", None)]
#[case::empty_suffix("3.0.3-", None)]
#[case::path("3.0.3-a/../../x", None)]
#[case::nothing("v", None)]
fn versions_of_tempo(#[case] given: &str, #[case] expected: Option<&str>) {
    let version = parse(&format!("--tempo-version={given}"), "")
        .ok()
        .and_then(|invocation| invocation.settings.tools.tempo_version);
    assert_eq!(version.as_deref(), expected);
}

#[test]
fn what_is_wrong_with_settings_of_tools_is_told() {
    let messages = [
        refused("--tools=dowload", ""),
        refused("--tempo-version=latest", ""),
        refused("", "TEMPO_PERF_K6_RELEASES=github.com/grafana/k6"),
        refused("--tempo-version=3.0.3", "TEMPO_PERF_TEMPO_BIN=/bin/tempo"),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r#"
    --tools: found "dowload"; expected download (known are auto, download, build)
    --tempo-version: found "latest"; expected a release of Grafana Tempo, for example 2.10.8 or 3.0.3
    TEMPO_PERF_K6_RELEASES: found "github.com/grafana/k6"; expected an http:// or https:// URL with v1.2.3/FILE below it, as on a release page
    --tempo-version: found "3.0.3"; expected no version, as TEMPO_PERF_TEMPO_BIN names a Tempo already
    "#);
}
