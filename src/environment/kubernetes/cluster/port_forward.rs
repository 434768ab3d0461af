//! Ways from this process to a port of a pod, through the API server: a port of
//! this machine for clients that take a URL, and single requests over mutual
//! TLS for the ports that ask for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use url::Url;

use super::api_error::words;
use crate::error_chain::chain;

/// For one request, with the way through the API server.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// Tells the pod that a new connection goes to; none while there is none.
pub type ChoosePod = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// A port on 127.0.0.1 whose connections end at a pod. Each connection is a way
/// of its own, so one that breaks (the API server restarts, the pod is replaced)
/// costs its connection alone. Closed when dropped.
#[derive(Debug)]
pub struct PortForward {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl PortForward {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn open(
        client: Client,
        namespace: &str,
        choose: ChoosePod,
        port: u16,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let task = tokio::spawn(async move {
            loop {
                let Ok((connection, _)) = listener.accept().await else {
                    // Out of file descriptors, say: it may pass.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let (pods, choose) = (pods.clone(), Arc::clone(&choose));
                tokio::spawn(async move {
                    if let Err(why) = carry(&pods, choose(), port, connection).await {
                        // The client sees its connection end, and says what it wanted.
                        tracing::debug!("port-forward to {port}: {why}");
                    }
                });
            }
        });
        Ok(Self { address, task })
    }

    pub fn url(&self) -> Url {
        Url::parse(&format!("http://{}", self.address)).expect("an address makes a URL")
    }
}

impl Drop for PortForward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    pods: &Api<Pod>,
    pod: Option<String>,
    port: u16,
    mut connection: TcpStream,
) -> Result<(), String> {
    let pod = pod.ok_or("there is no pod to connect to")?;
    let mut way = Way::to(pods, &pod, port).await?;
    // How much went over says nothing that either end does not know.
    tokio::io::copy_bidirectional(&mut connection, &mut way.stream)
        .await
        .map(|_| ())
        .map_err(|err| err.to_string())
}

/// A stream to a pod's port, and what keeps it open.
struct Way<S> {
    stream: S,
    _forwarder: kube::api::Portforwarder,
}

impl Way<()> {
    async fn to(
        pods: &Api<Pod>,
        pod: &str,
        port: u16,
    ) -> Result<Way<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>, String> {
        let mut forwarder = pods
            .portforward(pod, &[port])
            .await
            .map_err(|err| format!("pod {pod}: {}", words(&err)))?;
        let stream = forwarder
            .take_stream(port)
            .ok_or_else(|| format!("pod {pod}: no stream to port {port}"))?;
        Ok(Way {
            stream,
            _forwarder: forwarder,
        })
    }
}

/// A certificate to show, whom to trust, and the name to expect.
#[derive(Clone)]
pub struct MutualTls {
    connector: TlsConnector,
    server_name: ServerName<'static>,
}

impl MutualTls {
    /// From PEM texts.
    ///
    /// # Errors
    /// What is wrong with a text, without its contents.
    pub fn new(
        ca_pem: &[u8],
        certificate_pem: &[u8],
        key_pem: &[u8],
        server_name: &str,
    ) -> Result<Self, String> {
        let certificates =
            |pem: &[u8], what: &str| -> Result<Vec<CertificateDer<'static>>, String> {
                let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
                match read {
                    Ok(found) if !found.is_empty() => Ok(found),
                    Ok(_) => Err(format!("{what} holds no certificate")),
                    Err(err) => Err(format!("{what} is no PEM: {err}")),
                }
            };
        let mut roots = rustls::RootCertStore::empty();
        for root in certificates(ca_pem, "the CA")? {
            roots
                .add(root)
                .map_err(|err| format!("the CA cannot be used: {err}"))?;
        }
        let chain = certificates(certificate_pem, "the client certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key_pem)
            .map_err(|err| format!("the client key is no PEM: {err}"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|err| err.to_string())?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|err| format!("the client certificate cannot be used: {err}"))?;
        let server_name = ServerName::try_from(server_name.to_string())
            .map_err(|err| format!("{server_name} is no server name: {err}"))?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            server_name,
        })
    }
}

/// The body of a GET of `path` at a pod's port, if it answers 200.
///
/// # Errors
/// Pod, port, path and what went wrong.
pub async fn get(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: u16,
    path: &str,
    tls: Option<&MutualTls>,
) -> Result<String, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let asked = async {
        let way = Way::to(&pods, pod, port).await?;
        match tls {
            None => request(way.stream, path).await,
            Some(tls) => {
                let stream = tls
                    .connector
                    .connect(tls.server_name.clone(), way.stream)
                    .await
                    .map_err(|err| format!("TLS: {}", chain(&err)))?;
                request(stream, path).await
            }
        }
    };
    let answered = match tokio::time::timeout(REQUEST_LIMIT, asked).await {
        Ok(answered) => answered,
        Err(_) => Err(format!("no answer within {} s", REQUEST_LIMIT.as_secs())),
    };
    answered.map_err(|why| format!("pod {pod}, port {port}, GET {path}: {why}"))
}

async fn request(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
) -> Result<String, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|err| chain(&err))?;
    let request = http::Request::get(path)
        .header("Host", "tempo")
        .header("Connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|err| err.to_string())?;
    let talk = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|err| chain(&err))?;
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(|err| chain(&err))?
            .to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if status == http::StatusCode::OK {
            Ok(text)
        } else {
            let line = text.lines().next().unwrap_or_default();
            Err(format!("HTTP {status}: {line}"))
        }
    };
    tokio::pin!(connection);
    tokio::pin!(talk);
    tokio::select! {
        done = &mut talk => done,
        ended = &mut connection => {
            ended.map_err(|err| chain(&err))?;
            // The answer was taken in before the connection ended.
            talk.await
        }
    }
}
