//! Plans: every number resolved, every check known before the load.

mod checks;
mod kubernetes;
mod resolved;

use std::path::Path;

use tempo_perf::plan::{Plan, PlanError, plan};
use tempo_perf::profile::{self, Profile};
use tempo_perf::settings::{Settings, Target, TestType};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn built_in(name: &str) -> Profile {
    let path = Path::new(ROOT)
        .join("profiles")
        .join(format!("{name}.yaml"));
    profile::load(&path).unwrap_or_else(|errors| panic!("{errors}"))
}

fn changed(name: &str, change: impl FnOnce(&mut Profile)) -> Profile {
    let mut profile = built_in(name);
    change(&mut profile);
    profile
}

fn of_type(test_type: TestType) -> Settings {
    Settings {
        test_type,
        ..Settings::default()
    }
}

fn planned(profile: &Profile, settings: &Settings) -> Result<Plan, PlanError> {
    let sizes = [built_in("small"), built_in("1x-medium")];
    plan(profile, settings, Target::Local, 2, &sizes, 7)
}
