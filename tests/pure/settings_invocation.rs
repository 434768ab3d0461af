//! Flags and variables, as a user gives them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rstest::rstest;
use tempo_perf::profile::{self, Discovered, TraceProfile};
use tempo_perf::settings::{
    Invocation, SelectError, Settings, SettingsError, TargetChoice, TestType, select,
};
use tempo_perf::units::{ByteRate, EventRate};

/// Parses flags, separated by spaces, in an environment of `NAME=value` words.
fn parse(flags: &str, variables: &str) -> Result<Invocation, SettingsError> {
    let args = std::iter::once("perf")
        .chain(flags.split_whitespace())
        .map(OsString::from);
    let mut environment: BTreeMap<&str, &str> = variables
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap())
        .collect();
    environment.entry("HOME").or_insert("/home/user");
    Settings::parse(args, &|name| environment.get(name).map(OsString::from))
}

#[track_caller]
fn settings(flags: &str, variables: &str) -> Settings {
    parse(flags, variables)
        .unwrap_or_else(|error| panic!("{error}"))
        .settings
}

#[track_caller]
fn refused(flags: &str, variables: &str) -> String {
    parse(flags, variables)
        .expect_err("the settings must be refused")
        .to_string()
}

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

mod kubernetes {
    use tempo_perf::settings::kubernetes::{
        COLLECTOR_IMAGE, K6_IMAGE, MINIO_IMAGE, PROMETHEUS_IMAGE,
    };
    use tempo_perf::settings::{KubernetesSettings, PrometheusChoice, S3Credentials};

    use super::*;

    #[track_caller]
    fn said(flags: &str, variables: &str) -> KubernetesSettings {
        settings(flags, variables).kubernetes
    }

