//! The report of a case, as a test looks at it.

use serde_json::Value;

/// `{profile}-report.json`.
pub struct Report {
    pub json: Value,
}

impl Report {
    #[track_caller]
    pub fn is_in_state(&self, state: &str) {
        assert_eq!(self.json["state"], state, "{:#}", self.json);
    }

    #[track_caller]
    pub fn check(&self, name: &str) -> &Value {
        let checks = self.json["checks"].as_array().expect("a list of checks");
        checks
            .iter()
            .find(|check| check["name"] == name)
            .unwrap_or_else(|| panic!("there must be a check \"{name}\": {checks:#?}"))
    }

    #[track_caller]
    pub fn has(&self, name: &str, outcome: &str) {
        let check = self.check(name);
        assert_eq!(check["outcome"], outcome, "{check:#}");
    }

    /// Names of the checks with this outcome.
    pub fn all(&self, outcome: &str) -> Vec<&str> {
        let checks = self.json["checks"].as_array().expect("a list of checks");
        checks
            .iter()
            .filter(|check| check["outcome"] == outcome)
            .filter_map(|check| check["name"].as_str())
            .collect()
    }

    #[track_caller]
    pub fn stage(&self, name: &str) -> f64 {
        let stages = self.json["stages"].as_array().expect("a list of stages");
        stages
            .iter()
            .find(|stage| stage["name"] == name)
            .and_then(|stage| stage["duration_seconds"].as_f64())
            .unwrap_or_else(|| panic!("there must be a stage \"{name}\": {stages:#?}"))
    }
}
