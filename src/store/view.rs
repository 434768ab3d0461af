//! A stored trace as spans with attributes, borrowed from its bytes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::fragment::StoredTrace;
use super::wire::{Fields, Value as Wire, WireError};

#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    pub key: &'a [u8],
    /// An encoded `AnyValue`.
    value: &'a [u8],
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyValue<'a> {
    Empty,
    Text(Cow<'a, str>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    List(Vec<AnyValue<'a>>),
    Map(Vec<(Cow<'a, str>, AnyValue<'a>)>),
}

pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

impl<'a> Attribute<'a> {
    pub fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let (mut key, mut value): (&[u8], &[u8]) = (b"", b"");
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => key = field.bytes()?,
                2 => value = field.bytes()?,
                _ => {}
            }
        }
        Ok(Self { key, value })
    }

    pub fn encoded_value(&self) -> &'a [u8] {
        self.value
    }

    pub fn value(&self) -> Result<AnyValue<'a>, WireError> {
        AnyValue::read(self.value)
    }
}

impl<'a> AnyValue<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        let mut value = Self::Empty;
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            value = match field.number {
                1 => Self::Text(text(field.bytes()?)),
                2 => Self::Bool(field.varint()? != 0),
                3 => Self::Int(field.varint()? as i64),
                4 => Self::Double(f64::from_bits(field.fixed64()?)),
                5 => Self::List(items(field.bytes()?, Self::read)?),
                6 => Self::Map(items(field.bytes()?, |raw| {
                    let attribute = Attribute::read(raw)?;
                    Ok((text(attribute.key), attribute.value()?))
                })?),
                7 => Self::Bytes(field.bytes()?),
                _ => continue,
            };
        }
        Ok(value)
    }
}

fn items<'a, T>(
    raw: &'a [u8],
    read: impl Fn(&'a [u8]) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let mut all = Vec::new();
    let mut fields = Fields::new(raw);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            all.push(read(field.bytes()?)?);
        }
    }
    Ok(all)
}

#[derive(Debug, Clone, Default)]
pub struct ResourceView<'a> {
    pub attributes: Vec<Attribute<'a>>,
    pub dropped_attributes: u64,
    pub schema_url: &'a [u8],
    pub scopes: Range<usize>,
}

#[derive(Debug, Clone, Default)]
pub struct ScopeView<'a> {
    pub name: &'a [u8],
    pub version: &'a [u8],
    pub attributes: Vec<Attribute<'a>>,
    pub dropped_attributes: u64,
    pub schema_url: &'a [u8],
    pub spans: Range<usize>,
}

#[derive(Debug, Clone, Default)]
pub struct SpanView<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub parent_id: &'a [u8],
    pub trace_state: &'a [u8],
    pub name: &'a [u8],
    pub kind: i32,
    /// Nanoseconds since 1970, as is `end`.
    pub start: u64,
    pub end: u64,
    pub status_code: i32,
    pub status_message: &'a [u8],
    pub flags: u32,
    /// Dropped attributes, events and links.
    pub dropped: [u64; 3],
    attributes: Range<usize>,
    /// Encoded, in `TraceView::parts`.
    events: Range<usize>,
    links: Range<usize>,
    pub resource: usize,
    pub scope: usize,
}

#[derive(Debug, Clone, Default)]
pub struct EventView<'a> {
    pub time: u64,
    pub name: &'a [u8],
    pub attributes: Vec<Attribute<'a>>,
    pub dropped_attributes: u64,
}

#[derive(Debug, Clone, Default)]
pub struct LinkView<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub trace_state: &'a [u8],
    pub attributes: Vec<Attribute<'a>>,
    pub dropped_attributes: u64,
    pub flags: u32,
}

/// The spans of a trace. One that was pushed twice, by a client that tried
/// again, is there once.
#[derive(Debug, Default)]
pub struct TraceView<'a> {
    pub resources: Vec<ResourceView<'a>>,
    pub scopes: Vec<ScopeView<'a>>,
    pub spans: Vec<SpanView<'a>>,
    attributes: Vec<Attribute<'a>>,
    parts: Vec<&'a [u8]>,
    /// Spans left out because they were there already.
    pub repeated: usize,
}

impl<'a> TraceView<'a> {
    /// # Errors
    /// When stored bytes are broken, which a push does not let in.
    pub fn read(trace: &'a StoredTrace) -> Result<Self, WireError> {
        let mut view = Self::default();
        view.spans.reserve(trace.spans as usize);
        let mut seen = HashSet::new();
        let several = trace.fragments.len() > 1;
        for fragment in &trace.fragments {
            let mut fields = Fields::new(&fragment.bytes);
            while let Some(field) = fields.next()? {
                if field.number == 1 {
                    view.resource_spans(field.bytes()?, several.then_some(&mut seen))?;
                }
            }
        }
        Ok(view)
    }

    pub fn attributes(&self, span: &SpanView<'a>) -> &[Attribute<'a>] {
        &self.attributes[span.attributes.clone()]
    }

