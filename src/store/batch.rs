//! Reading one push: its size as Tempo counts it, its spans, and its traces as
//! fragments to keep.

use std::collections::HashMap;
use std::ops::Range;

use super::encoding::{
    KeyValue, count_size, entity_ref_size, event_size, id, link_size, scope_size, status,
    string_size,
};
use super::facts::{Facts, fact};
use super::fragment::{Fragment, Root, TraceId};
use super::wire::{Fields, WireError, delimited_size, put_delimited, put_varint};

/// Why a push with well-formed bytes is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("trace ids must be 128 bit, received 0 bits")]
    Trace,
    #[error("span ids must be 64 bit and not all zero, received 0 bits")]
    Span,
}

/// What a span says that the store must know without reading it again.
#[derive(Debug)]
struct SpanFacts<'a> {
    raw: &'a [u8],
    trace_id: &'a [u8],
    root_name: Option<&'a [u8]>,
    start: u64,
    end: u64,
    facts: Range<usize>,
    /// Hash of all attribute keys of the span, its events and its scope.
    keys: u64,
}

#[derive(Debug)]
struct ScopeSpans<'a> {
    scope: Option<&'a [u8]>,
    schema_url: Option<&'a [u8]>,
    spans: Range<usize>,
}

#[derive(Debug)]
struct ResourceSpans<'a> {
    raw: &'a [u8],
    resource: Option<&'a [u8]>,
    schema_url: Option<&'a [u8]>,
    service: &'a [u8],
    scopes: Range<usize>,
    spans: Range<usize>,
    facts: Range<usize>,
    keys: u64,
}

/// One `ExportTraceServiceRequest`, read but not yet stored.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Bytes of this request in Tempo's own encoding. That always writes the
    /// resource, the scope, the status, the IDs and the value of an attribute,
    /// even when empty, and drops unknown fields and explicit defaults.
    pub bytes: usize,
    spans: Vec<SpanFacts<'a>>,
    scopes: Vec<ScopeSpans<'a>>,
    resources: Vec<ResourceSpans<'a>>,
    facts: Vec<u64>,
    /// Hash of the attribute keys since the last span began.
    keys: u64,
    invalid: Option<InvalidId>,
}

