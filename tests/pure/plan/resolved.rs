//! Where the numbers of a plan come from, and what cannot be planned.

use std::time::Duration;

use rstest::rstest;
use tempo_perf::k6::solve::LoadError;
use tempo_perf::plan::{PlanError, plan, render};
use tempo_perf::profile::{self, Profile, TraceProfile};
use tempo_perf::settings::{Settings, Target, TestType};
use tempo_perf::units::{ByteRate, EventRate};

use super::{built_in, changed, of_type, planned};

fn refusal(profile: &Profile, settings: &Settings) -> String {
    planned(profile, settings)
        .expect_err("there must be no plan")
        .to_string()
}

#[test]
fn every_built_in_profile_has_this_plan() {
    insta::glob!("../../../profiles", "*.yaml", |path| {
        let profile = profile::load(path).unwrap_or_else(|errors| panic!("{errors}"));
        let plan = planned(&profile, &Settings::default()).expect("a plan");
        insta::assert_snapshot!("combined", render(&plan));
    });
}

#[rstest]
#[case::ingestion(TestType::Ingestion)]
#[case::query(TestType::Query)]
fn a_plan_has_only_what_its_test_type_does(#[case] test_type: TestType) {
    let plan = planned(&built_in("1x-demo"), &of_type(test_type)).expect("a plan");
    insta::assert_snapshot!(format!("1x_demo_{test_type}"), render(&plan));
}

#[test]
fn variables_beat_size_and_size_beats_the_profile() {
    let profile = built_in("1x-demo");
    let sized = Settings {
        size: Some("1x-medium".into()),
        ..Settings::default()
    };
    let medium = built_in("1x-medium").k6;
    let plan = planned(&profile, &sized).expect("a plan");
    assert_eq!(plan.profile.k6, medium, "SIZE replaces the k6 section");
    assert_eq!(plan.profile.tempo, profile.tempo, "and nothing else");

    let all = Settings {
        mb_per_second: Some(ByteRate::from_mb_per_second(3.0)),
        queries_per_second: Some(EventRate::per_second(4.0)),
        vus_min: Some(6),
        vus_max: Some(7),
        trace_profile: Some(TraceProfile::Small),
        ..sized
    };
    let plan = planned(&profile, &all).expect("a plan");
    let mb = plan.ingestion.target_bytes_per_second.mb_per_second();
    assert!((mb - 3.0).abs() < 1e-9, "{mb} MB/s");
    assert_eq!(plan.query.queries_per_second.as_per_second(), 4.0);
    assert_eq!((plan.profile.k6.vus.min, plan.profile.k6.vus.max), (6, 7));
    assert_eq!(plan.ingestion.trace_profile, TraceProfile::Small);
}

#[rstest]
#[case::neither(None, None, 300)]
#[case::profile(None, Some(20), 20)]
#[case::variable(Some(30), None, 30)]
#[case::variable_over_profile(Some(30), Some(20), 30)]
fn duration_comes_from_the_variable_then_the_profile(
    #[case] variable: Option<u64>,
    #[case] given: Option<u64>,
    #[case] expected: u64,
) {
    let profile = changed("1x-demo", |profile| {
        profile.k6.duration = given.map(Duration::from_secs);
    });
    let settings = Settings {
        duration: variable.map(Duration::from_secs),
        ..Settings::default()
    };
    let plan = planned(&profile, &settings).expect("a plan");
    assert_eq!(plan.duration, Duration::from_secs(expected));
}

#[test]
fn size_keeps_the_duration_and_warm_up_of_the_case() {
    let profile = changed("1x-demo", |profile| {
        profile.k6.duration = Some(Duration::from_secs(40));
        profile.k6.warmup = Some(Duration::from_secs(3));
    });
    let settings = Settings {
        size: Some("small".into()),
        ..Settings::default()
    };
    let plan = planned(&profile, &settings).expect("a plan");
    assert_eq!(
        plan.window(),
        (Duration::from_secs(3), Duration::from_secs(43))
    );
}

#[rstest]
#[case::short(45, 30 * 60)]
#[case::long(25 * 60, 35 * 60)]
fn the_time_limit_leaves_ten_minutes_beside_the_load(#[case] duration: u64, #[case] limit: u64) {
    let settings = Settings {
        duration: Some(Duration::from_secs(duration)),
        ..Settings::default()
    };
    let plan = planned(&built_in("1x-demo"), &settings).expect("a plan");
    assert_eq!(plan.job_timeout, Duration::from_secs(limit));
    let limited = Settings {
        job_timeout: Some(Duration::from_secs(60)),
        ..settings
    };
    let plan = planned(&built_in("1x-demo"), &limited).expect("a plan");
    assert_eq!(
        plan.job_timeout,
        Duration::from_secs(60),
        "an explicit one counts"
    );
}