    fn labels(pairs: &[(&str, &str)]) -> Option<BTreeMap<String, String>> {
        let owned = pairs
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()));
        Some(owned.collect())
    }

    #[test]
    fn nothing_said_gives_pinned_images_and_the_cluster_s_own_ways() {
        let said = said("", "");
        assert_eq!(said.context, None);
        assert_eq!(said.node_selector, None);
        assert_eq!(said.namespace_of("1x-small"), "tempo-perf-1x-small");
        assert_eq!(said.prometheus, PrometheusChoice::Auto);
        assert_eq!(said.images.k6, "docker.io/grafana/k6:1.8.1");
        assert_eq!(said.images.collector, None);
        assert_eq!(said.namespace_deletion_timeout, Duration::from_secs(180));
        assert!(!said.enable_user_workload_monitoring);
        assert_eq!(said.s3_credentials, Ok(None));
        let help = parse("--help", "").unwrap_err().to_string();
        let help: Vec<&str> = help.split_whitespace().collect();
        for image in [K6_IMAGE, MINIO_IMAGE, COLLECTOR_IMAGE, PROMETHEUS_IMAGE] {
            let named = help.iter().any(|word| word.contains(image));
            assert!(named, "the help must name {image}");
        }
    }

    #[test]
    fn every_flag_works() {
        let said = said(
            "--context kind-perf --node-selector node-role.kubernetes.io/infra=,disk=ssd \
             --namespace-prefix load- --storage-class fast --prometheus https://p.example.com/a \
             --prometheus-token-file t --k6-image k:1 --minio-image m:1 --collector-image c:1 \
             --prometheus-image p:1 --namespace-deletion-timeout 4m \
             --enable-user-workload-monitoring --storage-type s3 --storage-bucket my-traces \
             --storage-region us-east-2 --storage-endpoint http://s3.example.com:9000 \
             --storage-secret-name keys",
            "",
        );
        assert_eq!(said.context.as_deref(), Some("kind-perf"));
        let expected = labels(&[("disk", "ssd"), ("node-role.kubernetes.io/infra", "")]);
        assert_eq!(said.node_selector, expected);
        assert_eq!(said.namespace_of("small"), "load-small");
        assert_eq!(said.storage_class.as_deref(), Some("fast"));
        assert_eq!(
            said.prometheus,
            PrometheusChoice::Url("https://p.example.com/a".parse().unwrap())
        );
        assert_eq!(said.prometheus_token_file, Some(PathBuf::from("t")));
        let images = &said.images;
        assert_eq!(
            [&images.k6, &images.minio, &images.prometheus],
            ["k:1", "m:1", "p:1"]
        );
        assert_eq!(images.collector.as_deref(), Some("c:1"));
        assert_eq!(said.namespace_deletion_timeout, Duration::from_secs(240));
        assert!(said.enable_user_workload_monitoring);
        let storage = &said.storage;
        assert_eq!(storage.kind, Some(profile::StorageKind::S3));
        assert_eq!(
            [
                &storage.bucket,
                &storage.region,
                &storage.endpoint,
                &storage.secret_name
            ]
            .map(|value| value.as_deref().unwrap()),
            [
                "my-traces",
                "us-east-2",
                "http://s3.example.com:9000",
                "keys"
            ]
        );
    }

    #[test]
    fn an_empty_variable_is_unset() {
        let names = [
            "CONTEXT",
            "NODE_SELECTOR",
            "NAMESPACE_PREFIX",
            "STORAGE_CLASS",
            "PROMETHEUS",
            "PROMETHEUS_TOKEN_FILE",
            "K6_IMAGE",
            "MINIO_IMAGE",
            "COLLECTOR_IMAGE",
            "PROMETHEUS_IMAGE",
            "NAMESPACE_DELETION_TIMEOUT",
            "ENABLE_USER_WORKLOAD_MONITORING",
            "STORAGE_TYPE",
            "STORAGE_BUCKET",
            "STORAGE_REGION",
            "STORAGE_ENDPOINT",
            "STORAGE_SECRET_NAME",
        ];
        let variables = names.map(|name| format!("TEMPO_PERF_{name}=")).join(" ");
        let variables = format!("{variables} AWS_ACCESS_KEY_ID= AWS_SECRET_ACCESS_KEY=");
        assert_eq!(
            format!("{:?}", said("", &variables)),
            format!("{:?}", KubernetesSettings::default())
        );
    }

    const NODES: &str = "labels of nodes separated by commas, for example \
                         node-role.kubernetes.io/infra=,disk=ssd";
    const PREFIX: &str = "at most 23 small letters, digits and hyphens, no hyphen first, for \
                          example tempo-perf-";
    const WHICH: &str = "auto, own, or the http:// or https:// URL of a Prometheus, for example \
                         http://prometheus.example.com:9090";
    const IMAGE: &str = "a container image, best with its registry and a tag or digest, for \
                         example docker.io/grafana/k6:1.8.1";
    const CLASS: &str = "the name of a StorageClass: small letters, digits, dots and hyphens, \
                         for example standard";
    const TIME: &str = "a duration above 0 and at most 168h, for example 30s, 5m or 1h30m";

    #[rstest]
    #[case::no_equals_sign("NODE_SELECTOR=a=b,infra", r#", which has no = in "infra""#, NODES)]
    #[case::label_key(
        "NODE_SELECTOR=a/b/c=d",
        r#", which has "a/b/c", which is no label's key"#,
        NODES
    )]
    #[case::no_label_key(
        "NODE_SELECTOR==d",
        r#", which has "", which is no label's key"#,
        NODES
    )]
    #[case::label_value(
        "NODE_SELECTOR=a=b=c",
        r#", which has "b=c", which is no label's value"#,
        NODES
    )]
    #[case::label_twice("NODE_SELECTOR=a=b,a=c", ", which has the label a twice", NODES)]
    #[case::only_commas("NODE_SELECTOR=,,", ", which has no label", NODES)]
    #[case::long_prefix(
        "NAMESPACE_PREFIX=a23456789-123456789-1234",
        ", which has 24 characters",
        PREFIX
    )]
    #[case::hyphen_first("NAMESPACE_PREFIX=-perf", "", PREFIX)]
    #[case::capitals("NAMESPACE_PREFIX=Perf-", "", PREFIX)]
    #[case::dots("NAMESPACE_PREFIX=a.b-", "", PREFIX)]
    #[case::storage_class("STORAGE_CLASS=Fast_1", "", CLASS)]
    #[case::no_prometheus("PROMETHEUS=mine", "", WHICH)]
    #[case::prometheus_without_scheme("PROMETHEUS=prometheus:9090", "", WHICH)]
    #[case::prometheus_scheme(
        "PROMETHEUS=tcp://p:1",
        ", which does not start with http:// or https://",
        WHICH
    )]
    #[case::k6_image("K6_IMAGE=https://k6.io", "", IMAGE)]
    #[case::minio_image("MINIO_IMAGE=minio:", "", IMAGE)]
    #[case::collector_image("COLLECTOR_IMAGE=a,b", "", IMAGE)]
    #[case::prometheus_image("PROMETHEUS_IMAGE=/p", "", IMAGE)]
    #[case::namespace_timeout("NAMESPACE_DELETION_TIMEOUT=0s", ", which is zero", TIME)]
    #[case::switch("ENABLE_USER_WORKLOAD_MONITORING=yes", "", "true, false, 1 or 0")]
    #[case::storage_type("STORAGE_TYPE=S4", "", "s3 (known are minio, s3)")]
    #[case::bucket(
        "STORAGE_BUCKET=T",
        "",
        "the name of an S3 bucket: 3 to 63 small letters, digits, dots and hyphens, for example tempo-traces"
    )]
    #[case::region("STORAGE_REGION=Ohio", "", "a region, for example us-east-2")]
    #[case::endpoint(
        "STORAGE_ENDPOINT=minio:9000",
        "",
        "an http:// or https:// URL, for example https://s3.example.com"
    )]
    #[case::secret(
        "STORAGE_SECRET_NAME=A_B",
        "",
        "the name of a Kubernetes Secret: small letters, digits, dots and hyphens, for example tempo-s3"
    )]
    fn what_is_malformed_is_told_with_what_would_be_right(
        #[case] variable: &str,
        #[case] which: &str,
        #[case] expected: &str,
    ) {
        let (name, value) = variable.split_once('=').unwrap();
        assert_eq!(
            refused("", &format!("TEMPO_PERF_{variable}")),
            format!("TEMPO_PERF_{name}: found {value:?}{which}; expected {expected}")
        );
    }

    #[test]
    fn the_longest_prefix_and_name_make_a_dns_label() {
        let prefix = "a".repeat(23);
        let said = said(&format!("--namespace-prefix={prefix}"), "");
        assert_eq!(said.namespace_of(&"b".repeat(40)).len(), 63);
    }

    #[rstest]
    #[case::prometheus(
        "TEMPO_PERF_PROMETHEUS=https://me:hush@p/a@b",
        "TEMPO_PERF_PROMETHEUS: found \"https://...@p/a@b\", which has a user name or password (a \
         token goes into the file of --prometheus-token-file); expected "
    )]
    #[case::storage(
        "TEMPO_PERF_STORAGE_ENDPOINT=http://me:hush@s:9000",
        "TEMPO_PERF_STORAGE_ENDPOINT: found \"http://...@s:9000\", which has a user name or \
         password; expected "
    )]
    fn a_password_in_a_url_is_refused_and_not_repeated(
        #[case] variable: &str,
        #[case] start: &str,
    ) {
        let message = refused("", variable);
        assert!(message.starts_with(start), "{message}");
        assert!(!message.contains("hush"), "{message}");
    }

    #[test]
    fn keys_of_s3_come_from_variables_and_are_never_shown() {
        let said = said("", "AWS_ACCESS_KEY_ID=AKIA AWS_SECRET_ACCESS_KEY=hush");
        let expected = S3Credentials {
            access_key_id: "AKIA".into(),
            secret_access_key: "hush".into(),
        };
        assert_eq!(said.s3_credentials, Ok(Some(expected)));
        let shown = format!("{said:?}");
        assert!(
            !shown.contains("AKIA") && !shown.contains("hush"),
            "{shown}"
        );
    }

    #[rstest]
    #[case::id_alone(
        "AWS_ACCESS_KEY_ID=AKIA",
        "AWS_ACCESS_KEY_ID: found a value, and none in AWS_SECRET_ACCESS_KEY; expected both \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither"
    )]
    #[case::secret_alone(
        "AWS_SECRET_ACCESS_KEY=hush",
        "AWS_SECRET_ACCESS_KEY: found a value, and none in AWS_ACCESS_KEY_ID; expected both \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither"
    )]
    fn half_of_the_keys_is_a_mistake_only_where_they_are_used(
        #[case] variables: &str,
        #[case] expected: &str,
    ) {
        let half = said("", variables).s3_credentials.unwrap_err();
        assert_eq!(half.to_string(), expected);
    }
}

