//! `tempo-perf trace-store`.

use std::io::Write;
use std::net::SocketAddr;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::faults::Fault;
use super::receiver::RateLimit;
use super::server::{StoreError, StoreOptions, start};

/// Run the built-in trace store until SIGTERM or SIGINT. When it listens, it
/// writes its addresses and its process ID to stdout as one line of JSON.
#[derive(Debug, Clone, Args)]
pub struct TraceStoreArgs {
    /// Address of Tempo's HTTP API
    #[arg(long, default_value = "127.0.0.1:0")]
    pub http: SocketAddr,
    /// Address of OTLP over gRPC
    #[arg(long, default_value = "127.0.0.1:0")]
    pub otlp_grpc: SocketAddr,
    /// Address of OTLP over HTTP
    #[arg(long, default_value = "127.0.0.1:0")]
    pub otlp_http: SocketAddr,
    /// Memory for traces; the oldest leave first
    #[arg(long, default_value = "512Mi", value_parser = parse_bytes)]
    pub memory: u64,
    /// Refuse pushes above this many bytes per second
    #[arg(long, value_name = "BYTES_PER_S")]
    pub ingestion_rate_limit: Option<u64>,
    /// Bytes that may come at once under the limit [default: the limit]
    #[arg(long, value_name = "BYTES", requires = "ingestion_rate_limit")]
    pub ingestion_burst: Option<u64>,
    /// For tests of the harness: drop-span:N, drop-trace:N, alter-attribute:N
    /// or lose-silently-after:BYTES
    #[arg(long, hide = true)]
    pub fault: Vec<Fault>,
}

/// Runs a store until a signal ends it.
///
/// # Errors
/// When an address cannot be bound or a server fails.
pub async fn run(args: TraceStoreArgs) -> Result<(), StoreError> {
    // From here on a signal is waited for, even one that comes at once.
    let mut terminate = signal(SignalKind::terminate()).map_err(StoreError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StoreError::Signals)?;
    let store = start(StoreOptions {
        http: args.http,
        otlp_grpc: args.otlp_grpc,
        otlp_http: args.otlp_http,
        memory_limit: usize::try_from(args.memory).unwrap_or(usize::MAX),
        rate_limit: args.ingestion_rate_limit.map(|limit| RateLimit {
            bytes_per_second: limit,
            burst: args.ingestion_burst.unwrap_or(limit),
        }),
        faults: args.fault,
    })
    .await?;
    let line = serde_json::json!({
        "http": store.addresses.http,
        "otlp_grpc": store.addresses.otlp_grpc,
        "otlp_http": store.addresses.otlp_http,
        "pid": std::process::id(),
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(StoreError::Announce)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    store.shutdown().await
}

/// Bytes with an optional binary unit: `1048576`, `512Mi`, `2Gi`.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no amount of memory; expected for example 512Mi or 2Gi");
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(wrong()),
    };
    let amount: u64 = digits.parse().map_err(|_| wrong())?;
    amount.checked_mul(factor).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bytes("1000", Ok(1000))]
    #[case::mebibytes("512Mi", Ok(512 << 20))]
    #[case::gibibytes("2Gi", Ok(2 << 30))]
    #[case::zero("0", Ok(0))]
    #[case::decimal(
        "1M",
        Err("\"1M\" is no amount of memory; expected for example 512Mi or 2Gi")
    )]
    #[case::no_number(
        "Mi",
        Err("\"Mi\" is no amount of memory; expected for example 512Mi or 2Gi")
    )]
    #[case::overflow(
        "99999999999999Gi",
        Err("\"99999999999999Gi\" is no amount of memory; expected for example 512Mi or 2Gi")
    )]
    fn memory_is_a_number_with_a_binary_unit(
        #[case] text: &str,
        #[case] expected: Result<u64, &str>,
    ) {
        assert_eq!(parse_bytes(text), expected.map_err(str::to_owned));
    }
}
