//! [`PostgresBackend`]: each step of the trait is one statement.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use lock_core::{
    Acquire, Acquisition, Alarms, Capabilities, Clock, Commit, Durability, Entropy, Error, Finding,
    ForcedRelease, Hints, LockBackend, LockInfo, LockName, OwnerId, Peeked, Refusal, Release,
    Renew, Renewal, Stored, SystemClock, SystemEntropy, Then, Wakeups,
};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use crate::answers;
use crate::config::{PostgresOptions, Source};
use crate::error::{At, Failure};
use crate::examine;
use crate::greeting::{Facts, greet};
use crate::listener::Ears;
use crate::migration;
use crate::names::stored;
use crate::statements::{Arg, Statements};
use crate::store::{Lane, Patience, Store, row_wait, within};

/// Locks in a table of a PostgreSQL database.
///
/// It shares a pool for its steps, keeps one connection on which notifications come, and up to two
/// for renewals alone. All of them are made anew when they break. Dropping it closes its own and ends
/// its tasks.
#[derive(Debug)]
pub struct PostgresBackend {
    pub(crate) store: Arc<Store>,
    wakeups: Arc<Wakeups>,
    /// Whether notifications come now; `None` where they cannot.
    listening: Option<watch::Receiver<bool>>,
    tasks: Vec<AbortHandle>,
    /// The id of this client, by which a release addresses its channel.
    client: [u8; 16],
    claim_ms: i64,
    connect_timeout: Duration,
    durability: Durability,
}