mod selection {
    use super::*;

    fn discovered() -> Vec<Discovered> {
        ["1x-demo", "1x-small", "medium", "small"]
            .map(|name| Discovered {
                name: name.to_owned(),
                path: format!("profiles/{name}.yaml").into(),
                // What is in a profile does not matter to the selection.
                profile: profile::parse(Path::new("x.yaml"), ""),
            })
            .into()
    }

    fn names(flags: &str, variables: &str) -> Result<Vec<String>, SelectError> {
        let Invocation { settings, libtest } = parse(flags, variables).unwrap();
        let selected = select(discovered(), &settings, &libtest)?;
        Ok(selected.into_iter().map(|case| case.name).collect())
    }

    #[rstest]
    #[case::all("", &["1x-demo", "1x-small", "medium", "small"])]
    #[case::name_alone("small", &["small"])]
    #[case::substring("smal", &["1x-small", "small"])]
    #[case::exact("small --exact", &["small"])]
    #[case::profiles("--profiles=small,medium", &["medium", "small"])]
    #[case::profiles_and_substring("--profiles=small,medium me", &["medium"])]
    #[case::skip("--skip small", &["1x-demo", "medium"])]
    #[case::skip_exact("--skip small --exact", &["1x-demo", "1x-small", "medium"])]
    #[case::list_of_nothing("--list absent", &[])]
    #[case::list_of_ignored("--list --ignored", &["1x-demo", "1x-small", "medium", "small"])]
    #[case::include_ignored("--include-ignored small", &["small"])]
    fn cases_are_selected(#[case] flags: &str, #[case] expected: &[&str]) {
        assert_eq!(names(flags, "").unwrap(), expected);
    }

