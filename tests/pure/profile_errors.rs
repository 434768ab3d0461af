//! What the loader says of a bad profile: one snapshot for each case.

use std::path::Path;
use std::time::Duration;

use rstest::rstest;
use tempo_perf::profile::{self, Profile, ProfileErrors};

const GOOD: &str = "\
name: custom
tempo:
  variant: stack
k6:
  vus:
    min: 10
    max: 50
  ingestion:
    mbPerSecond: 1
    traceProfile: medium
  query:
    queriesPerSecond: 25
";

fn parse(text: &str) -> Result<Profile, ProfileErrors> {
    profile::parse(Path::new("profiles/custom.yaml"), text)
}

/// The good profile with one line replaced.
fn with(line: &str, replacement: &str) -> String {
    assert!(
        GOOD.contains(line),
        "the good profile must contain {line:?}"
    );
    GOOD.replace(line, replacement)
}

/// The good profile and further top-level keys.
fn and(more: &str) -> String {
    format!("{GOOD}{more}")
}

/// Holds the messages to the snapshot of the case that is running.
#[track_caller]
fn assert_messages(group: &str, text: &str) {
    let errors = parse(text).expect_err("the profile must be refused");
    for mistake in &errors.mistakes {
        assert!(mistake.position.is_some(), "{mistake} must name its place");
    }
    let thread = std::thread::current();
    let case = thread
        .name()
        .unwrap_or_default()
        .rsplit("case_")
        .next()
        .unwrap_or_default();
    let case = case
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start_matches('_');
    let input = if text.len() < 500 {
        text
    } else {
        "(too long to show)"
    };
    insta::with_settings!({ snapshot_suffix => case, description => input, omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(group, errors.to_string());
    });
}

#[test]
fn the_profile_that_the_cases_change_is_good() {
    parse(GOOD).unwrap();
}

#[rstest]
#[case::empty("")]
#[case::only_comments("# nothing\n# here\n")]
#[case::only_a_marker("---\n")]
#[case::several_documents(&and("---\nname: other\n"))]
#[case::tab(&with("    min: 10", "\tmin: 10"))]
#[case::tab_after_spaces(&with("    min: 10", "    \tmin: 10"))]
#[case::unclosed_quote(&with("name: custom", "name: \"custom"))]
#[case::wrong_indentation(&with("    max: 50", "   max: 50"))]
#[case::list("- name: custom\n")]
#[case::text("custom\n")]
#[case::anchor_and_alias(&with("    min: 10\n    max: 50", "    min: &n 10\n    max: *n"))]
#[case::merge_key(&with("    min: 10", "    <<: { min: 10 }"))]
#[case::merge_of_an_alias(&with("  vus:\n", "  base: &vus { min: 1 }\n  vus:\n    <<: *vus\n"))]
#[case::tag(&with("mbPerSecond: 1", "mbPerSecond: !!float 1"))]
#[case::nested_too_deep(&and(&format!("slos: {}{}\n", "[".repeat(5000), "]".repeat(5000))))]
#[case::nested_rather_deep(&and(&format!("slos: {}{}\n", "[".repeat(20), "]".repeat(20))))]
#[case::alias_bomb("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n")]
#[case::non_string_keys(&and("5: a\ntrue: b\n[x]: c\n~: d\n"))]
fn a_structure_that_is_no_profile(#[case] text: &str) {
    assert_messages("structure", text);
}

#[rstest]
#[case::unknown_with_a_near_one(&with("    min: 10", "    mni: 10"))]
#[case::unknown_alone(&and("replicas: 3\n"))]
#[case::unknown_in_snake_case(&with("mbPerSecond", "mb_per_second"))]
#[case::duplicate(&with("    min: 10", "    min: 10\n    min: 11"))]
#[case::missing(&with("    max: 50\n", ""))]
#[case::missing_section(&with("  vus:\n    min: 10\n    max: 50\n", ""))]
#[case::section_without_value(&with("  vus:\n    min: 10\n    max: 50\n", "  vus:\n"))]
#[case::optional_without_value(&and("slos:\n"))]
#[case::section_as_text(&with("  variant: stack", "  - variant"))]
#[case::both_names_of_size(&and("storage: { size: 1Gi, minioSize: 2Gi }\n"))]
fn a_key_that_does_not_fit(#[case] text: &str) {
    assert_messages("keys", text);
}

