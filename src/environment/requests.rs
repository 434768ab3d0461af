//! Small requests to components: readiness, a first trace, the last scrape.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use url::Url;

use super::EnvironmentError;
use crate::error_chain::chain;
use crate::metrics::{NoNumber, PrometheusClient, http_client};

const PAUSE: Duration = Duration::from_millis(50);

/// One request to a peer that may accept and never answer.
const ATTEMPT: Duration = Duration::from_secs(10);

/// How long the last scrape of a run is waited for at least.
const SCRAPE_WAIT: Duration = Duration::from_secs(15);
/// Scrapes that may be missed before it is given up.
const SCRAPES_MISSED: u32 = 3;

/// Succeeds when `url` answers 200; else says what it answered.
pub(super) async fn probe(client: &reqwest::Client, url: &Url) -> Result<(), String> {
    let answer = client
        .get(url.clone())
        .timeout(ATTEMPT)
        .send()
        .await
        .map_err(|err| chain(&err.without_url()))?;
    let status = answer.status();
    if status == reqwest::StatusCode::OK {
        return Ok(());
    }
    let body = answer.text().await.unwrap_or_default();
    Err(format!(
        "{status}: {}",
        body.lines().next().unwrap_or_default()
    ))
}

/// Pushes an OTLP request until it is accepted: what answers its readiness
/// probe may still refuse data for a moment.
pub async fn push_until_accepted(
    url: &Url,
    body: &[u8],
    limit: Duration,
    dead: impl Fn() -> Option<String>,
) -> Result<(), EnvironmentError> {
    let client = http_client(url).map_err(|err| EnvironmentError::Failed(chain(&err)))?;
    let began = Instant::now();
    loop {
        let sent = client
            .post(url.clone())
            .header("Content-Type", "application/x-protobuf")
            .body(body.to_vec())
            .timeout(ATTEMPT)
            .send()
            .await;
        let last_seen = match sent {
            Ok(answer) if answer.status() == reqwest::StatusCode::OK => return Ok(()),
            Ok(answer) => format!("HTTP {}", answer.status()),
            Err(err) => chain(&err.without_url()),
        };
        if let Some(dead) = dead() {
            return Err(EnvironmentError::Failed(dead));
        }
        if began.elapsed() > limit {
            return Err(EnvironmentError::Failed(format!(
                "{url} accepted no trace within {:.0} s; last seen: {last_seen}",
                limit.as_secs_f64()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until Prometheus has scraped the series of `selector` at `at` or later.
pub(super) async fn wait_for_scrape(
    prometheus: &PrometheusClient,
    selector: &str,
    at: Timestamp,
    interval: Duration,
) -> Result<(), EnvironmentError> {
    let limit = SCRAPE_WAIT.max(interval * SCRAPES_MISSED);
    let wanted = at.as_millisecond() as f64 / 1000.0;
    let expression = format!("min(timestamp(up{{{selector}}}))");
    let began = Instant::now();
    loop {
        let last_seen = match prometheus.single_value(&expression, Timestamp::now()).await {
            Ok(scraped) if scraped >= wanted => return Ok(()),
            Ok(scraped) => format!("the last scrape is {:.1} s too old", wanted - scraped),
            Err(NoNumber::Empty) => "no scrape yet".to_string(),
            Err(err) => chain(&err),
        };
        if began.elapsed() > limit {
            return Err(EnvironmentError::Failed(format!(
                "Prometheus did not scrape Tempo within {} s: {last_seen}",
                limit.as_secs()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The version that Tempo reports; empty where it does not know.
pub(super) async fn tempo_version(query: &Url) -> String {
    #[derive(serde::Deserialize)]
    struct BuildInfo {
        version: String,
    }
    let asked = async {
        let url = format!(
            "{}/api/status/buildinfo",
            query.as_str().trim_end_matches('/')
        );
        let answer = http_client(query)
            .ok()?
            .get(url)
            .timeout(ATTEMPT)
            .send()
            .await
            .ok()?;
        Some(answer.json::<BuildInfo>().await.ok()?.version)
    };
    asked.await.unwrap_or_default()
}
