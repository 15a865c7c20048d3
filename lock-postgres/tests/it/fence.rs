//! Money is moved between accounts of the same database, under a fence or under a lock that lives
//! in the transaction.

use std::time::Duration;

use lock_core::{
    DistributedMutex, ErrorKind, LockBackend, LockClient, LockOptions, LossCause, Previous,
};
use lock_postgres::{FenceExt, LockInExt};
use lock_testkit::service::PgBouncerOptions;
use lock_testkit::{Fault, FaultyBackend, StepKind};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::server::Server;
use crate::{PATIENCE, asks, granted, name, owner, refused, ttl, until};

struct Bank {
    server: Server,
    pool: PgPool,
}

impl Bank {
    async fn open() -> Self {
        let server = Server::start().await;
        server
            .say("CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL)")
            .await;
        server
            .say("INSERT INTO accounts VALUES (1, 100), (2, 100)")
            .await;
        let pool = PgPoolOptions::new().connect(server.url()).await.unwrap();
        Self { server, pool }
    }

    async fn mutex(&self, options: LockOptions) -> DistributedMutex<()> {
        let client = LockClient::builder(self.server.backend().await).options(options);
        client.build().mutex("accounts").unwrap()
    }

    /// Of a process that will be stopped: it neither renews its lease nor gives it up.
    async fn mutex_of_the_stopped(&self) -> DistributedMutex<()> {
        let backend = FaultyBackend::new(self.server.backend().await);
        backend.always(StepKind::Renew, Fault::LoseRequest);
        backend.always(StepKind::Release, Fault::LoseRequest);
        let options = LockOptions::builder().ttl(Duration::from_millis(200));
        let client = LockClient::builder(backend).options(options.build().unwrap());
        client.build().mutex("accounts").unwrap()
    }

    async fn until_the_lease_is_over(&self) {
        until(|| async {
            let sql = "SELECT expires <= clock_timestamp() FROM lock_records";
            (self.server.value(sql).await == "t").then_some(())
        })
        .await;
    }

    async fn balances(&self) -> String {
        let sql = "SELECT string_agg(balance::text, ' ' ORDER BY id) FROM accounts";
        self.server.value(sql).await
    }
}

async fn move_money(connection: &mut sqlx::PgConnection) {
    for (id, change) in [(1, -10), (2, 10)] {
        let sql = "UPDATE accounts SET balance = balance + $2 WHERE id = $1";
        let update = sqlx::query(sql).bind(id).bind(change);
        update.execute(&mut *connection).await.unwrap();
    }
}

#[tokio::test]
async fn money_is_moved_while_the_lock_is_held() {
    let bank = Bank::open().await;
    let mutex = bank.mutex(LockOptions::default()).await;
    let guard = mutex.lock().await.unwrap();
    let mut tx = bank.pool.begin().await.unwrap();
    guard.fence(&mut tx).await.unwrap();
    move_money(&mut tx).await;
    tx.commit().await.unwrap();
    guard.release().await.unwrap();
    assert_eq!(bank.balances().await, "90 110");
}

#[tokio::test]
async fn a_holder_that_was_stopped_past_its_ttl_moves_no_money() {
    let bank = Bank::open().await;
    let mutex = bank.mutex_of_the_stopped().await;
    for _ in 0..20 {
        let guard = mutex.lock().await.unwrap();
        let mut tx = bank.pool.begin().await.unwrap();
        // It read the accounts, and is stopped before it writes.
        bank.until_the_lease_is_over().await;
        let other = bank.server.backend().await;
        let successor = asks("accounts", owner());
        let grant = granted(&other, &successor).await;
        assert!(matches!(grant.previous, Previous::Abandoned { .. }));
        move_money(&mut tx).await;
        let error = guard.fence(&mut tx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LeaseLost);
        assert_eq!(error.loss(), Some(LossCause::Displaced));
        tx.rollback().await.unwrap();
        other
            .release(&name("accounts"), successor.owner)
            .await
            .unwrap();
        drop(guard);
    }
    assert_eq!(bank.balances().await, "100 100");
}

