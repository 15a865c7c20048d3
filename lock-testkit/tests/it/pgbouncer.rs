//! A pool hands one connection of its server to many clients.

use lock_testkit::service::{Data, PgBouncerOptions, PostgresServer, PostgresServerOptions};
use tokio::net::TcpStream;

#[tokio::test]
async fn two_clients_share_one_connection_of_the_server() {
    let server = PostgresServer::start().await.unwrap();
    let pool = PgBouncerOptions::new(&server)
        .pool_size(1)
        .start()
        .await
        .unwrap();
    let ask = "SELECT pg_backend_pid()";
    let one = pool.sql(ask).await.unwrap();
    let two = pool.sql(ask).await.unwrap();
    assert_eq!(one, two);
    // Without a pool each client has a process of its own.
    let past = server.sql(ask).await.unwrap();
    assert_ne!(one, past);
    let pools = pool.console("SHOW POOLS").await.unwrap();
    let ours = pools.iter().find(|pool| pool[0] == "postgres").unwrap();
    assert!(ours.contains(&"transaction".to_owned()), "{ours:?}");
}

#[tokio::test]
async fn a_pool_knows_the_users_of_its_server() {
    let options = PostgresServerOptions::new().user("ann", "secret");
    let server = options.start().await.unwrap();
    let pool = PgBouncerOptions::new(&server).start().await.unwrap();
    let expected = format!("postgres://ann:secret@{}/ann", pool.addr());
    assert_eq!(pool.url(), expected);
    let users = pool.console("SHOW USERS").await.unwrap();
    assert!(users.iter().any(|user| user[0] == "ann"), "{users:?}");
    let database = pool.sql("SELECT current_database()").await.unwrap();
    assert_eq!(database, [["ann"]]);
}

#[tokio::test]
async fn a_killed_pool_comes_back_and_finds_its_server_after_a_restart() {
    let server = PostgresServer::start().await.unwrap();
    let pool = PgBouncerOptions::new(&server).start().await.unwrap();
    pool.kill().await.unwrap();
    assert!(TcpStream::connect(pool.addr()).await.is_err());
    pool.restart().await.unwrap();
    server.restart(Data::Keep).await.unwrap();
    assert_eq!(pool.sql("SELECT 1").await.unwrap(), [["1"]]);
    let addr = pool.addr();
    drop(pool);
    assert!(TcpStream::connect(addr).await.is_err());
}
