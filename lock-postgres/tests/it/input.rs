//! What is out of bounds, in the way or exhausted is told, and costs nobody else anything.

use std::time::Duration;

use lock_core::{Effect, ErrorKind, LockBackend, Renewal};
use lock_postgres::PostgresOptions;
use lock_testkit::service::PostgresServerOptions;
use sqlx::postgres::PgPoolOptions;

use crate::server::{Server, options};
use crate::{asks, granted, name, owner, renewed};

#[test]
fn urls_and_options_out_of_bounds_are_refused_without_their_password() {
    for url in [
        "",
        "redis://:secret@h/",
        "postgres://u:secret@h:99999/",
        "postgres://u:secret@h/?tabel=x",
        "postgres://u:secret@h/?sslmode=secret",
        // What is special in a URL, as it stands in a password.
        "postgres://u:12?secret@h/db",
        "postgres://u:12?secret=x@h/db",
        "postgres://u:12?sslmode=secret@h/db",
        "postgres://u:12/secret@h/db",
        "postgres://u:12#secret@h/db",
        "postgres://u:12%23/secret@h/db",
        "postgres://u:12@?secret@h/db",
        "postgres://u:se\ncret@h/db",
        "postgres://u:secret%00@h/db",
        "postgres://u:secret%ff@h/db",
        "postgres://secret:12?@h/db",
    ] {
        let error = PostgresOptions::new(url).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("secret"), "{text}");
    }
    for url in [
        "postgres://u:secret@h/",
        // The last '@' before the path ends the password.
        "postgres://u:secret@secret@h/",
        "postgres://u:secret%3f%23%2f%40%25@h/",
        "postgres://u:secret%@h/",
        "postgres://u:secret\\@h/",
        "postgres://u:sec:ret@h/?user=me%40home",
    ] {
        let options = PostgresOptions::new(url).unwrap();
        let text = format!("{options:?}");
        assert!(
            !text.contains("secret") && text.contains("postgres://h:"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn options_out_of_bounds_are_refused_before_anything_is_sent() {
    let options = || options("postgres://u:secret@127.0.0.1:1/");
    for bad in [
        options().claim_time(Duration::from_millis(9)),
        options().request_timeout(Duration::ZERO),
        options().connect_timeout(Duration::from_secs(61)),
        options().max_connections(0),
        options().table(""),
        options().table("x".repeat(49)),
        options().schema("a\0b"),
        options().schema("a$1"),
        options().table("lock$1"),
        options().table("lock\n--"),
    ] {
        let error = bad.connect().await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_without_the_password() {
    let url = "postgres://u:secret@127.0.0.1:1/shop";
    let error = options(url).connect().await.map(drop).unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::NotApplied)
    );
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("127.0.0.1:1") && !text.contains("secret"),
        "{text}"
    );
}

#[tokio::test]
async fn a_read_only_server_is_told() {
    let server = Server::start().await;
    let backend = server.backend().await;
    server
        .say("ALTER SYSTEM SET default_transaction_read_only = on")
        .await;
    server.say("SELECT pg_reload_conf()").await;
    let error = crate::until(|| async { backend.acquire(&asks("x", owner())).await.err() }).await;
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::NotApplied)
    );
    assert!(error.to_string().contains("read-only"), "{error}");
    let error = server.options().connect().await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[tokio::test]
async fn a_statement_timeout_of_the_server_is_told() {
    let server =
        Server::with(&PostgresServerOptions::new().config("statement_timeout = 300")).await;
    let backend = server.backend().await;
    granted(&backend, &asks("x", owner())).await;
    let pool = PgPoolOptions::new().connect(server.url()).await.unwrap();
    let mut holds = pool.begin().await.unwrap();
    let lock = "SELECT FROM lock_records FOR UPDATE";
    sqlx::query(lock).execute(&mut *holds).await.unwrap();
    let error = backend.release(&name("x"), owner()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::NotApplied)
    );
    assert!(error.to_string().contains("statement_timeout"), "{error}");
}

#[tokio::test]
async fn a_name_that_the_encoding_has_not_is_refused() {
    let latin =
        "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    let server = Server::bare(&PostgresServerOptions::new()).await;
    server.say(latin).await;
    let (place, _) = server.url().rsplit_once('/').unwrap();
    let url = format!("{place}/latin");
    let options = options(&url);
    options.migrate().await.unwrap();
    let backend = options.connect().await.unwrap();
    granted(&backend, &asks("ü\0", owner())).await;
    let error = backend.acquire(&asks("😀", owner())).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Invalid, Effect::NotApplied)
    );
    assert!(error.to_string().contains("encoding"), "{error}");
    // The connection is as good as before.
    granted(&backend, &asks("ä", owner())).await;
}