#[rstest]
#[case::word("fast")]
#[case::quoted("\"1\"")]
#[case::nan(".nan")]
#[case::infinity(".inf")]
#[case::negative("-1")]
#[case::zero("0")]
#[case::overflow("1e999")]
#[case::huge("99999999999999999999999999")]
#[case::above_the_bound("10001")]
#[case::list("[1]")]
#[case::truth("true")]
#[case::empty("")]
fn a_rate_that_is_none(#[case] value: &str) {
    assert_messages(
        "rate",
        &with("mbPerSecond: 1", &format!("mbPerSecond: {value}")),
    );
}

#[rstest]
#[case::fraction("10.5")]
#[case::zero("0")]
#[case::negative("-1")]
#[case::huge("99999999999999999999999999")]
#[case::above_the_bound("100001")]
#[case::above_max("51")]
#[case::text("ten")]
fn a_count_that_is_none(#[case] value: &str) {
    assert_messages("count", &with("min: 10", &format!("min: {value}")));
}

#[rstest]
#[case::no_unit("5")]
#[case::quoted_without_unit("\"5\"")]
#[case::zero("0s")]
#[case::negative("-5m")]
#[case::days("1d")]
#[case::too_long("169h")]
#[case::words("five minutes")]
#[case::nan(".nan")]
fn a_duration_that_is_none(#[case] value: &str) {
    assert_messages(
        "duration",
        &with("  vus:", &format!("  duration: {value}\n  vus:")),
    );
}

#[rstest]
#[case::gigabytes("8GB", "1")]
#[case::no_unit("8", "1")]
#[case::negative("-8Gi", "-1")]
#[case::zero("0", "0")]
#[case::milli_bytes("1000m", "2000000")]
#[case::word("lots", "some")]
#[case::truth("true", "[1]")]
fn a_quantity_that_is_none(#[case] memory: &str, #[case] cpu: &str) {
    let resources = format!("  resources:\n    memory: {memory}\n    cpu: {cpu}\n");
    assert_messages(
        "quantity",
        &with(
            "  variant: stack\n",
            &format!("  variant: stack\n{resources}"),
        ),
    );
}

#[rstest]
#[case::not_the_files("other")]
#[case::capitals("Custom")]
#[case::number("5")]
#[case::truth("true")]
#[case::too_long("a23456789-123456789-123456789-123456789-1")]
#[case::null("~")]
fn a_name_that_does_not_fit(#[case] name: &str) {
    assert_messages("name", &with("name: custom", &format!("name: {name}")));
}

#[rstest]
#[case::enumeration(&with("stack", "stak"))]
#[case::enumeration_far_off(&with("traceProfile: medium", "traceProfile: 40"))]
#[case::replication_factor(&with("  variant: stack", "  variant: stack\n  replicationFactor: 0"))]
#[case::node_selector(&with("  variant: stack", "  variant: stack\n  nodeSelector:\n    a/b/c: x\n    infra: true\n    zone: 'a b'"))]
#[case::s3_without_bucket(&and("storage:\n  type: s3\n"))]
#[case::s3_keys_for_minio(&and("storage:\n  bucket: traces\n  region: us-east-2\n"))]
#[case::s3_with_a_password(&and("storage: { type: s3, bucket: traces, endpoint: 'https://me:hush@s3.example.com' }\n"))]
#[case::s3_values(&and("storage:\n  type: s3\n  bucket: T\n  endpoint: host:9000\n  secretName: A_B\n  size: 1Gi\n"))]
#[case::traces_per_request(&with("mbPerSecond: 1", "mbPerSecond: 1\n    tracesPerRequest: 1001\n    collector: async"))]
fn a_value_that_does_not_fit(#[case] text: &str) {
    assert_messages("value", text);
}

