//! Configuration files of the local components, as functions of values.

use std::path::Path;

use serde_json::{Value, json};
use url::Url;

use crate::metrics::SCRAPE_INTERVAL;
use crate::profile::{CollectorMode, Overrides};
use crate::units::Pretty;

/// Addresses of a local run; all on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub tempo_http: u16,
    pub tempo_grpc: u16,
    pub tempo_otlp_grpc: u16,
    pub tempo_otlp_http: u16,
    pub tempo_memberlist: u16,
    pub collector_otlp_http: u16,
    pub collector_metrics: u16,
    pub prometheus: u16,
}

impl Ports {
    pub const COUNT: usize = 8;

    pub fn new(ports: [u16; Self::COUNT]) -> Self {
        let [
            tempo_http,
            tempo_grpc,
            tempo_otlp_grpc,
            tempo_otlp_http,
            tempo_memberlist,
            collector_otlp_http,
            collector_metrics,
            prometheus,
        ] = ports;
        Self {
            tempo_http,
            tempo_grpc,
            tempo_otlp_grpc,
            tempo_otlp_http,
            tempo_memberlist,
            collector_otlp_http,
            collector_metrics,
            prometheus,
        }
    }
}

/// The two lines of Tempo, whose configuration files exclude each other: both
/// refuse unknown keys, and 3.0 has no ingester.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TempoLine {
    V2,
    V3,
}

impl TempoLine {
    /// The line of a binary. One built without version flags does not know its
    /// version; the flag of the memory ballast exists only in 2.x.
    pub fn of(path: &Path, major: Option<u64>) -> Result<Self, String> {
        match major {
            Some(0..=1) => Err(format!("{}: Tempo 2.10 or newer is needed", path.display())),
            Some(2) => Ok(Self::V2),
            Some(_) => Ok(Self::V3),
            None => {
                let help = std::process::Command::new(path)
                    .arg("-help")
                    .stdin(std::process::Stdio::null())
                    .output()
                    .map_err(|err| format!("cannot run {} -help: {err}", path.display()))?;
                let text = [help.stdout, help.stderr].concat();
                let ballast = String::from_utf8_lossy(&text).contains("mem-ballast-size-mbs");
                Ok(if ballast { Self::V2 } else { Self::V3 })
            }
        }
    }
}

/// Configuration of a single-binary Tempo with local storage, for recent data
/// to be searchable about a second after it was pushed.
pub fn tempo(line: TempoLine, ports: &Ports, dir: &Path, overrides: Option<&Overrides>) -> String {
    let data = |name: &str| dir.join(name).display().to_string();
    let max_traces = overrides
        .and_then(|overrides| overrides.max_traces_per_user)
        .unwrap_or(0);
    let mut config = json!({
        "server": {
            "http_listen_address": "127.0.0.1",
            "http_listen_port": ports.tempo_http,
            "grpc_listen_address": "127.0.0.1",
            "grpc_listen_port": ports.tempo_grpc,
            // Each query logs several lines at level info.
            "log_level": "warn",
        },
        "usage_report": {"reporting_enabled": false},
        "distributor": {"receivers": {"otlp": {"protocols": {
            "grpc": {
                "endpoint": format!("127.0.0.1:{}", ports.tempo_otlp_grpc),
                "max_recv_msg_size_mib": 64,
            },
            "http": {"endpoint": format!("127.0.0.1:{}", ports.tempo_otlp_http)},
        }}}},
        "memberlist": {"bind_addr": ["127.0.0.1"], "bind_port": ports.tempo_memberlist},
        "storage": {"trace": {
            "backend": "local",
            "local": {"path": data("blocks")},
            "wal": {"path": data("wal")},
            "blocklist_poll": "5s",
        }},
        // The limits must not throttle the load that the profile asks for.
        "overrides": {"defaults": {
            "ingestion": {
                "rate_strategy": "local",
                "rate_limit_bytes": 1_000_000_000,
                "burst_size_bytes": 1_000_000_000,
                "max_traces_per_user": max_traces,
            },
            "global": {"max_bytes_per_trace": 0},
        }},
    });
    let tuning = overrides.and_then(|overrides| overrides.ingester.as_ref());
    match line {
        TempoLine::V2 => {
            let mut ingester = json!({
                "lifecycler": {"min_ready_duration": "0s"},
                "trace_idle_period": "1s",
                "flush_check_period": "1s",
                "max_block_duration": "10s",
                "complete_block_timeout": "15m",
            });
            if let Some(tuning) = tuning {
                let durations = [
                    ("flush_check_period", tuning.flush_check_period),
                    ("trace_idle_period", tuning.trace_idle_period),
                    ("max_block_duration", tuning.max_block_duration),
                ];
                for (key, value) in durations {
                    if let Some(value) = value {
                        ingester[key] = Value::String(Pretty(value).to_string());
                    }
                }
                if let Some(flushes) = tuning.concurrent_flushes {
                    ingester["concurrent_flushes"] = json!(flushes);
                }
            }
            config["ingester"] = ingester;
            config["compactor"] = json!({"compaction": {"block_retention": "48h"}});
        }
        TempoLine::V3 => {
            config["live_store"] = json!({
                "wal": {"path": data("live-store/traces")},
                "shutdown_marker_dir": data("live-store/shutdown"),
                "max_trace_idle": "1s",
                "flush_check_period": "1s",
                "max_block_duration": "5s",
            });
            config["backend_scheduler"] = json!({
                "local_work_path": data("work"),
                "provider": {"compaction": {"compaction": {"block_retention": "48h"}}},
            });
            config["query_frontend"] = json!({"query_end_cutoff": "1s"});
        }
    }
    yaml(&config)
}