#[tokio::test]
async fn an_exhausted_pool_fails_in_time_and_starves_no_renewal() {
    let server = Server::start().await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(server.url())
        .await
        .unwrap();
    let backend = PostgresOptions::from_pool(pool.clone())
        .request_timeout(Duration::from_millis(300))
        .connect()
        .await
        .unwrap();
    let request = asks("x", owner());
    let grant = granted(&backend, &request).await;
    let taken = pool.acquire().await.unwrap();
    let error = backend.acquire(&asks("y", owner())).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect()),
        (ErrorKind::Unavailable, Effect::NotApplied)
    );
    assert!(error.to_string().contains("pool"), "{error}");
    let held = renewed(&backend, "x", request.owner, grant.token).await;
    assert!(matches!(held, Renewal::Renewed { .. }));
    drop(taken);
    granted(&backend, &asks("y", owner())).await;
}

#[tokio::test]
async fn one_row_that_another_transaction_keeps_costs_no_other_lease_its_renewal() {
    let server = Server::start().await;
    let backend = server
        .options()
        .request_timeout(Duration::from_secs(2))
        .connect()
        .await
        .unwrap();
    let mut renewals = Vec::new();
    for lock in ["a", "b", "c"] {
        let request = asks(lock, owner());
        let grant = granted(&backend, &request).await;
        let ttl = crate::ttl(60_000);
        renewals.push(lock_core::Renew::new(
            name(lock),
            request.owner,
            grant.token,
            ttl,
        ));
    }
    let pool = PgPoolOptions::new().connect(server.url()).await.unwrap();
    let mut holds = pool.begin().await.unwrap();
    let lock = "SELECT FROM lock_records WHERE name = 'b' FOR UPDATE";
    sqlx::query(lock).execute(&mut *holds).await.unwrap();
    let before = server
        .value("SELECT min(expires) FROM lock_records WHERE name <> 'b'")
        .await;
    let answers = backend.renew(&renewals).await;
    assert!(matches!(answers[0], Ok(Renewal::Renewed { .. })));
    assert_eq!(
        answers[1].as_ref().unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    assert!(matches!(answers[2], Ok(Renewal::Renewed { .. })));
    let after = server
        .value("SELECT min(expires) FROM lock_records WHERE name <> 'b'")
        .await;
    assert!(after > before);
    holds.rollback().await.unwrap();
    let answers = backend.renew(&renewals).await;
    assert!(matches!(answers[1], Ok(Renewal::Renewed { .. })));
}

#[tokio::test]
async fn of_many_renewals_whose_rows_others_keep_one_waits_at_a_time() {
    let server = Server::start().await;
    let backend = std::sync::Arc::new(server.backend().await);
    let mut renewals = Vec::new();
    for lock in ["a", "b", "c", "d"] {
        let request = asks(lock, owner());
        let grant = granted(&backend, &request).await;
        let renewal = lock_core::Renew::new(name(lock), request.owner, grant.token, request.ttl);
        renewals.push(renewal);
    }
    let pool = PgPoolOptions::new().connect(server.url()).await.unwrap();
    let mut holds = pool.begin().await.unwrap();
    let lock = "SELECT FROM lock_records FOR UPDATE";
    sqlx::query(lock).execute(&mut *holds).await.unwrap();
    // In one batch, and each by itself.
    let renews = |requests: Vec<lock_core::Renew>| {
        let backend = std::sync::Arc::clone(&backend);
        tokio::spawn(async move { backend.renew(&requests).await })
    };
    let mut tasks = vec![renews(renewals.clone())];
    tasks.extend(renewals.into_iter().map(|renewal| renews(vec![renewal])));
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        let waiting = server.value(waits).await;
        assert!(waiting == "0" || waiting == "1", "{waiting} wait");
    }
    for answers in futures_util::future::join_all(tasks).await {
        for answer in answers.unwrap() {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unavailable);
        }
    }
}

#[tokio::test]
async fn an_attempt_waits_shortly_for_a_row_that_another_keeps_and_is_refused() {
    let log_all = PostgresServerOptions::new().config("log_statement = all");
    let server = Server::with(&log_all).await;
    let backend = server.backend().await;
    let request = asks("x", owner());
    granted(&backend, &request).await;
    backend.release(&name("x"), request.owner).await.unwrap();
    let pool = PgPoolOptions::new().connect(server.url()).await.unwrap();
    let mut holds = pool.begin().await.unwrap();
    let lock = "SELECT FROM lock_records FOR UPDATE";
    sqlx::query(lock).execute(&mut *holds).await.unwrap();
    crate::refused(&backend, &asks("x", owner())).await;
    assert!(server.log().await.contains("$10 = '50'"));
}

