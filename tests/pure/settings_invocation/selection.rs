//! Which profiles an invocation runs.

use std::path::Path;

use rstest::rstest;
use tempo_perf::profile::{self, Discovered};
use tempo_perf::settings::{Invocation, SelectError, select};

use super::parse;

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
