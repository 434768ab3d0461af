//! A trace in the JSON of Tempo's API: field names in lower camel case, 64-bit
//! integers as strings, bytes in base64, enums by name, and nothing that is
//! zero or empty except `scope` and `status`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::view::{AnyValue, Attribute, EventView, LinkView, SpanView, TraceView, text};
use super::wire::WireError;

const KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

/// The trace as an object whose list of resources is called `resources`:
/// `batches` in version 1 of the API and `resourceSpans` in version 2.
pub fn trace(view: &TraceView<'_>, resources: &str) -> Result<String, WireError> {
    let mut out = Writer::default();
    out.open('{');
    out.key(resources);
    out.open('[');
    for resource in &view.resources {
        let scopes = &view.scopes[resource.scopes.clone()];
        if scopes.iter().all(|scope| scope.spans.is_empty()) {
            continue;
        }
        out.open('{');
        out.key("resource");
        out.open('{');
        out.attributes(&resource.attributes)?;
        out.count("droppedAttributesCount", resource.dropped_attributes);
        out.close('}');
        out.key("scopeSpans");
        out.open('[');
        for scope in scopes.iter().filter(|scope| !scope.spans.is_empty()) {
            out.open('{');
            out.key("scope");
            out.open('{');
            out.text("name", scope.name);
            out.text("version", scope.version);
            out.attributes(&scope.attributes)?;
            out.count("droppedAttributesCount", scope.dropped_attributes);
            out.close('}');
            out.key("spans");
            out.open('[');
            for span in &view.spans[scope.spans.clone()] {
                out.span(view, span)?;
            }
            out.close(']');
            out.close('}');
        }
        out.close(']');
        out.close('}');
    }
    out.close(']');
    out.close('}');
    Ok(out.text)
}

#[derive(Default)]
struct Writer {
    text: String,
    /// Whether the object or list that is open has an element already.
    started: bool,
}

impl Writer {
    fn separate(&mut self) {
        if self.started {
            self.text.push(',');
        }
        self.started = true;
    }

    fn open(&mut self, bracket: char) {
        self.separate();
        self.text.push(bracket);
        self.started = false;
    }

    fn close(&mut self, bracket: char) {
        self.text.push(bracket);
        self.started = true;
    }

    fn key(&mut self, key: &str) {
        self.separate();
        self.quote(key);
        self.text.push(':');
        self.started = false;
    }

    fn quote(&mut self, value: &str) {
        self.text.push('"');
        for c in value.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                c if c < ' ' => self.text.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    fn value(&mut self, value: &str) {
        self.separate();
        self.quote(value);
    }

    fn raw(&mut self, value: impl std::fmt::Display) {
        self.separate();
        self.text.push_str(&value.to_string());
    }

    fn text(&mut self, key: &str, value: &[u8]) {
        if !value.is_empty() {
            self.key(key);
            self.value(&text(value));
        }
    }

    fn bytes(&mut self, key: &str, value: &[u8]) {
        if !value.is_empty() {
            self.key(key);
            self.value(&STANDARD.encode(value));
        }
    }

    /// A 32-bit number.
    fn count(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.key(key);
            self.raw(value);
        }
    }

