//! `fixtures/trace-identity.json` holds the Rust and the JavaScript function
//! together: this test keeps it current, `tests/processes/k6_scripts` lets k6 check it.

use serde_json::{Value, json};
use tempo_perf::corpus::TraceIdentity;
use tempo_perf::corpus::identity::hex;

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/trace-identity.json");

fn expected() -> Value {
    let runs = [
        (0, 0),
        (1, 1),
        (42, 7),
        (u32::MAX, u32::MAX),
        (0x8000_0000, 3),
    ];
    let numbers = [
        0,
        1,
        2,
        1000,
        u64::from(u32::MAX),
        1 << 32,
        (1 << 32) + 1,
        (1 << 40) + 12_345,
        (1 << 53) - 1,
    ];
    runs.iter()
        .flat_map(|&(seed, run)| {
            numbers.map(|n| {
                let identity = TraceIdentity::new(seed, run, n);
                let session: String = identity.session.iter().copied().map(char::from).collect();
                json!({
                    "seed": seed,
                    "run": run,
                    "n": n,
                    "trace_id": identity.trace_id_hex(),
                    "span_prefix": hex(&identity.span_prefix),
                    "token": identity.token_text(),
                    "session": session,
                })
            })
        })
        .collect()
}

#[test]
fn the_fixture_is_what_rust_says() {
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let text = serde_json::to_string_pretty(&expected()).expect("plain values");
        std::fs::write(FIXTURE, text + "\n").expect("must be writable");
    }
    let text = std::fs::read_to_string(FIXTURE).expect("the fixture must be there");
    let found: Value = serde_json::from_str(&text).expect("the fixture must be JSON");
    assert_eq!(
        found,
        expected(),
        "trace IDs changed: UPDATE_FIXTURES=1 cargo test --test pure corpus_identity, and k6/lib/identity.js"
    );
}
