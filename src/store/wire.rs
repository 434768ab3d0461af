//! Protobuf's wire format, read without copying. The store keeps spans as the
//! bytes they came in, so it reads fields in place instead of decoding
//! messages.

use std::fmt;

/// Why bytes are not a message. The texts are those that a Tempo client sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireError {
    UnexpectedEnd,
    VarintOverflow,
    IllegalWireType(u8),
    IllegalTag,
    WrongWireType { field: u32, wire_type: u8 },
    InvalidLength(&'static str),
    TooDeep,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedEnd => f.write_str("unexpected EOF"),
            Self::VarintOverflow => f.write_str("proto: integer overflow"),
            Self::IllegalWireType(found) => write!(f, "proto: illegal wireType {found}"),
            Self::IllegalTag => f.write_str("proto: illegal tag 0"),
            Self::WrongWireType { field, wire_type } => {
                write!(f, "proto: wrong wireType = {wire_type} for field {field}")
            }
            Self::InvalidLength(what) => write!(f, "invalid length for {what}"),
            Self::TooDeep => f.write_str("proto: values nested too deeply"),
        }
    }
}

impl std::error::Error for WireError {}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    pub number: u32,
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    fn wrong(&self) -> WireError {
        let wire_type = match self.value {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Fixed32(_) => 5,
        };
        WireError::WrongWireType {
            field: self.number,
            wire_type,
        }
    }

    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.wrong()),
        }
    }

    #[inline]
    pub fn varint(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong()),
        }
    }

    #[inline]
    pub fn fixed64(&self) -> Result<u64, WireError> {
        match self.value {
            Value::Fixed64(value) => Ok(value),
            _ => Err(self.wrong()),
        }
    }

    #[inline]
    pub fn fixed32(&self) -> Result<u32, WireError> {
        match self.value {
            Value::Fixed32(value) => Ok(value),
            _ => Err(self.wrong()),
        }
    }
}

/// The fields of one message, in the order of its bytes.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline]
    pub fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.read_varint()?;
        let wire_type = (tag & 7) as u8;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError::IllegalTag)?;
        let value = match wire_type {
            0 => Value::Varint(self.read_varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take_array()?)),
            2 => {
                let length = self.read_varint()?;
                let length = usize::try_from(length).map_err(|_| WireError::UnexpectedEnd)?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take_array()?)),
            other => return Err(WireError::IllegalWireType(other)),
        };
        if number == 0 {
            return Err(WireError::IllegalTag);
        }
        Ok(Some(Field { number, value }))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireError::UnexpectedEnd)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::UnexpectedEnd)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    fn read_varint(&mut self) -> Result<u64, WireError> {
        // Nearly all tags and lengths of a trace fit into one byte.
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*first))
            }
            _ => self.read_long_varint(),
        }
    }

    fn read_long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate() {
            if index == 10 || (index == 9 && *byte > 1) {
                return Err(WireError::VarintOverflow);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(WireError::UnexpectedEnd)
    }
}

/// Bytes of a varint.
#[inline]
pub fn varint_size(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Bytes of a length-delimited field with a one-byte tag.
#[inline]
pub fn delimited_size(length: usize) -> usize {
    1 + varint_size(length as u64) + length
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length-delimited field; `number` must be below 16.
pub fn put_delimited(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::zero(0)]
    #[case::one_byte(127)]
    #[case::two_bytes(128)]
    #[case::three_bytes(1 << 14)]
    #[case::largest(u64::MAX)]
    fn a_varint_has_the_size_it_is_written_with(#[case] value: u64) {
        let mut bytes = vec![0x08];
        put_varint(&mut bytes, value);
        assert_eq!(bytes.len() - 1, varint_size(value));
        let field = Fields::new(&bytes).next().unwrap().unwrap();
        assert_eq!(field.value, Value::Varint(value));
    }

    #[rstest]
    #[case::garbage(b"\xff\xff\xff\xff\x0f", "proto: illegal wireType 7")]
    #[case::cut_length(b"\x0a\x05abc", "unexpected EOF")]
    #[case::cut_varint(b"\x08\x80", "unexpected EOF")]
    #[case::endless_varint(
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        "proto: integer overflow"
    )]
    #[case::huge_length(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "unexpected EOF")]
    #[case::tag_zero(b"\x02\x00", "proto: illegal tag 0")]
    fn bytes_that_are_no_message_are_refused(#[case] bytes: &[u8], #[case] text: &str) {
        assert_eq!(Fields::new(bytes).next().unwrap_err().to_string(), text);
    }
}