#[tokio::test]
async fn a_database_without_an_encoding_keeps_names_as_they_are() {
    let ascii =
        "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    let server = Server::bare(&PostgresServerOptions::new()).await;
    server.say(ascii).await;
    let (place, _) = server.url().rsplit_once('/').unwrap();
    let url = format!("{place}/ascii");
    options(&url).migrate().await.unwrap();
    for pooler in [false, true] {
        let backend = options(&url)
            .transaction_pooler(pooler)
            .connect()
            .await
            .unwrap();
        for lock in ["ä\0", "😀", "\u{a0}\\"] {
            let request = asks(lock, owner());
            granted(&backend, &request).await;
            crate::refused(&backend, &asks(lock, owner())).await;
            let listed = backend.list(lock, 9).await.unwrap();
            assert_eq!(listed[0].name, name(lock));
            backend.release(&name(lock), request.owner).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_in_recovery_is_told() {
    let server = Server::start().await;
    let folder = server.value("SHOW data_directory").await;
    server
        .say(&format!("COPY (SELECT '') TO '{folder}/standby.signal'"))
        .await;
    server
        .restart(lock_testkit::service::Data::Keep)
        .await
        .unwrap();
    assert_eq!(server.value("SELECT pg_is_in_recovery()").await, "t");
    for failed in [
        server.options().connect().await.map(drop),
        server.options().migrate().await,
    ] {
        let error = failed.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Unavailable, Effect::NotApplied)
        );
        assert!(error.to_string().contains("in recovery"), "{error}");
    }
}

#[tokio::test]
async fn a_table_that_another_session_keeps_locked_holds_nobody_up_for_ever() {
    let server = Server::start().await;
    let pool = PgPoolOptions::new().connect(server.url()).await.unwrap();
    let mut holds = pool.begin().await.unwrap();
    let lock = "LOCK TABLE lock_records_migrations";
    sqlx::query(lock).execute(&mut *holds).await.unwrap();
    let options = || server.options().connect_timeout(Duration::from_secs(1));
    let ended = async {
        let (connect, migrate) =
            tokio::join!(options().connect(), async { options().migrate().await });
        [connect.map(drop), migrate]
    };
    for failed in tokio::time::timeout(crate::PATIENCE, Box::pin(ended))
        .await
        .unwrap()
    {
        let error = failed.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Unavailable, Effect::NotApplied)
        );
        assert!(error.to_string().contains("another session"), "{error}");
    }
}

#[tokio::test]
async fn who_uses_all_of_the_pool_costs_others_their_time_and_no_lease() {
    let server = Server::start().await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(server.url())
        .await
        .unwrap();
    let backend = PostgresOptions::from_pool(pool.clone())
        .connect()
        .await
        .unwrap();
    let ttl = Duration::from_secs(2);
    let options = lock_core::LockOptions::builder().ttl(ttl).build().unwrap();
    let client = lock_core::LockClient::builder(backend)
        .options(options)
        .build();
    let guard = client.mutex::<()>("held").unwrap().lock().await.unwrap();
    // In a transaction of its own it waits for a lock: a use of the pool that would never end if
    // the lock took another connection of it, and if nobody bounded the wait.
    let mut tx = pool.begin().await.unwrap();
    let other = client.mutex::<()>("held").unwrap();
    let within = Duration::from_millis(300);
    let second = lock_postgres::LockInExt::lock_in(&other, &mut tx, within);
    let second = tokio::time::timeout(crate::PATIENCE, second).await.unwrap();
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Timeout);
    let free = client.mutex::<()>("free").unwrap();
    let waited = tokio::time::timeout(crate::PATIENCE, free.lock_timeout(within)).await;
    let error = waited.unwrap().unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unavailable),
        "{error}"
    );
    let changes = || async {
        let count = "SELECT changes FROM lock_records WHERE name = 'held'";
        server.value(count).await.parse::<u64>().unwrap()
    };
    let before = changes().await;
    crate::until(|| async { (changes().await >= before + 4).then_some(()) }).await;
    assert!(guard.is_held());
    tx.rollback().await.unwrap();
    drop(free.lock().await.unwrap());
}
