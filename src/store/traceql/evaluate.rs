//! A query on the spans of one trace.

use std::collections::HashMap;

use super::ast::{
    Attribute, Comparison, Condition, Function, Intrinsic, Keep, Operand, Query, Relation, Scope,
    SpansetExpr, Stage,
};
use super::value::{Kind, Status, Value, compare};
use crate::store::fragment::StoredTrace;
use crate::store::hex;
use crate::store::view::{Attribute as RawAttribute, SpanView, TraceView, text};
use crate::store::wire::WireError;

/// Matched spans, by index into the view.
#[derive(Debug, Clone, PartialEq)]
pub struct Spanset<'a> {
    pub spans: Vec<usize>,
    /// What the pipeline found out about them: `count()`, `by(…)`.
    pub attributes: Vec<(String, Value<'a>)>,
}

/// A trace whose spans are asked about.
pub struct Subject<'v, 'a> {
    trace: &'a StoredTrace,
    view: &'v TraceView<'a>,
    /// The parent of each span, if it is there.
    parents: Vec<Option<usize>>,
    /// Whether a span's ancestors reach up to a root. Others, whose parents
    /// have not arrived, are related to nothing, as in Tempo.
    connected: Vec<bool>,
}

impl<'v, 'a> Subject<'v, 'a> {
    pub fn new(trace: &'a StoredTrace, view: &'v TraceView<'a>) -> Self {
        Self {
            trace,
            view,
            parents: Vec::new(),
            connected: Vec::new(),
        }
    }

