//! A document against the schema: keys, types, allowed values, ranges, formats.

use std::collections::HashMap;

use serde_json::Value;

use super::format::without_user;
use super::tree::{Content, Node, Scalar};
use super::{Position, format};
use crate::nearest::nearest;
use crate::units::Grouped;

/// Receives mistakes: place, path of keys, what was found, what is expected.
pub type Report<'a> = dyn FnMut(Position, &str, String, String) + 'a;

/// Checks `node`, the value at the keys `path`. `owner` is the place of its
/// key, where a missing key is reported.
pub fn check(schema: &Value, node: &Node, path: &str, owner: Position, report: &mut Report) {
    let kind = kind(schema);
    match (&node.content, kind) {
        (Content::Refused, _) => {}
        (Content::Map(entries), "object") => {
            check_map(schema, entries, path, owner, report);
        }
        (Content::List(items), "array") => {
            for (index, item) in items.iter().enumerate() {
                check(
                    &schema["items"],
                    item,
                    &format!("{path}[{index}]"),
                    item.at,
                    report,
                );
            }
            let least = schema["minItems"].as_u64().unwrap_or(0);
            let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
            if items.is_empty() && least > 0 {
                report(
                    node.at,
                    path,
                    "an empty list".into(),
                    "at least one entry, or leave the key out".into(),
                );
            } else if items.len() as u64 > most {
                report(
                    node.at,
                    path,
                    format!("{} entries", items.len()),
                    format!("at most {most}"),
                );
            }
        }
        (Content::Scalar { text, .. }, "string" | "integer" | "number") => {
            if let Err(reason) = check_scalar(schema, kind, node, text) {
                let which = if reason.is_empty() {
                    String::new()
                } else {
                    format!(", which {reason}")
                };
                let shown = without_user(text);
                let found = if shown == *text {
                    node.describe()
                } else {
                    format!("{shown:?}")
                };
                report(
                    node.at,
                    path,
                    format!("{found}{which}"),
                    expected(schema, text),
                );
            }
        }
        _ => report(node.at, path, node.describe(), expected(schema, "")),
    }
}

/// The schema's type; of several the first, which is the text.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or_default(),
        _ if !allowed(schema).is_empty() => "string",
        _ => "",
    }
}

fn check_map(
    schema: &Value,
    entries: &[(Node, Node)],
    path: &str,
    owner: Position,
    report: &mut Report,
) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    let known = schema["properties"].as_object();
    let mut first: HashMap<&str, Position> = HashMap::new();
    for (key, value) in entries {
        let (Some(Scalar::Text), Some(name)) = (key.scalar(), key.text()) else {
            if !matches!(key.content, Content::Refused) {
                report(
                    key.at,
                    path,
                    format!("{} as a key", key.describe()),
                    "text, in quotes if need be".into(),
                );
            }
            continue;
        };
        if name == "<<" {
            report(
                key.at,
                &below(name),
                "a merge key (<<)".into(),
                "the keys written out: profiles have no anchors and aliases".into(),
            );
            continue;
        }
        if let Some(Position { line, .. }) = first.get(name) {
            report(
                key.at,
                &below(name),
                "the key a second time".into(),
                format!("it only once (the first is in line {line})"),
            );
            continue;
        }
        first.insert(name, key.at);
        match (known.and_then(|known| known.get(name)), known) {
            (Some(field), _) => check(field, value, &below(name), key.at, report),
            (None, Some(known)) => {
                report(
                    key.at,
                    &below(name),
                    "an unknown key".into(),
                    one_of(name, &names(known)),
                );
            }
            (None, None) => {
                check(
                    &schema["additionalProperties"],
                    value,
                    &below(name),
                    key.at,
                    report,
                );
            }
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let Some(name) = name.as_str() else { continue };
        if !first.contains_key(name) {
            let field = &schema["properties"][name];
            report(
                owner,
                &below(name),
                "no such key".into(),
                expected(field, ""),
            );
        }
    }
}

/// Keys that are still current.
fn names(properties: &serde_json::Map<String, Value>) -> Vec<&str> {
    properties
        .iter()
        .filter(|(_, field)| field["deprecated"] != true)
        .map(|(name, _)| name.as_str())
        .collect()
}