    pub fn events(&self, span: &SpanView<'a>) -> Result<Vec<EventView<'a>>, WireError> {
        self.parts[span.events.clone()]
            .iter()
            .map(|raw| {
                let mut event = EventView::default();
                let mut fields = Fields::new(raw);
                while let Some(field) = fields.next()? {
                    match field.number {
                        1 => event.time = field.fixed64()?,
                        2 => event.name = field.bytes()?,
                        3 => event.attributes.push(Attribute::read(field.bytes()?)?),
                        4 => event.dropped_attributes = field.varint()?,
                        _ => {}
                    }
                }
                Ok(event)
            })
            .collect()
    }

    pub fn links(&self, span: &SpanView<'a>) -> Result<Vec<LinkView<'a>>, WireError> {
        self.parts[span.links.clone()]
            .iter()
            .map(|raw| {
                let mut link = LinkView::default();
                let mut fields = Fields::new(raw);
                while let Some(field) = fields.next()? {
                    match field.number {
                        1 => link.trace_id = field.bytes()?,
                        2 => link.span_id = field.bytes()?,
                        3 => link.trace_state = field.bytes()?,
                        4 => link.attributes.push(Attribute::read(field.bytes()?)?),
                        5 => link.dropped_attributes = field.varint()?,
                        6 => link.flags = field.fixed32()?,
                        _ => {}
                    }
                }
                Ok(link)
            })
            .collect()
    }

    /// The service of a span, from its resource.
    pub fn service(&self, span: &SpanView<'a>) -> Cow<'a, str> {
        self.resources[span.resource]
            .attributes
            .iter()
            .find(|attribute| attribute.key == b"service.name")
            .and_then(|attribute| match attribute.value() {
                Ok(AnyValue::Text(name)) => Some(name),
                _ => None,
            })
            .unwrap_or_default()
    }

    fn resource_spans(
        &mut self,
        raw: &'a [u8],
        mut seen: Option<&mut HashSet<(&'a [u8], i32)>>,
    ) -> Result<(), WireError> {
        let index = self.resources.len();
        let mut resource = ResourceView {
            scopes: self.scopes.len()..self.scopes.len(),
            ..ResourceView::default()
        };
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let mut fields = Fields::new(field.bytes()?);
                    while let Some(field) = fields.next()? {
                        match field.number {
                            1 => resource.attributes.push(Attribute::read(field.bytes()?)?),
                            2 => resource.dropped_attributes = field.varint()?,
                            _ => {}
                        }
                    }
                }
                2 => self.scope_spans(field.bytes()?, index, seen.as_deref_mut())?,
                3 => resource.schema_url = field.bytes()?,
                _ => {}
            }
        }
        resource.scopes.end = self.scopes.len();
        self.resources.push(resource);
        Ok(())
    }

    fn scope_spans(
        &mut self,
        raw: &'a [u8],
        resource: usize,
        mut seen: Option<&mut HashSet<(&'a [u8], i32)>>,
    ) -> Result<(), WireError> {
        let index = self.scopes.len();
        let first = self.spans.len();
        let mut scope = ScopeView::default();
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let mut fields = Fields::new(field.bytes()?);
                    while let Some(field) = fields.next()? {
                        match field.number {
                            1 => scope.name = field.bytes()?,
                            2 => scope.version = field.bytes()?,
                            3 => scope.attributes.push(Attribute::read(field.bytes()?)?),
                            4 => scope.dropped_attributes = field.varint()?,
                            _ => {}
                        }
                    }
                }
                2 => {
                    let span = self.span(field.bytes()?, resource, index)?;
                    // A client and a server may share one span ID.
                    let new = seen
                        .as_deref_mut()
                        .is_none_or(|seen| seen.insert((span.span_id, span.kind)));
                    if new {
                        self.spans.push(span);
                    } else {
                        self.repeated += 1;
                    }
                }
                3 => scope.schema_url = field.bytes()?,
                _ => {}
            }
        }
        scope.spans = first..self.spans.len();
        self.scopes.push(scope);
        Ok(())
    }

    fn span(
        &mut self,
        raw: &'a [u8],
        resource: usize,
        scope: usize,
    ) -> Result<SpanView<'a>, WireError> {
        let (attributes, parts) = (self.attributes.len(), self.parts.len());
        let mut span = SpanView {
            resource,
            scope,
            ..SpanView::default()
        };
        let mut links = Vec::new();
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            match (field.number, field.value) {
                (1, Wire::Bytes(id)) => span.trace_id = id,
                (2, Wire::Bytes(id)) => span.span_id = id,
                (3, Wire::Bytes(state)) => span.trace_state = state,
                (4, Wire::Bytes(id)) if id.iter().any(|byte| *byte != 0) => span.parent_id = id,
                (5, Wire::Bytes(name)) => span.name = name,
                (6, Wire::Varint(kind)) => span.kind = kind as i32,
                (7, Wire::Fixed64(time)) => span.start = time,
                (8, Wire::Fixed64(time)) => span.end = time,
                (9, Wire::Bytes(raw)) => self.attributes.push(Attribute::read(raw)?),
                (10, Wire::Varint(count)) => span.dropped[0] = count,
                (11, Wire::Bytes(raw)) => self.parts.push(raw),
                (12, Wire::Varint(count)) => span.dropped[1] = count,
                (13, Wire::Bytes(raw)) => links.push(raw),
                (14, Wire::Varint(count)) => span.dropped[2] = count,
                (15, Wire::Bytes(status)) => {
                    let mut fields = Fields::new(status);
                    while let Some(field) = fields.next()? {
                        match field.number {
                            2 => span.status_message = field.bytes()?,
                            3 => span.status_code = field.varint()? as i32,
                            _ => {}
                        }
                    }
                }
                (16, Wire::Fixed32(flags)) => span.flags = flags,
                _ => {}
            }
        }
        span.attributes = attributes..self.attributes.len();
        span.events = parts..self.parts.len();
        self.parts.append(&mut links);
        span.links = span.events.end..self.parts.len();
        Ok(span)
    }
}
