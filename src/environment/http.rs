//! Small HTTP requests to components: readiness probes and raw metrics.

use std::time::Duration;

use url::Url;

use super::EnvironmentError;
use crate::metrics::exposition::CounterSnapshot;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A client for `url`: a proxy of the environment is never used for an address
/// of this machine.
pub fn client_for(url: &Url) -> Result<reqwest::Client, EnvironmentError> {
    crate::tls::install_provider();
    let builder = reqwest::Client::builder().timeout(TIMEOUT);
    let builder = if is_loopback(url) { builder.no_proxy() } else { builder };
    builder
        .build()
        .map_err(|err| EnvironmentError::Failed(format!("cannot set up an HTTP client: {err}")))
}

/// Whether an address can only be on this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Succeeds when `url` answers 200; else says what it answered.
pub async fn probe(client: &reqwest::Client, url: &Url) -> Result<(), String> {
    let answer = client.get(url.clone()).send().await.map_err(|err| super::chain(&err))?;
    let status = answer.status();
    if status == reqwest::StatusCode::OK {
        return Ok(());
    }
    let body = answer.text().await.unwrap_or_default();
    Err(format!("{status}: {}", body.lines().next().unwrap_or_default()))
}

/// Reads a `/metrics` page.
pub async fn scrape(url: &Url) -> Result<CounterSnapshot, EnvironmentError> {
    let failed = |what: String| EnvironmentError::Failed(format!("{url}: {what}"));
    let client = client_for(url)?;
    let answer = client.get(url.clone()).send().await.map_err(|err| failed(super::chain(&err)))?;
    let status = answer.status();
    let text = answer.text().await.map_err(|err| failed(super::chain(&err)))?;
    if status != reqwest::StatusCode::OK {
        return Err(failed(format!("{status}")));
    }
    CounterSnapshot::parse(&text).map_err(|err| failed(super::chain(&err)))
}
