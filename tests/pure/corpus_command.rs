//! `tempo-perf corpus`: the files that runs by hand need.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use tempo_perf::corpus::Corpus;
use tempo_perf::k6::corpus_command::{CorpusArgs, Size, run};
use tempo_perf::profile::TraceProfile;

const PROFILE: &str = "\
name: some
tempo: {variant: stack}
k6:
  duration: 2m
  vus: {min: 3, max: 9}
  ingestion: {mbPerSecond: 2, traceProfile: large}
  query: {queriesPerSecond: 12.5}
";

#[test]
fn sizes_are_those_of_the_profiles() {
    let dir = tempfile::tempdir().expect("a directory");
    let profiles = dir.path().join("profiles");
    fs::create_dir(&profiles).expect("writable");
    fs::write(profiles.join("some.yaml"), PROFILE).expect("writable");
    let out = dir.path().join("deep/corpus");
    run(&CorpusArgs {
        out: out.clone(),
        profiles_dir: profiles,
        seed: 3,
    })
    .expect("must write");

    let read = |name: &str| fs::read_to_string(out.join(name)).expect("must be there");
    let sizes: BTreeMap<String, Size> =
        serde_json::from_str(&read("sizes.json")).expect("must be readable");
    let size = &sizes["some"];
    assert_eq!(size.query_rate_per_1000s, 12_500);
    assert_eq!((size.vus_min, size.vus_max), (3, 9));
    assert_eq!(size.duration_ms, 120_000);

    let corpus = Corpus::generate(TraceProfile::Large, 3);
    let bytes = size.ingestion_rate_per_1000s as f64 / 1000.0
        * f64::from(size.traces_per_request)
        * corpus.mean_bytes_per_trace();
    assert!((bytes / 2_097_152.0 - 1.0).abs() < 0.001, "{bytes} B/s");

    for profile in TraceProfile::ALL {
        let facts = serde_json::to_string_pretty(&Corpus::generate(profile, 3).facts())
            .expect("plain values");
        assert_eq!(read(&format!("{}.json", profile.name())), facts + "\n");
    }
}

#[test]
fn a_directory_without_profiles_is_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = run(&CorpusArgs {
        out: dir.path().join("out"),
        profiles_dir: dir.path().to_owned(),
        seed: 1,
    })
    .expect_err("there are no profiles");
    assert!(error.to_string().starts_with("no profiles in "), "{error}");
}

#[test]
fn the_seed_s_variable_counts_when_it_says_something_and_is_named_when_it_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let corpus = |seed: &str| {
        Command::new(env!("CARGO_BIN_EXE_tempo-perf"))
            .args(["corpus", "--profiles-dir"])
            .arg(dir.path())
            .env("TEMPO_PERF_SEED", seed)
            .output()
            .expect("must start")
    };
    let stderr = |seed| String::from_utf8(corpus(seed).stderr).expect("text");
    assert!(stderr("").starts_with("error: no profiles in "));
    assert!(stderr("-1").starts_with(
        "error: TEMPO_PERF_SEED: found \"-1\"; expected a whole number from 0 to 4294967295\n"
    ));
}
