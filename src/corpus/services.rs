//! The system whose traces the corpus holds: a travel shop of twelve services
//! with their databases, caches and queues.

use super::encode::{Attribute, Value};
use super::random::Random;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Grpc,
    /// Reached through a queue only.
    Queue,
}

#[derive(Debug)]
pub(super) struct Service {
    pub name: &'static str,
    pub namespace: &'static str,
    pub language: &'static str,
    pub protocol: Protocol,
    /// HTTP: method and route; gRPC: service and method; queue: topic and group.
    pub operations: &'static [(&'static str, &'static str)],
    /// Indices into [`SERVICES`].
    pub calls: &'static [usize],
    pub stores: &'static [Store],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    Postgres,
    Redis,
    Mongo,
    OpenSearch,
}

pub(super) const SERVICES: &[Service] = &[
    Service {
        name: "edge-gateway",
        namespace: "edge",
        language: "nodejs",
        protocol: Protocol::Http,
        operations: &[
            ("GET", "/v1/trips/search"),
            ("POST", "/v1/bookings"),
            ("GET", "/v1/bookings/{booking_id}"),
            ("PUT", "/v1/bookings/{booking_id}/seats"),
            ("GET", "/v1/account/itineraries"),
        ],
        calls: &[1, 2, 3, 8, 11],
        stores: &[Store::Redis],
    },
    Service {
        name: "booking-api",
        namespace: "booking",
        language: "java",
        protocol: Protocol::Http,
        operations: &[
            ("POST", "/internal/bookings"),
            ("GET", "/internal/bookings/{booking_id}"),
            ("PATCH", "/internal/bookings/{booking_id}/seats"),
        ],
        calls: &[4, 5, 6, 7, 8, 9, 10],
        stores: &[Store::Postgres, Store::Redis],
    },
    Service {
        name: "trip-search",
        namespace: "discovery",
        language: "go",
        protocol: Protocol::Http,
        operations: &[
            ("GET", "/internal/trips"),
            ("POST", "/internal/trips/facets"),
        ],
        calls: &[4, 5, 11],
        stores: &[Store::OpenSearch, Store::Redis],
    },
    Service {
        name: "customer-accounts",
        namespace: "customers",
        language: "dotnet",
        protocol: Protocol::Grpc,
        operations: &[
            ("customers.v1.Accounts", "GetProfile"),
            ("customers.v1.Accounts", "VerifySession"),
        ],
        calls: &[9],
        stores: &[Store::Postgres],
    },
    Service {
        name: "pricing",
        namespace: "discovery",
        language: "rust",
        protocol: Protocol::Grpc,
        operations: &[
            ("pricing.v1.Quotes", "QuoteTrip"),
            ("pricing.v1.Quotes", "HoldFare"),
        ],
        calls: &[5, 9],
        stores: &[Store::Redis, Store::Postgres],
    },
    Service {
        name: "seat-inventory",
        namespace: "booking",
        language: "go",
        protocol: Protocol::Grpc,
        operations: &[
            ("inventory.v1.Seats", "ListAvailable"),
            ("inventory.v1.Seats", "Reserve"),
            ("inventory.v1.Seats", "Release"),
        ],
        calls: &[7],
        stores: &[Store::Mongo, Store::Redis],
    },
    Service {
        name: "payments",
        namespace: "finance",
        language: "java",
        protocol: Protocol::Http,
        operations: &[
            ("POST", "/payments/authorizations"),
            (
                "POST",
                "/payments/authorizations/{authorization_id}/capture",
            ),
        ],
        calls: &[3, 10],
        stores: &[Store::Postgres],
    },
    Service {
        name: "notifications",
        namespace: "customers",
        language: "python",
        protocol: Protocol::Queue,
        operations: &[
            ("booking.confirmed", "notifications"),
            ("seats.changed", "notifications"),
        ],
        calls: &[3],
        stores: &[Store::Mongo],
    },
    Service {
        name: "itinerary",
        namespace: "booking",
        language: "python",
        protocol: Protocol::Http,
        operations: &[
            ("GET", "/itineraries/{itinerary_id}"),
            ("POST", "/itineraries"),
        ],
        calls: &[3, 4],
        stores: &[Store::Mongo],
    },
    Service {
        name: "loyalty",
        namespace: "customers",
        language: "nodejs",
        protocol: Protocol::Http,
        operations: &[
            ("GET", "/members/{member_id}/points"),
            ("POST", "/accruals"),
        ],
        calls: &[],
        stores: &[Store::Postgres, Store::Redis],
    },
    Service {
        name: "ledger-writer",
        namespace: "finance",
        language: "java",
        protocol: Protocol::Queue,
        operations: &[("payments.captured", "ledger-writer")],
        calls: &[],
        stores: &[Store::Postgres],
    },
    Service {
        name: "recommendations",
        namespace: "discovery",
        language: "python",
        protocol: Protocol::Grpc,
        operations: &[
            ("recommend.v1.Ranker", "RankTrips"),
            ("recommend.v1.Ranker", "SimilarTrips"),
        ],
        calls: &[4],
        stores: &[Store::Redis, Store::OpenSearch],
    },
];

