//! Which traces a query cannot match, without reading their spans.

use super::ast::{
    Attribute, Comparison, Condition, Intrinsic, Keep, Operand, Query, Scope, SpansetExpr, Stage,
};
use super::value::{Value, compare};
use crate::store::facts::fact;
use crate::store::fragment::{Fragment, StoredTrace};

/// False only if no span of the trace can match.
pub fn may_match(query: &Query, trace: &StoredTrace) -> bool {
    spanset(&query.spans, trace)
        && query.stages.iter().all(|stage| match stage {
            Stage::Spans(spans) => spanset(spans, trace),
            _ => true,
        })
}

fn spanset(expr: &SpansetExpr, trace: &StoredTrace) -> bool {
    match expr {
        // All of a span is in one fragment.
        SpansetExpr::Filter(filter) => trace
            .fragments
            .iter()
            .any(|fragment| condition(filter, fragment, trace)),
        SpansetExpr::And(left, right) => spanset(left, trace) && spanset(right, trace),
        SpansetExpr::Or(left, right) => spanset(left, trace) || spanset(right, trace),
        SpansetExpr::Related {
            keep: Keep::RightWithout,
            right,
            ..
        } => spanset(right, trace),
        SpansetExpr::Related { left, right, .. } => spanset(left, trace) && spanset(right, trace),
    }
}

fn condition(filter: &Condition, fragment: &Fragment, trace: &StoredTrace) -> bool {
    match filter {
        Condition::And(left, right) => {
            condition(left, fragment, trace) && condition(right, fragment, trace)
        }
        Condition::Or(left, right) => {
            condition(left, fragment, trace) || condition(right, fragment, trace)
        }
        Condition::Compare {
            left: Operand::Attribute(attribute),
            op,
            right: Operand::Value(value),
        } => comparison(attribute, op, value, fragment, trace),
        Condition::Compare {
            left: Operand::Value(value),
            op,
            right: Operand::Attribute(attribute),
        } => op
            .flipped()
            .is_none_or(|op| comparison(attribute, &op, value, fragment, trace)),
        Condition::Always | Condition::Compare { .. } | Condition::Holds(_) => true,
    }
}

fn comparison(
    attribute: &Attribute,
    op: &Comparison,
    value: &Value<'_>,
    fragment: &Fragment,
    trace: &StoredTrace,
) -> bool {
    let facts = &fragment.facts;
    match (attribute, op, value) {
        (
            Attribute::Named {
                scope: Scope::Any | Scope::Span | Scope::Resource,
                name,
            },
            Comparison::Equal,
            Value::Text(text),
        ) => facts.may_contain(fact::attribute(name.as_bytes(), text.as_bytes())),
        (Attribute::Intrinsic(intrinsic), op, value) => match (intrinsic, op, value) {
            (Intrinsic::Name, Comparison::Equal, Value::Text(name)) => {
                facts.may_contain(fact::name(name.as_bytes()))
            }
            (Intrinsic::Status, Comparison::Equal, Value::Status(status)) => {
                facts.may_contain(fact::status(status.code()))
            }
            (Intrinsic::Kind, Comparison::Equal, Value::Kind(kind)) => {
                facts.may_contain(fact::kind(kind.0))
            }
            (
                Intrinsic::Duration,
                Comparison::Greater | Comparison::GreaterOrEqual | Comparison::Equal,
                value,
            ) => {
                // Equality needs a span that is at least as long.
                let op = match op {
                    Comparison::Equal => &Comparison::GreaterOrEqual,
                    op => op,
                };
                compare(&nanos(fragment.longest), op, value)
            }
            (Intrinsic::TraceDuration, op, value) => compare(&nanos(trace.duration()), op, value),
            (Intrinsic::RootName, op, value) => root(trace, |root| &root.name, op, value),
            (Intrinsic::RootService, op, value) => root(trace, |root| &root.service, op, value),
            _ => true,
        },
        _ => true,
    }
}

fn nanos(value: u64) -> Value<'static> {
    Value::Duration(i64::try_from(value).unwrap_or(i64::MAX))
}

fn root(
    trace: &StoredTrace,
    of: fn(&crate::store::fragment::Root) -> &str,
    op: &Comparison,
    value: &Value<'_>,
) -> bool {
    let found = trace
        .root
        .as_ref()
        .map_or(Value::Nil, |root| Value::Text(of(root).into()));
    compare(&found, op, value)
}
