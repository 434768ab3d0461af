//! What is created for every built-in profile. 1x-demo and 1x-pico are shown
//! whole; of every other case only the values in which it differs.

use std::collections::{BTreeMap, BTreeSet};

use rstest::rstest;
use serde_json::Value;
use tempo_perf::environment::kubernetes::manifests::blueprint::{Blueprint, Flavor};
use tempo_perf::profile::{Profile, Variant};

use super::blueprints::{self, blueprint, objects, profiles, title, with_nodes_and_s3};

fn documents(objects: &[Value]) -> String {
    objects
        .iter()
        .map(|object| format!("---\n{}", serde_yaml::to_string(object).unwrap()))
        .collect()
}

/// Every single value below `object` by its place; configuration files count
/// as part of the tree.
fn leaves(place: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    let mut below = |key: &str, value: &Value| leaves(&format!("{place}/{key}"), value, found);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                match value.as_str().filter(|_| key.ends_with(".yml")) {
                    Some(file) => below(key, &serde_yaml::from_str(file).unwrap()),
                    None => below(key, value),
                }
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                below(&index.to_string(), item);
            }
        }
        leaf => drop(found.insert(place.to_string(), leaf.clone())),
    }
}

/// Values that are in one of two runs and not, or not so, in the other, the
/// names of profile and namespace aside; of an object that is not there any
/// more, the title.
fn differences(blueprint: &Blueprint, reference: Blueprint) -> String {
    let before = objects(&Blueprint {
        namespace: blueprint.namespace.clone(),
        profile: blueprint.profile.clone(),
        ..reference
    });
    let after = objects(blueprint);
    let titles: BTreeSet<String> = before.iter().chain(&after).map(title).collect();
    let mut text = String::new();
    for name in titles {
        let below = |objects: &[Value]| {
            let mut found = BTreeMap::new();
            for object in objects.iter().filter(|object| title(object) == name) {
                leaves("", object, &mut found);
            }
            found
        };
        let (before, after) = (below(&before), below(&after));
        if after.is_empty() {
            text += &format!("- {name}\n");
        } else if before != after {
            text += &format!("{} {name}\n", if before.is_empty() { '+' } else { ' ' });
            text += &changes(&before, &after);
        }
    }
    text
}

fn changes(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> String {
    let places: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut text = String::new();
    for place in places {
        let (before, after) = (before.get(place), after.get(place));
        if before != after {
            for (sign, value) in [('-', before), ('+', after)] {
                if let Some(value) = value {
                    text += &format!("{sign}   {place}: {value}\n");
                }
            }
        }
    }
    text
}

fn suffix(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::Vanilla => "vanilla",
        Flavor::OpenShift => "openshift",
    }
}

/// The profile beside which others of its variant are shown.
fn reference(profile: &Profile) -> Profile {
    blueprints::profile(match profile.tempo.variant {
        Variant::Monolithic => "1x-demo",
        Variant::Stack => "1x-pico",
    })
}

#[rstest]
#[case::vanilla(Flavor::Vanilla)]
#[case::openshift(Flavor::OpenShift)]
fn every_built_in_profile(#[case] flavor: Flavor) {
    for profile in profiles() {
        let shown = blueprint(&profile, flavor);
        let reference = reference(&profile);
        let text = if reference.name == profile.name {
            documents(&objects(&shown))
        } else {
            let head = format!("beside {}\n", reference.name);
            head + &differences(&shown, blueprint(&reference, flavor))
        };
        insta::assert_snapshot!(format!("{}-{}", profile.name, suffix(flavor)), text);
    }
}

#[rstest]
#[case::vanilla(Flavor::Vanilla)]
#[case::openshift(Flavor::OpenShift)]
fn every_built_in_profile_with_node_selector_and_s3(#[case] flavor: Flavor) {
    for profile in profiles() {
        let shown = with_nodes_and_s3(blueprint(&profile, flavor));
        let reference = reference(&profile);
        let (head, beside) = if reference.name == profile.name {
            let head = format!("beside {} without them\n", profile.name);
            (head, blueprint(&profile, flavor))
        } else {
            let head = format!("beside {} with them\n", reference.name);
            (head, with_nodes_and_s3(blueprint(&reference, flavor)))
        };
        let text = head + &differences(&shown, beside);
        insta::assert_snapshot!(
            format!("{}-{}-nodes-s3", profile.name, suffix(flavor)),
            text
        );
    }
}