impl PostgresBackend {
    /// Connects to the server at this URL with default options; see [`PostgresOptions`].
    ///
    /// # Errors
    /// Those of [`PostgresOptions::new`] and [`PostgresOptions::connect`].
    ///
    /// # Cancel safety
    /// Safe to drop: the connections are closed, nothing is left behind.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        PostgresOptions::new(url)?.connect().await
    }

    /// Options for a pool of the user's own: [`PostgresOptions::from_pool`].
    pub fn builder(pool: PgPool) -> PostgresOptions {
        PostgresOptions::from_pool(pool)
    }

    pub(crate) async fn with_options(options: PostgresOptions) -> Result<Self, Error> {
        options.check()?;
        let at = options.at();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let mut client = [0; 16];
        SystemEntropy.fill(&mut client);
        let id = format!("{:032x}", u128::from_be_bytes(client));

        let mut greeting = greet(&options, &*clock, &at, &id).await?;
        greeting.facts.check(&at)?;
        let (facts, pooler) = (greeting.facts.clone(), greeting.pooler);
        let (connection, limit) = (&mut greeting.connection, options.connect_timeout);
        if options.migrate_on_connect {
            migration::apply(connection, &options.table, &at, &*clock, limit).await?;
        }
        migration::check(connection, &options.table, &at, &*clock, limit).await?;
        greeting.end(&*clock).await;

        let own = match pooler {
            true => {
                facts.check_isolation(&at, "the pooler")?;
                options.bare_options()
            }
            false if facts.read_committed() => options.connect_options(),
            false => options.connect_options().options([READ_COMMITTED]),
        };
        let mut durability = facts.durability(&options.table);
        let pool = match &options.source {
            Source::Pool(pool) => {
                let facts = facts_of(pool, limit, &*clock, &at).await?;
                facts.check(&at)?;
                facts.check_isolation(&at, "the pool")?;
                durability = durability.min(facts.durability(&options.table));
                pool.clone()
            }
            Source::Options(_) => pool(options.max_connections, own.clone()),
        };
        let mut backend = Self {
            store: Arc::new(Store {
                pool,
                care: self::pool(CARE_CONNECTIONS, own.clone()),
                statements: Statements::new(&options.table),
                unlogged: options.table.unlogged,
                at: at.clone(),
                clock: Arc::clone(&clock),
                request_timeout: options.request_timeout,
                shared_wait: Semaphore::new(1),
                care_wait: Semaphore::new(1),
                written_out: pooler,
                runtime: Handle::current(),
            }),
            wakeups: Arc::new(Wakeups::new(clock)),
            listening: None,
            tasks: Vec::new(),
            client,
            claim_ms: millis(options.claim_time),
            connect_timeout: options.connect_timeout,
            durability,
        };
        if pooler {
            tracing::warn!(
                server = %at.server,
                "a pooler stands between, behind which nothing can listen: waiters ask again and again"
            );
        } else {
            backend.listen(own, &id).await?;
        }
        backend.tasks.push(forget(&backend.store));
        Ok(backend)
    }

    async fn listen(&mut self, options: PgConnectOptions, id: &str) -> Result<(), Failure> {
        let (standing, listening) = watch::channel(true);
        let [a, b, c, d, e, f, g, h, ..] = self.client;
        let ears = Ears {
            options,
            wakeups: Arc::clone(&self.wakeups),
            clock: Arc::clone(&self.store.clock),
            at: self.store.at.clone(),
            channel: format!("{CHANNEL}{id}"),
            beacon: i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            connect_timeout: self.connect_timeout,
            standing,
        };
        let first = ears.open().await?;
        self.tasks
            .push(tokio::spawn(ears.listen(first)).abort_handle());
        self.listening = Some(listening);
        Ok(())
    }

    /// The client's place in a line, and who asks; what follows is how long to wait for the row.
    pub(crate) fn acquire_args(&self, request: &Acquire) -> Vec<Arg> {
        vec![
            name_arg(&request.name),
            owner_arg(request.owner),
            Arg::Int(millis(request.ttl.as_duration())),
            Arg::Int(i64::from(request.reserve.max(1))),
            Arg::Text(stored(request.label.as_str())),
            Arg::Bytes(self.client.to_vec()),
            // Who cannot be woken does not stand in line.
            Arg::Bool(request.stand_in_line && self.listening.is_some()),
            Arg::MaybeInt(request.forget_after.map(forget_ms)),
            Arg::Bool(request.spare_state),
        ]
    }

    async fn try_acquire(&self, request: &Acquire) -> Result<Acquisition, Failure> {
        let args = self.acquire_args(request);
        let statement = &self.store.statements.acquire;
        let answer = self.store.step(statement, args, Patience::Short, |rows| {
            answers::acquisition(rows, request.ttl)
        });
        match answer.await {
            // Its lease is over or nearly so, and a transaction that relies on it goes on.
            Err(failure) if failure.pinned => {
                Ok(Acquisition::Refused(Refusal::new(Some(PINNED_PAUSE))))
            }
            answer => answer,
        }
    }

    /// Renews a batch; rows that another transaction has are passed over and asked for each by
    /// itself.
    async fn renew_batch(&self, batch: &[Renew]) -> Vec<Result<Renewal, Failure>> {
        let (statements, wait) = (&self.store.statements, self.store.long_wait());
        let first = match self.ask_renewals(&statements.renew, batch, wait).await {
            Ok(answers) => answers,
            Err(failure) => return batch.iter().map(|_| Err(failure.clone())).collect(),
        };
        let missing = batch.iter().zip(&first).filter(|(_, a)| a.is_none());
        let missing: Vec<&Renew> = missing.map(|(request, _)| request).collect();
        let mut rest = self.renew_each(&missing).await.into_iter();
        let answers = first.into_iter();
        answers
            .filter_map(|answer| answer.map(Ok).or_else(|| rest.next()))
            .collect()
    }

    /// Renews one after the other, and waits for their rows: for all of them together no longer than
    /// for one.
    async fn renew_each(&self, requests: &[&Renew]) -> Vec<Result<Renewal, Failure>> {
        let Ok(count) = u32::try_from(requests.len()) else {
            return Vec::new();
        };
        let Some(share) = self.store.long_wait().checked_div(count) else {
            return Vec::new();
        };
        let end = self.store.clock.now().after(self.store.long_wait());
        let turn = self.store.care_wait.acquire();
        let turn = self.store.within(self.store.long_wait(), turn).await;
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            // Those whose time has gone are asked for again by the next renewal.
            let answer = match &turn {
                Some(Ok(_)) if self.store.clock.now() < end => self.renew_one(request, share).await,
                _ => Err(Failure::pinned()),
            };
            answers.push(answer);
        }
        answers
    }

    async fn renew_one(&self, request: &Renew, wait: Duration) -> Result<Renewal, Failure> {
        let statement = &self.store.statements.renew_waiting;
        let alone = std::slice::from_ref(request);
        let answers = self.ask_renewals(statement, alone, wait).await?;
        let answer = answers.into_iter().next().flatten();
        answer.ok_or_else(|| Failure::unavailable("its row changed while it was judged"))
    }

    async fn ask_renewals(
        &self,
        statement: &Arc<str>,
        batch: &[Renew],
        wait: Duration,
    ) -> Result<Vec<Option<Renewal>>, Failure> {
        let args = [
            Arg::Texts(batch.iter().map(|r| stored(r.name.as_str())).collect()),
            Arg::Blobs(batch.iter().map(|r| bytes_of(r.owner)).collect()),
            Arg::Ints(batch.iter().map(|r| number(r.token.get())).collect()),
            Arg::Ints(batch.iter().map(|r| millis(r.ttl.as_duration())).collect()),
            Arg::MaybeInts(
                batch
                    .iter()
                    .map(|r| r.forget_after.map(forget_ms))
                    .collect(),
            ),
            Arg::Bools(batch.iter().map(|r| r.spare_state).collect()),
            row_wait(wait),
        ];
        let rows = self.store.ask(Lane::Care, statement, &args).await?;
        answers::renewals(&rows, batch.len())
    }

    async fn try_commit(&self, request: &Commit) -> Result<Stored, Failure> {
        let release = request.then == Then::Release;
        let statements = &self.store.statements;
        let statement = if release {
            &statements.commit_release
        } else {
            &statements.commit_keep
        };
        let args = vec![
            name_arg(&request.name),
            owner_arg(request.owner),
            Arg::Int(number(request.token.get())),
            Arg::Int(i64::from(request.sequence)),
            Arg::Bytes(request.state.bytes().to_vec()),
            Arg::Int(i64::from(request.state.format().get())),
            Arg::Bool(release),
            Arg::Int(self.claim_ms),
            Arg::text(CHANNEL),
        ];
        let read = answers::stored;
        self.store.step(statement, args, Patience::Long, read).await
    }

    pub(crate) fn release_args(&self, name: &LockName, owner: OwnerId) -> Vec<Arg> {
        vec![
            name_arg(name),
            owner_arg(owner),
            Arg::Int(self.claim_ms),
            Arg::text(CHANNEL),
        ]
    }

    async fn try_release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Failure> {
        let args = self.release_args(name, owner);
        let statement = &self.store.statements.release;
        let read = answers::release;
        self.store.step(statement, args, Patience::Long, read).await
    }

    async fn try_force(&self, name: &LockName) -> Result<ForcedRelease, Failure> {
        let args = vec![name_arg(name), Arg::Int(self.claim_ms), Arg::text(CHANNEL)];
        let statement = &self.store.statements.force_release;
        let read = answers::forced;
        self.store.step(statement, args, Patience::Long, read).await
    }

    /// Reads with one statement.
    async fn read<T>(
        &self,
        statement: &Arc<str>,
        args: &[Arg],
        read: impl FnOnce(&[sqlx::postgres::PgRow]) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let rows = self.store.ask(Lane::Shared, statement, args).await?;
        read(&rows)
    }

    /// Waits until notifications come.
    async fn heard(&self) -> Result<(), Failure> {
        let Some(mut listening) = self.listening.clone() else {
            return Err(Failure::unsupported(
                "nothing can listen behind a pooler that gives each transaction another connection",
            ));
        };
        let limit = self.connect_timeout;
        let standing = listening.wait_for(|standing| *standing);
        match self.store.within(limit, standing).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => Err(Failure::no_connection(&self.store.at, limit)),
        }
    }
}