/// Configuration of the collector between k6 and Tempo. Synchronous, it has no
/// batches, queue or retries: a push ends when Tempo has answered, and Tempo's
/// refusals reach k6.
pub fn collector(ports: &Ports, mode: CollectorMode) -> String {
    let mut exporter = json!({
        "endpoint": format!("127.0.0.1:{}", ports.tempo_otlp_grpc),
        "tls": {"insecure": true},
        // On one machine compression would only take CPU from Tempo.
        "compression": "none",
        "timeout": "10s",
    });
    if mode == CollectorMode::Synchronous {
        exporter["sending_queue"] = json!({"enabled": false});
        exporter["retry_on_failure"] = json!({"enabled": false});
    }
    yaml(&json!({
        "receivers": {"otlp": {"protocols": {"http": {
            "endpoint": format!("127.0.0.1:{}", ports.collector_otlp_http),
        }}}},
        "exporters": {"otlp": exporter},
        "service": {
            "telemetry": {
                "logs": {"level": "warn"},
                "metrics": {"readers": [{"pull": {"exporter": {"prometheus": {
                    "host": "127.0.0.1",
                    "port": ports.collector_metrics,
                }}}}]},
            },
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp"]}},
        },
    }))
}

/// Configuration of a Prometheus that scrapes `jobs`, each a name with the
/// `host:port`, scheme and path of its metrics.
pub fn prometheus(jobs: &[ScrapeJob]) -> String {
    let scrape_configs: Vec<Value> = jobs
        .iter()
        .map(|job| {
            json!({
                "job_name": job.name,
                "scheme": job.scheme,
                "metrics_path": job.path,
                "static_configs": [{"targets": [job.address]}],
            })
        })
        .collect();
    let interval = Pretty(SCRAPE_INTERVAL).to_string();
    yaml(&json!({
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            // With the protobuf format Prometheus keeps only the native form of
            // Tempo's histograms, and `_bucket` queries find nothing.
            "scrape_protocols": ["PrometheusText0.0.4"],
        },
        "scrape_configs": scrape_configs,
    }))
}

/// What Prometheus scrapes as one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeJob {
    pub name: &'static str,
    pub scheme: String,
    pub address: String,
    pub path: String,
}

impl ScrapeJob {
    /// The job of a URL; none for one without a host.
    pub fn of(name: &'static str, url: &Url) -> Option<Self> {
        let port = url.port_or_known_default()?;
        Some(Self {
            name,
            scheme: url.scheme().into(),
            address: format!("{}:{port}", url.host_str()?),
            path: url.path().into(),
        })
    }

    pub fn local(name: &'static str, port: u16) -> Self {
        Self {
            name,
            scheme: "http".into(),
            address: format!("127.0.0.1:{port}"),
            path: "/metrics".into(),
        }
    }
}

fn yaml(config: &Value) -> String {
    // A tree of strings, numbers and maps always has a YAML form.
    serde_yaml::to_string(config).expect("a JSON value is valid YAML")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::IngesterTuning;

    fn ports() -> Ports {
        Ports::new([1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008])
    }

    #[test]
    fn tempo_files_of_both_lines() {
        let overrides = Overrides {
            max_traces_per_user: Some(10_000),
            ingester: Some(IngesterTuning {
                flush_check_period: Some(std::time::Duration::from_secs(5)),
                trace_idle_period: None,
                max_block_duration: None,
                concurrent_flushes: Some(8),
            }),
        };
        let dir = Path::new("/data");
        insta::assert_snapshot!(
            "tempo-2",
            tempo(TempoLine::V2, &ports(), dir, Some(&overrides))
        );
        insta::assert_snapshot!("tempo-3", tempo(TempoLine::V3, &ports(), dir, None));
    }

    #[test]
    fn collector_files_of_both_modes() {
        insta::assert_snapshot!(
            "collector-synchronous",
            collector(&ports(), CollectorMode::Synchronous)
        );
        insta::assert_snapshot!(
            "collector-queued",
            collector(&ports(), CollectorMode::Queued)
        );
    }

    #[test]
    fn prometheus_file() {
        let jobs = [
            ScrapeJob::local("tempo", 1001),
            ScrapeJob::local("otel-collector", 1007),
        ];
        insta::assert_snapshot!(prometheus(&jobs));
    }
}
