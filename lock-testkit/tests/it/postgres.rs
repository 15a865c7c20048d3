//! PostgreSQL servers start, obey and go.

use std::time::Duration;

use lock_testkit::service::{ClockStep, Data, PostgresServer, PostgresServerOptions};
use tokio::net::TcpStream;

use crate::client::SILENCE;

fn cell(text: &str) -> Vec<Vec<String>> {
    vec![vec![text.to_owned()]]
}

#[tokio::test]
async fn two_postgres_servers_run_at_once_and_know_nothing_of_each_other() {
    let (one, two) = tokio::try_join!(PostgresServer::start(), PostgresServer::start()).unwrap();
    one.sql("CREATE TABLE t (k text, v text)").await.unwrap();
    one.sql("INSERT INTO t VALUES ('a', NULL), ('b', 'x')")
        .await
        .unwrap();
    let rows = one.sql("SELECT k, v FROM t ORDER BY k").await.unwrap();
    assert_eq!(rows, [["a", ""], ["b", "x"]]);
    let error = two.sql("SELECT * FROM t").await.unwrap_err();
    assert!(format!("{error:?}").contains("42P01"), "{error:?}");
    let expected = format!("postgres://postgres@{}/postgres", one.addr());
    assert_eq!(one.url(), expected);
}

#[tokio::test]
async fn a_test_that_only_looks_takes_any_postgres() {
    let server = PostgresServerOptions::new().shared().start().await.unwrap();
    let other = "127.0.0.1:1".parse().unwrap();
    assert!(server.url_via(other).contains("127.0.0.1:1/"));
}

#[tokio::test]
async fn postgres_options_become_users_and_configuration() {
    let server = PostgresServerOptions::new()
        .user("ann", "secret")
        .role("bob", "secret")
        .setup("CREATE TABLE found (k text)")
        .config("wal_writer_delay = 7s")
        .durable()
        .start()
        .await
        .unwrap();
    let expected = format!("postgres://ann:secret@{}/ann", server.addr());
    assert_eq!(server.url(), expected);
    let facts = "SELECT current_setting('wal_writer_delay'), current_setting('fsync'), \
                 current_database(), (SELECT count(*) FROM found)";
    assert_eq!(server.sql(facts).await.unwrap(), [["7s", "on", "ann", "0"]]);
    let roles = "SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT rolsuper ORDER BY 1";
    assert_eq!(server.sql(roles).await.unwrap(), [["ann"], ["bob"]]);
    server.restart(Data::Discard).await.unwrap();
    assert_eq!(server.sql(roles).await.unwrap(), [["ann"], ["bob"]]);
    assert_eq!(server.sql(facts).await.unwrap(), [["7s", "on", "ann", "0"]]);
}

#[tokio::test]
async fn a_paused_postgres_is_silent_and_then_answers() {
    let server = PostgresServer::start().await.unwrap();
    server.pause().await.unwrap();
    let mut question = Box::pin(server.sql("SELECT 1"));
    let silence = tokio::time::timeout(SILENCE, &mut question).await;
    assert!(silence.is_err(), "{silence:?}");
    server.unpause().await.unwrap();
    assert_eq!(question.await.unwrap(), cell("1"));
    server.pause().await.unwrap();
    server.restart(Data::Keep).await.unwrap();
    server.sql("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_statement_under_way_pauses_with_its_postgres() {
    let server = PostgresServer::start().await.unwrap();
    server.sql("CREATE SEQUENCE s").await.unwrap();
    // A backend that is not idle, which counts for as long as nothing stops it.
    let count = "DO $$ BEGIN LOOP PERFORM nextval('s'); END LOOP; END $$";
    let counting = server.sql(count);
    let seen = async {
        while server.sql("SELECT last_value FROM s").await.unwrap() < cell("1000") {}
        server.pause().await.unwrap();
        server.kill().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(counting, seen);
    assert!(outcome.is_err());
}

#[tokio::test]
async fn a_crashed_postgres_keeps_what_was_committed_unless_told_otherwise() {
    let server = PostgresServer::start().await.unwrap();
    server.sql("CREATE TABLE t AS SELECT 7 AS v").await.unwrap();
    server.kill().await.unwrap();
    assert!(TcpStream::connect(server.addr()).await.is_err());
    server.restart(Data::Keep).await.unwrap();
    assert_eq!(server.sql("SELECT v FROM t").await.unwrap(), cell("7"));
    server.restart(Data::Discard).await.unwrap();
    server.sql("SELECT v FROM t").await.unwrap_err();
}

/// With asynchronous commits only the writer of the log or a later synchronous commit brings them
/// to the disk, and here the writer sleeps for as long as it can.
#[tokio::test]
async fn a_crash_loses_the_last_commits_that_did_not_wait_for_the_disk() {
    let server = PostgresServerOptions::new()
        .config("synchronous_commit = off")
        .config("wal_writer_delay = 10s")
        .config("autovacuum = off")
        .config("checkpoint_timeout = 1d")
        .config("bgwriter_delay = 10s")
        .start()
        .await
        .unwrap();
    server.sql("CREATE TABLE t (v int)").await.unwrap();
    // The writer sleeps for ten seconds once it finds nothing to do; an unlucky one wakes up
    // between the commit and the crash, but not each time.
    let mut lost = false;
    for round in 0..5 {
        let keep = format!("SET synchronous_commit = on; INSERT INTO t VALUES ({round})");
        server.sql(&keep).await.unwrap();
        let lose = format!("INSERT INTO t VALUES (1000 + {round})");
        server.sql(&lose).await.unwrap();
        server.restart(Data::Keep).await.unwrap();
        let kept = format!("SELECT count(*) FROM t WHERE v = {round}");
        assert_eq!(server.sql(&kept).await.unwrap(), cell("1"));
        let gone = format!("SELECT count(*) FROM t WHERE v = 1000 + {round}");
        lost = server.sql(&gone).await.unwrap() == cell("0");
        if lost {
            break;
        }
    }
    assert!(lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_dropped_is_gone() {
    let server = PostgresServer::start().await.unwrap();
    let addr = server.addr();
    drop(server);
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_postgres_that_cannot_start_says_why() {
    let options = PostgresServerOptions::new().config("no_such_setting = 1");
    let error = options.start().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no_such_setting"), "{text}");
}

#[tokio::test]
async fn the_clock_of_a_postgres_steps_and_its_machine_s_does_not() {
    let options = PostgresServerOptions::new().steppable_clock();
    let (server, other) = tokio::try_join!(options.start(), PostgresServer::start()).unwrap();
    let hour = Duration::from_secs(3600);
    server.step_clock(ClockStep::Forward(hour)).await.unwrap();
    let now = async |server: &PostgresServer| {
        let text = server.sql("SELECT extract(epoch FROM now())::bigint");
        let seconds: i64 = text.await.unwrap()[0][0].parse().unwrap();
        seconds
    };
    let ahead = now(&server).await - now(&other).await;
    assert!((3590..=3601).contains(&ahead), "{ahead}");
    server.restart(Data::Keep).await.unwrap();
    let still = now(&server).await - now(&other).await;
    assert!((3590..=3601).contains(&still), "{still}");
    server.step_clock(ClockStep::Back(hour)).await.unwrap();
}
