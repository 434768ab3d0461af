//! The texts of a profile that have a form of their own, as the schema shows
//! them: the type of the field stays `String` or `Duration`. The rules behind
//! the formats are in `format`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::limits;

macro_rules! text {
    ($name:ident, $schema:tt) => {
        pub struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

text!(Label, {
    "type": "string",
    "format": "dns-label",
    "pattern": limits::LABEL_PATTERN,
    "maxLength": limits::NAME_LENGTH,
    "errorMessage": limits::LABEL,
});
text!(PositiveDuration, {
    "type": "string",
    "format": "positive-duration",
    "pattern": limits::DURATION_PATTERN,
    "errorMessage": limits::POSITIVE_DURATION,
});
text!(AnyDuration, {
    "type": "string",
    "format": "duration-text",
    "pattern": limits::DURATION_PATTERN,
    "errorMessage": limits::DURATION,
});
// YAML reads quantities such as `0.5` and `2` as numbers.
text!(Bytes, {
    "type": ["string", "number"],
    "format": "byte-quantity",
    "pattern": limits::QUANTITY_PATTERN,
    "errorMessage": limits::BYTES,
});
text!(Cpu, {
    "type": ["string", "number"],
    "format": "cpu-quantity",
    "pattern": limits::QUANTITY_PATTERN,
    "errorMessage": limits::CPU,
});
text!(Bucket, {
    "type": "string",
    "format": "bucket-name",
    "errorMessage": limits::BUCKET,
});
text!(Region, {
    "type": "string",
    "format": "word",
    "errorMessage": limits::REGION,
});
text!(HttpUrl, {
    "type": "string",
    "format": "http-url",
    "errorMessage": limits::URL,
});
text!(SecretName, {
    "type": "string",
    "format": "dns-subdomain",
    "errorMessage": limits::SECRET_NAME,
});
