//! Values of TraceQL and their comparison.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use super::ast::Comparison;
use crate::store::view::AnyValue;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Unset,
    Ok,
    Error,
}

impl Status {
    /// The code on the wire.
    pub fn code(self) -> i32 {
        match self {
            Self::Unset => 0,
            Self::Ok => 1,
            Self::Error => 2,
        }
    }

    pub fn from_code(code: i32) -> Self {
        match code {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "unset" => Self::Unset,
            "ok" => Self::Ok,
            "error" => Self::Error,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

const KINDS: [&str; 6] = [
    "unspecified",
    "internal",
    "server",
    "client",
    "producer",
    "consumer",
];

/// A span's kind by its code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub i32);

impl Kind {
    pub fn from_name(name: &str) -> Option<Self> {
        let index = KINDS.iter().position(|kind| *kind == name)?;
        i32::try_from(index).ok().map(Self)
    }

    pub fn name(self) -> &'static str {
        usize::try_from(self.0)
            .ok()
            .and_then(|index| KINDS.get(index).copied())
            .unwrap_or(KINDS[0])
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Nil,
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// In nanoseconds.
    Duration(i64),
    Status(Status),
    Kind(Kind),
    List(Vec<Value<'a>>),
}

/// What can be compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Known only when a span is looked at.
    Any,
    Nil,
    Text,
    Number,
    Bool,
    Status,
    Kind,
}

impl<'a> Value<'a> {
    /// Bytes and maps cannot be asked for in TraceQL: they are as good as absent.
    pub fn from_attribute(value: AnyValue<'a>) -> Self {
        match value {
            AnyValue::Text(text) => Self::Text(text),
            AnyValue::Bool(value) => Self::Bool(value),
            AnyValue::Int(value) => Self::Int(value),
            AnyValue::Double(value) => Self::Float(value),
            AnyValue::List(list) => {
                Self::List(list.into_iter().map(Self::from_attribute).collect())
            }
            AnyValue::Empty | AnyValue::Bytes(_) | AnyValue::Map(_) => Self::Nil,
        }
    }

    pub fn kind(&self) -> Type {
        match self {
            Self::Nil => Type::Nil,
            Self::Text(_) => Type::Text,
            Self::Int(_) | Self::Float(_) | Self::Duration(_) => Type::Number,
            Self::Bool(_) => Type::Bool,
            Self::Status(_) => Type::Status,
            Self::Kind(_) => Type::Kind,
            Self::List(_) => Type::Any,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) | Self::Duration(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }
}

/// As Tempo writes a value into an error message or into text.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Text(text) => write!(f, "`{text}`"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Duration(nanos) => f.write_str(&go_duration(*nanos)),
            Self::Status(status) => f.write_str(status.name()),
            Self::Kind(kind) => f.write_str(kind.name()),
            Self::List(_) => f.write_str("list"),
        }
    }
}

/// Go's way to write a duration: `36.7ms`, `1m30s`, `1h0m0s`.
pub fn go_duration(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    let fraction = |unit: u64| {
        let whole = magnitude / unit;
        let rest = format!(
            "{:0width$}",
            magnitude % unit,
            width = unit.ilog10() as usize
        );
        match rest.trim_end_matches('0') {
            "" => whole.to_string(),
            rest => format!("{whole}.{rest}"),
        }
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(1_000_000)),
        _ => {
            let minutes = magnitude / 60_000_000_000;
            let seconds = magnitude % 60_000_000_000;
            let rest = format!("{:09}", seconds % 1_000_000_000);
            let rest = rest.trim_end_matches('0');
            let point = if rest.is_empty() { "" } else { "." };
            let seconds = format!("{}{point}{rest}s", seconds / 1_000_000_000);
            match minutes {
                0 => format!("{sign}{seconds}"),
                1..60 => format!("{sign}{minutes}m{seconds}"),
                _ => format!("{sign}{}h{}m{seconds}", minutes / 60, minutes % 60),
            }
        }
    }
}

/// Whether `left op right` holds. Values of different types compare as false
/// whatever the operator, also for `!=`; so does an absent value, except with
/// `nil` itself.
pub fn compare(left: &Value<'_>, op: &Comparison, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::List(items), other) => {
            // `!=` and `!~` mean none of the items, all others any of them.
            let all = matches!(op, Comparison::NotEqual | Comparison::NotMatches(_));
            let mut results = items.iter().map(|item| compare(item, op, other));
            return if all {
                results.all(|holds| holds)
            } else {
                results.any(|holds| holds)
            };
        }
        (_, Value::List(_)) => return op.flipped().is_some_and(|op| compare(right, &op, left)),
        (Value::Nil, Value::Nil) => return matches!(op, Comparison::Equal),
        (_, Value::Nil) => return matches!(op, Comparison::NotEqual),
        (Value::Nil, _) => return false,
        _ => {}
    }
    let order = match (left, right) {
        (Value::Text(left), Value::Text(right)) => match op {
            Comparison::Matches(regex) => return regex.is_match(left),
            Comparison::NotMatches(regex) => return !regex.is_match(left),
            _ => Some(left.cmp(right)),
        },
        (Value::Bool(left), Value::Bool(right)) => return op.of_equality(left == right),
        (Value::Status(left), Value::Status(right)) => return op.of_equality(left == right),
        (Value::Kind(left), Value::Kind(right)) => return op.of_equality(left == right),
        (Value::Int(left) | Value::Duration(left), Value::Int(right) | Value::Duration(right)) => {
            Some(left.cmp(right))
        }
        _ => match (left.number(), right.number()) {
            (Some(left), Some(right)) => left.partial_cmp(&right),
            _ => None,
        },
    };
    let Some(order) = order else { return false };
    match op {
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::GreaterOrEqual => order != Ordering::Less,
        Comparison::Matches(_) | Comparison::NotMatches(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::zero(0, "0s")]
    #[case::nanoseconds(15, "15ns")]
    #[case::microseconds(1_500, "1.5µs")]
    #[case::milliseconds(36_700_000, "36.7ms")]
    #[case::whole_milliseconds(1_000_000, "1ms")]
    #[case::seconds(2_000_000_000, "2s")]
    #[case::part_seconds(2_050_000_000, "2.05s")]
    #[case::minutes(90_000_000_000, "1m30s")]
    #[case::hours(3_600_000_000_000, "1h0m0s")]
    #[case::negative(-1_000_000, "-1ms")]
    fn a_duration_is_written_as_go_does(#[case] nanos: i64, #[case] text: &str) {
        assert_eq!(go_duration(nanos), text);
    }

    #[rstest]
    #[case::status(Status::from_name("error").map(Status::code), Some(2))]
    #[case::kind(Kind::from_name("server").map(|kind| kind.0), Some(2))]
    #[case::client(Kind::from_name("client").map(|kind| kind.0), Some(3))]
    #[case::unknown(Kind::from_name("ok").map(|kind| kind.0), None)]
    fn keywords_have_the_codes_of_the_wire(#[case] found: Option<i32>, #[case] code: Option<i32>) {
        assert_eq!(found, code);
    }
}
