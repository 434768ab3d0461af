//! Custom resources, held against the schemas of the real definitions. Those
//! are not part of this project: they are read from TEMPO_PERF_CRD_DIR.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::Validator;
use rstest::rstest;
use serde_json::{Value, json};
use tempo_perf::environment::kubernetes::manifests::blueprint::Flavor;
use tempo_perf::environment::kubernetes::manifests::tempo;

use super::blueprints::{blueprint, matrix, objects, profile, title};

/// Makes a JSON schema of an OpenAPI v3 schema as definitions have it: unknown
/// fields are refused unless the schema says that it keeps them, as the API
/// server does with strict validation, and `nullable` becomes a type.
fn strict(mut schema: Value) -> Value {
    let Some(fields) = schema.as_object_mut() else {
        return schema;
    };
    if fields.remove("nullable") == Some(json!(true))
        && let Some(kind) = fields.get("type").cloned()
    {
        fields.insert("type".into(), json!([kind, "null"]));
    }
    let keeps = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if fields.contains_key("properties") && !keeps && !fields.contains_key("additionalProperties") {
        fields.insert("additionalProperties".into(), json!(false));
    }
    fields.retain(|key, _| !key.starts_with("x-kubernetes-"));
    for (key, value) in fields.iter_mut() {
        match key.as_str() {
            "properties" => {
                for schema in value.as_object_mut().unwrap().values_mut() {
                    *schema = strict(schema.take());
                }
            }
            "items" | "additionalProperties" | "not" => *value = strict(value.take()),
            "anyOf" | "allOf" | "oneOf" => {
                for schema in value.as_array_mut().unwrap() {
                    *schema = strict(schema.take());
                }
            }
            _ => {}
        }
    }
    schema
}

/// Mistakes of an object, each with its place.
fn mistakes(validator: &Validator, object: &Value) -> Vec<String> {
    validator
        .iter_errors(object)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Validators by `apiVersion` and kind, of all served versions.
fn definitions() -> BTreeMap<(String, String), Validator> {
    let directory = std::env::var_os("TEMPO_PERF_CRD_DIR")
        .map(PathBuf::from)
        .expect("TEMPO_PERF_CRD_DIR must name a directory of CustomResourceDefinitions");
    let mut validators = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let definition: Value = serde_yaml::from_str(&text).unwrap();
        let spec = &definition["spec"];
        for version in spec["versions"].as_array().unwrap() {
            let group = spec["group"].as_str().unwrap();
            let name = version["name"].as_str().unwrap();
            let kind = spec["names"]["kind"].as_str().unwrap();
            let schema = strict(version["schema"]["openAPIV3Schema"].clone());
            let validator = jsonschema::validator_for(&schema)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            validators.insert((format!("{group}/{name}"), kind.to_string()), validator);
        }
    }
    validators
}

fn key(object: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    (text(&object["apiVersion"]), text(&object["kind"]))
}

#[test]
#[ignore = "needs TEMPO_PERF_CRD_DIR, a directory with the operators' CustomResourceDefinitions"]
fn custom_resources_match_their_definitions() {
    let definitions = definitions();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for blueprint in matrix() {
        for object in objects(&blueprint) {
            let key = key(&object);
            let group = key.0.split('/').next().unwrap();
            if ![
                "tempo.grafana.com",
                "opentelemetry.io",
                "monitoring.coreos.com",
            ]
            .contains(&group)
            {
                continue;
            }
            let validator = definitions
                .get(&key)
                .unwrap_or_else(|| panic!("TEMPO_PERF_CRD_DIR must define {key:?}"));
            let mistakes = mistakes(validator, &object);
            assert!(
                mistakes.is_empty(),
                "{} of {}:\n{}",
                title(&object),
                blueprint.namespace,
                mistakes.join("\n")
            );
            *seen.entry(key.1).or_default() += 1;
        }
    }
    let kinds: Vec<&str> = seen.keys().map(String::as_str).collect();
    let expected = [
        "OpenTelemetryCollector",
        "ServiceMonitor",
        "TempoMonolithic",
        "TempoStack",
    ];
    assert_eq!(kinds, expected, "all kinds must have been looked at");
}

#[rstest]
#[case::size("1x-demo", "/spec/size", json!("1x.demo"))]
#[case::limits_of_a_stack("1x-demo", "/spec/limits", json!({}))]
#[case::component_of_an_ingester("1x-pico", "/spec/template/ingester/component", json!({}))]
#[case::text_for_a_number("1x-pico", "/spec/replicationFactor", json!("2"))]
#[case::not_a_quantity("1x-demo", "/spec/storage/traces/size", json!("10 GB"))]
#[ignore = "needs TEMPO_PERF_CRD_DIR, a directory with the operators' CustomResourceDefinitions"]
fn a_mistake_in_a_custom_resource_would_be_found(
    #[case] name: &str,
    #[case] place: &str,
    #[case] value: Value,
) {
    let mut object = tempo(&blueprint(&profile(name), Flavor::Vanilla));
    let validator = definitions().remove(&key(&object)).unwrap();
    assert_eq!(mistakes(&validator, &object), Vec::<String>::new());

    let (parent, field) = place.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    let found = mistakes(&validator, &object);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[rstest]
#[case::fine(json!({"open": {"x": 1}, "kept": {"x": 1}, "map": {"a": "b"}, "port": "http"}), 0)]
#[case::number(json!({"port": 1}), 0)]
#[case::nothing(json!({"none": null}), 0)]
#[case::unknown(json!({"spec": 1}), 1)]
#[case::unknown_inside(json!({"list": [{"name": "a", "nam": "b"}]}), 1)]
#[case::wrong_value_of_a_map(json!({"map": {"a": 1}}), 1)]
#[case::neither_number_nor_text(json!({"port": true}), 1)]
fn strict_schemas_refuse_what_the_api_server_would(#[case] object: Value, #[case] wrong: usize) {
    let schema = strict(json!({
        "type": "object",
        "properties": {
            "open": {"type": "object"},
            "kept": {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "x-kubernetes-preserve-unknown-fields": true,
            },
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "none": {"type": "string", "nullable": true},
            "list": {"type": "array", "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}},
            }},
            "port": {
                "anyOf": [{"type": "integer"}, {"type": "string"}],
                "x-kubernetes-int-or-string": true,
            },
        },
    }));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let found = mistakes(&validator, &object);
    assert_eq!(found.len(), wrong, "{found:?}");
}