#[tokio::test]
async fn a_holder_that_is_stopped_after_the_fence_keeps_others_out_until_its_commit() {
    let bank = Bank::open().await;
    let mutex = bank.mutex_of_the_stopped().await;
    let guard = mutex.lock().await.unwrap();
    let mut tx = bank.pool.begin().await.unwrap();
    guard.fence(&mut tx).await.unwrap();
    bank.until_the_lease_is_over().await;
    // The lease is over, and still nobody else is granted it.
    let other = bank.server.options();
    let other = other
        .request_timeout(Duration::from_secs(1))
        .connect()
        .await
        .unwrap();
    let next = asks("accounts", owner());
    refused(&other, &next).await;
    move_money(&mut tx).await;
    tx.commit().await.unwrap();
    let grant = granted(&other, &next).await;
    assert!(matches!(grant.previous, Previous::Abandoned { .. }));
    assert_eq!(bank.balances().await, "90 110");
    assert_eq!(
        guard.release().await.unwrap_err().kind(),
        ErrorKind::LeaseLost
    );
}

#[tokio::test]
async fn a_fenced_lease_is_renewed_and_forced_only_after_the_transaction() {
    let bank = Bank::open().await;
    let options = LockOptions::builder()
        .ttl(Duration::from_millis(600))
        .build()
        .unwrap();
    let mutex = bank.mutex(options).await;
    let guard = mutex.lock().await.unwrap();
    let mut tx = bank.pool.begin().await.unwrap();
    guard.fence(&mut tx).await.unwrap();
    let changes = || async {
        let count = bank.server.value("SELECT changes FROM lock_records").await;
        count.parse::<u64>().unwrap()
    };
    let before = changes().await;
    // Long past the ttl by now, were it not renewed.
    until(|| async { (changes().await >= before + 4).then_some(()) }).await;
    assert!(guard.is_held());
    let other = bank.server.options();
    let other = other
        .request_timeout(Duration::from_millis(400))
        .connect()
        .await
        .unwrap();
    let error = other.force_release(&name("accounts")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    tx.commit().await.unwrap();
    other.force_release(&name("accounts")).await.unwrap();
    let cause = tokio::time::timeout(PATIENCE, guard.lost()).await.unwrap();
    assert_eq!(cause, LossCause::Forced);
    let mut tx = bank.pool.begin().await.unwrap();
    let error = guard.fence(&mut tx).await.unwrap_err();
    assert_eq!(error.loss(), Some(LossCause::Forced));
}

#[tokio::test]
async fn a_lock_of_another_store_has_no_place_in_a_transaction() {
    let bank = Bank::open().await;
    let guard = LockClient::in_memory()
        .mutex::<()>("x")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let mut tx = bank.pool.begin().await.unwrap();
    let error = guard.fence(&mut tx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_lock_in_a_transaction_ends_with_it() {
    let bank = Bank::open().await;
    let mutex = bank.mutex(LockOptions::default()).await;
    let other = bank.server.options();
    let other = other
        .request_timeout(Duration::from_millis(400))
        .connect()
        .await
        .unwrap();
    let mut last = lock_core::FencingToken::new(0);
    for commits in [true, false, true] {
        let mut tx = bank.pool.begin().await.unwrap();
        let mut lock = mutex.lock_in(&mut tx, PATIENCE).await.unwrap();
        assert!(lock.token() > last);
        last = lock.token();
        move_money(&mut lock).await;
        // What the transaction waits for is its own matter.
        let timeout = sqlx::query_scalar("SELECT current_setting('lock_timeout')");
        let timeout: String = timeout.fetch_one(&mut *lock).await.unwrap();
        assert_eq!(timeout, "0");
        refused(&other, &asks("accounts", owner())).await;
        match commits {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        let next = asks("accounts", owner());
        let grant = granted(&other, &next).await;
        assert!(grant.token > last);
        let mut tx = bank.pool.begin().await.unwrap();
        let error = mutex
            .lock_in(&mut tx, Duration::from_millis(100))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        other.release(&name("accounts"), next.owner).await.unwrap();
        // The transaction is as good as before.
        let lock = mutex.lock_in(&mut tx, PATIENCE).await.unwrap();
        assert_eq!(lock.previous(), Previous::Released);
        last = lock.token();
        tx.commit().await.unwrap();
    }
    assert_eq!(bank.balances().await, "80 120");
}

#[tokio::test]
async fn a_transaction_that_is_cut_off_frees_its_lock() {
    let bank = Bank::open().await;
    let mutex = bank.mutex(LockOptions::default()).await;
    let mut tx = bank.pool.begin().await.unwrap();
    let lock = mutex.lock_in(&mut tx, PATIENCE).await.unwrap();
    let mut request = asks("accounts", owner());
    request.ttl = ttl(60_000);
    let backend = bank.server.backend().await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    drop(lock);
    assert_eq!(bank.server.value(kill).await, "t");
    crate::granted_in_time(&backend, &request).await;
}

#[tokio::test]
async fn a_value_is_saved_while_its_lease_is_fenced() {
    let bank = Bank::open().await;
    let locks = LockClient::new(bank.server.backend().await);
    let mut guard = locks.mutex::<u32>("m").unwrap().lock().await.unwrap();
    let mut tx = bank.pool.begin().await.unwrap();
    guard.fence(&mut tx).await.unwrap();
    *guard = 7;
    guard.save().await.unwrap();
    tx.commit().await.unwrap();
    guard.release().await.unwrap();
    let peeked = locks.mutex::<u32>("m").unwrap().peek().await.unwrap();
    assert_eq!(peeked.value, 7);
}

#[tokio::test]
async fn a_waiter_is_woken_when_the_transaction_that_had_the_lock_commits() {
    let bank = Bank::open().await;
    let holder = bank.server.backend().await;
    let lease = asks("accounts", owner());
    granted(&holder, &lease).await;
    let minute = Duration::from_secs(60);
    let never_polling = LockOptions::builder().ttl(minute).poll(minute, minute);
    let client = LockClient::builder(bank.server.backend().await);
    let client = client.options(never_polling.build().unwrap()).build();
    let waiting = client.mutex::<()>("accounts").unwrap();
    let waiter = tokio::spawn(async move { waiting.lock().await.unwrap() });
    let line = "SELECT cardinality(line) FROM lock_records";
    until(|| async { (bank.server.value(line).await == "1").then_some(()) }).await;
    let mutex = bank.mutex(LockOptions::default()).await;
    // The lease ends as if it had run out, so that nobody is woken by its end.
    bank.server
        .say("UPDATE lock_records SET expires = '-infinity'")
        .await;
    let mut tx = bank.pool.begin().await.unwrap();
    let _lock = mutex.lock_in(&mut tx, PATIENCE).await.unwrap();
    tx.commit().await.unwrap();
    let next = tokio::time::timeout(PATIENCE, waiter)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(next.previous(), Previous::Released);
}

/// What a transaction is set to wait for a row.
async fn lock_timeout(connection: &mut sqlx::PgConnection) -> String {
    let timeout = sqlx::query_scalar("SELECT current_setting('lock_timeout')");
    timeout.fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn a_refused_lock_in_a_transaction_keeps_no_row() {
    let bank = Bank::open().await;
    let mutex = bank.mutex(LockOptions::default()).await;
    let other = bank.server.backend().await;
    let first = asks("accounts", owner());
    granted(&other, &first).await;
    other.release(&name("accounts"), first.owner).await.unwrap();

    // Somebody is just being granted the lock: the try waits for the row, and then is refused by it.
    let mut grants = bank.pool.begin().await.unwrap();
    let grant = "UPDATE lock_records SET changes = changes + 1, token = token + 1, ended = NULL, \
                 last_token = last_token + 1, expires = clock_timestamp() + interval '1h', owner = decode(repeat('00', 15) || '07', 'hex')";
    sqlx::query(grant).execute(&mut *grants).await.unwrap();
    let mut tx = bank.pool.begin().await.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let waiting = async {
        until(|| async { (bank.server.value(waits).await == "1").then_some(()) }).await;
        grants.commit().await.unwrap();
    };
    let taking = mutex.lock_in(&mut tx, Duration::from_secs(5));
    let (taken, ()) = tokio::join!(taking, waiting);
    assert_eq!(taken.unwrap_err().kind(), ErrorKind::Timeout);

    // The transaction goes on, and its holder releases the lock.
    let holder = lock_core::OwnerId::from_bits(7);
    let released = other.release(&name("accounts"), holder).await.unwrap();
    assert_eq!(released, lock_core::Release::Released);
    granted(&other, &asks("accounts", owner())).await;
    move_money(&mut tx).await;
    tx.commit().await.unwrap();
    assert_eq!(bank.balances().await, "90 110");
}

#[tokio::test]
async fn a_lock_in_a_transaction_waits_no_longer_than_it_may_and_leaves_the_settings_alone() {
    let bank = Bank::open().await;
    let mutex = bank.mutex(LockOptions::default()).await;
    let first = asks("accounts", owner());
    let other = bank.server.backend().await;
    granted(&other, &first).await;
    other.release(&name("accounts"), first.owner).await.unwrap();
    let mut keeps = bank.pool.begin().await.unwrap();
    let keep = "SELECT FROM lock_records FOR UPDATE";
    sqlx::query(keep).execute(&mut *keeps).await.unwrap();

    let mut tx = bank.pool.begin().await.unwrap();
    let set = sqlx::query("SET LOCAL lock_timeout = '1h'");
    set.execute(&mut *tx).await.unwrap();
    let refused = mutex.lock_in(&mut tx, Duration::from_millis(100));
    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(lock_timeout(&mut tx).await, "1h");
    keeps.rollback().await.unwrap();
    let mut lock = mutex.lock_in(&mut tx, PATIENCE).await.unwrap();
    assert_eq!(lock_timeout(&mut lock).await, "1h");
    move_money(&mut lock).await;
    tx.commit().await.unwrap();
    assert_eq!(bank.balances().await, "90 110");
}

#[tokio::test]
async fn a_fence_waits_for_a_row_within_its_bound_and_leaves_the_settings_alone() {
    let bank = Bank::open().await;
    let backend = bank
        .server
        .options()
        .request_timeout(Duration::from_millis(600));
    let client = LockClient::new(backend.connect().await.unwrap());
    let guard = client
        .mutex::<()>("accounts")
        .unwrap()
        .lock()
        .await
        .unwrap();
    let mut tx = bank.pool.begin().await.unwrap();
    let set = sqlx::query("SET LOCAL lock_timeout = '1h'");
    set.execute(&mut *tx).await.unwrap();
    guard.fence(&mut tx).await.unwrap();
    assert_eq!(lock_timeout(&mut tx).await, "1h");
    tx.commit().await.unwrap();

    let mut keeps = bank.pool.begin().await.unwrap();
    let keep = "SELECT FROM lock_records FOR UPDATE";
    sqlx::query(keep).execute(&mut *keeps).await.unwrap();
    let mut tx = bank.pool.begin().await.unwrap();
    let fenced = tokio::time::timeout(PATIENCE, guard.fence(&mut tx))
        .await
        .unwrap();
    assert_eq!(fenced.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_transaction_that_sees_the_past_is_never_fenced_or_locked_by_it() {
    let bank = Bank::open().await;
    let backend = bank.server.backend().await;
    let mutex = bank.mutex(LockOptions::default()).await;
    let mut tx = bank
        .pool
        .begin_with("BEGIN ISOLATION LEVEL READ UNCOMMITTED")
        .await
        .unwrap();
    // Which is READ COMMITTED in this server.
    let lock = mutex.lock_in(&mut tx, PATIENCE).await.unwrap();
    drop(lock);
    tx.commit().await.unwrap();
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        let guard = mutex.lock().await.unwrap();
        let begin = format!("BEGIN ISOLATION LEVEL {isolation}");
        let begin = || bank.pool.begin_with(sqlx::AssertSqlSafe(begin.clone()));
        let mut tx = begin().await.unwrap();
        guard.fence(&mut tx).await.unwrap();
        tx.rollback().await.unwrap();

        let mut tx = begin().await.unwrap();
        // It sees the lease as it is now, and goes on to do so.
        let look = sqlx::query("SELECT FROM lock_records");
        look.execute(&mut *tx).await.unwrap();
        backend.force_release(&name("accounts")).await.unwrap();
        let next = asks("accounts", owner());
        granted(&backend, &next).await;
        guard.fence(&mut tx).await.unwrap_err();
        drop(tx);
        drop(guard);
        backend
            .release(&name("accounts"), next.owner)
            .await
            .unwrap();

        let mut tx = begin().await.unwrap();
        let error = mutex.lock_in(&mut tx, PATIENCE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("READ COMMITTED"), "{error}");
        move_money(&mut tx).await;
        tx.commit().await.unwrap();
    }
    assert_eq!(bank.balances().await, "80 120");
}

#[tokio::test]
async fn a_fence_and_a_lock_in_a_transaction_work_behind_a_transaction_pooler() {
    let bank = Bank::open().await;
    let pooler = PgBouncerOptions::new(&bank.server).pool_size(4);
    let pooler = pooler.start().await.unwrap();
    let backend = crate::server::options(pooler.url())
        .connect()
        .await
        .unwrap();
    let mutex = LockClient::new(backend).mutex::<()>("accounts").unwrap();
    let through: PgConnectOptions = pooler.url().parse().unwrap();
    let through = through.extra_float_digits(None).statement_cache_capacity(0);
    let pool = PgPoolOptions::new().connect_with(through).await.unwrap();
    let other = bank.server.backend().await;
    let change = "UPDATE accounts SET balance = balance + 1 WHERE id = 1";

    let guard = mutex.lock().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    guard.fence(&mut tx).await.unwrap();
    sqlx::raw_sql(change).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let in_vain = mutex.lock_in(&mut tx, Duration::from_millis(100)).await;
    assert_eq!(in_vain.unwrap_err().kind(), ErrorKind::Timeout);
    guard.release().await.unwrap();
    let mut lock = mutex.lock_in(&mut tx, PATIENCE).await.unwrap();
    sqlx::raw_sql(change).execute(&mut *lock).await.unwrap();
    refused(&other, &asks("accounts", owner())).await;
    tx.commit().await.unwrap();
    granted(&other, &asks("accounts", owner())).await;
    assert_eq!(bank.balances().await, "102 100");
}

#[tokio::test]
async fn a_fenced_lease_passes_to_no_other_waiter_of_the_process_before_the_transaction_ends() {
    let bank = Bank::open().await;
    let mutex = bank.mutex(LockOptions::default()).await;
    let blocker = mutex.lock().await.unwrap();
    let waiting = || {
        let mutex = mutex.clone();
        tokio::spawn(async move { mutex.lock().await.unwrap() })
    };
    let (first, second) = (waiting(), waiting());
    tokio::time::sleep(Duration::from_millis(50)).await;
    blocker.release().await.unwrap();
    let guard = first.await.unwrap();
    let mut tx = bank.pool.begin().await.unwrap();
    guard.fence(&mut tx).await.unwrap();
    move_money(&mut tx).await;
    // Its task is gone, and nobody knows yet whether the transaction commits.
    drop(guard);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!second.is_finished(), "two have the lock");
    tx.commit().await.unwrap();
    let next = tokio::time::timeout(PATIENCE, second)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bank.balances().await, "90 110");
    next.release().await.unwrap();
}
