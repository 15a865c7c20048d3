//! The table is made once, whoever makes it, and a wrong one is refused with the remedy.

use futures_util::future::join_all;
use lock_core::{Error, ErrorKind, LockBackend};
use lock_testkit::service::PostgresServerOptions;

use crate::server::{Server, options};
use crate::{asks, granted, name, owner};

async fn fails(options: lock_postgres::PostgresOptions) -> Error {
    options.connect().await.map(drop).unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_processes_that_migrate_at_once_make_one_table() {
    let server = Server::bare(&PostgresServerOptions::new()).await;
    let migrations = (0..8).map(|_| {
        let options = server.options();
        tokio::spawn(async move { options.migrate().await })
    });
    for migrated in join_all(migrations).await {
        migrated.unwrap().unwrap();
    }
    let applied = server
        .say("SELECT version FROM lock_records_migrations")
        .await;
    assert_eq!(applied, [["1"]]);
    granted(&server.backend().await, &asks("x", owner())).await;
    // Once more changes nothing.
    server.options().migrate().await.unwrap();
    assert_eq!(server.value("SELECT count(*) FROM lock_records").await, "1");
}

#[tokio::test]
async fn a_missing_table_is_told_with_the_remedy_and_made_if_asked() {
    let server = Server::bare(&PostgresServerOptions::new()).await;
    let error = fails(server.options()).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("migrate"), "{error}");
    let backend = server
        .options()
        .migrate_on_connect(true)
        .connect()
        .await
        .unwrap();
    granted(&backend, &asks("x", owner())).await;
    server.say("DROP TABLE lock_records").await;
    let error = backend.acquire(&asks("x", owner())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("migration_sql"), "{error}");
}

#[tokio::test]
async fn the_printed_statements_make_the_table_under_a_name_that_needs_quotes() {
    let server = Server::bare(&PostgresServerOptions::new()).await;
    server.say("CREATE SCHEMA \"My \"\"Infra\"").await;
    let options = server.options().schema("My \"Infra").table("Lock'S");
    server.say(&options.migration_sql()).await;
    // Also if it is run again.
    server.say(&options.migration_sql()).await;
    options.migrate().await.unwrap();
    let backend = options.connect().await.unwrap();
    let request = asks("x", owner());
    granted(&backend, &request).await;
    backend.release(&name("x"), request.owner).await.unwrap();
    let count = server
        .value("SELECT count(*) FROM \"My \"\"Infra\".\"Lock'S\"")
        .await;
    assert_eq!(count, "1");
}

#[tokio::test]
async fn a_table_of_another_version_is_refused() {
    let server = Server::start().await;
    server
        .say("INSERT INTO lock_records_migrations (version) VALUES (99)")
        .await;
    let error = fails(server.options()).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("version 99"), "{error}");
    server.say("DELETE FROM lock_records_migrations").await;
    let error = fails(server.options()).await;
    assert!(error.to_string().contains("version 0"), "{error}");
    // A table of somebody else under this name.
    server.options().migrate().await.unwrap();
    server
        .say("ALTER TABLE lock_records DROP COLUMN changes")
        .await;
    let backend = server.backend().await;
    let error = backend.acquire(&asks("x", owner())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("not as this version"), "{error}");
}

#[tokio::test]
async fn a_missing_privilege_is_told_with_its_grant() {
    let server = Server::with(&PostgresServerOptions::new().role("bob", "secret")).await;
    let url = server.url().replacen("postgres@", "bob:secret@", 1);
    let error = fails(options(&url)).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON \"lock_records\"";
    assert!(error.to_string().contains(grant), "{error}");
    server.say(&format!("{grant} TO bob")).await;
    server
        .say("GRANT SELECT ON lock_records_migrations TO bob")
        .await;
    let backend = options(&url).connect().await.unwrap();
    let request = asks("x", owner());
    granted(&backend, &request).await;
    backend.force_release(&name("x")).await.unwrap();
    server.say("REVOKE UPDATE ON lock_records FROM bob").await;
    let error = backend.acquire(&asks("x", owner())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);

    let wrong = url.replacen("secret", "wrong", 1);
    let error = fails(options(&wrong)).await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error:?} {error}").contains("wrong"), "{error:?}");
}
