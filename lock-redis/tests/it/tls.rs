//! TLS with a certificate of the test's own.

use std::time::Duration;

use lock_core::ErrorKind;
use lock_redis::RedisOptions;
use lock_testkit::service::{RedisServerOptions, Tls};

use crate::server::Server;
use crate::{asks, granted, owner};

#[tokio::test]
async fn a_server_is_trusted_by_its_certificate_and_not_without() {
    let server = Server::with(&RedisServerOptions::new().tls(Tls::Server)).await;
    let authority = server.tls().unwrap().ca_pem.clone();
    let options = || {
        RedisOptions::new(server.url())
            .unwrap()
            .connect_timeout(Duration::from_secs(10))
    };
    let backend = options()
        .root_certificate(authority)
        .connect()
        .await
        .unwrap();
    granted(&backend, &asks("x", owner())).await;
    let error = options().connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}
