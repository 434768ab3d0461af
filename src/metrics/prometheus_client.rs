//! The HTTP client of Prometheus, and of servers that speak its API (Thanos).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use url::{Host, Url};

use super::query_answer::{Answer, BadAnswer, excerpt};

/// How long one query may take, at Prometheus and in all.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Servers and proxies cut URLs at 8 kB or so; longer queries are posted.
/// Shorter ones are not, because a role that may only read often may not POST.
const LONGEST_URL: usize = 6000;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{0} is no base for an HTTP API")]
    NotABase(Url),
    #[error("cannot set up an HTTP client")]
    Client(#[source] reqwest::Error),
}

/// A query that gave no answer. Names the server and the expression.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    #[error("{url}: no answer to {expression:?}")]
    Unreachable {
        url: String,
        expression: String,
        source: reqwest::Error,
    },
    #[error("{url}: HTTP {status} for {expression:?}")]
    Refused {
        url: String,
        expression: String,
        status: u16,
        source: BadAnswer,
    },
    /// A status that is no success and a body that is not Prometheus's.
    #[error("{url}: HTTP {status} for {expression:?}: {body}")]
    Status {
        url: String,
        expression: String,
        status: u16,
        body: String,
    },
    #[error("invalid range for {expression:?}: {problem}")]
    Range {
        expression: String,
        problem: &'static str,
    },
}

impl PrometheusError {
    /// Whether the server does not let us in: asking again changes nothing.
    pub fn is_refusal(&self) -> bool {
        match self {
            PrometheusError::Refused { status, .. } | PrometheusError::Status { status, .. } => {
                matches!(status, 401 | 403)
            }
            PrometheusError::Unreachable { .. } | PrometheusError::Range { .. } => false,
        }
    }
}

/// Why a query did not give exactly one finite number.
#[derive(Debug, thiserror::Error)]
pub enum NoNumber {
    #[error("no series matches")]
    Empty,
    #[error("{count} series instead of one, the first two with labels {examples}")]
    Many { count: usize, examples: String },
    /// Usually 0/0: nothing happened in the window.
    #[error("the value is {0}")]
    NotFinite(f64),
    /// A number from incomplete data is not the number that was asked for.
    #[error("Prometheus doubts the value {value}: {}", warnings.join("; "))]
    Doubtful { value: f64, warnings: Vec<String> },
    #[error(transparent)]
    Query(#[from] PrometheusError),
}

/// A client of one Prometheus. Cloning shares the connections.
#[derive(Clone)]
pub struct PrometheusClient {
    http: reqwest::Client,
    base: Url,
    bearer_token: Option<String>,
    timeout: Duration,
}

impl fmt::Debug for PrometheusClient {
    // By hand, so that neither token nor password reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusClient")
            .field("base", &presentable(&self.base))
            .field("has_bearer_token", &self.bearer_token.is_some())
            .finish_non_exhaustive()
    }
}

impl PrometheusClient {
    /// `base` is the address in front of `/api/v1`, with a path prefix if there
    /// is one. Fails when `base` is not hierarchical or TLS cannot be set up.
    pub fn new(base: Url, bearer_token: Option<String>) -> Result<Self, ClientError> {
        if base.cannot_be_a_base() {
            return Err(ClientError::NotABase(base));
        }
        Ok(Self {
            http: http_client(&base)?,
            base,
            bearer_token,
            timeout: QUERY_TIMEOUT,
        })
    }

    /// As [`PrometheusClient::new`]; a server whose certificate is signed by one of
    /// `ca_pem` is trusted, too.
    pub fn with_roots(
        base: Url,
        bearer_token: Option<String>,
        ca_pem: Option<&str>,
    ) -> Result<Self, ClientError> {
        let mut client = Self::new(base, bearer_token)?;
        if let Some(pem) = ca_pem {
            let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(ClientError::Client)?;
            client.http = http_client_builder(&client.base)
                .tls_certs_merge(roots)
                .build()
                .map_err(ClientError::Client)?;
        }
        Ok(client)
    }

