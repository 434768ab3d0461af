//! The way to a cluster: which one it is, and whether it answers.

use std::fmt;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use url::{Host, Url};

use super::api_error::{ApiError, words};
use super::retry::within;
use crate::error_chain::chain;
use crate::metrics::install_tls_provider;

/// How long a connection may take, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first answer may take.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Silence after which a connection counts as dead. Longer than a watch lives
/// (kube asks for 290 s), since a followed log may be quiet for as long.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// What stands for the context inside of a cluster.
const IN_CLUSTER: &str = "in-cluster";

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot read the kubeconfig: {0}")]
    Kubeconfig(String),
    #[error(
        "no cluster is known: set KUBECONFIG, put a kubeconfig at ~/.kube/config, or run inside of a cluster ({0})"
    )]
    NoCluster(String),
    #[error("the kubeconfig has no context {asked:?}; {}", known_contexts(.known))]
    UnknownContext { asked: String, known: Vec<String> },
    #[error(
        "the kubeconfig has no current context; choose one with --context, {}",
        known_contexts(.known)
    )]
    NoCurrentContext { known: Vec<String> },
    #[error(
        "context {context} of the kubeconfig has insecure-skip-tls-verify: the cluster's certificate \
         would not be checked; give its CA as certificate-authority instead"
    )]
    Unverified { context: String },
    #[error(
        "context {context} of the kubeconfig has the server {server}, which is neither https nor \
         on this machine: credentials would cross the network in the clear"
    )]
    Cleartext { context: String, server: String },
    #[error("context {context} cannot be used: {detail}")]
    Unusable { context: String, detail: String },
    #[error("cluster {server} (context {context}) does not answer: {detail}")]
    Unreachable {
        context: String,
        server: String,
        detail: String,
    },
}

fn known_contexts(known: &[String]) -> String {
    match known {
        [] => "it has no contexts".to_owned(),
        names => format!("it has: {}", names.join(", ")),
    }
}

/// A client of one cluster, and how the cluster is called.
#[derive(Clone)]
pub struct Connected {
    pub client: Client,
    /// Name in the kubeconfig; `in-cluster` for a pod's own credentials.
    pub context: String,
    /// URL of the API server.
    pub server: String,
    pub default_namespace: String,
    config: Config,
}

impl fmt::Debug for Connected {
    // By hand: the configuration holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("context", &self.context)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cluster {} (context {})", self.server, self.context)
    }
}

impl Connected {
    /// A client with connections of its own, for another runtime: those of
    /// `client` end with the runtime that made them. Must be called on a runtime.
    pub fn fresh_client(&self) -> Result<Client, ApiError> {
        Client::try_from(self.config.clone()).map_err(ApiError::Api)
    }

    fn new(config: Config, context: String) -> Result<Self, ConnectError> {
        let config = checked(config, &context)?;
        install_tls_provider();
        let server = shown(&config);
        let client = Client::try_from(config.clone()).map_err(|error| ConnectError::Unusable {
            context: context.clone(),
            detail: words(&error),
        })?;
        Ok(Self {
            client,
            context,
            server,
            default_namespace: config.default_namespace.clone(),
            config,
        })
    }
}

/// Prepares a client; nothing is sent yet. Must be called on a runtime.
///
/// The cluster is that of `context`; without one that of KUBECONFIG's current
/// context, else the one that we run in, else that of `~/.kube/config`.
pub async fn connect(context: Option<&str>) -> Result<Connected, ConnectError> {
    let told = context.is_some() || std::env::var_os("KUBECONFIG").is_some_and(|it| !it.is_empty());
    let in_cluster = if told {
        Err("not tried".to_owned())
    } else {
        Config::incluster().map_err(|error| chain(&error))
    };
    match in_cluster {
        Ok(config) => Connected::new(config, IN_CLUSTER.to_owned()),
        Err(no_pod) => match Kubeconfig::read() {
            Ok(kubeconfig) => from_kubeconfig(kubeconfig, context).await,
            Err(error @ (KubeconfigError::FindPath | KubeconfigError::ReadConfig(..))) if !told => {
                let no_file = kubeconfig_words(&error);
                Err(ConnectError::NoCluster(format!("{no_file}; {no_pod}")))
            }
            Err(error) => Err(ConnectError::Kubeconfig(kubeconfig_words(&error))),
        },
    }
}

