//! OTLP protobuf, written so that positions in it are known.
//!
//! prost's own encoder leaves out what is empty. Tempo counts an encoding that
//! always writes `scope`, `status` and a root's `parent_span_id`, so they are
//! written here, and the fields of a span come in an order of our choice.

use prost::encoding::{WireType, encode_key, encode_varint};

/// A place in a payload that is written anew for every trace. Times are in
/// microseconds before the end of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The span with this index in the tree; the position is that of its trace ID.
    Span {
        index: u32,
        start: u32,
        end: u32,
    },
    Event {
        time: u32,
    },
    Token,
    Session,
}

/// From a span's trace ID to its other slots, in bytes. The same numbers are
/// in `k6/lib/corpus.js`.
pub(super) mod span_layout {
    /// Four fresh bytes, then four that belong to the payload; so has a parent ID.
    pub const SPAN_ID: usize = 18;
    pub const START: usize = 27;
    pub const END: usize = 36;
    /// Absent in a root.
    pub const PARENT_ID: usize = 46;
}

/// A message in the making, with the positions of its slots.
#[derive(Debug, Default, Clone)]
pub(super) struct Message {
    pub bytes: Vec<u8>,
    pub slots: Vec<(usize, Slot)>,
}

impl Message {
    fn key(&mut self, tag: u32, wire: WireType) {
        encode_key(tag, wire, &mut self.bytes);
    }

    pub fn put_bytes(&mut self, tag: u32, value: &[u8]) {
        self.key(tag, WireType::LengthDelimited);
        encode_varint(value.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(value);
    }

    pub fn put_text(&mut self, tag: u32, value: &str) {
        self.put_bytes(tag, value.as_bytes());
    }

    pub fn put_varint(&mut self, tag: u32, value: u64) {
        self.key(tag, WireType::Varint);
        encode_varint(value, &mut self.bytes);
    }

    pub fn put_fixed64(&mut self, tag: u32, value: u64) {
        self.key(tag, WireType::SixtyFourBit);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn put_double(&mut self, tag: u32, value: f64) {
        self.put_fixed64(tag, value.to_bits());
    }

    pub fn put_message(&mut self, tag: u32, message: &Message) {
        self.key(tag, WireType::LengthDelimited);
        encode_varint(message.bytes.len() as u64, &mut self.bytes);
        let shift = self.bytes.len();
        self.bytes.extend_from_slice(&message.bytes);
        let shifted = message.slots.iter().map(|&(at, slot)| (at + shift, slot));
        self.slots.extend(shifted);
    }

    /// Marks the last `length` bytes as a slot.
    pub fn mark_last(&mut self, length: usize, slot: Slot) {
        self.slots.push((self.bytes.len() - length, slot));
    }
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Bool(bool),
    Double(f64),
    /// 16 characters that are written anew for every trace.
    Fresh(Slot),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

pub(super) type Attribute = (&'static str, Value);

/// `KeyValue` of the OTLP common schema.
pub(super) fn attribute((key, value): &Attribute) -> Message {
    let mut any = Message::default();
    match value {
        Value::Text(text) => any.put_text(1, text),
        Value::Bool(flag) => any.put_varint(2, u64::from(*flag)),
        Value::Int(number) => any.put_varint(3, *number as u64),
        Value::Double(number) => any.put_double(4, *number),
        Value::Fresh(slot) => {
            any.put_text(1, "0000000000000000");
            any.mark_last(16, *slot);
        }
    }
    let mut message = Message::default();
    message.put_text(1, key);
    message.put_message(2, &any);
    message
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub name: &'static str,
    /// Microseconds before the end of the trace.
    pub time: u32,
    pub attributes: Vec<Attribute>,
}

fn event(event: &Event) -> Message {
    let mut message = Message::default();
    message.put_fixed64(1, 0);
    message.mark_last(8, Slot::Event { time: event.time });
    message.put_text(2, event.name);
    for pair in &event.attributes {
        message.put_message(3, &attribute(pair));
    }
    message
}

/// `SpanKind` of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// A span as the encoder takes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SpanContent {
    pub index: u32,
    pub fixed_id: u32,
    pub parent_fixed_id: Option<u32>,
    /// Microseconds before the end of the trace.
    pub start: u32,
    pub end: u32,
    pub name: String,
    pub kind: Kind,
    pub attributes: Vec<Attribute>,
    pub events: Vec<Event>,
    /// The message of an error status.
    pub error: Option<String>,
}

pub(super) fn span(span: &SpanContent) -> Message {
    let id = |fixed: u32| {
        let mut id = [0; 8];
        id[4..].copy_from_slice(&fixed.to_le_bytes());
        id
    };
    let mut message = Message::default();
    // The order up to `parent_span_id` is that of `span_layout`.
    message.put_bytes(1, &[0; 16]);
    message.mark_last(
        16,
        Slot::Span {
            index: span.index,
            start: span.start,
            end: span.end,
        },
    );
    message.put_bytes(2, &id(span.fixed_id));
    message.put_fixed64(7, 0);
    message.put_fixed64(8, 0);
    match span.parent_fixed_id {
        Some(parent) => message.put_bytes(4, &id(parent)),
        None => message.put_bytes(4, &[]),
    }
    message.put_text(5, &span.name);
    message.put_varint(6, span.kind as u64);
    for pair in &span.attributes {
        message.put_message(9, &attribute(pair));
    }
    for happening in &span.events {
        message.put_message(11, &event(happening));
    }
    let mut status = Message::default();
    if let Some(text) = &span.error {
        status.put_text(2, text);
        status.put_varint(3, 2);
    }
    message.put_message(15, &status);
    message
}

/// One `ResourceSpans` with one scope.
pub(super) fn resource_spans(
    resource: &[Attribute],
    scope: (&str, &str),
    spans: &[Message],
) -> Message {
    let mut resource_message = Message::default();
    for pair in resource {
        resource_message.put_message(1, &attribute(pair));
    }
    let mut scope_message = Message::default();
    scope_message.put_text(1, scope.0);
    scope_message.put_text(2, scope.1);

    let mut scope_spans = Message::default();
    scope_spans.put_message(1, &scope_message);
    for span in spans {
        scope_spans.put_message(2, span);
    }
    let mut message = Message::default();
    message.put_message(1, &resource_message);
    message.put_message(2, &scope_spans);
    message
}
