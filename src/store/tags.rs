//! Names of attributes and their values.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::fragment::StoredTrace;
use super::search::Window;
use super::table::Table;
use super::traceql::ast::{Attribute, Intrinsic, Query, Scope};
use super::traceql::evaluate::Subject;
use super::traceql::prefilter;
use super::traceql::value::Value;
use super::view::{Attribute as RawAttribute, SpanView, TraceView, text};
use super::wire::{Fields, WireError};

/// Bytes of values after which a look-up stops, as Tempo's default limit does.
const MAX_BYTES_OF_VALUES: usize = 1_000_000;

/// What every span has, as Tempo lists it.
pub const INTRINSICS: [&str; 25] = [
    "duration",
    "event:name",
    "event:timeSinceStart",
    "instrumentation:name",
    "instrumentation:version",
    "kind",
    "link:spanID",
    "link:traceID",
    "name",
    "rootName",
    "rootServiceName",
    "span:duration",
    "span:id",
    "span:kind",
    "span:name",
    "span:parentID",
    "span:status",
    "span:statusMessage",
    "status",
    "statusMessage",
    "trace:duration",
    "trace:id",
    "trace:rootName",
    "trace:rootService",
    "traceDuration",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TagScope {
    Span,
    Resource,
    Event,
    Link,
    Instrumentation,
}

impl TagScope {
    pub fn name(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Resource => "resource",
            Self::Event => "event",
            Self::Link => "link",
            Self::Instrumentation => "instrumentation",
        }
    }
}

/// An answer and the bytes of spans read for it.
pub struct Inspected<T> {
    pub found: T,
    pub bytes: usize,
}

pub type Names = BTreeMap<TagScope, BTreeSet<String>>;

/// The attributes of the traces in the window; with a query, those of the
/// spans that it finds.
pub fn names(
    table: &Table,
    window: Window,
    query: Option<&Query>,
) -> Result<Inspected<Names>, WireError> {
    let mut found = Names::new();
    let mut bytes = 0;
    // Traces from the same code have the same attributes: one stands for all.
    let mut seen = HashSet::new();
    for trace in table.newest_first().flatten() {
        if !window.overlaps(&trace) {
            continue;
        }
        let new = trace
            .fragments
            .iter()
            .filter(|fragment| seen.insert(fragment.keys))
            .count()
            > 0;
        if query.map_or(!new, |query| !prefilter::may_match(query, &trace)) {
            continue;
        }
        bytes += trace.encoded_size();
        let view = TraceView::read(&trace)?;
        for span in matching(query, &trace, &view)? {
            let span = &view.spans[span];
            add(&mut found, TagScope::Span, view.attributes(span));
            let resource = &view.resources[span.resource].attributes;
            add(&mut found, TagScope::Resource, resource);
            let scope = &view.scopes[span.scope].attributes;
            add(&mut found, TagScope::Instrumentation, scope);
            for event in view.events(span)? {
                add(&mut found, TagScope::Event, &event.attributes);
            }
            for link in view.links(span)? {
                add(&mut found, TagScope::Link, &link.attributes);
            }
        }
    }
    Ok(Inspected { found, bytes })
}

fn add(found: &mut Names, scope: TagScope, attributes: &[RawAttribute<'_>]) {
    for attribute in attributes {
        let names = found.entry(scope).or_default();
        let name = text(attribute.key);
        if !names.contains(&*name) {
            names.insert(name.into_owned());
        }
    }
}

fn matching(
    query: Option<&Query>,
    trace: &StoredTrace,
    view: &TraceView<'_>,
) -> Result<Vec<usize>, WireError> {
    let Some(query) = query else {
        return Ok((0..view.spans.len()).collect());
    };
    let sets = Subject::new(trace, view).run(query)?;
    Ok(sets.into_iter().flat_map(|set| set.spans).collect())
}

/// A value with the name of its type.
pub type Typed = (&'static str, String);

#[derive(Default)]
struct Values {
    found: BTreeSet<Typed>,
    /// As encoded: most values of a store repeat, and need no decoding then.
    seen: HashSet<Box<[u8]>>,
    bytes: usize,
    limit: Option<usize>,
}

impl Values {
    fn add(&mut self, value: &Value<'_>) {
        let typed = match value {
            Value::Nil => return,
            Value::List(items) => {
                items.iter().for_each(|item| self.add(item));
                return;
            }
            Value::Text(text) => ("string", text.to_string()),
            Value::Int(value) => ("int", value.to_string()),
            Value::Float(value) => ("float", value.to_string()),
            Value::Bool(value) => ("bool", value.to_string()),
            Value::Duration(nanos) => ("duration", nanos.to_string()),
            Value::Status(status) => ("keyword", status.name().to_owned()),
            Value::Kind(kind) => ("keyword", kind.name().to_owned()),
        };
        let length = typed.1.len();
        if !self.is_full() && self.found.insert(typed) {
            self.bytes += length;
        }
    }

    fn is_new(&mut self, encoded: &[u8]) -> bool {
        !self.seen.contains(encoded) && self.seen.insert(encoded.into())
    }

    fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES_OF_VALUES
            || self.limit.is_some_and(|limit| self.found.len() >= limit)
    }
}

/// The values of one attribute.
pub struct ValueLookup<'q> {
    pub attribute: &'q Attribute,
    pub window: Window,
    pub query: Option<&'q Query>,
    /// Most values in the answer.
    pub limit: Option<usize>,
}