#[async_trait]
impl LockBackend for PostgresBackend {
    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::none();
        let listens = self.listening.is_some();
        capabilities.push = listens;
        capabilities.line = listens;
        capabilities.force_alarm = listens;
        capabilities.durability = self.durability;
        capabilities
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    async fn acquire(&self, request: &Acquire) -> Result<Acquisition, Error> {
        let answer = self.try_acquire(request).await;
        answer.map_err(|f| Error::from(f).in_operation("acquire", &request.name))
    }

    async fn renew(&self, requests: &[Renew]) -> Vec<Result<Renewal, Error>> {
        let batches = requests.chunks(RENEWALS_PER_STATEMENT_MAX);
        let answers = join_all(batches.map(|batch| self.renew_batch(batch))).await;
        let answers = answers.into_iter().flatten().zip(requests);
        answers
            .map(|(answer, request)| {
                answer.map_err(|f| Error::from(f).in_operation("renew", &request.name))
            })
            .collect()
    }

    async fn commit(&self, request: &Commit) -> Result<Stored, Error> {
        let answer = self.try_commit(request).await;
        answer.map_err(|f| Error::from(f).in_operation("commit", &request.name))
    }

    async fn release(&self, name: &LockName, owner: OwnerId) -> Result<Release, Error> {
        let answer = self.try_release(name, owner).await;
        answer.map_err(|f| Error::from(f).in_operation("release", name))
    }

    async fn peek(&self, name: &LockName) -> Result<Option<Peeked>, Error> {
        let statement = &self.store.statements.peek;
        let answer = self
            .read(statement, &[name_arg(name)], answers::peeked)
            .await;
        answer.map_err(|f| Error::from(f).in_operation("peek at", name))
    }

    async fn watch(&self, name: &LockName) -> Result<Hints, Error> {
        // Registered first: what comes from the moment that the listener stands counts.
        let hints = self.wakeups.watch(name);
        match self.heard().await {
            Ok(()) => Ok(hints),
            Err(failure) => Err(Error::from(failure).in_operation("watch", name)),
        }
    }