    fn time(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.key(key);
            self.value(&value.to_string());
        }
    }

    fn attributes(&mut self, attributes: &[Attribute<'_>]) -> Result<(), WireError> {
        if attributes.is_empty() {
            return Ok(());
        }
        self.key("attributes");
        self.open('[');
        for attribute in attributes {
            self.pair(&text(attribute.key), &attribute.value()?);
        }
        self.close(']');
        Ok(())
    }

    fn pair(&mut self, key: &str, value: &AnyValue<'_>) {
        self.open('{');
        self.key("key");
        self.value(key);
        self.key("value");
        self.any_value(value);
        self.close('}');
    }

    fn any_value(&mut self, value: &AnyValue<'_>) {
        self.open('{');
        match value {
            AnyValue::Empty => {}
            AnyValue::Text(text) => {
                self.key("stringValue");
                self.value(text);
            }
            AnyValue::Bool(value) => {
                self.key("boolValue");
                self.raw(value);
            }
            AnyValue::Int(value) => {
                self.key("intValue");
                self.value(&value.to_string());
            }
            AnyValue::Double(value) => {
                self.key("doubleValue");
                if value.is_finite() {
                    self.raw(value);
                } else {
                    self.value(match value {
                        value if value.is_nan() => "NaN",
                        value if *value > 0.0 => "Infinity",
                        _ => "-Infinity",
                    });
                }
            }
            AnyValue::Bytes(bytes) => {
                self.key("bytesValue");
                self.value(&STANDARD.encode(bytes));
            }
            AnyValue::List(items) => {
                self.key("arrayValue");
                self.list(items, |out, item| out.any_value(item));
            }
            AnyValue::Map(pairs) => {
                self.key("kvlistValue");
                self.list(pairs, |out, (key, value)| out.pair(key, value));
            }
        }
        self.close('}');
    }

    fn list<T>(&mut self, items: &[T], each: impl Fn(&mut Self, &T)) {
        self.open('{');
        if !items.is_empty() {
            self.key("values");
            self.open('[');
            for item in items {
                each(self, item);
            }
            self.close(']');
        }
        self.close('}');
    }

    fn span(&mut self, view: &TraceView<'_>, span: &SpanView<'_>) -> Result<(), WireError> {
        self.open('{');
        self.bytes("traceId", span.trace_id);
        self.bytes("spanId", span.span_id);
        self.text("traceState", span.trace_state);
        self.bytes("parentSpanId", span.parent_id);
        self.count("flags", u64::from(span.flags));
        self.text("name", span.name);
        self.enumerated("kind", span.kind, &KINDS);
        self.time("startTimeUnixNano", span.start);
        self.time("endTimeUnixNano", span.end);
        self.attributes(view.attributes(span))?;
        self.count("droppedAttributesCount", span.dropped[0]);
        self.parts("events", &view.events(span)?, Self::event)?;
        self.count("droppedEventsCount", span.dropped[1]);
        self.parts("links", &view.links(span)?, Self::link)?;
        self.count("droppedLinksCount", span.dropped[2]);
        self.key("status");
        self.open('{');
        self.text("message", span.status_message);
        self.enumerated("code", span.status_code, &CODES);
        self.close('}');
        self.close('}');
        Ok(())
    }

    /// By name, or by number where there is no name.
    fn enumerated(&mut self, key: &str, value: i32, names: &[&str]) {
        if value == 0 {
            return;
        }
        self.key(key);
        match usize::try_from(value)
            .ok()
            .and_then(|index| names.get(index))
        {
            Some(name) => self.value(name),
            None => self.raw(value),
        }
    }

    fn parts<T>(
        &mut self,
        key: &str,
        parts: &[T],
        each: impl Fn(&mut Self, &T) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        if parts.is_empty() {
            return Ok(());
        }
        self.key(key);
        self.open('[');
        for part in parts {
            self.open('{');
            each(self, part)?;
            self.close('}');
        }
        self.close(']');
        Ok(())
    }

    fn event(&mut self, event: &EventView<'_>) -> Result<(), WireError> {
        self.time("timeUnixNano", event.time);
        self.text("name", event.name);
        self.attributes(&event.attributes)?;
        self.count("droppedAttributesCount", event.dropped_attributes);
        Ok(())
    }

    fn link(&mut self, link: &LinkView<'_>) -> Result<(), WireError> {
        self.bytes("traceId", link.trace_id);
        self.bytes("spanId", link.span_id);
        self.text("traceState", link.trace_state);
        self.attributes(&link.attributes)?;
        self.count("droppedAttributesCount", link.dropped_attributes);
        self.count("flags", u64::from(link.flags));
        Ok(())
    }
}