impl ValueLookup<'_> {
    pub fn run(&self, table: &Table) -> Result<Inspected<BTreeSet<Typed>>, WireError> {
        let mut values = Values {
            limit: self.limit,
            ..Values::default()
        };
        let mut bytes = 0;
        match self.attribute {
            // Tempo lists the keywords without looking, and no times and IDs.
            Attribute::Intrinsic(Intrinsic::Status) => {
                for name in ["error", "ok", "unset"] {
                    values.found.insert(("keyword", name.to_owned()));
                }
            }
            Attribute::Intrinsic(Intrinsic::Kind) => {
                for name in [
                    "client",
                    "consumer",
                    "internal",
                    "producer",
                    "server",
                    "unspecified",
                ] {
                    values.found.insert(("keyword", name.to_owned()));
                }
            }
            Attribute::Intrinsic(
                Intrinsic::Duration
                | Intrinsic::TraceDuration
                | Intrinsic::TraceId
                | Intrinsic::SpanId
                | Intrinsic::ParentId
                | Intrinsic::NestedSetParent,
            ) => {}
            _ => {
                for trace in table.newest_first().flatten() {
                    if values.is_full() {
                        break;
                    }
                    if !self.window.overlaps(&trace)
                        || self
                            .query
                            .is_some_and(|query| !prefilter::may_match(query, &trace))
                    {
                        continue;
                    }
                    bytes += trace.encoded_size();
                    self.collect(&trace, &mut values)?;
                }
            }
        }
        Ok(Inspected {
            found: values.found,
            bytes,
        })
    }

    fn collect(&self, trace: &StoredTrace, values: &mut Values) -> Result<(), WireError> {
        if self.query.is_none() {
            match self.attribute {
                Attribute::Named {
                    scope: Scope::Resource,
                    name,
                } => return of_resources(trace, name.as_bytes(), values),
                Attribute::Named {
                    scope: Scope::Any,
                    name,
                } => {
                    of_resources(trace, name.as_bytes(), values)?;
                    return of_spans(trace, values, 9, Some(name.as_bytes()));
                }
                Attribute::Named {
                    scope: Scope::Span,
                    name,
                } => return of_spans(trace, values, 9, Some(name.as_bytes())),
                Attribute::Intrinsic(Intrinsic::Name) => return of_spans(trace, values, 5, None),
                Attribute::Intrinsic(Intrinsic::RootName) => {
                    let name = trace.root.as_ref().map_or("", |root| &root.name);
                    values.add(&Value::Text(name.into()));
                    return Ok(());
                }
                Attribute::Intrinsic(Intrinsic::RootService) => {
                    let name = trace.root.as_ref().map_or("", |root| &root.service);
                    values.add(&Value::Text(name.into()));
                    return Ok(());
                }
                _ => {}
            }
        }
        let view = TraceView::read(trace)?;
        let found = matching(self.query, trace, &view)?;
        let subject = Subject::new(trace, &view);
        for index in found {
            let span: &SpanView<'_> = &view.spans[index];
            values.add(&subject.value(self.attribute, span)?);
        }
        Ok(())
    }
}

/// Reads the resources and passes over their spans.
fn of_resources(trace: &StoredTrace, key: &[u8], values: &mut Values) -> Result<(), WireError> {
    each_resource(trace, |number, bytes| {
        if number != 1 {
            return Ok(());
        }
        each_field(bytes, 1, |raw| add_attribute(raw, key, values))
    })
}

/// Reads one field of each span, an attribute's list or the name, and passes
/// over the others.
fn of_spans(
    trace: &StoredTrace,
    values: &mut Values,
    number: u32,
    key: Option<&[u8]>,
) -> Result<(), WireError> {
    each_resource(trace, |field, bytes| {
        if field != 2 {
            return Ok(());
        }
        each_field(bytes, 2, |span| {
            each_field(span, number, |raw| match key {
                Some(key) => add_attribute(raw, key, values),
                None => {
                    if values.is_new(raw) {
                        values.add(&Value::Text(text(raw)));
                    }
                    Ok(())
                }
            })
        })
    })
}

fn add_attribute(raw: &[u8], key: &[u8], values: &mut Values) -> Result<(), WireError> {
    let attribute = RawAttribute::read(raw)?;
    if attribute.key == key && values.is_new(attribute.encoded_value()) {
        values.add(&Value::from_attribute(attribute.value()?));
    }
    Ok(())
}

fn each_resource(
    trace: &StoredTrace,
    mut each: impl FnMut(u32, &[u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    for fragment in &trace.fragments {
        each_field(&fragment.bytes, 1, |resource_spans| {
            let mut fields = Fields::new(resource_spans);
            while let Some(field) = fields.next()? {
                if matches!(field.number, 1 | 2) {
                    each(field.number, field.bytes()?)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn each_field(
    message: &[u8],
    number: u32,
    mut each: impl FnMut(&[u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        if field.number == number {
            each(field.bytes()?)?;
        }
    }
    Ok(())
}
