//! Span attributes, by the semantic conventions of OpenTelemetry.

use super::encode::{Attribute, Event, Kind, Slot, Value};
use super::random::Random;
use super::services::{Protocol, Service};

/// Name and attributes of the two sides of a call to `callee`.
pub(super) struct Call {
    pub client_name: String,
    pub client: Vec<Attribute>,
    pub server_name: String,
    pub server: Vec<Attribute>,
    pub kinds: (Kind, Kind),
}

pub(super) fn call(callee: &Service, random: &mut Random) -> Call {
    let (first, second) = *random.pick(callee.operations);
    let host = format!("{}.{}.svc.cluster.local", callee.name, callee.namespace);
    match callee.protocol {
        Protocol::Http => {
            let path = fill_route(second, random);
            let (mut server_name, mut server) = http_server(first, second, &path, &host, random);
            server.push(("session.id", Value::Fresh(Slot::Session)));
            server_name.shrink_to_fit();
            Call {
                client_name: first.to_owned(),
                client: vec![
                    ("http.request.method", first.into()),
                    ("url.full", format!("http://{host}:8080{path}").into()),
                    ("server.address", host.into()),
                    ("server.port", Value::Int(8080)),
                    ("http.response.status_code", Value::Int(success(first))),
                    ("network.protocol.version", "1.1".into()),
                ],
                server_name,
                server,
                kinds: (Kind::Client, Kind::Server),
            }
        }
        Protocol::Grpc => {
            let shared = [
                ("rpc.system", Value::from("grpc")),
                ("rpc.service", first.into()),
                ("rpc.method", second.into()),
                ("rpc.grpc.status_code", Value::Int(0)),
                ("server.address", host.into()),
                ("server.port", Value::Int(9095)),
            ];
            let mut server = shared.to_vec();
            server.push(("client.address", address(random)));
            server.push(("session.id", Value::Fresh(Slot::Session)));
            let name = format!("{first}/{second}");
            Call {
                client_name: name.clone(),
                client: shared.to_vec(),
                server_name: name,
                server,
                kinds: (Kind::Client, Kind::Server),
            }
        }
        Protocol::Queue => {
            let partition = random.within(0, 23);
            let shared = [
                ("messaging.system", Value::from("kafka")),
                ("messaging.destination.name", first.into()),
                (
                    "messaging.destination.partition.id",
                    partition.to_string().into(),
                ),
                (
                    "messaging.kafka.offset",
                    Value::Int(random.within(100_000, 9_000_000) as i64),
                ),
                (
                    "messaging.message.body.size",
                    Value::Int(random.within(200, 9000) as i64),
                ),
                ("server.address", "kafka-bootstrap.streams.svc".into()),
            ];
            let mut producer = shared.to_vec();
            producer.push(("messaging.operation.type", "send".into()));
            producer.push(("messaging.operation.name", "publish".into()));
            let mut consumer = shared.to_vec();
            consumer.push(("messaging.operation.type", "process".into()));
            consumer.push(("messaging.operation.name", "consume".into()));
            consumer.push(("messaging.consumer.group.name", second.into()));
            Call {
                client_name: format!("publish {first}"),
                client: producer,
                server_name: format!("consume {first}"),
                server: consumer,
                kinds: (Kind::Producer, Kind::Consumer),
            }
        }
    }
}

/// The root: a request from outside.
pub(super) fn entry(service: &Service, random: &mut Random) -> (String, Vec<Attribute>) {
    let (method, route) = *random.pick(service.operations);
    let path = fill_route(route, random);
    let (name, mut attributes) = http_server(method, route, &path, "api.travel.example", random);
    // First, so that the session and the token come even when space is short.
    attributes.insert(0, ("tempo_perf.token", Value::Fresh(Slot::Token)));
    attributes.push(("session.id", Value::Fresh(Slot::Session)));
    (name, attributes)
}

fn http_server(
    method: &str,
    route: &str,
    path: &str,
    host: &str,
    random: &mut Random,
) -> (String, Vec<Attribute>) {
    let attributes = vec![
        ("http.request.method", method.into()),
        ("http.route", route.into()),
        ("url.path", path.into()),
        ("url.scheme", "https".into()),
        ("http.response.status_code", Value::Int(success(method))),
        ("server.address", host.into()),
        ("client.address", address(random)),
    ];
    (format!("{method} {route}"), attributes)
}

fn success(method: &str) -> i64 {
    if method == "POST" { 201 } else { 200 }
}

fn fill_route(route: &str, random: &mut Random) -> String {
    let mut path = String::new();
    for segment in route.split('/').skip(1) {
        path.push('/');
        if segment.starts_with('{') {
            path.push_str(&random.hex(12));
        } else {
            path.push_str(segment);
        }
    }
    path
}