    #[rstest]
    #[case::typo(
        "smalll",
        "",
        "no profile matches \"smalll\"; expected small (known are 1x-demo, 1x-small, medium, small)"
    )]
    #[case::exact_typo(
        "smal --exact",
        "",
        "no profile matches \"smal\"; expected small (known are 1x-demo, 1x-small, medium, small)"
    )]
    #[case::far_off(
        "tempo",
        "",
        "no profile matches \"tempo\"; expected some of 1x-demo, 1x-small, medium, small"
    )]
    #[case::empty_intersection(
        "small",
        "TEMPO_PERF_PROFILES=1x-small",
        "no profile matches \"small\" with TEMPO_PERF_PROFILES=1x-small; expected some of 1x-demo, 1x-small, medium, small"
    )]
    #[case::ignored(
        "--ignored",
        "",
        "no profile matches --ignored; expected some of 1x-demo, 1x-small, medium, small"
    )]
    #[case::benchmarks(
        "--bench",
        "",
        "no profile matches --bench; expected some of 1x-demo, 1x-small, medium, small"
    )]
    #[case::unknown_flag(
        "--profiles=small,meduim",
        "",
        "--profiles: found no profile \"meduim\"; expected medium (known are 1x-demo, 1x-small, medium, small)"
    )]
    #[case::unknown_variable(
        "",
        "TEMPO_PERF_PROFILES=meduim",
        "TEMPO_PERF_PROFILES: found no profile \"meduim\"; expected medium (known are 1x-demo, 1x-small, medium, small)"
    )]
    #[case::unknown_even_in_a_list(
        "--list",
        "TEMPO_PERF_PROFILES=x",
        "TEMPO_PERF_PROFILES: found no profile \"x\"; expected some of 1x-demo, 1x-small, medium, small"
    )]
    #[case::unknown_size(
        "",
        "SIZE=tiny",
        "SIZE: found no profile \"tiny\"; expected some of 1x-demo, 1x-small, medium, small"
    )]
    fn a_selection_of_nothing_is_an_error(
        #[case] flags: &str,
        #[case] variables: &str,
        #[case] expected: &str,
    ) {
        assert_eq!(names(flags, variables).unwrap_err().to_string(), expected);
    }

    #[test]
    fn an_empty_directory_is_an_error() {
        let Invocation { settings, libtest } = parse("", "").unwrap();
        assert_eq!(
            select(Vec::new(), &settings, &libtest)
                .unwrap_err()
                .to_string(),
            "no profile matches anything in profiles; expected a YAML file for each profile in the profiles directory"
        );
    }
}

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
