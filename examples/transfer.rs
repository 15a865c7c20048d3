//! Money moved between accounts in PostgreSQL, and a holder that is stopped past its ttl, twice:
//!
//! - under `guard.fence(&mut tx)`, the transfer of a holder that lost its lease is refused;
//! - under `mutex.lock_in(&mut tx, …)`, the lock has no ttl: it ends with the transaction, so that
//!   whoever comes waits for it.
//!
//! ```sh
//! cargo run --release -p examples --features postgres --example transfer postgres://USER@127.0.0.1/DATABASE
//! ```
//!
//! Expect the story in ten lines, and that both accounts are intact. The accounts stand in a schema
//! of their own, which goes at the end; the table of locks stays.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it tells its story"
)]

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use distributed_mutex::{
    BoxError, DistributedMutex, ErrorKind, FenceExt, LockClient, LockInExt, LockOptions,
    PostgresOptions,
};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Row};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const TTL: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> ExitCode {
    examples::show_events();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["fenced", url, schema] => fenced_holder(url, schema).await,
        ["locked-in", url, schema] => locked_in_holder(url, schema).await,
        [url] => story(url).await,
        _ => Err("usage: transfer postgres://USER@HOST/DATABASE".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transfer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Two accounts, and the lock of whoever moves money between them.
struct Bank {
    pool: PgPool,
    accounts: String,
    mutex: DistributedMutex<()>,
}

impl Bank {
    async fn open(url: &str, schema: &str) -> Result<Self, BoxError> {
        let backend = PostgresOptions::new(url)?.migrate_on_connect(true);
        let options = LockOptions::builder().ttl(TTL).build()?;
        let locks = LockClient::builder(backend.connect().await?).options(options);
        Ok(Self {
            pool: PgPool::connect(url).await?,
            accounts: format!("{schema}.accounts"),
            mutex: locks.build().mutex(format!("transfer/{schema}"))?,
        })
    }

    async fn balances(&self, connection: &mut PgConnection) -> Result<(i64, i64), BoxError> {
        let sql = format!("SELECT balance FROM {} ORDER BY id", self.accounts);
        let rows = sqlx::query(AssertSqlSafe(sql))
            .fetch_all(connection)
            .await?;
        match &rows[..] {
            [one, other] => Ok((one.try_get(0)?, other.try_get(0)?)),
            _ => Err("an account is missing".into()),
        }
    }

    /// Writes what it has computed, as a service does that has read before: without the lock's
    /// protection this would undo what others did in between.
    async fn write(
        &self,
        connection: &mut PgConnection,
        balances: (i64, i64),
    ) -> Result<(), BoxError> {
        let sql = format!("UPDATE {} SET balance = $2 WHERE id = $1", self.accounts);
        for (id, balance) in [(1, balances.0), (2, balances.1)] {
            let update = sqlx::query(AssertSqlSafe(sql.clone()));
            let _done = update
                .bind(id)
                .bind(balance)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }
}

const fn moved(balances: (i64, i64), amount: i64) -> (i64, i64) {
    (
        balances.0.saturating_sub(amount),
        balances.1.saturating_add(amount),
    )
}

/// Holds the lock, is stopped before it writes, and finds out at the fence.
async fn fenced_holder(url: &str, schema: &str) -> Result<(), BoxError> {
    let bank = Bank::open(url, schema).await?;
    let guard = bank.mutex.lock().await?;
    let mut tx = bank.pool.begin().await?;
    let balances = bank.balances(&mut tx).await?;
    println!(
        "I hold the lock with token {}, and read {balances:?}",
        guard.token()
    );
    told_to_go_on().await?;
    bank.write(&mut tx, moved(balances, 30)).await?;
    // The last word before the commit: it is checked and pinned by the server that has the accounts.
    match guard.fence(&mut tx).await {
        Err(error) if error.kind() == ErrorKind::LeaseLost => {
            tx.rollback().await?;
            println!("I am awake; the stale transfer was refused: {error}");
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(()) => Err("the fence let a stale holder pass".into()),
    }
}

/// Holds the lock by its transaction and is stopped in it; it ends well, late.
async fn locked_in_holder(url: &str, schema: &str) -> Result<(), BoxError> {
    let bank = Bank::open(url, schema).await?;
    let mut tx = bank.pool.begin().await?;
    let mut lock = bank.mutex.lock_in(&mut tx, PATIENCE).await?;
    let balances = bank.balances(&mut lock).await?;
    println!("my transaction is the lock, and read {balances:?}");
    told_to_go_on().await?;
    bank.write(&mut lock, moved(balances, 10)).await?;
    tx.commit().await?;
    println!("I am awake; my transfer is committed");
    Ok(())
}

async fn told_to_go_on() -> Result<(), BoxError> {
    let mut line = String::new();
    let _read = BufReader::new(tokio::io::stdin())
        .read_line(&mut line)
        .await?;
    Ok(())
}

async fn story(url: &str) -> Result<(), BoxError> {
    let schema = format!("transfer_{}", std::process::id());
    let bank = Bank::open(url, &schema).await?;
    let make = format!(
        "CREATE SCHEMA {schema}; CREATE TABLE {accounts} (id int PRIMARY KEY, balance bigint NOT NULL);
         INSERT INTO {accounts} VALUES (1, 100), (2, 100)",
        accounts = bank.accounts
    );
    let _made = sqlx::raw_sql(AssertSqlSafe(make))
        .execute(&bank.pool)
        .await?;
    let told = scenes(url, &schema, &bank).await;
    let drop_it = format!("DROP SCHEMA {schema} CASCADE");
    let _gone = sqlx::raw_sql(AssertSqlSafe(drop_it))
        .execute(&bank.pool)
        .await?;
    told
}

async fn scenes(url: &str, schema: &str, bank: &Bank) -> Result<(), BoxError> {
    let holder = Stopped::start(["fenced", url, schema]).await?;
    let transferred = transfer(bank).await;
    holder.goes_on().await?;
    transferred?;

    let holder = Stopped::start(["locked-in", url, schema]).await?;
    // Past the ttl, which such a lock does not have.
    let refused = bank.mutex.lock_timeout(TTL * 2).await;
    holder.goes_on().await?;
    match refused {
        Err(error) if error.kind() == ErrorKind::Timeout => {
            println!("other:   the lock was not to be had while that transaction lived");
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("two had the lock at once".into()),
    }
    transfer(bank).await?;

    let balances = bank.balances(&mut *bank.pool.acquire().await?).await?;
    println!("the balances are {balances:?}");
    if balances != (70, 130) {
        return Err("an account is not what it must be".into());
    }
    println!("both accounts are intact");
    Ok(())
}

/// Moves 10, as everybody should.
async fn transfer(bank: &Bank) -> Result<(), BoxError> {
    let guard = bank.mutex.lock_timeout(PATIENCE).await?;
    let mut tx = bank.pool.begin().await?;
    guard.fence(&mut tx).await?;
    let balances = moved(bank.balances(&mut tx).await?, 10);
    bank.write(&mut tx, balances).await?;
    tx.commit().await?;
    println!("other:   I moved 10 under token {}", guard.token());
    guard.release().await?;
    Ok(())
}

/// A process that holds the lock and is stopped (SIGSTOP).
struct Stopped {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pid: Pid,
}

impl Stopped {
    async fn start(words: [&str; 3]) -> Result<Self, BoxError> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        println!(
            "holder:  {}",
            lines.next_line().await?.ok_or("the holder is gone")?
        );
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or("no process id")?;
        kill_process(pid, Signal::STOP)?;
        println!("now the holder is stopped (SIGSTOP) for longer than the ttl of {TTL:?}");
        Ok(Self { child, lines, pid })
    }

    async fn goes_on(mut self) -> Result<(), BoxError> {
        kill_process(self.pid, Signal::CONT)?;
        let mut input = self.child.stdin.take().ok_or("no input")?;
        input.write_all(b"go on\n").await?;
        let line = self.lines.next_line().await?;
        println!("holder:  {}", line.ok_or("the holder is gone")?);
        match self.child.wait().await?.success() {
            true => Ok(()),
            false => Err("the holder failed".into()),
        }
    }
}
