//! Every flag and its variable, what beats what, and what is refused.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rstest::rstest;
use tempo_perf::profile::TraceProfile;
use tempo_perf::settings::{Settings, SettingsError, TargetChoice, TestType};
use tempo_perf::units::{ByteRate, EventRate};

use super::{parse, refused, settings};

#[test]
fn nothing_said_gives_the_defaults() {
    let expected = format!(
        "{:?}",
        Settings {
            tools: tempo_perf::settings::ToolSettings {
                cache: "/home/user/.cache/tempo-perf/tools".into(),
                ..Default::default()
            },
            ..Settings::default()
        }
    );
    assert_eq!(format!("{:?}", settings("", "")), expected);
    assert_eq!(parse("", "").unwrap().libtest.test_threads, Some(1));
}

#[test]
fn every_flag_works() {
    let settings = settings(
        "--profiles=a,b --profiles-dir=p --output=o --test-type=query --dry-run --skip-cleanup \
         --check-metrics --collect-logs=false --validate-profiles --junit=j.xml --target=local \
         --duration 10m --size small --mb-per-second 1.5 --queries-per-second 0.5 --vus-min 2 \
         --vus-max 3 --trace-profile xlarge --seed 7 --job-timeout 1h --pod-ready-timeout 1m \
         --cr-deletion-timeout 2m --max-concurrent-queries 9 --k6-bin k --otelcol-bin c \
         --prometheus-bin q --tempo-bin t --tools-dir d --tempo-endpoint http://h:4318 \
         --tempo-query-endpoint https://h:3200/tempo",
        "",
    );
    assert_eq!(settings.profiles, ["a", "b"]);
    assert_eq!(settings.profiles_dir, Path::new("p"));
    assert_eq!(settings.output, Path::new("o"));
    assert_eq!(settings.test_type, TestType::Query);
    assert!(
        settings.dry_run
            && settings.skip_cleanup
            && settings.check_metrics
            && settings.validate_profiles
    );
    assert!(!settings.collect_logs);
    assert_eq!(settings.junit, Some(PathBuf::from("j.xml")));
    assert_eq!(settings.target, TargetChoice::Local);
    assert_eq!(settings.duration, Some(Duration::from_secs(600)));
    assert_eq!(settings.size.as_deref(), Some("small"));
    assert_eq!(
        settings.mb_per_second,
        Some(ByteRate::from_mb_per_second(1.5))
    );
    assert_eq!(
        settings.queries_per_second,
        Some(EventRate::per_second(0.5))
    );
    assert_eq!((settings.vus_min, settings.vus_max), (Some(2), Some(3)));
    assert_eq!(settings.trace_profile, Some(TraceProfile::Xlarge));
    assert_eq!(settings.seed, 7);
    assert_eq!(settings.job_timeout, Some(Duration::from_secs(3600)));
    assert_eq!(settings.pod_ready_timeout, Duration::from_secs(60));
    assert_eq!(settings.cr_deletion_timeout, Duration::from_secs(120));
    assert_eq!(settings.max_concurrent_queries, 9);
    let tools = &settings.tools;
    assert_eq!(tools.cache, Path::new("d"));
    let given = [&tools.k6, &tools.otelcol, &tools.prometheus, &tools.tempo];
    assert_eq!(
        given.map(|path| path.as_deref().unwrap().to_str().unwrap()),
        ["k", "c", "q", "t"]
    );
    assert_eq!(settings.tempo_endpoint.unwrap().as_str(), "http://h:4318/");
    assert_eq!(
        settings.tempo_query_endpoint.unwrap().as_str(),
        "https://h:3200/tempo"
    );
}