    /// The spansets that the query finds, none of them empty.
    pub fn run(&mut self, query: &Query) -> Result<Vec<Spanset<'a>>, WireError> {
        // A span that ends before it starts is stored, and found by no search.
        let all: Vec<usize> = (0..self.view.spans.len())
            .filter(|index| {
                let span = &self.view.spans[*index];
                span.end >= span.start
            })
            .collect();
        let mut sets = vec![Spanset {
            spans: self.spanset(&query.spans, &all)?,
            attributes: Vec::new(),
        }];
        for stage in &query.stages {
            sets.retain(|set| !set.spans.is_empty());
            if sets.is_empty() {
                return Ok(sets);
            }
            sets = self.stage(stage, sets)?;
        }
        sets.retain(|set| !set.spans.is_empty());
        Ok(sets)
    }

    /// Indices of the spans of `among` for which the condition holds.
    fn filter(&self, condition: &Condition, among: &[usize]) -> Result<Vec<usize>, WireError> {
        let mut found = Vec::new();
        for index in among {
            if self.holds(condition, &self.view.spans[*index])? {
                found.push(*index);
            }
        }
        Ok(found)
    }

    fn spanset(&mut self, expr: &SpansetExpr, among: &[usize]) -> Result<Vec<usize>, WireError> {
        match expr {
            SpansetExpr::Filter(condition) => self.filter(condition, among),
            SpansetExpr::And(left, right) => {
                let (left, right) = (self.spanset(left, among)?, self.spanset(right, among)?);
                if left.is_empty() || right.is_empty() {
                    return Ok(Vec::new());
                }
                Ok(union(left, right))
            }
            SpansetExpr::Or(left, right) => {
                let (left, right) = (self.spanset(left, among)?, self.spanset(right, among)?);
                Ok(union(left, right))
            }
            SpansetExpr::Related {
                left,
                relation,
                keep,
                right,
            } => {
                let (left, right) = (self.spanset(left, among)?, self.spanset(right, among)?);
                self.link_parents();
                let left = keep_if(left, |span| self.connected[span]);
                let right = keep_if(right, |span| self.connected[span]);
                let related = self.related(&left, *relation);
                Ok(match keep {
                    Keep::Right => keep_if(right, |span| related[span]),
                    Keep::RightWithout => keep_if(right, |span| !related[span]),
                    Keep::Both => {
                        let back = self.related(&right, inverse(*relation));
                        union(
                            keep_if(left, |span| back[span]),
                            keep_if(right, |span| related[span]),
                        )
                    }
                })
            }
        }
    }

    fn link_parents(&mut self) {
        if !self.parents.is_empty() {
            return;
        }
        let places: HashMap<&[u8], usize> = self
            .view
            .spans
            .iter()
            .enumerate()
            .map(|(index, span)| (span.span_id, index))
            .collect();
        self.parents = self
            .view
            .spans
            .iter()
            .enumerate()
            .map(|(index, span)| {
                let parent = places.get(span.parent_id).copied();
                parent.filter(|parent| *parent != index)
            })
            .collect();
        self.connected = (0..self.parents.len())
            .map(|span| {
                let top = self.ancestors(span).last().unwrap_or(span);
                self.view.spans[top].parent_id.is_empty()
            })
            .collect();
    }

    /// From the parent up. Broken traces may contain circles: no way is longer
    /// than the trace.
    fn ancestors(&self, span: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.parents[span], |span| self.parents[*span])
            .take(self.parents.len())
    }

    /// For every span whether it has the relation to one of `left`.
    fn related(&self, left: &[usize], relation: Relation) -> Vec<bool> {
        let count = self.parents.len();
        let mut found = vec![false; count];
        let mut is_left = vec![false; count];
        for span in left {
            is_left[*span] = true;
        }
        match relation {
            Relation::Child => {
                for (span, found) in found.iter_mut().enumerate() {
                    *found = self.parents[span].is_some_and(|parent| is_left[parent]);
                }
            }
            Relation::Descendant => {
                for (span, found) in found.iter_mut().enumerate() {
                    *found = self.ancestors(span).any(|ancestor| is_left[ancestor]);
                }
            }
            Relation::Parent => {
                for parent in left.iter().filter_map(|span| self.parents[*span]) {
                    found[parent] = true;
                }
            }
            Relation::Ancestor => {
                for span in left {
                    self.ancestors(*span)
                        .for_each(|ancestor| found[ancestor] = true);
                }
            }
            Relation::Sibling => {
                let mut children = vec![0; count];
                for parent in left.iter().filter_map(|span| self.parents[*span]) {
                    children[parent] += 1;
                }
                for (span, found) in found.iter_mut().enumerate() {
                    // A span is not its own sibling.
                    *found = self.parents[span]
                        .is_some_and(|parent| children[parent] > i32::from(is_left[span]));
                }
            }
        }
        found
    }

    fn stage(
        &mut self,
        stage: &Stage,
        sets: Vec<Spanset<'a>>,
    ) -> Result<Vec<Spanset<'a>>, WireError> {
        let mut next = Vec::new();
        match stage {
            Stage::Select(_) => return Ok(sets),
            Stage::Spans(expr) => {
                for set in sets {
                    next.push(Spanset {
                        spans: self.spanset(expr, &set.spans)?,
                        attributes: set.attributes,
                    });
                }
            }
            Stage::Coalesce => {
                let spans = sets
                    .into_iter()
                    .map(|set| set.spans)
                    .reduce(union)
                    .unwrap_or_default();
                next.push(Spanset {
                    spans,
                    attributes: Vec::new(),
                });
            }
            Stage::By(attribute) => {
                for set in sets {
                    let mut groups: Vec<(Value<'a>, Spanset<'a>)> = Vec::new();
                    for index in set.spans {
                        let value = self.value(attribute, &self.view.spans[index])?;
                        match groups.iter_mut().find(|(key, _)| *key == value) {
                            Some((_, group)) => group.spans.push(index),
                            None => {
                                let mut attributes = set.attributes.clone();
                                attributes.push((format!("by({attribute})"), value.clone()));
                                let spans = vec![index];
                                groups.push((value, Spanset { spans, attributes }));
                            }
                        }
                    }
                    next.extend(groups.into_iter().map(|(_, group)| group));
                }
            }
            Stage::Aggregate {
                function,
                of,
                op,
                value,
            } => {
                for mut set in sets {
                    let found = self.aggregate(*function, of.as_ref(), &set.spans)?;
                    let Some(found) = found else { continue };
                    if compare(&found, op, value) {
                        let of = of.as_ref().map(ToString::to_string).unwrap_or_default();
                        set.attributes
                            .push((format!("{}({of})", function.name()), found));
                        next.push(set);
                    }
                }
            }
        }
        Ok(next)
    }

    /// Over the spans that have a number there; `None` if no span has.
    fn aggregate(
        &self,
        function: Function,
        of: Option<&Attribute>,
        spans: &[usize],
    ) -> Result<Option<Value<'a>>, WireError> {
        let Some(of) = of else {
            return Ok(Some(Value::Int(spans.len() as i64)));
        };
        let mut values = Vec::with_capacity(spans.len());
        for index in spans {
            let value = self.value(of, &self.view.spans[*index])?;
            if value.number().is_some() {
                values.push(value);
            }
        }
        let numbers = values.iter().filter_map(Value::number);
        let number = match function {
            Function::Count => numbers.count() as f64,
            Function::Sum | Function::Average if values.is_empty() => return Ok(None),
            Function::Sum => numbers.sum(),
            Function::Average => numbers.sum::<f64>() / values.len() as f64,
            Function::Minimum | Function::Maximum => {
                let largest = function == Function::Maximum;
                let best = numbers.reduce(|a, b| if largest { a.max(b) } else { a.min(b) });
                let Some(best) = best else { return Ok(None) };
                best
            }
        };
        let all = |wanted: fn(&Value<'_>) -> bool| values.iter().all(wanted);
        Ok(Some(if all(|value| matches!(value, Value::Duration(_))) {
            Value::Duration(number as i64)
        } else if function != Function::Average && all(|value| matches!(value, Value::Int(_))) {
            Value::Int(number as i64)
        } else {
            Value::Float(number)
        }))
    }

    fn holds(&self, condition: &Condition, span: &SpanView<'a>) -> Result<bool, WireError> {
        Ok(match condition {
            Condition::Always => true,
            Condition::And(left, right) => self.holds(left, span)? && self.holds(right, span)?,
            Condition::Or(left, right) => self.holds(left, span)? || self.holds(right, span)?,
            Condition::Holds(operand) => self.operand(operand, span)? == Value::Bool(true),
            Condition::Compare { left, op, right } => self.compares(left, op, right, span)?,
        })
    }

    fn compares(
        &self,
        left: &Operand,
        op: &Comparison,
        right: &Operand,
        span: &SpanView<'a>,
    ) -> Result<bool, WireError> {
        let mut values = [self.operand(left, span)?, self.operand(right, span)?];
        if let (Operand::Attribute(_), Operand::Attribute(_)) = (left, right)
            && values.contains(&Value::Nil)
        {
            return Ok(false);
        }
        for (index, other) in [(0, right), (1, left)] {
            let operand = if index == 0 { left } else { right };
            match (operand, other) {
                // Tempo looks for a fraction among fractions only.
                (Operand::Attribute(Attribute::Named { .. }), Operand::Value(Value::Float(_)))
                    if matches!(values[index], Value::Int(_)) =>
                {
                    return Ok(false);
                }
                // IDs are compared without leading zeros, as searches show them.
                (
                    Operand::Value(Value::Text(id)),
                    Operand::Attribute(Attribute::Intrinsic(
                        Intrinsic::TraceId | Intrinsic::SpanId | Intrinsic::ParentId,
                    )),
                ) if matches!(op, Comparison::Equal | Comparison::NotEqual) => {
                    let id = id.trim_start_matches('0').to_ascii_lowercase();
                    values[index] = Value::Text(id.into());
                }
                _ => {}
            }
        }
        Ok(compare(&values[0], op, &values[1]))
    }

    fn operand(&self, operand: &Operand, span: &SpanView<'a>) -> Result<Value<'a>, WireError> {
        match operand {
            Operand::Value(value) => Ok(value.clone()),
            Operand::Attribute(attribute) => self.value(attribute, span),
        }
    }

    pub fn value(
        &self,
        attribute: &Attribute,
        span: &SpanView<'a>,
    ) -> Result<Value<'a>, WireError> {
        let (scope, name) = match attribute {
            Attribute::Intrinsic(intrinsic) => return self.intrinsic(*intrinsic, span),
            Attribute::Named { scope, name } => (*scope, name.as_bytes()),
        };
        let resource = || &self.view.resources[span.resource].attributes;
        match scope {
            Scope::Span => find(self.view.attributes(span), name),
            Scope::Resource => find(resource(), name),
            Scope::Any => match find(self.view.attributes(span), name)? {
                Value::Nil => find(resource(), name),
                found => Ok(found),
            },
            Scope::Instrumentation => find(&self.view.scopes[span.scope].attributes, name),
            Scope::Event => {
                let mut all = Vec::new();
                for event in self.view.events(span)? {
                    match find(&event.attributes, name)? {
                        Value::Nil => {}
                        found => all.push(found),
                    }
                }
                Ok(some_of(all))
            }
        }
    }

    fn intrinsic(&self, intrinsic: Intrinsic, span: &SpanView<'a>) -> Result<Value<'a>, WireError> {
        let root = |name: fn(&'a StoredTrace) -> Option<&'a str>| {
            name(self.trace).map_or(Value::Nil, |name| Value::Text(name.into()))
        };
        let id = |id: &[u8]| {
            let id = hex::encode(id);
            Value::Text(id.trim_start_matches('0').to_owned().into())
        };
        Ok(match intrinsic {
            Intrinsic::Name => Value::Text(text(span.name)),
            Intrinsic::Status => Value::Status(Status::from_code(span.status_code)),
            Intrinsic::StatusMessage => Value::Text(text(span.status_message)),
            Intrinsic::Kind => Value::Kind(Kind(span.kind)),
            Intrinsic::Duration => {
                let nanos = span.end.saturating_sub(span.start);
                Value::Duration(i64::try_from(nanos).unwrap_or(i64::MAX))
            }
            Intrinsic::SpanId => id(span.span_id),
            Intrinsic::ParentId => id(span.parent_id),
            Intrinsic::TraceId => id(&self.trace.id),
            Intrinsic::TraceDuration => {
                let nanos = self.trace.duration();
                Value::Duration(i64::try_from(nanos).unwrap_or(i64::MAX))
            }
            Intrinsic::RootName => root(|trace| trace.root.as_ref().map(|root| &*root.name)),
            Intrinsic::RootService => root(|trace| trace.root.as_ref().map(|root| &*root.service)),
            Intrinsic::EventName => some_of(
                self.view
                    .events(span)?
                    .iter()
                    .map(|event| Value::Text(text(event.name)))
                    .collect(),
            ),
            Intrinsic::ScopeName => Value::Text(text(self.view.scopes[span.scope].name)),
            Intrinsic::ScopeVersion => Value::Text(text(self.view.scopes[span.scope].version)),
            Intrinsic::NestedSetParent => {
                Value::Int(if span.parent_id.is_empty() { -1 } else { 1 })
            }
        })
    }
}

fn find<'a>(attributes: &[RawAttribute<'a>], name: &[u8]) -> Result<Value<'a>, WireError> {
    attributes
        .iter()
        .find(|attribute| attribute.key == name)
        .map_or(Ok(Value::Nil), |attribute| {
            attribute.value().map(Value::from_attribute)
        })
}

fn some_of(mut values: Vec<Value<'_>>) -> Value<'_> {
    match values.len() {
        0 => Value::Nil,
        1 => values.swap_remove(0),
        _ => Value::List(values),
    }
}

fn keep_if(mut spans: Vec<usize>, keep: impl Fn(usize) -> bool) -> Vec<usize> {
    spans.retain(|span| keep(*span));
    spans
}

/// Both are in ascending order, and so is the result.
fn union(left: Vec<usize>, right: Vec<usize>) -> Vec<usize> {
    let mut all = left;
    all.extend(right);
    all.sort_unstable();
    all.dedup();
    all
}

fn inverse(relation: Relation) -> Relation {
    match relation {
        Relation::Child => Relation::Parent,
        Relation::Parent => Relation::Child,
        Relation::Descendant => Relation::Ancestor,
        Relation::Ancestor => Relation::Descendant,
        Relation::Sibling => Relation::Sibling,
    }
}

#[cfg(test)]
mod tests;
