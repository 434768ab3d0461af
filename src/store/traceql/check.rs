//! Which operands go with which operator.

use super::QueryError;
use super::ast::{Attribute, Comparison, Condition, Intrinsic, Operand, Query, SpansetExpr, Stage};
use super::value::{Type, Value};

pub fn query(query: &Query) -> Result<(), QueryError> {
    spanset(&query.spans)?;
    query.stages.iter().try_for_each(|stage| match stage {
        Stage::Spans(spans) => spanset(spans),
        Stage::Aggregate {
            function,
            of: Some(of),
            ..
        } => match Operand::Attribute(of.clone()).value_type() {
            Type::Any | Type::Number if !is_nested_set(of) => Ok(()),
            Type::Number => Err(nested_set()),
            _ => Err(QueryError::Invalid(format!(
                "aggregate field expressions must resolve to a number type: {}({of})",
                function.name()
            ))),
        },
        Stage::Select(attributes) if attributes.iter().any(is_nested_set) => Err(nested_set()),
        Stage::By(attribute) if is_nested_set(attribute) => Err(nested_set()),
        _ => Ok(()),
    })
}

fn spanset(spans: &SpansetExpr) -> Result<(), QueryError> {
    match spans {
        SpansetExpr::Filter(filter) => condition(filter),
        SpansetExpr::And(left, right)
        | SpansetExpr::Or(left, right)
        | SpansetExpr::Related { left, right, .. } => spanset(left).and_then(|()| spanset(right)),
    }
}

fn condition(filter: &Condition) -> Result<(), QueryError> {
    match filter {
        Condition::Always => Ok(()),
        Condition::And(left, right) | Condition::Or(left, right) => {
            condition(left).and_then(|()| condition(right))
        }
        Condition::Holds(operand) => match operand.value_type() {
            Type::Any | Type::Bool => Ok(()),
            _ => Err(QueryError::Invalid(format!(
                "span filter field expressions must resolve to a boolean: {{ {operand} }}"
            ))),
        },
        Condition::Compare { left, op, right } => comparison(left, op, right),
    }
}

fn comparison(left: &Operand, op: &Comparison, right: &Operand) -> Result<(), QueryError> {
    for (one, other) in [(left, right), (right, left)] {
        let Operand::Attribute(attribute @ Attribute::Intrinsic(intrinsic)) = one else {
            continue;
        };
        if matches!(other, Operand::Value(Value::Nil)) {
            return Err(QueryError::Invalid(format!(
                "{attribute}{}nil is not valid because intrinsics cannot be nil",
                op.symbol()
            )));
        }
        // The numbering of spans is not kept; only whether a span is a root.
        let asks_for_roots = matches!(op, Comparison::Less)
            && matches!(other, Operand::Value(Value::Int(0)))
            && std::ptr::eq(one, left);
        if *intrinsic == Intrinsic::NestedSetParent && !asks_for_roots {
            return Err(nested_set());
        }
    }
    let types = (left.value_type(), right.value_type());
    let alike = match types {
        (Type::Any | Type::Nil, _) | (_, Type::Any | Type::Nil) => true,
        (left, right) => left == right,
    };
    if !alike {
        return Err(QueryError::Invalid(format!(
            "binary operations must operate on the same type: {left} {} {right}",
            op.symbol()
        )));
    }
    if !applies(op, types.0) || !applies(op, types.1) {
        return Err(QueryError::Invalid(format!(
            "illegal operation for the given types: {left} {} {right}",
            op.symbol()
        )));
    }
    Ok(())
}

fn applies(op: &Comparison, operand: Type) -> bool {
    match op {
        Comparison::Equal | Comparison::NotEqual => true,
        Comparison::Matches(_) | Comparison::NotMatches(_) => {
            matches!(operand, Type::Any | Type::Text)
        }
        _ => matches!(operand, Type::Any | Type::Text | Type::Number),
    }
}

fn is_nested_set(attribute: &Attribute) -> bool {
    *attribute == Attribute::Intrinsic(Intrinsic::NestedSetParent)
}

fn nested_set() -> QueryError {
    QueryError::Invalid(
        "this trace store supports nestedSetParent only as nestedSetParent < 0".to_owned(),
    )
}