fn kubeconfig_words(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(cause, path) => format!("{}: {cause}", path.display()),
        error => chain(error),
    }
}

async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    context: Option<&str>,
) -> Result<Connected, ConnectError> {
    let known = || {
        kubeconfig
            .contexts
            .iter()
            .map(|it| it.name.clone())
            .collect()
    };
    let current = kubeconfig.current_context.clone().unwrap_or_default();
    let name = context.map_or(current, str::to_owned);
    if name.is_empty() {
        return Err(ConnectError::NoCurrentContext { known: known() });
    }
    if !kubeconfig.contexts.iter().any(|it| it.name == name) {
        return Err(ConnectError::UnknownContext {
            asked: name,
            known: known(),
        });
    }
    let options = KubeConfigOptions {
        context: Some(name.clone()),
        ..KubeConfigOptions::default()
    };
    let own_proxy = has_own_proxy(&kubeconfig, &name);
    match Config::from_custom_kubeconfig(kubeconfig, &options).await {
        Ok(mut config) => {
            if !own_proxy && is_on_this_machine(&config) {
                // HTTPS_PROXY does not lead to our own loopback.
                config.proxy_url = None;
            }
            Connected::new(config, name)
        }
        Err(error) => Err(ConnectError::Unusable {
            context: name,
            detail: chain(&error),
        }),
    }
}

/// Whether the kubeconfig itself names a proxy for the cluster of a context.
fn has_own_proxy(kubeconfig: &Kubeconfig, context: &str) -> bool {
    let contexts = &kubeconfig.contexts;
    let cluster = contexts
        .iter()
        .find(|it| it.name == context)
        .and_then(|it| Some(&it.context.as_ref()?.cluster));
    let clusters = &kubeconfig.clusters;
    clusters
        .iter()
        .filter(|it| Some(&it.name) == cluster)
        .filter_map(|it| it.cluster.as_ref()?.proxy_url.as_ref())
        .any(|url| !url.is_empty())
}

/// The configuration with our timeouts, if it is one that can be trusted.
fn checked(mut config: Config, context: &str) -> Result<Config, ConnectError> {
    let context = || context.to_owned();
    if config.accept_invalid_certs {
        return Err(ConnectError::Unverified { context: context() });
    }
    if config.cluster_url.scheme_str() != Some("https") && !is_on_this_machine(&config) {
        return Err(ConnectError::Cleartext {
            context: context(),
            server: shown(&config),
        });
    }
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    // Otherwise the time that a connection lay idle would count as silence.
    config.reset_reader_on_write = true;
    Ok(config)
}