#[rstest]
#[case::profiles("TEMPO_PERF_PROFILES=a,b", "--profiles=a,b")]
#[case::profiles_dir("TEMPO_PERF_PROFILES_DIR=p", "--profiles-dir=p")]
#[case::output("TEMPO_PERF_OUTPUT=o", "--output=o")]
#[case::test_type("TEMPO_PERF_TEST_TYPE=ingestion", "--test-type=ingestion")]
#[case::dry_run("TEMPO_PERF_DRY_RUN=1", "--dry-run")]
#[case::skip_cleanup("TEMPO_PERF_SKIP_CLEANUP=true", "--skip-cleanup=1")]
#[case::check_metrics("TEMPO_PERF_CHECK_METRICS=true", "--check-metrics=true")]
#[case::collect_logs("TEMPO_PERF_COLLECT_LOGS=0", "--collect-logs=false")]
#[case::validate("TEMPO_PERF_VALIDATE_PROFILES=1", "--validate-profiles")]
#[case::junit("TEMPO_PERF_JUNIT=j", "--junit=j")]
#[case::target("TEMPO_PERF_TARGET=kubernetes", "--target=kubernetes")]
#[case::duration("DURATION=30m", "--duration=30m")]
#[case::size("SIZE=small", "--size=small")]
#[case::rate("MB_PER_SECOND=2", "--mb-per-second=2")]
#[case::queries("QUERIES_PER_SECOND=2", "--queries-per-second=2")]
#[case::vus("VUS_MIN=2 VUS_MAX=4", "--vus-min=2 --vus-max=4")]
#[case::trace_profile("TRACE_PROFILE=large", "--trace-profile=large")]
#[case::endpoint("TEMPO_ENDPOINT=http://h", "--tempo-endpoint=http://h")]
#[case::query_endpoint("TEMPO_QUERY_ENDPOINT=http://h", "--tempo-query-endpoint=http://h")]
#[case::job_timeout("TEMPO_PERF_JOB_TIMEOUT=1h", "--job-timeout=1h")]
#[case::pod_timeout("TEMPO_PERF_POD_READY_TIMEOUT=1h", "--pod-ready-timeout=1h")]
#[case::cr_timeout("TEMPO_PERF_CR_DELETION_TIMEOUT=1h", "--cr-deletion-timeout=1h")]
#[case::concurrency("TEMPO_PERF_MAX_CONCURRENT_QUERIES=1", "--max-concurrent-queries=1")]
#[case::seed("TEMPO_PERF_SEED=0", "--seed=0")]
#[case::k6("TEMPO_PERF_K6_BIN=x", "--k6-bin=x")]
#[case::otelcol("TEMPO_PERF_OTELCOL_BIN=x", "--otelcol-bin=x")]
#[case::prometheus("TEMPO_PERF_PROMETHEUS_BIN=x", "--prometheus-bin=x")]
#[case::tempo("TEMPO_PERF_TEMPO_BIN=x", "--tempo-bin=x")]
#[case::tools("TEMPO_PERF_TOOLS_DIR=x", "--tools-dir=x")]
#[case::tools_source("TEMPO_PERF_TOOLS=build", "--tools=build")]
#[case::tempo_version("TEMPO_PERF_TEMPO_VERSION=v3.0.3", "--tempo-version=3.0.3")]
#[case::k6_releases("TEMPO_PERF_K6_RELEASES=http://m/k6", "--k6-releases=http://m/k6")]
#[case::otelcol_releases(
    "TEMPO_PERF_OTELCOL_RELEASES=http://m/c",
    "--otelcol-releases=http://m/c"
)]
#[case::prometheus_releases(
    "TEMPO_PERF_PROMETHEUS_RELEASES=http://m/p",
    "--prometheus-releases=http://m/p"
)]
#[case::tempo_releases("TEMPO_PERF_TEMPO_RELEASES=http://m/t", "--tempo-releases=http://m/t")]
#[case::context("TEMPO_PERF_CONTEXT=kind-perf", "--context=kind-perf")]
#[case::node_selector(
    "TEMPO_PERF_NODE_SELECTOR=a=b,c=",
    "--node-selector=a=b --node-selector=c="
)]
#[case::namespace_prefix("TEMPO_PERF_NAMESPACE_PREFIX=p-", "--namespace-prefix=p-")]
#[case::storage_class("TEMPO_PERF_STORAGE_CLASS=fast", "--storage-class=fast")]
#[case::prometheus_choice("TEMPO_PERF_PROMETHEUS=own", "--prometheus=own")]
#[case::prometheus_url("TEMPO_PERF_PROMETHEUS=http://p:9090", "--prometheus=http://p:9090")]
#[case::token("TEMPO_PERF_PROMETHEUS_TOKEN_FILE=t", "--prometheus-token-file=t")]
#[case::k6_image("TEMPO_PERF_K6_IMAGE=k6", "--k6-image=k6")]
#[case::minio_image(
    "TEMPO_PERF_MINIO_IMAGE=r:5000/m@sha256:0a",
    "--minio-image=r:5000/m@sha256:0a"
)]
#[case::collector_image("TEMPO_PERF_COLLECTOR_IMAGE=c:1", "--collector-image=c:1")]
#[case::prometheus_image("TEMPO_PERF_PROMETHEUS_IMAGE=p:1", "--prometheus-image=p:1")]
#[case::namespace_timeout(
    "TEMPO_PERF_NAMESPACE_DELETION_TIMEOUT=1h",
    "--namespace-deletion-timeout=1h"
)]
#[case::user_workload_monitoring(
    "TEMPO_PERF_ENABLE_USER_WORKLOAD_MONITORING=1",
    "--enable-user-workload-monitoring"
)]
#[case::storage_type("TEMPO_PERF_STORAGE_TYPE=s3", "--storage-type=s3")]
#[case::storage_bucket("TEMPO_PERF_STORAGE_BUCKET=traces", "--storage-bucket=traces")]
#[case::storage_region("TEMPO_PERF_STORAGE_REGION=us-east-2", "--storage-region=us-east-2")]
#[case::storage_endpoint("TEMPO_PERF_STORAGE_ENDPOINT=http://s", "--storage-endpoint=http://s")]
#[case::storage_secret("TEMPO_PERF_STORAGE_SECRET_NAME=s", "--storage-secret-name=s")]
fn a_variable_says_the_same_as_its_flag(#[case] variables: &str, #[case] flags: &str) {
    let text = |settings: Settings| {
        // What named a value is the one thing that differs.
        let settings = Settings {
            profiles_source: String::new(),
            size_source: String::new(),
            ..settings
        };
        format!("{settings:?}")
    };
    let by_variable = text(settings("", variables));
    assert_eq!(by_variable, text(settings(flags, "")));
    assert_ne!(
        by_variable,
        text(settings("", "")),
        "{variables} must change something"
    );
}

