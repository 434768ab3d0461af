//! Finding traces, newest first.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::fragment::StoredTrace;
use super::hex;
use super::table::Table;
use super::traceql::ast::{Attribute, Condition, Intrinsic, Operand, Query, SpansetExpr, Stage};
use super::traceql::evaluate::{Spanset, Subject};
use super::traceql::prefilter;
use super::traceql::value::{Value, compare, go_duration};
use super::view::{AnyValue, SpanView, TraceView, text};
use super::wire::WireError;

/// What a trace without a root span is called.
const NO_ROOT: &str = "<root span not yet received>";

/// Traces that overlap these nanoseconds since 1970, the ends included.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub start: u64,
    pub end: u64,
}

impl Window {
    pub const ALWAYS: Self = Self {
        start: 0,
        end: u64::MAX,
    };

    pub fn overlaps(&self, trace: &StoredTrace) -> bool {
        trace.start <= self.end && trace.end >= self.start
    }
}

/// A search by tags rather than TraceQL.
#[derive(Debug, Clone, Default)]
pub struct TagQuery {
    /// Every one must be somewhere in the trace, as part of a text.
    pub tags: Vec<(String, String)>,
    /// Nanoseconds.
    pub min_duration: Option<u64>,
    pub max_duration: Option<u64>,
}

#[derive(Debug)]
pub enum Wanted {
    TraceQl(Box<Query>),
    Tags(TagQuery),
}

#[derive(Debug)]
pub struct Search {
    pub wanted: Wanted,
    pub window: Window,
    /// Most traces in the answer.
    pub limit: usize,
    /// Most spans of each spanset in the answer.
    pub spans_per_spanset: usize,
}

pub struct Found {
    pub body: Json,
    /// Bytes of spans that were read for it.
    pub inspected_bytes: usize,
}

impl Search {
    pub fn run(&self, table: &Table) -> Result<Found, WireError> {
        let mut found: Vec<(u64, Json)> = Vec::new();
        let (mut inspected_traces, mut inspected_bytes) = (0u64, 0);
        'search: for batch in table.newest_first() {
            for trace in batch {
                if !self.window.overlaps(&trace) {
                    continue;
                }
                inspected_traces += 1;
                if let Wanted::TraceQl(query) = &self.wanted {
                    inspected_bytes += trace.facts_size();
                    if !prefilter::may_match(query, &trace) {
                        continue;
                    }
                }
                inspected_bytes += trace.encoded_size();
                let view = TraceView::read(&trace)?;
                let hit = match &self.wanted {
                    Wanted::TraceQl(query) => self.traceql(query, &trace, &view)?,
                    Wanted::Tags(tags) => tags.matches(&trace, &view)?.then(|| summary(&trace)),
                };
                if let Some(hit) = hit {
                    found.push((trace.start, hit));
                    if found.len() >= self.limit {
                        break 'search;
                    }
                }
            }
        }
        found.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
        let traces: Vec<Json> = found.into_iter().map(|(_, trace)| trace).collect();
        let mut metrics = serde_json::Map::new();
        if matches!(self.wanted, Wanted::Tags(_)) && inspected_traces > 0 {
            metrics.insert("inspectedTraces".into(), json!(inspected_traces));
        }
        if inspected_bytes > 0 {
            metrics.insert("inspectedBytes".into(), json!(inspected_bytes.to_string()));
        }
        metrics.insert("completedJobs".into(), json!(1));
        metrics.insert("totalJobs".into(), json!(1));
        Ok(Found {
            body: json!({ "traces": traces, "metrics": metrics }),
            inspected_bytes,
        })
    }

    fn traceql(
        &self,
        query: &Query,
        trace: &StoredTrace,
        view: &TraceView<'_>,
    ) -> Result<Option<Json>, WireError> {
        let mut subject = Subject::new(trace, view);
        let sets = subject.run(query)?;
        if sets.is_empty() {
            return Ok(None);
        }
        let attributes = query.attributes();
        let sets = sets
            .iter()
            .map(|set| self.spanset(query, &attributes, &subject, view, set))
            .collect::<Result<Vec<Json>, WireError>>()?;
        let mut services: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for span in &view.spans {
            let (spans, errors) = services.entry(view.service(span).into_owned()).or_default();
            *spans += 1;
            *errors += u32::from(span.status_code == 2);
        }
        let services: serde_json::Map<String, Json> = services
            .into_iter()
            .map(|(service, (spans, errors))| {
                let stats = if errors == 0 {
                    json!({ "spanCount": spans })
                } else {
                    json!({ "spanCount": spans, "errorCount": errors })
                };
                (service, stats)
            })
            .collect();
        let mut hit = summary(trace);
        hit["spanSet"] = sets[0].clone();
        hit["spanSets"] = Json::Array(sets);
        hit["serviceStats"] = Json::Object(services);
        Ok(Some(hit))
    }

    fn spanset(
        &self,
        query: &Query,
        attributes: &[&Attribute],
        subject: &Subject<'_, '_>,
        view: &TraceView<'_>,
        set: &Spanset<'_>,
    ) -> Result<Json, WireError> {
        let spans = set
            .spans
            .iter()
            .take(self.spans_per_spanset)
            .map(|index| span_json(query, attributes, subject, &view.spans[*index]))
            .collect::<Result<Vec<Json>, WireError>>()?;
        let mut json = json!({ "spans": spans, "matched": set.spans.len() });
        if !set.attributes.is_empty() {
            json["attributes"] = set
                .attributes
                .iter()
                .map(|(key, value)| pair(key, value))
                .collect();
        }
        Ok(json)
    }
}

