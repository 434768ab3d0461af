//! What the schema cannot say: how values of a profile fit each other.
//! Values of the wrong type are the schema's affair and passed over here.

use std::collections::HashMap;

use super::check::Report;
use super::storage::{self, Problem};
use super::tree::{Content, Node};
use super::{StorageKind, labels, threshold, variables};
use crate::promql_variables::{self, Reference};

/// Checks the profile `root`, whose file is called `stem`.yaml.
pub fn check(root: &Node, stem: &str, report: &mut Report) {
    if let Some(name) = root.get("name")
        && name.text().is_some_and(|text| text != stem)
    {
        report(
            name.at,
            "name",
            name.describe(),
            format!("{stem}, as the file is called"),
        );
    }
    if let Some(storage) = root.get("storage") {
        check_storage(storage, report);
    }
    if let Some(k6) = root.get("k6") {
        if let Some(vus) = k6.get("vus") {
            at_most(vus, "k6.vus", report);
        }
        if let Some(queries) = k6.get("query").and_then(|query| query.get("queries")) {
            check_queries(queries, report);
        }
    }
    if let Some(tempo) = root.get("tempo") {
        if let Some(selector) = tempo.get("nodeSelector") {
            check_selector(selector, report);
        }
        if let Some(tolerations) = tempo.get("tolerations") {
            check_tolerations(tolerations, report);
        }
    }
    if let Some(thresholds) = root.get("thresholds") {
        check_thresholds(thresholds, report);
    }
    if let Some(slos) = root.get("slos") {
        check_slos(slos, report);
    }
}

/// `min` of a mapping must not exceed its `max`.
fn at_most(node: &Node, path: &str, report: &mut Report) {
    if let (Some(min), Some(max)) = (node.get("min"), node.get("max"))
        && let (Some(least), Some(most)) = (min.number(), max.number())
        && least > most
    {
        report(
            min.at,
            &format!("{path}.min"),
            min.describe(),
            format!("at most max, which is {}", max.describe()),
        );
    }
}

fn check_storage(storage: &Node, report: &mut Report) {
    if let (Some(_), Some(older)) = (storage.get("size"), storage.get("minioSize")) {
        report(
            older.at,
            "storage.minioSize",
            older.describe(),
            "only one of size and minioSize, which mean the same".into(),
        );
    }
    let kind = match storage.get("type").map(Node::text) {
        None | Some(Some("minio")) => StorageKind::Minio,
        Some(Some("s3")) => StorageKind::S3,
        Some(_) => return,
    };
    let at = storage.get("type").map_or(storage.at, |kind| kind.at);
    for misfit in storage::misfits(kind, |key| storage.get(key).is_some()) {
        let path = format!("storage.{}", misfit.key);
        match (misfit.problem, storage.get(misfit.key)) {
            (Problem::Absent { found, expected }, _) => {
                report(at, &path, found.into(), expected.into());
            }
            (Problem::Foreign { belongs_to }, Some(value)) => report(
                value.at,
                &path,
                value.describe(),
                format!("it only with type: {belongs_to}"),
            ),
            (Problem::Foreign { .. }, None) => {}
        }
    }
}

fn check_queries(queries: &Node, report: &mut Report) {
    unique_names(queries, "k6.query.queries", report);
    for (index, query) in queries.items().iter().enumerate() {
        let path = |key: &str| format!("k6.query.queries[{index}].{key}");
        let Some(operation) = query.get("operation").and_then(Node::text) else {
            continue;
        };
        let missing = |key: &str| query.get(key).is_none();
        if operation == "search" && missing("traceql") {
            report(
                query.at,
                &path("traceql"),
                "no such key".into(),
                "the TraceQL query of the search, for example '{ status = error }'".into(),
            );
        }
        if operation == "tag_values" && missing("tag") {
            report(
                query.at,
                &path("tag"),
                "no such key".into(),
                "the tag whose values are asked for, for example resource.service.name".into(),
            );
        }
        for (key, users) in [
            ("traceql", ["search", "tags", "tag_values"].as_slice()),
            ("tag", &["tag_values"]),
        ] {
            let known = ["search", "trace_by_id", "tags", "tag_values"].contains(&operation);
            if let Some(value) = query.get(key)
                && known
                && !users.contains(&operation)
            {
                report(
                    value.at,
                    &path(key),
                    format!("{} for {operation}", value.describe()),
                    format!("it only for {}", users.join(", ")),
                );
            } else if let Some(value) = query.get(key)
                && value.text().is_some_and(|text| text.trim().is_empty())
            {
                report(
                    value.at,
                    &path(key),
                    "empty text".into(),
                    "TraceQL or a tag, or leave the key out".into(),
                );
            }
        }
    }
}