/// The service that a trace begins at.
pub(super) const ENTRY: usize = 0;

/// Attributes of one running instance of a service.
pub(super) fn resource(service: &Service, random: &mut Random) -> Vec<Attribute> {
    let version = format!(
        "{}.{}.{}",
        random.within(1, 6),
        random.within(0, 40),
        random.within(0, 9)
    );
    let replica_set = random.hex(10);
    let pod = format!("{}-{replica_set}-{}", service.name, random.hex(5));
    let zone = *random.pick(&["a", "b", "c"]);
    vec![
        ("service.name", service.name.into()),
        ("service.namespace", service.namespace.into()),
        ("service.version", version.into()),
        ("service.instance.id", pod.clone().into()),
        ("deployment.environment.name", "production".into()),
        ("k8s.namespace.name", service.namespace.into()),
        ("k8s.deployment.name", service.name.into()),
        ("k8s.pod.name", pod.into()),
        (
            "k8s.node.name",
            format!("worker-{zone}-{}", random.within(1, 24)).into(),
        ),
        ("cloud.availability_zone", format!("eu-west-4{zone}").into()),
        ("telemetry.sdk.name", "opentelemetry".into()),
        ("telemetry.sdk.language", service.language.into()),
    ]
}

pub(super) fn scope(service: &Service) -> (&'static str, &'static str) {
    match service.language {
        "java" => ("io.opentelemetry.instrumentation", "2.20.1"),
        "go" => ("go.opentelemetry.io/contrib", "0.63.0"),
        "nodejs" => ("@opentelemetry/instrumentation", "0.205.0"),
        "python" => ("opentelemetry.instrumentation", "0.58b0"),
        "dotnet" => ("OpenTelemetry.Instrumentation", "1.12.0"),
        _ => ("tracing-opentelemetry", "0.31.0"),
    }
}

/// A statement against a store: span name and attributes.
pub(super) fn statement(store: Store, random: &mut Random) -> (String, Vec<Attribute>) {
    let (system, namespace, host, port, choices): (_, _, _, i64, &[[&str; 3]]) = match store {
        Store::Postgres => (
            "postgresql",
            "travel",
            "pg-primary.data.svc",
            5432,
            &[
                [
                    "SELECT",
                    "bookings",
                    "SELECT id, state, total_cents FROM bookings WHERE customer_id = $1 AND state = $2 ORDER BY created_at DESC LIMIT $3",
                ],
                [
                    "UPDATE",
                    "fares",
                    "UPDATE fares SET held_until = $1, held_by = $2 WHERE fare_id = $3 AND held_until < now()",
                ],
                [
                    "INSERT",
                    "ledger_entries",
                    "INSERT INTO ledger_entries (account, amount_cents, currency, booked_at) VALUES ($1, $2, $3, $4)",
                ],
                [
                    "SELECT",
                    "customers",
                    "SELECT id, tier, locale FROM customers WHERE id = $1",
                ],
            ],
        ),
        Store::Redis => (
            "redis",
            "0",
            "redis.cache.svc",
            6379,
            &[
                ["GET", "fare", "GET fare:?"],
                ["SET", "hold", "SET hold:? ? EX ? NX"],
                ["HGETALL", "session", "HGETALL session:?"],
            ],
        ),
        Store::Mongo => (
            "mongodb",
            "inventory",
            "mongo-0.data.svc",
            27017,
            &[
                [
                    "find",
                    "seats",
                    "{\"find\":\"seats\",\"filter\":{\"trip\":\"?\",\"state\":\"?\"},\"limit\":\"?\"}",
                ],
                [
                    "findAndModify",
                    "seats",
                    "{\"findAndModify\":\"seats\",\"query\":{\"_id\":\"?\"},\"update\":{\"$set\":{\"state\":\"?\"}}}",
                ],
            ],
        ),
        Store::OpenSearch => (
            "opensearch",
            "trips",
            "search.data.svc",
            9200,
            &[[
                "search",
                "trips-current",
                "{\"query\":{\"bool\":{\"filter\":[{\"term\":{\"from\":\"?\"}},{\"range\":{\"departure\":{\"gte\":\"?\"}}}]}}}",
            ]],
        ),
    };
    let [operation, collection, text] = *random.pick(choices);
    let attributes = vec![
        ("db.system.name", system.into()),
        ("db.namespace", namespace.into()),
        ("db.operation.name", operation.into()),
        ("db.collection.name", collection.into()),
        ("db.query.text", text.into()),
        ("server.address", host.into()),
        ("server.port", Value::Int(port)),
    ];
    (format!("{operation} {collection}"), attributes)
}