/// What an answer says of any trace.
fn summary(trace: &StoredTrace) -> Json {
    let mut json = json!({ "traceID": hex::trace_id_without_zeros(&trace.id) });
    match &trace.root {
        Some(root) => {
            if !root.service.is_empty() {
                json["rootServiceName"] = json!(root.service);
            }
            if !root.name.is_empty() {
                json["rootTraceName"] = json!(root.name);
            }
        }
        None => json["rootServiceName"] = json!(NO_ROOT),
    }
    json["startTimeUnixNano"] = json!(trace.start.to_string());
    let millis = trace.duration() / 1_000_000;
    if millis > 0 {
        json["durationMs"] = json!(millis);
    }
    json
}

/// A found span, with the values of what the query names.
fn span_json<'a>(
    query: &Query,
    attributes: &[&Attribute],
    subject: &Subject<'_, 'a>,
    span: &SpanView<'a>,
) -> Result<Json, WireError> {
    let mut json = json!({ "spanID": hex::encode(span.span_id) });
    let mut shown = Vec::new();
    for attribute in attributes {
        let value = match subject.value(attribute, span)? {
            Value::List(items) => {
                let wanted = items
                    .iter()
                    .find(|item| is_asked_for(query, attribute, item));
                wanted.cloned().unwrap_or(Value::List(items))
            }
            value => value,
        };
        if !is_asked_for(query, attribute, &value) {
            continue;
        }
        match attribute {
            Attribute::Intrinsic(Intrinsic::Name) => {
                if !span.name.is_empty() {
                    json["name"] = json!(text(span.name));
                }
            }
            Attribute::Intrinsic(intrinsic) if !intrinsic.is_shown() => {}
            _ => {
                // `span.x` and `.x` are one attribute of the span.
                let pair = pair(attribute.key(), &value);
                if !shown.contains(&pair) {
                    shown.push(pair);
                }
            }
        }
    }
    json["startTimeUnixNano"] = json!(span.start.to_string());
    let duration = span.end.saturating_sub(span.start);
    if duration > 0 {
        json["durationNanos"] = json!(duration.to_string());
    }
    if !shown.is_empty() {
        json["attributes"] = Json::Array(shown);
    }
    Ok(json)
}

fn pair(key: &str, value: &Value<'_>) -> Json {
    json!({ "key": key, "value": any_value(value) })
}