    /// Limits each query to `timeout`, 30 s otherwise.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The value of `expr` at one instant.
    pub async fn query(&self, expr: &str, at: Timestamp) -> Result<Answer, PrometheusError> {
        let parameters = [
            ("query", expr.to_owned()),
            ("time", seconds(at)),
            ("timeout", format!("{}ms", self.timeout.as_millis())),
        ];
        self.send("query", &parameters).await
    }

    /// The values of `expr` from `start` to `end`, both included, every `step`.
    pub async fn query_range(
        &self,
        expr: &str,
        start: Timestamp,
        end: Timestamp,
        step: Duration,
    ) -> Result<Answer, PrometheusError> {
        let problem = if end < start {
            Some("it ends before it starts")
        } else if step < Duration::from_millis(1) {
            Some("its step is below a millisecond")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(PrometheusError::Range {
                expression: expr.to_owned(),
                problem,
            });
        }
        let parameters = [
            ("query", expr.to_owned()),
            ("start", seconds(start)),
            ("end", seconds(end)),
            ("step", format!("{}ms", step.as_millis())),
            ("timeout", format!("{}ms", self.timeout.as_millis())),
        ];
        self.send("query_range", &parameters).await
    }

    /// The one finite number that `expr` is at `at`; anything else is told
    /// apart in the error.
    pub async fn single_value(&self, expr: &str, at: Timestamp) -> Result<f64, NoNumber> {
        one_number(self.query(expr, at).await?)
    }

    async fn send(
        &self,
        api: &str,
        parameters: &[(&str, String)],
    ) -> Result<Answer, PrometheusError> {
        let url = self.api_url(api);
        let shown = presentable(&url);
        let expression = parameters[0].1.clone();
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(parameters)
            .finish();

        let mut request = if url.as_str().len() + form.len() > LONGEST_URL {
            self.http
                .post(url)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form)
        } else {
            let mut url = url;
            url.set_query(Some(&form));
            self.http.get(url)
        };
        if let Some(token) = &self.bearer_token {
            request = request.bearer_auth(token);
        }
        // A little longer than Prometheus's own limit, whose message is better.
        request = request.timeout(self.timeout + Duration::from_secs(2));

        let unreachable = |source: reqwest::Error| PrometheusError::Unreachable {
            url: shown.clone(),
            expression: expression.clone(),
            source: source.without_url(),
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        match Answer::parse(&body) {
            Ok(answer) if status.is_success() => Ok(answer),
            Err(source) if status.is_success() || matches!(source, BadAnswer::Refused { .. }) => {
                Err(PrometheusError::Refused {
                    url: shown,
                    expression,
                    status: status.as_u16(),
                    source,
                })
            }
            Ok(_) | Err(_) => Err(PrometheusError::Status {
                url: shown,
                expression,
                status: status.as_u16(),
                body: excerpt(&body),
            }),
        }
    }

    fn api_url(&self, api: &str) -> Url {
        let mut url = self.base.clone();
        let prefix = url.path().trim_end_matches('/');
        let path = format!("{prefix}/api/v1/{api}");
        url.set_path(&path);
        url
    }
}

fn one_number(answer: Answer) -> Result<f64, NoNumber> {
    let value = match answer.series.as_slice() {
        [] => return Err(NoNumber::Empty),
        [one] => one.samples.last().ok_or(NoNumber::Empty)?.1,
        many => {
            let examples: Vec<String> = many[..2]
                .iter()
                .map(|series| format!("{:?}", series.labels))
                .collect();
            return Err(NoNumber::Many {
                count: many.len(),
                examples: examples.join(" and "),
            });
        }
    };
    if !value.is_finite() {
        Err(NoNumber::NotFinite(value))
    } else if !answer.warnings.is_empty() {
        Err(NoNumber::Doubtful {
            value,
            warnings: answer.warnings,
        })
    } else {
        Ok(value)
    }
}