#[rstest]
#[case::flag_beats_variable("--duration=1m", "DURATION=2m", Some(60))]
#[case::empty_variable_is_unset("", "DURATION=", None)]
#[case::empty_flag_is_unset("--duration=", "DURATION=2m", Some(120))]
#[case::last_flag_wins("--duration=1m --duration=3m", "", Some(180))]
fn precedence(#[case] flags: &str, #[case] variables: &str, #[case] seconds: Option<u64>) {
    assert_eq!(
        settings(flags, variables).duration,
        seconds.map(Duration::from_secs)
    );
}

#[rstest]
#[case::bare("--dry-run", true)]
#[case::equals_true("--dry-run=true", true)]
#[case::equals_one("--dry-run=1", true)]
#[case::equals_false("--dry-run=false", false)]
#[case::equals_zero("--dry-run=0", false)]
fn switches(#[case] flag: &str, #[case] expected: bool) {
    assert_eq!(settings(flag, "").dry_run, expected);
    // A word after a switch is a case.
    let invocation = parse(&format!("{flag} small"), "").unwrap();
    assert_eq!(invocation.libtest.filter.as_deref(), Some("small"));
}

#[rstest]
#[case::spaces("TEMPO_PERF_PROFILES", " small , medium,, ", &["small", "medium"])]
#[case::one("TEMPO_PERF_PROFILES", "small", &["small"])]
#[case::empty("TEMPO_PERF_PROFILES", "", &[])]
fn a_list_is_separated_by_commas(
    #[case] name: &str,
    #[case] value: &str,
    #[case] expected: &[&str],
) {
    let invocation = Settings::parse(["perf".into()], &|asked| match asked {
        "HOME" => Some("/home/user".into()),
        asked => (asked == name).then(|| value.into()),
    });
    assert_eq!(invocation.unwrap().settings.profiles, expected);
}

#[test]
fn a_list_may_be_repeated() {
    assert_eq!(
        settings("--profiles=a --profiles b,c", "").profiles,
        ["a", "b", "c"]
    );
}