impl<'a> Batch<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// When the bytes are no OTLP request, or an ID has a length of its own.
    pub fn read(request: &'a [u8]) -> Result<Self, WireError> {
        let mut batch = Batch {
            bytes: 0,
            spans: Vec::new(),
            scopes: Vec::new(),
            resources: Vec::new(),
            facts: Vec::new(),
            keys: 0,
            invalid: None,
        };
        let mut fields = Fields::new(request);
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                let size = batch.resource_spans(field.bytes()?)?;
                batch.bytes += delimited_size(size);
            }
        }
        Ok(batch)
    }

    pub fn span_count(&self) -> usize {
        self.spans.len()
    }

    fn resource_spans(&mut self, raw: &'a [u8]) -> Result<usize, WireError> {
        let (first_scope, first_span) = (self.scopes.len(), self.spans.len());
        let mut resource = None;
        let mut schema_url = None;
        let mut service: &[u8] = b"";
        let mut size = 0;
        let mut resource_size = 0;
        let first_fact = self.facts.len();
        self.keys = 0;
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                let bytes = field.bytes()?;
                resource = Some(bytes);
                (resource_size, service) = self.resource(bytes)?;
            }
        }
        let facts = first_fact..self.facts.len();
        let keys = self.keys;
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            match field.number {
                2 => size += delimited_size(self.scope_spans(field.bytes()?)?),
                3 => {
                    let url = field.bytes()?;
                    schema_url = Some(url);
                    size += string_size(url);
                }
                _ => {}
            }
        }
        self.resources.push(ResourceSpans {
            raw,
            resource,
            schema_url,
            service,
            scopes: first_scope..self.scopes.len(),
            spans: first_span..self.spans.len(),
            facts,
            keys,
        });
        Ok(size + delimited_size(resource_size))
    }

    fn resource(&mut self, raw: &'a [u8]) -> Result<(usize, &'a [u8]), WireError> {
        let mut service: &[u8] = b"";
        let mut size = 0;
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    let attribute = KeyValue::read(field.bytes()?)?;
                    size += delimited_size(attribute.size);
                    if attribute.key == b"service.name"
                        && let Some(name) = attribute.text
                    {
                        service = name;
                    }
                    attribute.note(&mut self.facts, &mut self.keys);
                }
                2 => size += count_size(field.varint()?),
                3 => size += delimited_size(entity_ref_size(field.bytes()?)?),
                _ => {}
            }
        }
        Ok((size, service))
    }

    fn scope_spans(&mut self, raw: &'a [u8]) -> Result<usize, WireError> {
        let first_span = self.spans.len();
        let mut scope = None;
        let mut schema_url = None;
        let mut size_of_scope = 0;
        let mut size = 0;
        let mut scope_keys = 0;
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                let bytes = field.bytes()?;
                scope = Some(bytes);
                size_of_scope = scope_size(bytes, &mut scope_keys)?;
            }
        }
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            match field.number {
                2 => {
                    self.keys = scope_keys;
                    size += delimited_size(self.span(field.bytes()?)?);
                }
                3 => {
                    let url = field.bytes()?;
                    schema_url = Some(url);
                    size += string_size(url);
                }
                _ => {}
            }
        }
        self.scopes.push(ScopeSpans {
            scope,
            schema_url,
            spans: first_span..self.spans.len(),
        });
        Ok(size + delimited_size(size_of_scope))
    }

    fn span(&mut self, raw: &'a [u8]) -> Result<usize, WireError> {
        let first_fact = self.facts.len();
        let (mut trace_id, mut span_id, mut parent): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
        let mut name: &[u8] = b"";
        let (mut kind, mut code) = (0, 0);
        let (mut start, mut end) = (0, 0);
        let mut status_size = 0;
        let mut size = 0;
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => trace_id = id::<16>(field.bytes()?, "TraceID")?,
                2 => span_id = id::<8>(field.bytes()?, "SpanID")?,
                3 => size += string_size(field.bytes()?),
                4 => parent = id::<8>(field.bytes()?, "SpanID")?,
                5 => {
                    name = field.bytes()?;
                    size += string_size(name);
                }
                6 => {
                    kind = field.varint()?;
                    size += count_size(kind);
                }
                7 => {
                    start = field.fixed64()?;
                    size += if start == 0 { 0 } else { 9 };
                }
                8 => {
                    end = field.fixed64()?;
                    size += if end == 0 { 0 } else { 9 };
                }
                9 => {
                    let attribute = KeyValue::read(field.bytes()?)?;
                    size += delimited_size(attribute.size);
                    attribute.note(&mut self.facts, &mut self.keys);
                }
                10 | 12 | 14 => size += count_size(field.varint()?),
                11 => size += delimited_size(event_size(field.bytes()?, &mut self.keys)?),
                13 => size += delimited_size(link_size(field.bytes()?)?),
                15 => (status_size, code) = status(field.bytes()?)?,
                16 => size += if field.fixed32()? == 0 { 0 } else { 6 },
                _ => {}
            }
        }
        size += delimited_size(trace_id.len())
            + delimited_size(span_id.len())
            + delimited_size(parent.len())
            + delimited_size(status_size);
        if trace_id.is_empty() {
            self.invalid.get_or_insert(InvalidId::Trace);
        } else if span_id.is_empty() {
            self.invalid.get_or_insert(InvalidId::Span);
        }
        self.facts.push(fact::name(name));
        self.facts.push(fact::kind(kind as i32));
        // An unknown code counts as unset.
        self.facts
            .push(fact::status(if matches!(code, 1 | 2) { code } else { 0 }));
        self.spans.push(SpanFacts {
            raw,
            trace_id,
            root_name: parent.is_empty().then_some(name),
            start,
            end,
            facts: first_fact..self.facts.len(),
            keys: self.keys,
        });
        Ok(size)
    }

    /// The traces of this request, each with its part of the bytes.
    ///
    /// # Errors
    /// When a span has no usable ID: then nothing of the request is stored.
    pub fn into_fragments(self) -> Result<Vec<(TraceId, Fragment)>, InvalidId> {
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let mut traces: Vec<Pending> = Vec::new();
        let mut places: HashMap<&[u8], usize> = HashMap::new();
        for (index, resource) in self.resources.iter().enumerate() {
            let spans = &self.spans[resource.spans.clone()];
            let Some(first) = spans.first() else { continue };
            let uniform = spans.iter().all(|span| span.trace_id == first.trace_id);
            for span in spans {
                let place = match traces.last() {
                    Some(last) if last.id == span.trace_id => traces.len() - 1,
                    _ => *places.entry(span.trace_id).or_insert_with(|| {
                        traces.push(Pending::new(span.trace_id));
                        traces.len() - 1
                    }),
                };
                let trace = &mut traces[place];
                if trace.pieces.last().map(|piece| piece.resource) != Some(index) {
                    trace.pieces.push(Piece {
                        resource: index,
                        whole: uniform,
                    });
                    trace.facts += resource.facts.len();
                }
                trace.add(span, resource);
                if uniform {
                    // The rest belongs to the same trace: no look-ups.
                    for span in &spans[1..] {
                        traces[place].add(span, resource);
                    }
                    break;
                }
            }
        }
        Ok(traces
            .into_iter()
            .map(|trace| {
                trace.into_fragment(&self.resources, &self.scopes, &self.spans, &self.facts)
            })
            .collect())
    }
}

