//! Which cases run. None of these tests starts a load.

use std::fs;

use crate::support::front_door::{Finished, FrontDoor};
use crate::support::scratch::Scratch;

fn listed(finished: &Finished) -> Vec<&str> {
    finished
        .stdout
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .collect()
}

#[test]
fn a_name_selects_its_profile_alone_and_other_words_by_substring() {
    let scratch = Scratch::new();
    let list = |args: &[&str]| {
        FrontDoor::new(&scratch, &[args, &["--list"]].concat())
            .run()
            .passes()
    };
    assert_eq!(listed(&list(&["small"])), ["small"]);
    assert_eq!(listed(&list(&["1x-"])).len(), 5);
    assert_eq!(listed(&list(&[])).len(), 9);
    assert_eq!(
        listed(&list(&["--profiles", "small,large"])),
        ["large", "small"]
    );
    let plans = FrontDoor::new(&scratch, &["small", "--dry-run"])
        .run()
        .passes();
    assert!(plans.stdout.starts_with("small\n"), "{}", plans.stdout);
    assert!(!plans.stdout.contains("1x-small\n"), "{}", plans.stdout);
    assert!(
        !scratch.path().join("results").exists(),
        "listing writes nothing"
    );
    scratch.assert_nothing_is_left();
}

#[test]
fn a_filter_that_matches_nothing_fails_and_names_the_profiles() {
    let scratch = Scratch::new();
    FrontDoor::new(&scratch, &["1x-dmeo"])
        .run()
        .exits_with(2)
        .says(&[
            "no profile matches \"1x-dmeo\"",
            "1x-demo",
            "1x-pico",
            "xlarge",
        ]);
    assert!(!scratch.path().join("results").exists());
}

#[test]
fn a_broken_profile_costs_its_own_case_alone() {
    let scratch = Scratch::new();
    let profiles = scratch.profiles(&["1x-demo"]);
    fs::write(profiles.join("broken.yaml"), "name: broken\nsurprise: 1\n").expect("written");
    let finished = FrontDoor::new(&scratch, &["--dry-run"])
        .profiles_dir(&profiles)
        .run()
        .exits_with(1)
        .says(&["broken.yaml:2:1", "surprise"]);
    assert!(finished.stdout.contains("\n1x-demo\n") || finished.stdout.starts_with("1x-demo\n"));
    assert!(
        finished.stdout.contains("bytes acknowledged"),
        "{}",
        finished.stdout
    );
    // The case itself fails at once, and starts nothing.
    let junit = scratch.path().join("all.xml");
    let finished = FrontDoor::new(&scratch, &["broken"])
        .profiles_dir(&profiles)
        .env("TEMPO_PERF_JUNIT", &junit)
        .run()
        .exits_with(101)
        .says(&["broken.yaml:2:1", "0 passed; 1 failed"]);
    finished.report("broken").is_in_state("final");
    // Else the file over all cases would be green.
    let all = fs::read_to_string(junit).expect("the file over all cases");
    let all = quick_junit::Report::deserialize_from_str(&all).expect("JUnit");
    assert_eq!((all.tests, all.errors), (1, 1));
    scratch.assert_nothing_is_left();
}

#[test]
fn a_duration_too_short_for_promql_is_refused_with_the_shortest_useful_one() {
    let scratch = Scratch::new();
    let finished = FrontDoor::new(&scratch, &["1x-demo"])
        .seconds(3)
        .run()
        .exits_with(101)
        .says(&["DURATION: found 3s; the PromQL checks need at least 5s (5 scrapes)"]);
    assert!(!finished.file("1x-demo-k6-ingestion.log").exists());
    let error = finished.report("1x-demo").json["error"].to_string();
    assert!(error.contains("at least 5s"), "{error}");
    scratch.assert_nothing_is_left();
}
