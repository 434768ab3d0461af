//! TLS in front of a plain HTTP server of the same pod.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// First byte of a TLS record that holds a handshake.
const HANDSHAKE: u8 = 0x16;
/// What Go's HTTP server answers to a client that forgot TLS.
const NO_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// TLS 1.3 with `tls.crt` and `tls.key` of this directory. With a CA, clients
/// must show a certificate of it.
pub fn server_config(directory: &Path, client_ca: Option<&Path>) -> Result<ServerConfig, String> {
    let certificate_file = directory.join("tls.crt");
    let key_file = directory.join("tls.key");
    let key = PrivateKeyDer::from_pem_file(&key_file).map_err(unreadable(&key_file))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|err| format!("cannot use TLS 1.3: {err}"))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(unreadable(file))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(unreadable(file))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder
        .with_single_cert(certificates(&certificate_file)?, key)
        .map_err(unreadable(&certificate_file))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(unreadable(file))
}

fn unreadable<E: std::fmt::Display>(file: &Path) -> impl Fn(E) -> String {
    move |err| format!("cannot use {}: {err}", file.display())
}

/// Passes what comes over TLS on to `upstream`, for as long as the program runs.
pub fn spawn_front(listener: TcpListener, config: ServerConfig, upstream: SocketAddr) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move {
                        if let Err(err) = pass_on(stream, acceptor, upstream).await {
                            eprintln!("level=warn msg=\"TLS connection ended: {err}\"");
                        }
                    });
                }
                Err(err) => eprintln!("level=warn msg=\"cannot accept a connection: {err}\""),
            }
        }
    });
}

async fn pass_on(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    upstream: SocketAddr,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
        return stream.write_all(NO_TLS).await;
    }
    let mut client = acceptor.accept(stream).await?;
    let mut server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