#[rstest]
#[case::no_key("{ value: a }")]
#[case::nothing("{}")]
#[case::exists_with_a_value("{ key: infra, operator: Exists, value: reserved }")]
#[case::key("{ key: a/b/c, value: x }")]
#[case::value("{ key: infra, value: 'a b' }")]
#[case::unknown_words("{ key: infra, operator: In, effect: NoShedule }")]
#[case::unknown_field("{ key: infra, tolerationSeconds: 30 }")]
#[case::text("infra")]
fn a_toleration_that_kubernetes_would_refuse(#[case] toleration: &str) {
    assert_messages(
        "toleration",
        &with(
            "  variant: stack\n",
            &format!("  variant: stack\n  tolerations:\n    - {toleration}\n"),
        ),
    );
}

#[test]
fn tolerations_are_read_with_kubernetes_own_defaults() {
    let text = "  variant: stack\n  tolerations:\n    - { key: infra, value: reserved, effect: NoSchedule }\n    \
                - { key: infra, operator: Exists }\n    - { operator: Exists, value: '' }\n    - { key: infra }\n";
    let profile =
        parse(&with("  variant: stack\n", text)).unwrap_or_else(|errors| panic!("{errors}"));
    insta::assert_yaml_snapshot!(profile.tempo.tolerations, @r#"
    - key: infra
      operator: Equal
      value: reserved
      effect: NoSchedule
    - key: infra
      operator: Exists
    - operator: Exists
      value: ""
    - key: infra
      operator: Equal
    "#);
}

#[rstest]
#[case::none("[]")]
#[case::search_without_traceql("[{ name: a, operation: search }]")]
#[case::tag_values_without_tag("[{ name: a, operation: tag_values }]")]
#[case::trace_by_id_with_both("[{ name: a, operation: trace_by_id, traceql: '{}', tag: x }]")]
#[case::weight("[{ name: a, operation: tags, weight: 0 }]")]
#[case::duplicate_names("[{ name: a, operation: tags }, { name: a, operation: tags }]")]
#[case::bad_name("[{ name: A b, operation: tag }]")]
#[case::empty_traceql("[{ name: a, operation: search, traceql: ' ' }]")]
fn a_query_that_does_not_fit(#[case] queries: &str) {
    assert_messages("query", &and(&format!("    queries: {queries}\n")));
}

#[rstest]
#[case::not_a_threshold("http_req_duration: [fast]")]
#[case::not_a_list("http_req_duration: p(95)<1")]
#[case::old_percentile("http_req_duration: [p95<2000]")]
#[case::with_a_unit("http_req_duration: ['p(95)<2s']")]
#[case::wrong_for_the_metric("http_req_failed: ['p(95)<0.01']")]
#[case::bad_metric("'http_req_duration{op=search}': ['p(95)<1']")]
fn a_threshold_that_k6_would_refuse(#[case] threshold: &str) {
    assert_messages("threshold", &and(&format!("thresholds:\n  {threshold}\n")));
}

#[rstest]
#[case::no_bound("{ name: a, expr: up }")]
#[case::no_name("{ expr: up, max: 1 }")]
#[case::empty_name("{ name: '', expr: up, max: 1 }")]
#[case::empty_entry("{}")]
#[case::min_above_max("{ name: a, expr: up, min: 2, max: 1 }")]
#[case::unknown_variable("{ name: a, expr: 'rate(x[${windw}])', max: 1 }")]
#[case::unclosed_variable("{ name: a, expr: 'rate(x[${window])', max: 1 }")]
#[case::of_text("{ name: a, expr: up, max: 1, of: '${sel}' }")]
#[case::of_bare("{ name: a, expr: up, max: 1, of: target_bytes_per_second }")]
#[case::bound_not_a_number("{ name: a, expr: up, max: .nan, min: .inf }")]
#[case::unit("{ name: a, expr: up, max: 1, unit: 5 }")]
#[case::duplicate("{ name: a, expr: up, max: 1 }\n  - { name: a, expr: up, max: 2 }")]
fn an_slo_that_cannot_be_judged(#[case] slo: &str) {
    assert_messages("slo", &and(&format!("slos:\n  - {slo}\n")));
}

#[test]
fn all_mistakes_of_a_file_come_at_once_in_order() {
    insta::assert_snapshot!(
        parse(
            "\
name: Other
tempo:
  variant: stak
  resources: { memory: 8GB }
k6:
  vus: { min: 50, max: 10 }
  ingestion:
    mbPerSecond: fast
    traceProfile: medium
    mbPerSecond: 3
  qeury:
    queriesPerSecond: 25
  duration: 5
thresholds:
  http_req_failed: [rate<1%]
slos:
  - name: a
    expr: f(${sell})
"
        )
        .unwrap_err()
    );
}

#[test]
fn many_mistakes_are_shown_in_part() {
    let text: String = (0..10_000).map(|n| format!("key{n}: 1\n")).collect();
    let message = parse(&text).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 51);
    assert!(
        message.ends_with("and 9953 more mistakes in this file"),
        "{}",
        &message[message.len() - 100..]
    );
}