/// Installs the provider of TLS that reqwest and kube are built without. One that
/// someone else installed meanwhile does as well.
pub fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider()
            .install_default()
            .is_err()
    {
        tracing::debug!("another thread installed a TLS provider first");
    }
}

/// An HTTP client for `base`.
pub fn http_client(base: &Url) -> Result<reqwest::Client, ClientError> {
    http_client_builder(base)
        .build()
        .map_err(ClientError::Client)
}

/// What every HTTP client for `base` starts from: no proxy for an address of this
/// machine, whatever HTTP_PROXY says.
pub fn http_client_builder(base: &Url) -> reqwest::ClientBuilder {
    // reqwest panics without one.
    install_tls_provider();
    let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
    if is_loopback(base) {
        builder = builder.no_proxy();
    }
    builder
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// The URL without user, password and query.
pub(super) fn presentable(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for URLs without a host, which have no password either.
    if url.set_username("").is_ok() && url.set_password(None).is_ok() {
        url.set_query(None);
    }
    url.to_string()
}

fn seconds(at: Timestamp) -> String {
    let milliseconds = at.as_millisecond();
    format!(
        "{}.{:03}",
        milliseconds.div_euclid(1000),
        milliseconds.rem_euclid(1000)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;

    use super::*;
    use crate::metrics::Series;

    fn answer(values: &[f64]) -> Answer {
        let series = values
            .iter()
            .enumerate()
            .map(|(i, value)| Series {
                labels: BTreeMap::from([("pod".to_owned(), format!("p{i}"))]),
                samples: vec![(Timestamp::UNIX_EPOCH, *value)],
            })
            .collect();
        Answer {
            series,
            warnings: vec![],
        }
    }

    #[test]
    fn one_finite_number_is_a_number() {
        assert_eq!(one_number(answer(&[0.0])).unwrap(), 0.0);
    }

    #[rstest]
    #[case::none(&[], "no series matches")]
    #[case::many(&[1.0, 2.0, 3.0], r#"3 series instead of one, the first two with labels {"pod": "p0"} and {"pod": "p1"}"#)]
    #[case::nan(&[f64::NAN], "the value is NaN")]
    #[case::infinite(&[f64::INFINITY], "the value is inf")]
    fn anything_else_is_told_apart(#[case] values: &[f64], #[case] message: &str) {
        assert_eq!(one_number(answer(values)).unwrap_err().to_string(), message);
    }

    #[test]
    fn a_number_of_which_parts_are_missing_is_no_number() {
        let mut partial = answer(&[1.0]);
        partial.warnings.push("store b did not answer".into());
        assert_eq!(
            one_number(partial).unwrap_err().to_string(),
            "Prometheus doubts the value 1: store b did not answer"
        );
    }

    #[rstest]
    #[case("http://127.0.0.1:9090", true)]
    #[case("http://127.8.0.1:9090", true)]
    #[case("http://[::1]:9090", true)]
    #[case("http://localhost:9090", true)]
    #[case("http://prometheus.localhost", true)]
    #[case("http://127.0.0.1.example.com", false)]
    #[case("http://10.0.0.1:9090", false)]
    fn loopback_addresses_need_no_proxy(#[case] url: Url, #[case] expected: bool) {
        assert_eq!(is_loopback(&url), expected);
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let base = Url::parse("https://user:hunter2@prometheus.example/prefix/").unwrap();
        let client = PrometheusClient::new(base, Some("t0ken".into())).unwrap();
        let shown = format!("{client:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("t0ken"),
            "{shown}"
        );
        assert_eq!(client.api_url("query").path(), "/prefix/api/v1/query");
    }

    #[test]
    fn times_are_unix_seconds_with_milliseconds() {
        let at = Timestamp::from_millisecond(1_795_397_801_005).unwrap();
        assert_eq!(seconds(at), "1795397801.005");
    }
}
