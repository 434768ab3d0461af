//! What is said of a cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rstest::rstest;
use tempo_perf::profile;
use tempo_perf::settings::kubernetes::{COLLECTOR_IMAGE, K6_IMAGE, MINIO_IMAGE, PROMETHEUS_IMAGE};
use tempo_perf::settings::{KubernetesSettings, PrometheusChoice, S3Credentials};

use super::{parse, refused, settings};

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
fn a_password_in_a_url_is_refused_and_not_repeated(#[case] variable: &str, #[case] start: &str) {
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