fn check_scalar(schema: &Value, kind: &str, node: &Node, text: &str) -> Result<(), String> {
    let nothing = String::new;
    match (kind, node.scalar()) {
        (_, None | Some(Scalar::Null)) => Err(nothing()),
        ("string", Some(Scalar::Text)) => {
            let allowed = allowed(schema);
            let length = text.trim().chars().count() as u64;
            if !allowed.is_empty() {
                return if allowed.contains(&text) {
                    Ok(())
                } else {
                    Err(nothing())
                };
            }
            if let Some(format) = schema["format"].as_str() {
                return format::check(format, text);
            }
            if length < schema["minLength"].as_u64().unwrap_or(0) {
                return Err("is empty".to_owned());
            }
            if length > schema["maxLength"].as_u64().unwrap_or(u64::MAX) {
                return Err(format!("has {length} characters"));
            }
            Ok(())
        }
        ("string", Some(Scalar::Number(_))) => match schema["format"].as_str() {
            // A bare 5 for a duration lacks its unit; a bare 2 of CPU is fine.
            Some(format)
                if format.ends_with("duration")
                    || format.ends_with("-text")
                    || schema["type"].is_array() =>
            {
                format::check(format, text)
            }
            _ if !allowed(schema).is_empty() => Err(nothing()),
            _ => Err("YAML reads as a number unless quoted".to_owned()),
        },
        ("string", Some(Scalar::Bool)) => {
            Err("YAML reads as a truth value unless quoted".to_owned())
        }
        (_, Some(Scalar::Number(number))) => {
            let value = number
                .as_f64()
                .filter(|value| value.is_finite())
                .ok_or_else(nothing)?;
            let whole = number.is_u64() || number.is_i64();
            let fits = (kind == "number" || whole)
                && schema["minimum"]
                    .as_f64()
                    .is_none_or(|least| value >= least)
                && schema["exclusiveMinimum"]
                    .as_f64()
                    .is_none_or(|bound| value > bound)
                && schema["maximum"].as_f64().is_none_or(|most| value <= most);
            if fits { Ok(()) } else { Err(nothing()) }
        }
        (_, Some(Scalar::Text | Scalar::Bool)) => Err(nothing()),
    }
}

/// The values of an enumeration; empty for other types.
fn allowed(schema: &Value) -> Vec<&str> {
    let values = schema["enum"].as_array().into_iter().flatten();
    let described = schema["oneOf"].as_array().into_iter().flatten();
    values
        .chain(described.clone().map(|choice| &choice["const"]))
        .chain(
            described
                .filter_map(|choice| choice["enum"].as_array())
                .flatten(),
        )
        .filter_map(Value::as_str)
        .collect()
}

/// What would be right, in words.
fn expected(schema: &Value, found: &str) -> String {
    if let Some(message) = schema["errorMessage"].as_str() {
        return message
            .strip_prefix("expected ")
            .unwrap_or(message)
            .to_owned();
    }
    let allowed = allowed(schema);
    if !allowed.is_empty() {
        return one_of(found, &allowed);
    }
    match kind(schema) {
        "integer" => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (Some(least), Some(most)) => {
                format!(
                    "a whole number from {} to {}",
                    Grouped(least),
                    Grouped(most)
                )
            }
            _ => "a whole number".to_owned(),
        },
        "number" => "a number".to_owned(),
        "string" => match schema["maxLength"].as_i64() {
            Some(most) => format!("text of at most {} characters", Grouped(most)),
            None => "text".to_owned(),
        },
        "array" => "a list, each entry after a hyphen".to_owned(),
        "object" => match schema["properties"].as_object() {
            Some(known) => format!("a mapping of {}", names(known).join(", ")),
            None => "a mapping, each entry as \"key: value\"".to_owned(),
        },
        _ => "another value".to_owned(),
    }
}

/// The known names, the one that was probably meant first.
pub fn one_of(found: &str, known: &[&str]) -> String {
    let all = known.join(", ");
    match nearest(found, known.iter().copied()) {
        Some(near) if known.len() > 1 => format!("{near} (known are {all})"),
        _ if known.len() == 1 => all,
        _ => format!("one of {all}"),
    }
}