#[test]
fn what_cannot_be_planned_is_refused_with_what_would_be_right() {
    let short = Settings {
        duration: Some(Duration::from_secs(3)),
        ..Settings::default()
    };
    insta::assert_snapshot!(
        refusal(&built_in("1x-demo"), &short),
        @"DURATION: found 3s; the PromQL checks need at least 5s (5 scrapes)"
    );
    let profile = changed("1x-demo", |profile| {
        profile.k6.duration = Some(Duration::from_secs(4));
    });
    insta::assert_snapshot!(
        refusal(&profile, &Settings::default()),
        @"k6.duration: found 4s; the PromQL checks need at least 5s (5 scrapes)"
    );
    let users = Settings {
        vus_min: Some(6),
        ..Settings::default()
    };
    insta::assert_snapshot!(
        refusal(&built_in("1x-demo"), &users),
        @"VUS_MIN and VUS_MAX: found 6 and 5; the smaller must come first"
    );
    let size = Settings {
        size: Some("huge".into()),
        ..Settings::default()
    };
    insta::assert_snapshot!(
        refusal(&built_in("1x-demo"), &size),
        @r#"SIZE: found "huge"; expected the name of a profile in profiles: small, 1x-medium"#
    );
    let slow = Settings {
        queries_per_second: Some(EventRate::per_second(0.0001)),
        ..Settings::default()
    };
    let refused = planned(&built_in("1x-demo"), &slow).expect_err("k6 cannot hold it");
    assert!(
        matches!(refused, PlanError::Load(LoadError::TooSlow { .. })),
        "{refused}"
    );
}

#[test]
fn a_request_over_one_mib_is_refused_with_the_most_traces_that_fit() {
    let batched = |traces| {
        changed("xlarge", |profile| {
            profile.k6.ingestion.traces_per_request = Some(traces);
        })
    };
    let refused = planned(&batched(1000), &Settings::default()).expect_err("too large");
    let PlanError::Load(LoadError::RequestTooLarge { most, .. }) = refused else {
        panic!("{refused}");
    };
    let message = refused.to_string();
    assert!(
        message.starts_with(&format!(
            "k6.ingestion.tracesPerRequest: found 1000; expected at most {most}: 1000 xlarge \
             traces make requests of up to "
        )),
        "{message}"
    );
    let plan = planned(&batched(most), &Settings::default()).expect("the most that fits");
    assert_eq!(plan.ingestion.traces_per_request, most);
}

#[rstest]
#[case::query(TestType::Query, Target::Local, Some(30))]
#[case::combined(TestType::Combined, Target::Local, None)]
#[case::query_of_an_existing_tempo(TestType::Query, Target::Endpoint, None)]
fn a_query_test_first_ingests_something_to_find(
    #[case] test_type: TestType,
    #[case] target: Target,
    #[case] seconds: Option<u64>,
) {
    let settings = Settings {
        tempo_query_endpoint: Some("http://127.0.0.1:3200".parse().expect("a URL")),
        ..of_type(test_type)
    };
    let plan = plan(&built_in("1x-demo"), &settings, target, 2, &[], 7).expect("a plan");
    assert_eq!(
        plan.seeding.map(|seeding| seeding.duration),
        seconds.map(Duration::from_secs)
    );
}

#[rstest]
#[case::nothing("1x-demo", Target::Kubernetes, &[])]
#[case::demo("1x-demo", Target::Local, &["storage"])]
#[case::pico("1x-pico", Target::Local, &["tempo.variant: stack", "tempo.replicationFactor", "storage"])]
#[case::existing("1x-pico", Target::Endpoint, &["tempo", "storage"])]
#[case::stack_with_replicas("1x-pico", Target::Kubernetes, &[])]
fn fields_that_a_target_cannot_honour_are_listed(
    #[case] name: &str,
    #[case] target: Target,
    #[case] expected: &[&str],
) {
    let settings = Settings {
        tempo_endpoint: Some("http://127.0.0.1:4318".parse().expect("a URL")),
        tempo_query_endpoint: Some("http://127.0.0.1:3200".parse().expect("a URL")),
        ..Settings::default()
    };
    let plan = plan(&built_in(name), &settings, target, 2, &[], 7).expect("a plan");
    let fields: Vec<&str> = plan
        .not_applied
        .iter()
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(fields, expected);
}