struct Piece {
    resource: usize,
    /// All spans of this resource are of the trace: its bytes are kept as is.
    whole: bool,
}

/// A trace while its parts are being collected from a request.
struct Pending<'a> {
    id: &'a [u8],
    pieces: Vec<Piece>,
    facts: usize,
    spans: u32,
    start: u64,
    end: u64,
    longest: u64,
    root: Option<(&'a [u8], &'a [u8])>,
    keys: u64,
}

impl<'a> Pending<'a> {
    fn new(id: &'a [u8]) -> Self {
        Self {
            id,
            pieces: Vec::new(),
            facts: 0,
            spans: 0,
            start: u64::MAX,
            end: 0,
            longest: 0,
            root: None,
            keys: 0,
        }
    }

    fn add(&mut self, span: &SpanFacts<'a>, resource: &ResourceSpans<'a>) {
        self.spans += 1;
        self.keys = fact::combined(fact::combined(self.keys, resource.keys), span.keys);
        self.facts += span.facts.len();
        self.start = self.start.min(span.start);
        self.end = self.end.max(span.end);
        self.longest = self.longest.max(span.end.saturating_sub(span.start));
        if let (None, Some(name)) = (self.root, span.root_name) {
            self.root = Some((resource.service, name));
        }
    }

    fn into_fragment(
        self,
        resources: &[ResourceSpans<'a>],
        scopes: &[ScopeSpans<'a>],
        spans: &[SpanFacts<'a>],
        facts: &[u64],
    ) -> (TraceId, Fragment) {
        let mut id = [0; 16];
        id.copy_from_slice(self.id);
        let room: usize = self
            .pieces
            .iter()
            .map(|piece| resources[piece.resource].raw.len() + 6)
            .sum();
        let mut bytes = Vec::with_capacity(room);
        let mut filter = Facts::with_capacity(self.facts);
        for piece in &self.pieces {
            let resource = &resources[piece.resource];
            filter.extend(&facts[resource.facts.clone()]);
            if piece.whole {
                put_delimited(&mut bytes, 1, resource.raw);
                // Facts of the spans of one resource lie one after the other.
                if let (Some(first), Some(last)) = (
                    spans[resource.spans.clone()].first(),
                    spans[resource.spans.clone()].last(),
                ) {
                    filter.extend(&facts[first.facts.start..last.facts.end]);
                }
            } else {
                let part = part_of(resource, scopes, spans, self.id, |span| {
                    filter.extend(&facts[span.facts.clone()]);
                });
                put_delimited(&mut bytes, 1, &part);
            }
        }
        let root = self.root.map(|(service, name)| Root {
            service: String::from_utf8_lossy(service).into(),
            name: String::from_utf8_lossy(name).into(),
        });
        let fragment = Fragment {
            bytes: bytes.into_boxed_slice(),
            facts: filter,
            spans: self.spans,
            start: self.start,
            end: self.end,
            longest: self.longest,
            keys: self.keys,
            root,
        };
        (id, fragment)
    }
}

/// The `ResourceSpans` with only the spans of one trace.
fn part_of<'a>(
    resource: &ResourceSpans<'a>,
    scopes: &[ScopeSpans<'a>],
    spans: &[SpanFacts<'a>],
    trace_id: &[u8],
    mut each: impl FnMut(&SpanFacts<'a>),
) -> Vec<u8> {
    let mut part = Vec::new();
    if let Some(bytes) = resource.resource {
        put_delimited(&mut part, 1, bytes);
    }
    for scope in &scopes[resource.scopes.clone()] {
        let own = || {
            spans[scope.spans.clone()]
                .iter()
                .filter(|span| span.trace_id == trace_id)
        };
        let scope_size = scope.scope.map_or(0, |bytes| delimited_size(bytes.len()))
            + scope
                .schema_url
                .map_or(0, |bytes| delimited_size(bytes.len()))
            + own()
                .map(|span| delimited_size(span.raw.len()))
                .sum::<usize>();
        if own().next().is_none() {
            continue;
        }
        part.push(2 << 3 | 2);
        put_varint(&mut part, scope_size as u64);
        if let Some(bytes) = scope.scope {
            put_delimited(&mut part, 1, bytes);
        }
        for span in own() {
            put_delimited(&mut part, 2, span.raw);
            each(span);
        }
        if let Some(bytes) = scope.schema_url {
            put_delimited(&mut part, 3, bytes);
        }
    }
    if let Some(bytes) = resource.schema_url {
        put_delimited(&mut part, 3, bytes);
    }
    part
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rstest::rstest;

    use super::*;

    fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, bytes) in fields {
            put_delimited(&mut out, *number, bytes);
        }
        out
    }

    fn request(span: &[u8], scope: Option<&[u8]>) -> Vec<u8> {
        let mut scope_spans = Vec::new();
        if let Some(scope) = scope {
            put_delimited(&mut scope_spans, 1, scope);
        }
        put_delimited(&mut scope_spans, 2, span);
        let resource = message(&[(1, b"\x0a\x01k\x12\x03\x0a\x01v")]);
        message(&[(1, &message(&[(1, &resource), (2, &scope_spans)]))])
    }

    const IDS: &[(u8, &[u8])] = &[(1, b"0123456789abcdef"), (2, b"12345678"), (5, b"name")];

    fn span(more: &[(u8, &[u8])]) -> Vec<u8> {
        message(&[IDS, more].concat())
    }

    /// Parent, scope and status are in Tempo's encoding even when empty.
    #[rstest]
    #[case::all_there(span(&[(4, b""), (15, b"")]), Some(&b""[..]), 0)]
    #[case::no_status(span(&[(4, b"")]), Some(&b""[..]), 2)]
    #[case::no_parent(span(&[(15, b"")]), Some(&b""[..]), 2)]
    #[case::no_scope(span(&[(4, b""), (15, b"")]), None, 2)]
    #[case::none_of_them(span(&[]), None, 6)]
    #[case::full_ones(span(&[(4, b"87654321"), (15, b"\x12\x01x\x18\x02")]), Some(&b"\x0a\x01n"[..]), 0)]
    #[case::parent_of_zeros(span(&[(4, &[0; 8]), (15, b"")]), Some(&b""[..]), -8)]
    #[case::unknown_field([span(&[(4, b""), (15, b"")]), vec![0xb8, 0x06, 1]].concat(), Some(&b""[..]), -3)]
    fn bytes_are_counted_as_tempo_encodes_them(
        #[case] span: Vec<u8>,
        #[case] scope: Option<&[u8]>,
        #[case] difference: i64,
    ) {
        let request = request(&span, scope);
        let batch = Batch::read(&request).unwrap();
        assert_eq!(batch.bytes as i64 - request.len() as i64, difference);
        assert_eq!(batch.span_count(), 1);
    }

    #[rstest]
    #[case("2.10.8")]
    #[case("3.0.3")]
    fn a_trace_that_tempo_encoded_is_counted_to_the_byte(#[case] version: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures/tempo-recordings")
            .join(version)
            .join("trace-v2-protobuf.json");
        let recording: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let body = STANDARD
            .decode(recording["body_base64"].as_str().unwrap())
            .unwrap();
        let trace = Fields::new(&body).next().unwrap().unwrap().bytes().unwrap();
        let batch = Batch::read(trace).unwrap();
        let roots = batch
            .spans
            .iter()
            .filter(|span| span.root_name.is_some())
            .count();
        assert_eq!(roots, 1);
        // What Tempo gives back lacks the empty parent that it counts.
        assert_eq!(batch.bytes, trace.len() + 2 * roots);
    }

    #[rstest]
    #[case::no_trace_id(message(&IDS[1..]), "trace ids must be 128 bit, received 0 bits")]
    #[case::zero_trace_id(message(&[(1, &[0; 16][..]), (2, b"12345678")]), "trace ids must be 128 bit, received 0 bits")]
    #[case::no_span_id(message(&IDS[..1]), "span ids must be 64 bit and not all zero, received 0 bits")]
    #[case::zero_span_id(message(&[(1, b"0123456789abcdef"), (2, &[0; 8][..])]), "span ids must be 64 bit and not all zero, received 0 bits")]
    fn an_absent_id_is_refused(#[case] span: Vec<u8>, #[case] text: &str) {
        let request = request(&span, None);
        let refused = Batch::read(&request).unwrap().into_fragments().unwrap_err();
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn an_id_of_another_length_is_refused() {
        let request = request(&message(&[(1, b"short")]), None);
        let error = Batch::read(&request).unwrap_err();
        assert_eq!(error.to_string(), "invalid length for TraceID");
    }

    #[test]
    fn traces_of_one_resource_are_taken_apart() {
        let other: &[(u8, &[u8])] = &[(1, b"another trace id"), (2, b"87654321")];
        let scope_spans = message(&[
            (1, b"\x0a\x03lib"),
            (2, &span(&[])),
            (2, &message(other)),
            (2, &span(&[(4, b"87654321")])),
        ]);
        let request = message(&[(1, &message(&[(2, &scope_spans), (3, b"url")]))]);
        let fragments = Batch::read(&request).unwrap().into_fragments().unwrap();
        let spans: Vec<_> = fragments
            .iter()
            .map(|(id, fragment)| (&id[..], fragment.spans))
            .collect();
        assert_eq!(
            spans,
            [(&b"0123456789abcdef"[..], 2), (b"another trace id", 1)]
        );
        let expected = message(&[(
            1,
            &message(&[
                (2, &message(&[(1, b"\x0a\x03lib"), (2, &message(other))])),
                (3, b"url"),
            ]),
        )]);
        assert_eq!(*fragments[1].1.bytes, expected[..]);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let request = request(&span(&[(4, b""), (15, b"\x18\x02")]), Some(b"\x0a\x01n"));
        for cut in 0..request.len() {
            drop(Batch::read(&request[..cut]));
            for bit in 0..8 {
                let mut flipped = request.clone();
                flipped[cut] ^= 1 << bit;
                if let Ok(batch) = Batch::read(&flipped) {
                    drop(batch.into_fragments());
                }
            }
        }
    }
}
