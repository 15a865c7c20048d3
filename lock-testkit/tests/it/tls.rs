//! A server speaks TLS with certificates that its client trusts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use lock_testkit::proxy::Proxy;
use lock_testkit::service::{RedisServer, RedisServerOptions, Tls, TlsFiles};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// What the server answers to PING, if it talks to us at all.
fn ping(files: &TlsFiles, addr: std::net::SocketAddr, with_certificate: bool) -> Option<String> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(files.ca_pem.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if with_certificate {
        let chain = CertificateDer::from_pem_slice(files.client_cert_pem.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(files.client_key_pem.as_bytes()).unwrap();
        config.with_client_auth_cert(vec![chain], key).unwrap()
    } else {
        config.with_no_client_auth()
    };
    let name = "127.0.0.1".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(addr).unwrap());
    stream.write_all(b"PING\r\n").ok()?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply).ok()?;
    Some(String::from_utf8_lossy(&reply).into_owned())
}

async fn start(tls: Tls) -> RedisServer {
    RedisServerOptions::new().tls(tls).start().await.unwrap()
}

#[tokio::test]
async fn a_tls_server_talks_to_who_trusts_its_authority() {
    let server = start(Tls::Server).await;
    assert!(server.url().starts_with("rediss://"), "{}", server.url());
    let files = server.tls().unwrap();
    let reply = ping(files, server.addr(), false);
    assert_eq!(reply.as_deref(), Some("+PONG\r\n"));
}

#[tokio::test]
async fn a_mutual_tls_server_wants_a_certificate() {
    let server = start(Tls::Mutual).await;
    let files = server.tls().unwrap();
    assert_eq!(ping(files, server.addr(), false), None);
    let reply = ping(files, server.addr(), true);
    assert_eq!(reply.as_deref(), Some("+PONG\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_proxy_passes_tls() {
    let server = start(Tls::Server).await;
    let proxy = Proxy::start_opaque(server.addr()).await.unwrap();
    let files = server.tls().unwrap().clone();
    let addr = proxy.addr();
    let reply = tokio::task::spawn_blocking(move || ping(&files, addr, false));
    assert_eq!(reply.await.unwrap().as_deref(), Some("+PONG\r\n"));
}