fn any_value(value: &Value<'_>) -> Json {
    match value {
        Value::Nil => json!({ "stringValue": "nil" }),
        Value::Text(text) => json!({ "stringValue": text }),
        Value::Int(value) => json!({ "intValue": value.to_string() }),
        Value::Float(value) => json!({ "doubleValue": value }),
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Duration(nanos) => json!({ "stringValue": go_duration(*nanos) }),
        Value::Status(status) => json!({ "stringValue": status.name() }),
        Value::Kind(kind) => json!({ "stringValue": kind.name() }),
        Value::List(items) => {
            let values: Vec<Json> = items.iter().map(any_value).collect();
            json!({ "arrayValue": { "values": values } })
        }
    }
}

fn filters(query: &Query) -> Vec<&Condition> {
    fn spanset<'q>(expr: &'q SpansetExpr, all: &mut Vec<&'q Condition>) {
        match expr {
            SpansetExpr::Filter(condition) => all.push(condition),
            SpansetExpr::And(left, right)
            | SpansetExpr::Or(left, right)
            | SpansetExpr::Related { left, right, .. } => {
                spanset(left, all);
                spanset(right, all);
            }
        }
    }
    let mut all = Vec::new();
    spanset(&query.spans, &mut all);
    for stage in &query.stages {
        if let Stage::Spans(spans) = stage {
            spanset(spans, &mut all);
        }
    }
    all
}

/// Whether the query names the attribute in a way that this value fulfils: a
/// condition that holds, or a stage that wants it whatever it is.
fn is_asked_for(query: &Query, attribute: &Attribute, value: &Value<'_>) -> bool {
    let by_stage = *value != Value::Nil
        && query.stages.iter().any(|stage| match stage {
            Stage::Select(all) => all.contains(attribute),
            Stage::By(one) | Stage::Aggregate { of: Some(one), .. } => one == attribute,
            _ => false,
        });
    by_stage
        || filters(query)
            .into_iter()
            .any(|condition| is_fulfilled(condition, attribute, value))
}

fn is_fulfilled(condition: &Condition, attribute: &Attribute, value: &Value<'_>) -> bool {
    match condition {
        Condition::Always => false,
        Condition::And(left, right) | Condition::Or(left, right) => {
            is_fulfilled(left, attribute, value) || is_fulfilled(right, attribute, value)
        }
        Condition::Holds(operand) => names(operand, attribute) && *value == Value::Bool(true),
        Condition::Compare { left, op, right } => match (left, right) {
            (_, Operand::Value(other)) if names(left, attribute) => compare(value, op, other),
            (Operand::Value(other), _) if names(right, attribute) => compare(other, op, value),
            (Operand::Attribute(_), Operand::Attribute(_)) => {
                (names(left, attribute) || names(right, attribute)) && *value != Value::Nil
            }
            _ => false,
        },
    }
}

fn names(operand: &Operand, attribute: &Attribute) -> bool {
    matches!(operand, Operand::Attribute(named) if named == attribute)
}

impl TagQuery {
    fn matches(&self, trace: &StoredTrace, view: &TraceView<'_>) -> Result<bool, WireError> {
        if self.min_duration.is_some_and(|min| trace.duration() < min)
            || self.max_duration.is_some_and(|max| trace.duration() > max)
        {
            return Ok(false);
        }
        for (key, wanted) in &self.tags {
            if !has_tag(trace, view, key, wanted)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn has_tag(
    trace: &StoredTrace,
    view: &TraceView<'_>,
    key: &str,
    wanted: &str,
) -> Result<bool, WireError> {
    let root = trace.root.as_ref();
    match key {
        "name" => {
            return Ok(view
                .spans
                .iter()
                .any(|span| text(span.name).contains(wanted)));
        }
        "root.name" => return Ok(root.is_some_and(|root| root.name.contains(wanted))),
        "root.service.name" => return Ok(root.is_some_and(|root| root.service.contains(wanted))),
        _ => {}
    }
    let of_resources = view.resources.iter().flat_map(|one| &one.attributes);
    let of_spans = view.spans.iter().flat_map(|span| view.attributes(span));
    for attribute in of_resources.chain(of_spans) {
        if attribute.key == key.as_bytes() {
            let holds = match attribute.value()? {
                AnyValue::Text(text) => text.contains(wanted),
                AnyValue::Int(value) => wanted.parse() == Ok(value),
                AnyValue::Bool(value) => wanted.parse() == Ok(value),
                _ => false,
            };
            if holds {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
