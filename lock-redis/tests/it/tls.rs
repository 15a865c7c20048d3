//! TLS with a certificate of the test's own.

use std::time::Duration;

use lock_core::ErrorKind;
use lock_redis::RedisOptions;

use crate::server::{Server, free_port};
use crate::{asks, granted, owner};

#[tokio::test]
async fn a_server_is_trusted_by_its_certificate_and_not_without() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let folder = std::env::temp_dir().join(format!("lock-redis-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, &pem).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls_port = free_port().to_string();
    let server = Server::with(&[
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        cert.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-ca-cert-file",
        cert.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let options = || {
        RedisOptions::new(&format!("rediss://localhost:{tls_port}/"))
            .unwrap()
            .connect_timeout(Duration::from_secs(10))
    };
    let backend = options().root_certificate(pem).connect().await.unwrap();
    granted(&backend, &asks("x", owner())).await;
    let error = options().connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    drop(server);
    std::fs::remove_dir_all(&folder).unwrap();
}
