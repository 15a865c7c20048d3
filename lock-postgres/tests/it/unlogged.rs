//! A table outside of the write-ahead log: what is declared of it, and what a crash leaves.

use std::time::Duration;

use lock_core::{Durability, ErrorKind, LockBackend, LockClient, LockOptions, Severity};
use lock_testkit::service::{Data, PostgresServerOptions};

use crate::server::Server;
use crate::{PATIENCE, asks, granted, owner};

#[tokio::test]
async fn of_an_unlogged_table_nothing_is_said_to_survive() {
    let server = Server::bare(&PostgresServerOptions::new().durable()).await;
    let options = server.options().unlogged(true).migrate_on_connect(true);
    let backend = options.connect().await.unwrap();
    assert_eq!(backend.capabilities().durability, Durability::None);
    let findings = backend.examine().await.unwrap();
    let finding = findings.iter().find(|f| f.topic == "persistence").unwrap();
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.fact.contains("UNLOGGED"), "{finding:?}");
}

#[tokio::test]
async fn a_table_of_the_other_kind_is_refused_with_the_remedy() {
    for (made, asked, remedy) in [(true, false, "SET LOGGED"), (false, true, "SET UNLOGGED")] {
        let server = Server::bare(&PostgresServerOptions::new()).await;
        // Quoted, so that the look at the catalogue has to quote it, too.
        let options = |unlogged| server.options().table("Lock'S").unlogged(unlogged);
        options(made).migrate().await.unwrap();
        options(made).connect().await.unwrap();
        let to_connect = options(asked).connect().await.map(drop).unwrap_err();
        let to_migrate = options(asked).migrate().await.unwrap_err();
        for error in [to_connect, to_migrate] {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let said = error.to_string();
            assert!(said.contains(remedy) && said.contains("Lock'S"), "{said}");
        }
    }
}

#[tokio::test]
async fn after_a_crash_an_unlogged_table_is_empty_its_holder_is_told_and_tokens_go_on() {
    let server = Server::bare(&PostgresServerOptions::new()).await;
    let options = server.options().unlogged(true).migrate_on_connect(true);
    let backend = options.clone().connect().await.unwrap();
    let long = Duration::from_secs(3600);
    let locks = LockClient::new(backend);
    let options_of_lock = LockOptions::builder().ttl(long).build().unwrap();
    let mutex = locks.mutex_with("x", || 0_u32).options(options_of_lock);
    let mutex = mutex.build().unwrap();
    let mut guard = mutex.lock().await.unwrap();
    *guard += 1;
    guard.save().await.unwrap();
    server.kill().await.unwrap();
    server.restart(Data::Keep).await.unwrap();
    // Long before a renewal is due: all leases are renewed when the listener is back.
    let told = tokio::time::timeout(PATIENCE, guard.lost()).await;
    told.expect("the holder must be told in time");
    assert_eq!(server.value("SELECT count(*) FROM lock_records").await, "0");
    let grant = granted(&options.connect().await.unwrap(), &asks("x", owner())).await;
    assert!(grant.token > guard.token());
    assert_eq!(grant.state, None);
    let error = guard.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LeaseLost);
}