#[rstest]
#[case::byte_order_mark(&format!("\u{feff}{GOOD}"))]
#[case::crlf(&GOOD.replace('\n', "\r\n"))]
#[case::document_markers(&format!("---\n{GOOD}...\n"))]
#[case::no_final_newline(GOOD.trim_end())]
#[case::quoted_text(&with("variant: stack", "variant: 'stack'"))]
#[case::bare_cpu(&with("  variant: stack", "  variant: stack\n  resources: { cpu: 0.5, memory: 1e9 }"))]
#[case::older_name_of_size(&and("storage: { minioSize: 2Gi }\n"))]
#[case::no_checks(&and("thresholds: {}\nslos: []\n"))]
#[case::default_removed(&and("thresholds: { http_req_failed: [] }\n"))]
#[case::empty_selector_value(&with("  variant: stack", "  variant: stack\n  nodeSelector: { node-role.kubernetes.io/infra: '' }"))]
#[case::s3(&and("storage: { type: s3, bucket: my-traces, region: us-east-2 }\n"))]
fn what_is_unusual_but_right_is_accepted(#[case] text: &str) {
    if let Err(errors) = parse(text) {
        panic!("the profile must be accepted, found\n{errors}");
    }
}

#[test]
fn positions_count_the_same_with_a_byte_order_mark_and_crlf() {
    let bad = with("min: 10", "min: x");
    let plain = parse(&bad).unwrap_err();
    let unusual = parse(&format!("\u{feff}{}", bad.replace('\n', "\r\n"))).unwrap_err();
    assert_eq!(plain, unusual);
}