#[test]
fn all_malformed_values_come_at_once_under_the_names_they_were_given_by() {
    insta::assert_snapshot!(refused(
        "--duration=5 --test-type=qeury --dry-run=yes --target=k8s --vus-min=10 --vus-max=5 --profiles=,",
        "DURATION=1m SIZE=small MB_PER_SECOND=fast QUERIES_PER_SECOND=0 TRACE_PROFILE=huge \
         TEMPO_ENDPOINT=tempo-distributor.tempo.svc:4317 TEMPO_QUERY_ENDPOINT=ftp://h:1 \
         TEMPO_PERF_JOB_TIMEOUT=1d TEMPO_PERF_POD_READY_TIMEOUT=0s TEMPO_PERF_CR_DELETION_TIMEOUT=-1s \
         TEMPO_PERF_MAX_CONCURRENT_QUERIES=0 TEMPO_PERF_SEED=4294967296 TEMPO_PERF_COLLECT_LOGS=on \
         HOME="
    ));
}

#[rstest]
#[case::nan("MB_PER_SECOND=NaN")]
#[case::infinite("MB_PER_SECOND=inf")]
#[case::negative("MB_PER_SECOND=-1")]
#[case::zero("MB_PER_SECOND=0")]
#[case::overflow("MB_PER_SECOND=1e999")]
#[case::too_many("VUS_MAX=100001")]
#[case::fraction("VUS_MIN=1.5")]
#[case::week("DURATION=169h")]
#[case::no_host("TEMPO_ENDPOINT=http://")]
#[case::query("TEMPO_ENDPOINT=http://h:1/?a=b")]
#[case::bare_port("TEMPO_ENDPOINT=:4317")]
fn nonsense_names_its_variable(#[case] variable: &str) {
    let (name, value) = variable.split_once('=').unwrap();
    let message = refused("", variable);
    assert!(
        message.starts_with(&format!("{name}: found \"{value}\"")),
        "{message}"
    );
    assert!(message.contains("; expected "), "{message}");
}

#[test]
fn a_bare_endpoint_is_told_what_to_do() {
    assert_eq!(
        refused("", "TEMPO_ENDPOINT=tempo:4317"),
        "TEMPO_ENDPOINT: found \"tempo:4317\", which does not start with http:// or https://; expected \
         an http:// or https:// URL of the OTLP/HTTP port, for example http://tempo:4318 \
         (4317 is the port of OTLP/gRPC, which the load does not speak)"
    );
}

#[test]
fn the_endpoint_target_needs_an_endpoint() {
    assert_eq!(
        refused("", "TEMPO_PERF_TARGET=endpoint"),
        "TEMPO_PERF_TARGET: found \"endpoint\" and no endpoint; expected TEMPO_ENDPOINT and TEMPO_QUERY_ENDPOINT to be set as well"
    );
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let error = Settings::parse(["perf".into()], &|name| match name {
        "DURATION" => Some(OsString::from_vec(vec![0xff])),
        "HOME" => Some("/home/user".into()),
        _ => None,
    });
    let message = error.unwrap_err().to_string();
    assert!(
        message.starts_with("DURATION: found bytes that are not UTF-8"),
        "{message}"
    );
}

#[rstest]
#[case::unknown("--generate-dashboard", "unexpected argument '--generate-dashboard'")]
#[case::typo("--dry-rnu", "'--dry-run'")]
#[case::two_cases("small medium", "unexpected argument 'medium'")]
fn an_unknown_flag_is_clap_s_affair(#[case] flags: &str, #[case] part: &str) {
    let error = parse(flags, "").unwrap_err();
    assert!(matches!(error, SettingsError::Usage(_)));
    assert!(error.to_string().contains(part), "{error}");
}

#[rstest]
#[case::list("--list --format terse")]
#[case::list_ignored("--list --format terse --ignored")]
#[case::run("small --exact --nocapture")]
fn nextest_s_calls_are_understood(#[case] flags: &str) {
    let invocation = parse(flags, "").unwrap();
    assert_eq!(invocation.libtest.list, flags.contains("--list"));
    assert_eq!(invocation.libtest.exact, flags.contains("--exact"));
}

#[test]
fn help() {
    let error = parse("--help", "").unwrap_err();
    assert_eq!(error.exit_code(), std::process::ExitCode::SUCCESS);
    insta::assert_snapshot!(error.to_string());
}