fn is_on_this_machine(config: &Config) -> bool {
    let Ok(url) = Url::parse(&config.cluster_url.to_string()) else {
        return false;
    };
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The API server's URL as in the kubeconfig.
fn shown(config: &Config) -> String {
    config
        .cluster_url
        .to_string()
        .trim_end_matches('/')
        .to_owned()
}

/// Asks the cluster for its version, for instance `v1.33.2`; fails within some
/// seconds when nothing answers.
pub async fn reachable(connected: &Connected) -> Result<String, ConnectError> {
    let unreachable = |error: ApiError| ConnectError::Unreachable {
        context: connected.context.clone(),
        server: connected.server.clone(),
        detail: error.to_string(),
    };
    let Info { git_version, .. } = within(FIRST_ANSWER, connected.client.apiserver_version())
        .await
        .map_err(unreachable)?;
    Ok(git_version)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rstest::rstest;

    use super::*;

    fn kubeconfig(server: &str, more: &str) -> Kubeconfig {
        let yaml = format!(
            "apiVersion: v1
kind: Config
current-context: here
clusters:
- name: c
  cluster: {{server: '{server}'{more}}}
users:
- name: u
  user: {{token: hunter2}}
contexts:
- name: here
  context: {{cluster: c, user: u, namespace: team}}
- name: there
  context: {{cluster: c, user: u}}
- name: broken
  context: {{cluster: none, user: u}}
"
        );
        Kubeconfig::from_yaml(&yaml).unwrap()
    }

    #[rstest]
    #[case::current(None, "here", "team")]
    #[case::named(Some("there"), "there", "default")]
    #[tokio::test]
    async fn a_context_is_chosen(
        #[case] asked: Option<&str>,
        #[case] context: &str,
        #[case] namespace: &str,
    ) {
        let connected = from_kubeconfig(kubeconfig("https://10.1.2.3:6443", ""), asked)
            .await
            .unwrap();
        assert_eq!(connected.default_namespace, namespace);
        assert_eq!(
            connected.to_string(),
            format!("cluster https://10.1.2.3:6443 (context {context})")
        );
        assert!(!format!("{connected:?}").contains("hunter2"));
    }

    #[rstest]
    #[case::unknown(
        "https://10.1.2.3:6443",
        "",
        "nowhere",
        "the kubeconfig has no context \"nowhere\"; it has: here, there, broken"
    )]
    #[case::no_cluster(
        "https://10.1.2.3:6443",
        "",
        "broken",
        "context broken cannot be used: failed to load the cluster of context: none"
    )]
    #[case::unverified(
        "https://10.1.2.3:6443",
        ", insecure-skip-tls-verify: true",
        "here",
        "context here of the kubeconfig has insecure-skip-tls-verify: the cluster's certificate would not be checked; give its CA as certificate-authority instead"
    )]
    #[case::cleartext(
        "http://10.1.2.3:8080",
        "",
        "here",
        "context here of the kubeconfig has the server http://10.1.2.3:8080, which is neither https nor on this machine: credentials would cross the network in the clear"
    )]
    #[tokio::test]
    async fn a_context_that_cannot_be_used_says_why(
        #[case] server: &str,
        #[case] more: &str,
        #[case] context: &str,
        #[case] expected: &str,
    ) {
        let error = from_kubeconfig(kubeconfig(server, more), Some(context))
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn without_a_current_context_the_choice_is_named() {
        let mut config = kubeconfig("https://10.1.2.3:6443", "");
        config.current_context = None;
        let error = from_kubeconfig(config, None).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kubeconfig has no current context; choose one with --context, it has: here, there, broken"
        );
    }

    #[rstest]
    #[case::none("", false)]
    #[case::empty(", proxy-url: ''", false)]
    #[case::named(", proxy-url: 'socks5://127.0.0.1:1080'", true)]
    fn a_proxy_of_the_kubeconfig_is_told_from_one_of_the_environment(
        #[case] more: &str,
        #[case] expected: bool,
    ) {
        let kubeconfig = kubeconfig("https://127.0.0.1:6443", more);
        assert_eq!(has_own_proxy(&kubeconfig, "here"), expected);
        assert!(!has_own_proxy(&kubeconfig, "broken"));
    }

    #[tokio::test]
    async fn a_cluster_that_does_not_answer_is_named() {
        // The port is taken and nobody accepts TLS on it: closed right away.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let connected = from_kubeconfig(kubeconfig(&server, ""), None)
            .await
            .unwrap();
        let began = Instant::now();
        let error = reachable(&connected).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!(
                "cluster {server} (context here) does not answer: "
            )) && error.contains("Connection refused"),
            "{error}"
        );
        assert!(began.elapsed() < FIRST_ANSWER, "{error}");
    }
}