fn address(random: &mut Random) -> Value {
    format!(
        "10.{}.{}.{}",
        random.within(0, 63),
        random.within(0, 255),
        random.within(1, 254)
    )
    .into()
}

const STEPS: &[&str] = &[
    "validate_request",
    "render_response",
    "apply_fare_rules",
    "rank_candidates",
    "merge_itineraries",
    "check_entitlements",
    "serialize_event",
    "compute_taxes",
];

/// Work inside a service: span name and attributes.
pub(super) fn step(service: &Service, random: &mut Random) -> (String, Vec<Attribute>) {
    let step = *random.pick(STEPS);
    let attributes = vec![
        (
            "code.function.name",
            format!("{}::{step}", service.name.replace('-', "_")).into(),
        ),
        (
            "code.file.path",
            format!("/app/src/{}/{step}.rs", service.namespace).into(),
        ),
        (
            "code.line.number",
            Value::Int(random.within(20, 900) as i64),
        ),
        ("app.items.count", Value::Int(random.within(1, 250) as i64)),
        (
            "app.cache.hit_ratio",
            Value::Double(random.within(0, 100) as f64 / 100.0),
        ),
    ];
    (step.to_owned(), attributes)
}

/// What may be added to a span that is shorter than most, in this order.
pub(super) fn extras(kind: Kind, random: &mut Random) -> Vec<Attribute> {
    let mut extras: Vec<Attribute> = vec![
        ("thread.id", Value::Int(random.within(1, 400) as i64)),
        (
            "thread.name",
            format!("worker-pool-{}", random.within(1, 64)).into(),
        ),
        ("network.transport", "tcp".into()),
        ("network.peer.address", address(random)),
        (
            "network.peer.port",
            Value::Int(random.within(1024, 65_000) as i64),
        ),
    ];
    if kind == Kind::Server {
        extras.push((
            "user_agent.original",
            (*random.pick(&[
                "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
                "TravelApp/7.3 (iPhone; iOS 18.6; Scale/3.00)",
                "okhttp/5.1.0",
            ]))
            .into(),
        ));
        extras.push((
            "http.response.body.size",
            Value::Int(random.within(120, 60_000) as i64),
        ));
    }
    extras.extend([
        (
            "app.tenant.id",
            Value::from(format!("tenant-{}", random.hex(8))),
        ),
        (
            "app.customer.tier",
            (*random.pick(&["basic", "silver", "gold"])).into(),
        ),
        (
            "app.request.attempt",
            Value::Int(random.within(1, 3) as i64),
        ),
        ("app.is_retry", Value::Bool(random.chance(0.1))),
        ("app.trip.id", random.hex(16).into()),
        (
            "feature_flag.key",
            (*random.pick(&["fares-v2", "seat-map-next", "async-receipts"])).into(),
        ),
        ("feature_flag.result.variant", "enabled".into()),
        ("app.build.commit", random.hex(40).into()),
        (
            "app.shard",
            format!("shard-{:03}-of-128", random.within(0, 127)).into(),
        ),
        ("app.request.fingerprint", random.hex(48).into()),
    ]);
    extras
}

const FAILURES: &[(&str, &str)] = &[
    (
        "TimeoutException",
        "deadline of 2s exceeded while waiting for upstream",
    ),
    (
        "ConnectionRefused",
        "connect to 10.12.4.18:5432: connection refused",
    ),
    ("FareExpired", "the held fare is no longer available"),
    (
        "PaymentDeclined",
        "issuer declined the authorization, code 51",
    ),
];

/// A failure that a span reports: its status message and its exception event.
pub(super) fn failure(time: u32, random: &mut Random) -> (String, Event) {
    let (kind, message) = *random.pick(FAILURES);
    let event = Event {
        name: "exception",
        time,
        attributes: vec![
            ("exception.type", kind.into()),
            ("exception.message", message.into()),
            (
                "exception.stacktrace",
                format!(
                    "{kind}\n  at call ({}:{})",
                    random.hex(6),
                    random.within(10, 900)
                )
                .into(),
            ),
        ],
    };
    (message.to_owned(), event)
}

/// Something worth a note in a healthy span.
pub(super) fn note(time: u32, random: &mut Random) -> Event {
    let name = *random.pick(&["cache.miss", "lock.acquired", "retry.scheduled"]);
    Event {
        name,
        time,
        attributes: vec![("app.wait_ms", Value::Int(random.within(1, 90) as i64))],
    }
}

/// The status code that a failed span's own protocol shows.
pub(super) fn mark_failed(attributes: &mut [Attribute], kind: Kind) {
    for (key, value) in attributes {
        match *key {
            "http.response.status_code" => {
                *value = Value::Int(if kind == Kind::Server { 500 } else { 503 });
            }
            "rpc.grpc.status_code" => *value = Value::Int(14),
            _ => {}
        }
    }
}
