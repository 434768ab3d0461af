//! The catalogue of queries, a data file, and the variables of its expressions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::settings::Target;

/// Values of `${name}` by name.
pub type Variables = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Catalogue {
    pub queries: Vec<CatalogueQuery>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueQuery {
    pub id: String,
    pub name: String,
    pub category: String,
    pub description: String,
    /// Of the values, as in checks: `s`, `B/s`, `ratio`, …
    pub unit: String,
    #[serde(default)]
    pub kind: QueryKind,
    pub targets: Vec<Target>,
    /// Why an empty answer may be in order.
    pub empty_means: Option<String>,
    /// PromQL with variables.
    pub expr: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryKind {
    /// Over the window.
    #[default]
    Range,
    /// Once, at the end of the window.
    Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("the catalogue of queries cannot be read")]
    Yaml(#[from] serde_yaml::Error),
}

impl Catalogue {
    /// Takes the queries that use a variable off every target: nothing answers
    /// them here.
    pub fn leave_out(&mut self, variable: &str) {
        let used = format!("${{{variable}}}");
        for query in &mut self.queries {
            if query.expr.contains(&used) {
                query.targets.clear();
            }
        }
    }

    /// The catalogue that is compiled into the program.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Self::parse(include_str!("catalogue.yaml"))
    }

    pub fn parse(yaml: &str) -> Result<Self, CatalogueError> {
        Ok(serde_yaml::from_str(yaml)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::promql_variables::substitute;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn all_variables() -> Variables {
        variables(&[
            ("sel", r#"job="tempo""#),
            ("ksel", r#"namespace="x",container="tempo""#),
            ("csel", r#"job="otelcol""#),
            ("k6sel", ""),
            ("w", "10s"),
            ("window", "60s"),
            ("step", "1s"),
            ("rp", ""),
            ("rf", "1"),
        ])
    }

    #[test]
    fn every_expression_is_promql_after_substitution() {
        for query in Catalogue::built_in().unwrap().queries {
            let expr = substitute(&query.expr, &all_variables())
                .unwrap_or_else(|error| panic!("{}: {error}", query.id));
            assert!(!expr.contains("${"), "{}: {expr}", query.id);
            promql_parser::parser::parse(&expr)
                .unwrap_or_else(|error| panic!("{} {expr}: {error}", query.id));
        }
    }

    #[test]
    fn ids_and_names_are_unique_and_every_query_applies_somewhere() {
        let catalogue = Catalogue::built_in().unwrap();
        let mut ids = BTreeSet::new();
        let mut names = BTreeSet::new();
        for query in &catalogue.queries {
            assert!(ids.insert(&query.id), "id {} is given twice", query.id);
            assert!(
                names.insert(&query.name),
                "name {} is given twice",
                query.name
            );
            assert!(!query.targets.is_empty(), "{} applies nowhere", query.id);
        }
        for id in (1..=37)
            .map(|n| n.to_string())
            .chain((1..=8).map(|n| format!("summary_{n}")))
        {
            assert!(ids.contains(&id), "the Go program's query {id} is missing");
        }
    }

    #[test]
    fn metrics_of_containers_are_asked_only_where_there_are_containers() {
        for query in Catalogue::built_in().unwrap().queries {
            if query.expr.contains("container_") {
                assert_eq!(query.targets, [Target::Kubernetes], "{}", query.id);
            }
            if query.kind == QueryKind::Instant {
                assert_eq!(query.category, "summary", "{}", query.id);
            }
        }
    }

    /// The slips that the Go program's queries had.
    #[test]
    fn known_mistakes_are_not_back() {
        for query in Catalogue::built_in().unwrap().queries {
            let expr = &query.expr;
            assert!(
                !expr.contains("retries_count"),
                "{}: that counts jobs",
                query.id
            );
            assert!(
                !expr.contains("by (status) (rate(tempo_distributor"),
                "{}",
                query.id
            );
            assert!(
                !expr.contains("route=~\".*"),
                "{}: mixes queries and jobs",
                query.id
            );
            // A raw counter must be within rate, increase or changes.
            for (position, _) in expr.match_indices("_total{") {
                let before = &expr[..position];
                let call = before.rfind('(').map(|open| &before[..open]);
                let raw = call.is_some_and(|call| {
                    !["rate", "increase", "changes"]
                        .iter()
                        .any(|f| call.ends_with(f))
                });
                let gauge = before.ends_with("tempodb_backend_bytes");
                assert!(!raw || gauge, "{}: raw counter in {expr}", query.id);
            }
        }
    }
}
