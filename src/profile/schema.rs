//! The JSON Schema of profiles, made from the types. `profiles/schema.json` is
//! its copy for editors; the loader checks files by the very same schema.

use std::sync::LazyLock;

use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, generate::SchemaSettings};
use serde_json::Value;

use super::Profile;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(WithoutNull)
        .with_transform(OneLine)
        .into_generator()
        .into_root_schema_for::<Profile>();
    schema.insert("title".into(), "Profile of tempo-perf".into());
    let mut schema = schema.to_value();
    // serde reads the older name as an alias, which the derive does not show.
    let storage = &mut schema["properties"]["storage"]["properties"];
    let mut older = storage["size"].clone();
    older["description"] = "The older name of `size`.".into();
    older["deprecated"] = true.into();
    storage["minioSize"] = older;
    schema
});

/// The schema of a profile.
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// The text of `profiles/schema.json`.
pub fn schema_json() -> String {
    format!("{:#}\n", schema())
}

/// Takes `null` out of optional fields: a key without a value may mean "none of
/// them" or "the default", so it is refused and the key left out instead.
#[derive(Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(Value::Array(choices)) = schema.get("anyOf") else {
            if let Some(Value::Array(types)) = schema.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    schema.insert("type".into(), only);
                }
            }
            return;
        };
        let real: Vec<&Value> = choices.iter().filter(|c| c["type"] != "null").collect();
        if let [Value::Object(only)] = real.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                // The field's own description says more than its type's.
                if schema.get(&key).is_none() {
                    schema.insert(key, value);
                }
            }
        }
    }
}

/// Joins the lines of a description: they are wrapped for the source only.
#[derive(Clone)]
struct OneLine;

impl Transform for OneLine {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(schema: &Value, see: &mut dyn FnMut(&Value)) {
        see(schema);
        match schema {
            Value::Object(map) => map.values().for_each(|value| visit(value, see)),
            Value::Array(list) => list.iter().for_each(|value| visit(value, see)),
            _ => {}
        }
    }

    #[test]
    fn every_format_has_a_rule() {
        let mut formats = 0;
        visit(schema(), &mut |part| {
            if let Some(format) = part["errorMessage"].as_str().and(part["format"].as_str())
                && !matches!(format, "double")
            {
                formats += 1;
                let reason = super::super::format::check(format, "").unwrap_err();
                assert!(!reason.contains("no rule"), "{format} must have a rule");
            }
        });
        assert!(
            formats > 10,
            "the formats must reach the schema, found {formats}"
        );
    }

    #[test]
    fn every_field_has_a_description_and_no_null() {
        visit(schema(), &mut |part| {
            if let Some(properties) = part["properties"].as_object() {
                for (name, field) in properties {
                    assert!(field["description"].is_string(), "{name} must be described");
                    assert_ne!(field["type"], "null");
                    assert!(field.get("anyOf").is_none(), "{name} must be of one type");
                }
            }
        });
    }
}