#[test]
fn a_full_profile_is_read() {
    let profile = parse(&and("    queries:
      - { name: errors, operation: search, traceql: '{ status = error }', weight: 3 }
      - { name: services, operation: tag_values, tag: resource.service.name }
      - { name: by-id, operation: trace_by_id }
  duration: 1h30m
  warmup: 0s
thresholds:
  http_req_duration{op:search}: [p(95)<2000]
slos:
  - name: bytes accepted
    expr: sum(increase(tempo_distributor_bytes_received_total{${sel}}[${window}])) / ${window_seconds}
    min: 0.97
    of: ${target_bytes_per_second}
    unit: B/s
"))
    .unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(profile.k6.duration, Some(Duration::from_secs(5400)));
    assert_eq!(profile.k6.warmup, Some(Duration::ZERO));
    assert_eq!(profile.k6.query.queries.as_ref().map(Vec::len), Some(3));
    insta::assert_yaml_snapshot!(profile);
}

mod files {
    use std::fs;

    use super::*;

    fn message(path: &Path) -> String {
        let errors = profile::load(path)
            .expect_err("the file must be refused")
            .to_string();
        let directory = path.parent().unwrap().display().to_string();
        errors.replace(&directory, "profiles")
    }

    #[rstest]
    #[case::other_ending("custom.yml", GOOD.as_bytes(), "profiles/custom.yml: found a profile whose name does not end in .yaml; expected it to be renamed to custom.yaml")]
    #[case::not_utf8(
        "custom.yaml",
        b"name: custom\n# \xc3\xa9\xff\n",
        "profiles/custom.yaml:2:4: found bytes that are not UTF-8; expected a text file in UTF-8"
    )]
    #[case::ten_megabytes("custom.yaml", &[b'#'; 10 << 20], "profiles/custom.yaml: found a file of more than 1 MiB; expected a profile, which is a page of YAML")]
    fn a_file_that_cannot_be_a_profile(
        #[case] name: &str,
        #[case] bytes: &[u8],
        #[case] expected: &str,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        assert_eq!(message(&path), expected);
    }

    #[test]
    fn an_absent_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            message(&directory.path().join("absent.yaml")),
            "profiles/absent.yaml: found no such file; expected a YAML file"
        );
    }

    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe.yaml");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(
            message(&path),
            "profiles/pipe.yaml: found a file that cannot be read (it is not a regular file); expected a readable YAML file"
        );
    }

    #[test]
    fn a_bad_profile_costs_one_case() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("custom.yaml", GOOD);
        write("bad.yaml", "name: bad\n");
        write("custom.yml", GOOD);
        write("LOUD.YAML", GOOD);
        write("schema.json", "{}");
        write(".hidden.yaml", "");
        write("README.md", "");
        fs::create_dir(directory.path().join("dir.yaml")).unwrap();
        fs::create_dir(directory.path().join("dir")).unwrap();
        let found = profile::discover(directory.path()).unwrap();
        let cases: Vec<(&str, bool)> = found
            .iter()
            .map(|case| (case.name.as_str(), case.profile.is_ok()))
            .collect();
        assert_eq!(
            cases,
            [
                ("LOUD.YAML", false),
                ("bad", false),
                ("custom", true),
                ("custom.yml", false),
                ("dir", false)
            ]
        );
        let errors = found[4].profile.as_ref().unwrap_err().to_string();
        assert!(
            errors.ends_with("dir.yaml: found a directory; expected a YAML file"),
            "{errors}"
        );
    }

    #[test]
    fn an_absent_directory_is_named_with_what_to_do() {
        assert_eq!(
            profile::discover(Path::new("no/such/dir"))
                .unwrap_err()
                .to_string(),
            "found no profiles directory \"no/such/dir\"; expected one with a YAML file for each case: \
             run in the checkout, or name it with --profiles-dir or TEMPO_PERF_PROFILES_DIR"
        );
    }
}

/// Neither parser may panic, and what passes the checks must also be read: a
/// mistake without a key would come from serde, which cannot say more.
#[test]
fn damaged_profiles_are_read_or_refused() {
    let odd = [
        "", "\t", "&", "*", "'", "\"", "[", "}", "|", "%", "\u{0}", "é", "\n", ": ", "- ",
    ];
    for (at, _) in GOOD.char_indices() {
        let _ = parse(&GOOD[..at]);
        for piece in odd {
            let text = format!("{}{piece}{}", &GOOD[..at], &GOOD[at + 1..]);
            if let Err(errors) = parse(&text) {
                assert!(
                    !errors.mistakes.is_empty(),
                    "{text} must be refused for a reason"
                );
                let message = errors.to_string();
                assert!(
                    !message.contains("invalid type") && !message.contains("missing field"),
                    "the checks must find what serde finds:\n{text}\n{message}"
                );
            }
        }
    }
}
