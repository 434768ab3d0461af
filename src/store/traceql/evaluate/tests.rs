use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status as RawStatus, TracesData, span::Event,
};
use prost::Message;
use rstest::rstest;

use super::*;
use crate::store::batch::Batch;
use crate::store::traceql::{parse, prefilter};

const MILLIS: u64 = 1_000_000;

fn any(value: any_value::Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(any(value)),
        ..KeyValue::default()
    }
}

fn word(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn id(id: u8) -> Vec<u8> {
    match id {
        0 => Vec::new(),
        id => vec![0, 0, 0, 0, 0, 0, 0, id],
    }
}

fn span(own: u8, parent: u8, name: &str, kind: i32, start_ms: u64, nanos: u64) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: id(own),
        parent_span_id: id(parent),
        name: name.to_owned(),
        kind,
        start_time_unix_nano: start_ms * MILLIS,
        end_time_unix_nano: start_ms * MILLIS + nanos,
        ..Span::default()
    }
}

fn resource(service: &str, more: Vec<KeyValue>, scope: &str, spans: Vec<Span>) -> ResourceSpans {
    let mut attributes = vec![word("service.name", service)];
    attributes.extend(more);
    ResourceSpans {
        resource: Some(Resource {
            attributes,
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: scope.to_owned(),
                ..InstrumentationScope::default()
            }),
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// A front with two spans and a back with three, one of them failed.
fn trace() -> StoredTrace {
    let mut root = span(1, 0, "GET /", 2, 0, 100 * MILLIS);
    root.attributes = vec![
        number("http.status_code", 200),
        word("foo", "bar"),
        attribute("ratio", any_value::Value::DoubleValue(0.5)),
        attribute("ok", any_value::Value::BoolValue(true)),
        attribute(
            "arr",
            any_value::Value::ArrayValue(ArrayValue {
                values: ["a", "b"]
                    .map(|text| any(any_value::Value::StringValue(text.to_owned())))
                    .to_vec(),
            }),
        ),
    ];
    let mut call = span(2, 1, "call", 3, 10, 50 * MILLIS);
    call.attributes = vec![word("foo", "baz"), word("cluster", "spanlevel")];
    let mut back = span(3, 2, "GET /back", 2, 20, 30_500_000);
    back.attributes = vec![number("http.status_code", 500)];
    back.status = Some(RawStatus {
        code: 2,
        message: "boom".to_owned(),
    });
    back.events = vec![Event {
        name: "exc".to_owned(),
        attributes: vec![word("exception.type", "E")],
        ..Event::default()
    }];
    let mut first = span(4, 3, "SELECT", 3, 25, MILLIS);
    first.attributes = vec![word("db", "pg"), word("foo", "bar")];
    first.status = Some(RawStatus {
        code: 1,
        ..RawStatus::default()
    });
    let mut second = span(5, 3, "SELECT", 1, 27, 2 * MILLIS);
    second.attributes = vec![word("db", "my")];
    let front = vec![word("cluster", "c1"), number("n", 5)];
    let data = TracesData {
        resource_spans: vec![
            resource("front", front, "lib", vec![root, call]),
            resource("back", Vec::new(), "", vec![back, first, second]),
        ],
    };
    let bytes = data.encode_to_vec();
    let fragments = Batch::read(&bytes).unwrap().into_fragments().unwrap();
    let (id, fragment) = fragments.into_iter().next().unwrap();
    StoredTrace::new(id, 0, fragment)
}

// What Tempo 3.0.3 found in the same trace.
#[rstest]
#[case::all("{ }", &[1, 2, 3, 4, 5])]
#[case::status("{ status = error }", &[3])]
#[case::not_equal_needs_the_attribute("{ .foo != \"bar\" }", &[2])]
#[case::not_nil("{ span.foo != nil }", &[1, 2, 4])]
#[case::item_of_a_list("{ .arr = \"a\" }", &[1])]
#[case::matching_item("{ .arr =~ \"b\" }", &[1])]
#[case::span_before_resource("{ .cluster = \"c1\" }", &[1])]
#[case::numbers("{ span.http.status_code >= 200 }", &[1, 3])]
#[case::number_is_not_text("{ span.http.status_code = \"200\" }", &[])]
#[case::int_is_not_a_fraction("{ span.http.status_code = 200.0 }", &[])]
#[case::fraction_and_bool("{ .ratio > 0 && .ok }", &[1])]
#[case::text_is_not_a_condition("{ .foo }", &[])]
#[case::from_left_to_right("{ status = ok || kind = client && name = \"GET /\" }", &[])]
#[case::spansets_too("{ name = \"GET /\" } || { name = \"call\" } && { name = \"zzz\" }", &[])]
#[case::both("{ resource.service.name = \"front\" } && { resource.service.name = \"back\" }", &[1, 2, 3, 4, 5])]
#[case::child("{ name = \"GET /\" } > { }", &[2])]
#[case::descendant("{ name = \"GET /\" } >> { }", &[2, 3, 4, 5])]
#[case::parent("{ name = \"SELECT\" } < { }", &[3])]
#[case::ancestor("{ name = \"SELECT\" } << { }", &[1, 2, 3])]
#[case::sibling("{ name = \"SELECT\" } ~ { }", &[4, 5])]
#[case::not_descendant("{ name = \"GET /\" } !>> { }", &[1])]
#[case::not_parent("{ name = \"SELECT\" } !< { }", &[1, 2, 4, 5])]
#[case::not_sibling("{ name = \"SELECT\" } !~ { }", &[1, 2, 3])]
#[case::not_of_nothing("{ name = \"zzz\" } !>> { }", &[1, 2, 3, 4, 5])]
#[case::union_child("{ name = \"GET /\" } &> { }", &[1, 2])]
#[case::union_descendant("{ name = \"GET /\" } &>> { name = \"SELECT\" }", &[1, 4, 5])]
#[case::average("{ } | avg(duration) > 10ms", &[1, 2, 3, 4, 5])]
#[case::minimum("{ } | min(duration) < 1ms", &[])]
#[case::sum("{ } | sum(.ratio) >= 0.5", &[1, 2, 3, 4, 5])]
#[case::count("{ } | count() = 5", &[1, 2, 3, 4, 5])]
#[case::count_of_filtered("{ } | { name = \"SELECT\" } | count() = 2", &[4, 5])]
#[case::count_of_group("{ } | by(name) | count() > 1", &[4, 5])]
#[case::message("{ statusMessage = \"boom\" }", &[3])]
#[case::event_name("{ event:name = \"exc\" }", &[3])]
#[case::event_attribute("{ event.exception.type = \"E\" }", &[3])]
#[case::scope_name("{ instrumentation:name = \"lib\" }", &[1, 2])]
#[case::trace_id("{ trace:id = \"07070707070707070707070707070707\" }", &[1, 2, 3, 4, 5])]
#[case::short_trace_id("{ trace:id = \"7070707070707070707070707070707\" }", &[1, 2, 3, 4, 5])]
#[case::root("{ rootServiceName = \"front\" && rootName =~ \"GET.*\" }", &[1, 2, 3, 4, 5])]
#[case::trace_duration("{ trace:duration >= 100ms && duration < 2ms }", &[4])]
#[case::anchored("{ name =~ \"GET\" }", &[])]
#[case::not_matching("{ name !~ \"GET.*\" }", &[2, 4, 5])]
#[case::alternatives("{ .foo =~ \"ba(r|z)\" && kind = client }", &[2, 4])]
#[case::swapped("{ \"call\" = name }", &[2])]
#[case::between("{ duration > 30ms && duration < 31ms }", &[3])]
#[case::nanoseconds("{ duration = 100000000 }", &[1])]
#[case::text_order("{ .foo > \"baa\" }", &[1, 2, 4])]
#[case::attribute_with_itself("{ span.foo = span.foo }", &[1, 2, 4])]
#[case::resource_number("{ resource.n = 5 }", &[1, 2])]
#[case::root_span("{ nestedSetParent < 0 }", &[1])]
#[case::constant("{ 1 = 1 }", &[1, 2, 3, 4, 5])]
fn a_query_finds_what_tempo_finds(#[case] query: &str, #[case] expected: &[usize]) {
    let trace = trace();
    let view = TraceView::read(&trace).unwrap();
    let query = parse(query).unwrap();
    let sets = Subject::new(&trace, &view).run(&query).unwrap();
    let mut found: Vec<usize> = sets
        .iter()
        .flat_map(|set| &set.spans)
        .map(|index| usize::from(view.spans[*index].span_id[7]))
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert!(
        found.is_empty() || prefilter::may_match(&query, &trace),
        "the filter must not pass over a trace that matches"
    );
}

#[rstest]
#[case::service("{ resource.service.name = \"nope\" }")]
#[case::attribute("{ .foo = \"qux\" && duration > 1ms }")]
#[case::status_elsewhere("{ name = \"zzz\" } >> { }")]
#[case::longer_than_any("{ duration > 101ms }")]
#[case::kind("{ kind = consumer }")]
#[case::stage("{ } | { name = \"zzz\" }")]
#[case::root("{ rootName = \"POST\" }")]
fn a_trace_that_cannot_match_is_passed_over(#[case] query: &str) {
    assert!(!prefilter::may_match(&parse(query).unwrap(), &trace()));
}

#[rstest]
#[case("{ } | avg(duration) > 10ms", Value::Duration(36_700_000))]
#[case("{ } | max(duration) > 10ms", Value::Duration(100_000_000))]
#[case("{ } | min(duration) > 0s", Value::Duration(1_000_000))]
#[case("{ } | sum(.ratio) > 0", Value::Float(0.5))]
#[case("{ } | max(.http.status_code) > 0", Value::Int(500))]
#[case("{ } | avg(.http.status_code) > 0", Value::Float(350.0))]
#[case("{ } | count() > 0", Value::Int(5))]
fn an_aggregate_keeps_the_type(#[case] query: &str, #[case] expected: Value<'_>) {
    let trace = trace();
    let view = TraceView::read(&trace).unwrap();
    let sets = Subject::new(&trace, &view)
        .run(&parse(query).unwrap())
        .unwrap();
    assert_eq!(sets[0].attributes[0].1, expected);
}