fn unique_names(list: &Node, path: &str, report: &mut Report) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (index, item) in list.items().iter().enumerate() {
        let Some((node, name)) = item.get("name").and_then(|node| Some((node, node.text()?)))
        else {
            continue;
        };
        if let Some(line) = first.get(name) {
            report(
                node.at,
                &format!("{path}[{index}].name"),
                node.describe(),
                format!("a name of its own; line {line} has this one"),
            );
        } else {
            first.insert(name, node.at.line);
        }
    }
}

fn check_selector(selector: &Node, report: &mut Report) {
    for (key, value) in selector.entries() {
        let Some(name) = key.text() else { continue };
        if !labels::is_key(name) {
            report(
                key.at,
                "tempo.nodeSelector",
                key.describe(),
                "the key of a node label, for example node-role.kubernetes.io/infra".into(),
            );
        } else if value.text().is_some_and(|text| !labels::is_value(text)) {
            report(
                value.at,
                &format!("tempo.nodeSelector.{name}"),
                value.describe(),
                "the value of a node label: letters, digits, dots, hyphens and underscores, \
                 or \"\""
                    .into(),
            );
        }
    }
}

fn check_tolerations(tolerations: &Node, report: &mut Report) {
    for (index, toleration) in tolerations.items().iter().enumerate() {
        let path = |key: &str| format!("tempo.tolerations[{index}].{key}");
        let field = |key: &str| toleration.get(key).and_then(|it| Some((it, it.text()?)));
        let exists = field("operator").is_some_and(|(_, text)| text == "Exists");
        if !exists
            && toleration.get("key").is_none()
            && matches!(toleration.content, Content::Map(_))
        {
            report(
                toleration.at,
                &path("key"),
                "no such key".into(),
                "the key of a taint, or operator: Exists for every taint".into(),
            );
        }
        if let Some((key, text)) = field("key")
            && !labels::is_key(text)
        {
            report(
                key.at,
                &path("key"),
                key.describe(),
                "the key of a taint, for example node-role.kubernetes.io/infra".into(),
            );
        }
        let Some((value, text)) = field("value") else {
            continue;
        };
        if exists && !text.is_empty() {
            report(
                value.at,
                &path("value"),
                value.describe(),
                "it only with operator: Equal".into(),
            );
        } else if !labels::is_value(text) {
            report(
                value.at,
                &path("value"),
                value.describe(),
                "the value of a taint: letters, digits, dots, hyphens and underscores, or \"\""
                    .into(),
            );
        }
    }
}

fn check_thresholds(thresholds: &Node, report: &mut Report) {
    for (key, list) in thresholds.entries() {
        let Some(name) = key.text() else { continue };
        let metric = threshold::parse_metric(name);
        if let Err(threshold::Expected(expected)) = &metric {
            report(key.at, "thresholds", key.describe(), expected.clone());
        }
        for (index, node) in list.items().iter().enumerate() {
            let Some(text) = node.text() else { continue };
            let fits = threshold::parse(text).and_then(|threshold| match &metric {
                Ok(metric) => threshold::fits(metric, threshold.aggregation),
                Err(_) => Ok(()),
            });
            if let Err(threshold::Expected(expected)) = fits {
                report(
                    node.at,
                    &format!("thresholds.{name}[{index}]"),
                    node.describe(),
                    expected,
                );
            }
        }
    }
}

fn check_slos(slos: &Node, report: &mut Report) {
    unique_names(slos, "slos", report);
    for (index, slo) in slos.items().iter().enumerate() {
        let path = format!("slos[{index}]");
        if slo.get("min").is_none() && slo.get("max").is_none() && !slo.entries().is_empty() {
            report(
                slo.at,
                &path,
                "neither min nor max".into(),
                "a bound that the expression is held to".into(),
            );
        }
        at_most(slo, &path, report);
        if let Some((node, expr)) = slo.get("expr").and_then(|node| Some((node, node.text()?))) {
            for Reference { name, closed } in promql_variables::used(expr) {
                let known = variables::KNOWN.iter().any(|v| v.name == name);
                let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
                // A brace that closes something else may follow.
                let found = if !closed || !name.chars().all(word) {
                    "a variable without its closing brace".to_owned()
                } else if !known {
                    format!("the unknown variable ${{{name}}}")
                } else {
                    continue;
                };
                let expected = variables::expected(name);
                report(node.at, &format!("{path}.expr"), found, expected);
            }
        }
        if let Some((node, of)) = slo.get("of").and_then(|node| Some((node, node.text()?)))
            && let Err(expected) = variables::factor_of(of)
        {
            report(node.at, &format!("{path}.of"), node.describe(), expected);
        }
    }
}
