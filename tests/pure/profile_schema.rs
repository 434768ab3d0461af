//! The built-in profiles and the schema beside them.

use std::fs;
use std::path::Path;

use tempo_perf::profile::{self, schema};

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/profiles"))
}

#[test]
fn the_schema_beside_the_profiles_is_current() {
    let path = directory().join("schema.json");
    if std::env::var_os("TEMPO_PERF_UPDATE_SCHEMA").is_some() {
        fs::write(&path, schema::schema_json()).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == schema::schema_json(),
        "profiles/schema.json must be what the types say; rewrite it with\n\n    \
         TEMPO_PERF_UPDATE_SCHEMA=1 cargo test --test pure profile_schema\n"
    );
}

#[test]
fn the_built_in_profiles_are_sound() {
    let found = profile::discover(directory()).unwrap();
    let names: Vec<&str> = found.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "1x-demo",
            "1x-extra-small",
            "1x-medium",
            "1x-pico",
            "1x-small",
            "large",
            "medium",
            "small",
            "xlarge",
        ]
    );
    for case in &found {
        let profile = case
            .profile
            .as_ref()
            .unwrap_or_else(|errors| panic!("{errors}"));
        let text = fs::read_to_string(&case.path).unwrap();
        assert!(
            text.starts_with("# yaml-language-server: $schema=schema.json\n"),
            "{} must name its schema, so that an editor checks it",
            case.name
        );
        // GB/day as in the table of the Go program: a GB is 1,024 MB.
        let per_day = profile.k6.ingestion.mb_per_second * 86_400.0 / 1024.0;
        let said: f64 = profile
            .description
            .as_deref()
            .and_then(|text| text.split("about ").nth(1)?.split(" GB/day").next())
            .and_then(|number| number.replace(',', "").parse().ok())
            .unwrap_or_else(|| panic!("{} must describe its GB/day", case.name));
        assert!(
            (said / per_day - 1.0).abs() < 0.06,
            "{} says {said} GB/day and is {per_day}",
            case.name
        );
    }
}

#[test]
fn built_in_profiles() {
    insta::glob!("../../profiles", "*.yaml", |path| {
        let profile = profile::load(path).unwrap_or_else(|errors| panic!("{errors}"));
        insta::assert_yaml_snapshot!(profile);
        // What is written back must be read as the same.
        let text = serde_yaml::to_string(&profile).unwrap();
        let again = profile::parse(path, &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(again, profile);
    });
}
