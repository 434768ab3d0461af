//! A performance test as a program of its own: `cargo build && cargo run
//! --example framework`. It runs on this machine and takes about 20 seconds; with
//! KUBECONFIG it runs in that cluster, and takes a minute longer.

use std::error::Error;
use std::time::Duration;

use tempo_perf::framework::{Framework, K6Config, SetUp};
use tempo_perf::process::Interrupt;
use tempo_perf::profile::{TraceProfile, Variant};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // On Kubernetes the namespace is tempo-perf-my-perf-test.
    let mut framework = Framework::builder("my-perf-test")
        .interrupt(Interrupt::install()?)
        .build()?;

    let prerequisites = framework.check_prerequisites().await?;
    if !prerequisites.all_met {
        return Err(prerequisites.to_string().into());
    }

    // An error ends the test here; what was set up is taken down all the same.
    let outcome = test(&mut framework).await;
    framework.cleanup().await?;
    outcome
}

async fn test(framework: &mut Framework) -> Result<(), Box<dyn Error>> {
    if let SetUp::NotHere { why } = framework.setup_minio().await? {
        println!("MinIO: {why}");
    }
    if let SetUp::Done { not_applied } = framework.setup_tempo(Variant::Stack, None).await? {
        for field in not_applied {
            println!("not applied: {}: {}", field.field, field.reason);
        }
    }
    let _ = framework.setup_otel_collector().await?;

    let start = jiff::Timestamp::now();
    let result = framework
        .run_k6_parallel_tests(&K6Config {
            mb_per_second: 1.0,
            queries_per_second: 5.0,
            duration: Duration::from_secs(8),
            vus_min: 10,
            vus_max: 50,
            trace_profile: TraceProfile::Medium,
            ..K6Config::default()
        })
        .await?;
    if let Some(failed) = result.failure_message() {
        return Err(failed.into());
    }
    println!("Tests passed!");
    let path = "results/metrics.csv";
    let collected = framework.collect_metrics(start, path).await?;
    let samples: usize = collected.results.iter().map(|one| one.sample_count()).sum();
    println!("{samples} samples in {path}");
    Ok(())
}
