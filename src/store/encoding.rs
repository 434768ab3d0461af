//! How many bytes the parts of a span take in Tempo's own encoding. Sizes are of
//! a message's content, without its tag and length.

use super::facts::fact;
use super::wire::{Fields, WireError, delimited_size, varint_size};

/// How deep an attribute's lists may nest.
const MAX_DEPTH: usize = 64;

/// An attribute, with what the size and the facts need.
pub struct KeyValue<'a> {
    pub key: &'a [u8],
    pub text: Option<&'a [u8]>,
    list: Option<&'a [u8]>,
    pub size: usize,
}

impl<'a> KeyValue<'a> {
    pub fn read(raw: &'a [u8]) -> Result<Self, WireError> {
        Self::read_at(raw, 0)
    }

    fn read_at(raw: &'a [u8], depth: usize) -> Result<Self, WireError> {
        let mut key: &[u8] = b"";
        let mut value = AnyValue::default();
        let mut fields = Fields::new(raw);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => key = field.bytes()?,
                2 => value = AnyValue::read(field.bytes()?, depth)?,
                _ => {}
            }
        }
        Ok(Self {
            key,
            text: value.text,
            list: value.list,
            size: string_size(key) + delimited_size(value.size),
        })
    }

    /// Adds what the attribute says to the facts, and its key to the keys.
    pub fn note(&self, facts: &mut Vec<u64>, keys: &mut u64) {
        let key = fact::key(self.key);
        *keys = fact::combined(*keys, key);
        if let Some(text) = self.text {
            facts.push(fact::text_of(key, text));
        } else if let Some(list) = self.list {
            let mut fields = Fields::new(list);
            while let Ok(Some(field)) = fields.next() {
                if let Ok(bytes) = field.bytes()
                    && let Ok(AnyValue {
                        text: Some(text), ..
                    }) = AnyValue::read(bytes, 0)
                {
                    facts.push(fact::text_of(key, text));
                }
            }
        }
    }
}

#[derive(Default)]
struct AnyValue<'a> {
    text: Option<&'a [u8]>,
    list: Option<&'a [u8]>,
    size: usize,
}

impl<'a> AnyValue<'a> {
    fn read(raw: &'a [u8], depth: usize) -> Result<Self, WireError> {
        if depth > MAX_DEPTH {
            return Err(WireError::TooDeep);
        }
        let mut value = Self::default();
        let mut fields = Fields::new(raw);
        // Of several values the last one counts, as in any oneof.
        while let Some(field) = fields.next()? {
            let (mut text, mut list) = (None, None);
            let size = match field.number {
                1 => {
                    let bytes = field.bytes()?;
                    text = Some(bytes);
                    delimited_size(bytes.len())
                }
                2 => {
                    field.varint()?;
                    2
                }
                3 => 1 + varint_size(field.varint()?),
                4 => {
                    field.fixed64()?;
                    9
                }
                5 => {
                    let bytes = field.bytes()?;
                    list = Some(bytes);
                    delimited_size(list_size(bytes, depth, |bytes, depth| {
                        Ok(AnyValue::read(bytes, depth)?.size)
                    })?)
                }
                6 => delimited_size(list_size(field.bytes()?, depth, |bytes, depth| {
                    Ok(KeyValue::read_at(bytes, depth)?.size)
                })?),
                7 => delimited_size(field.bytes()?.len()),
                _ => continue,
            };
            value = Self { text, list, size };
        }
        Ok(value)
    }
}

fn list_size(
    raw: &[u8],
    depth: usize,
    item: impl Fn(&[u8], usize) -> Result<usize, WireError>,
) -> Result<usize, WireError> {
    let mut size = 0;
    let mut fields = Fields::new(raw);
    while let Some(field) = fields.next()? {
        if field.number == 1 {
            size += delimited_size(item(field.bytes()?, depth + 1)?);
        }
    }
    Ok(size)
}

pub fn scope_size(raw: &[u8], keys: &mut u64) -> Result<usize, WireError> {
    let mut size = 0;
    let mut fields = Fields::new(raw);
    while let Some(field) = fields.next()? {
        match field.number {
            1 | 2 => size += string_size(field.bytes()?),
            3 => {
                let attribute = KeyValue::read(field.bytes()?)?;
                *keys = fact::combined(*keys, fact::key(attribute.key));
                size += delimited_size(attribute.size);
            }
            4 => size += count_size(field.varint()?),
            _ => {}
        }
    }
    Ok(size)
}

pub fn event_size(raw: &[u8], keys: &mut u64) -> Result<usize, WireError> {
    let mut size = 0;
    let mut fields = Fields::new(raw);
    while let Some(field) = fields.next()? {
        size += match field.number {
            1 if field.fixed64()? != 0 => 9,
            2 => string_size(field.bytes()?),
            3 => {
                let attribute = KeyValue::read(field.bytes()?)?;
                *keys = fact::combined(*keys, fact::key(attribute.key));
                delimited_size(attribute.size)
            }
            4 => count_size(field.varint()?),
            _ => 0,
        };
    }
    Ok(size)
}

pub fn link_size(raw: &[u8]) -> Result<usize, WireError> {
    let (mut trace_id, mut span_id): (&[u8], &[u8]) = (b"", b"");
    let mut size = 0;
    let mut fields = Fields::new(raw);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => trace_id = id::<16>(field.bytes()?, "TraceID")?,
            2 => span_id = id::<8>(field.bytes()?, "SpanID")?,
            3 => size += string_size(field.bytes()?),
            4 => size += delimited_size(KeyValue::read(field.bytes()?)?.size),
            5 => size += count_size(field.varint()?),
            6 => size += if field.fixed32()? == 0 { 0 } else { 5 },
            _ => {}
        }
    }
    Ok(size + delimited_size(trace_id.len()) + delimited_size(span_id.len()))
}

pub fn entity_ref_size(raw: &[u8]) -> Result<usize, WireError> {
    let mut size = 0;
    let mut fields = Fields::new(raw);
    while let Some(field) = fields.next()? {
        size += match field.number {
            1 | 2 => string_size(field.bytes()?),
            3 | 4 => delimited_size(field.bytes()?.len()),
            _ => 0,
        };
    }
    Ok(size)
}

pub fn status(raw: &[u8]) -> Result<(usize, i32), WireError> {
    let (mut size, mut code) = (0, 0);
    let mut fields = Fields::new(raw);
    while let Some(field) = fields.next()? {
        match field.number {
            2 => size += string_size(field.bytes()?),
            3 => {
                let value = field.varint()?;
                size += count_size(value);
                code = value as i32;
            }
            _ => {}
        }
    }
    Ok((size, code))
}

/// An ID of `N` bytes; one of zeros counts as absent.
pub fn id<'a, const N: usize>(bytes: &'a [u8], what: &'static str) -> Result<&'a [u8], WireError> {
    if bytes.is_empty() || bytes.len() == N && bytes.iter().all(|byte| *byte == 0) {
        Ok(&bytes[..0])
    } else if bytes.len() == N {
        Ok(bytes)
    } else {
        Err(WireError::InvalidLength(what))
    }
}

pub fn string_size(bytes: &[u8]) -> usize {
    if bytes.is_empty() {
        0
    } else {
        delimited_size(bytes.len())
    }
}

pub fn count_size(value: u64) -> usize {
    if value == 0 {
        0
    } else {
        1 + varint_size(value)
    }
}
