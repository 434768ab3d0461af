//! What the schema cannot say: how values of a profile fit each other.
//! Values of the wrong type are the schema's affair and passed over here.

use std::collections::HashMap;

use super::check::Report;
use super::tree::Node;
use super::{threshold, variables};
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
    if let Some(selector) = root
        .get("tempo")
        .and_then(|tempo| tempo.get("nodeSelector"))
    {
        check_selector(selector, report);
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
    let s3 = match storage.get("type").map(Node::text) {
        None | Some(Some("minio")) => false,
        Some(Some("s3")) => true,
        Some(_) => return,
    };
    if s3 {
        let at = storage.get("type").map_or(storage.at, |kind| kind.at);
        if storage.get("bucket").is_none() {
            report(
                at,
                "storage.bucket",
                "no such key".into(),
                "the name of a bucket that exists, as type is s3".into(),
            );
        }
        if storage.get("region").is_none() && storage.get("endpoint").is_none() {
            report(
                at,
                "storage.region",
                "neither region nor endpoint".into(),
                "the region of the bucket on AWS, for example us-east-2, or the endpoint of \
 another store"
                    .into(),
            );
        }
    }
    let foreign: &[&str] = if s3 {
        &["size", "minioSize"]
    } else {
        &["bucket", "region", "endpoint", "secretName"]
    };
    for name in foreign {
        if let Some(value) = storage.get(name) {
            let expected = if s3 {
                "it only with type: minio"
            } else {
                "it only with type: s3"
            };
            report(
                value.at,
                &format!("storage.{name}"),
                value.describe(),
                expected.into(),
            );
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

/// Labels as Kubernetes takes them; it would refuse the pods otherwise.
fn check_selector(selector: &Node, report: &mut Report) {
    let word = |text: &str| {
        text.len() <= 63
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    for (key, value) in selector.entries() {
        let Some(name) = key.text() else { continue };
        let (prefix, label) = name
            .split_once('/')
            .map_or((None, name), |(p, l)| (Some(p), l));
        if !word(label) || prefix.is_some_and(|prefix| !word(prefix)) {
            report(
                key.at,
                "tempo.nodeSelector",
                key.describe(),
                "the key of a node label, for example node-role.kubernetes.io/infra".into(),
            );
        } else if value
            .text()
            .is_some_and(|text| !text.is_empty() && !word(text))
        {
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