    fn alarms(&self) -> Alarms {
        self.wakeups.alarms()
    }

    async fn inspect(&self, name: &LockName) -> Result<LockInfo, Error> {
        let statement = &self.store.statements.inspect;
        let read = |rows: &[_]| answers::inspection(rows, name);
        let answer = self.read(statement, &[name_arg(name)], read).await;
        answer.map_err(|f| Error::from(f).in_operation("inspect", name))
    }

    /// Reads the table from the prefix on, in the order of the names, until there are enough.
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<LockInfo>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let args = [Arg::Text(stored(prefix)), Arg::Int(limit)];
        let statement = &self.store.statements.list;
        Ok(self.read(statement, &args, answers::listing).await?)
    }

    async fn force_release(&self, name: &LockName) -> Result<ForcedRelease, Error> {
        let answer = self.try_force(name).await;
        answer.map_err(|f| Error::from(f).in_operation("force-release", name))
    }

    async fn examine(&self) -> Result<Vec<Finding>, Error> {
        Ok(examine::examine(&self.store).await?)
    }
}

impl Drop for PostgresBackend {
    fn drop(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
        self.wakeups.close();
    }
}

/// What every channel begins with; a client's id follows.
const CHANNEL: &str = "lock:";

/// Connections for renewals: the second serves leases whose rows another transaction keeps.
const CARE_CONNECTIONS: u32 = 2;

/// How many leases one statement renews.
const RENEWALS_PER_STATEMENT_MAX: usize = 500;

/// When to ask again for a lock whose row another transaction keeps.
const PINNED_PAUSE: Duration = Duration::from_millis(100);

/// For how long a connection may be idle before it is asked whether it is still there. An answer
/// costs a round trip, which a step should not pay.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);

fn pool(connections: u32, options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        // The request timeout is always shorter.
        .acquire_timeout(Duration::from_secs(120))
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}

/// What the server is to a connection of the user's pool, which may have settings of its own.
async fn facts_of(
    pool: &PgPool,
    limit: Duration,
    clock: &dyn Clock,
    at: &At,
) -> Result<Facts, Failure> {
    let asking = async {
        let connection = pool.acquire().await;
        let mut connection = connection.map_err(|error| Failure::connecting(error, at))?;
        Facts::ask(&mut connection, at).await
    };
    let facts = within(clock, limit, asking).await;
    facts.unwrap_or_else(|| Err(Failure::no_connection(at, limit)))
}

/// A setting by which a session begins its transactions as the steps want them.
const READ_COMMITTED: (&str, &str) = ("default_transaction_isolation", "read committed");

/// Takes rows away whose time has come, now and then.
fn forget(store: &Arc<Store>) -> AbortHandle {
    let store = Arc::clone(store);
    let mut byte = [0];
    SystemEntropy.fill(&mut byte);
    // Clients that started at once do not all look at once.
    let first = FORGET_EVERY.mul_f64(f64::from(byte[0]) / 256.0);
    let task = async move {
        let mut pause = first;
        loop {
            let next = store.clock.now().after(pause);
            store.clock.sleep_until(next).await;
            pause = FORGET_EVERY;
            if let Err(failure) = forget_all(&store).await {
                tracing::debug!(error = %Error::from(failure), "cannot take forgotten rows away");
            }
        }
    };
    tokio::spawn(task).abort_handle()
}

/// Goes on while a batch is full, so that it keeps up with whoever makes many names.
async fn forget_all(store: &Store) -> Result<(), Failure> {
    let args = [Arg::Int(FORGET_BATCH)];
    loop {
        let statement = &store.statements.forget;
        let rows = store.ask(Lane::Shared, statement, &args).await?;
        if answers::forgotten(&rows)? < FORGET_BATCH {
            return Ok(());
        }
    }
}

/// How many rows are taken away at once.
const FORGET_BATCH: i64 = 1000;

/// How often a client looks for rows whose time has come. It reads the whole table.
const FORGET_EVERY: Duration = Duration::from_secs(15 * 60);

pub(crate) fn name_arg(name: &LockName) -> Arg {
    Arg::Text(stored(name.as_str()))
}

pub(crate) fn owner_arg(owner: OwnerId) -> Arg {
    Arg::Bytes(bytes_of(owner))
}

fn bytes_of(owner: OwnerId) -> Vec<u8> {
    owner.bits().to_be_bytes().to_vec()
}

/// Tokens stay below 2^53.
pub(crate) fn number(token: u64) -> i64 {
    i64::try_from(token).unwrap_or(i64::MAX)
}

fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// Beyond a thousand years the server's own arithmetic would overflow.
fn forget_ms(length: Duration) -> i64 {
    millis(length).min(31_557_600_000_000)
}
