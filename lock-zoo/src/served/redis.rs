//! Redis servers for broken locks, and one process' connection to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use lock_core::{Effect, Error, ErrorKind};
use lock_testkit::service::{Data, RedisFailover, RedisServer, RedisServerOptions};
use lock_testkit::subject::ServerFault;
use lock_testkit::{Link, SetupError, StepKind};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::stand::{Ground, Lock};

/// One process' connection, made when it is needed and made anew when it broke.
#[derive(Clone)]
pub(super) struct Wire {
    server: Arc<Server>,
    connection: Arc<Mutex<Option<MultiplexedConnection>>>,
    link: Link,
}

impl Wire {
    /// Sends one command and reads the reply.
    pub(super) async fn ask<T>(&self, step: StepKind, command: Cmd) -> Result<T, Error>
    where
        T: FromRedisValue + Send + 'static,
    {
        let this = self.clone();
        let call = Box::pin(async move { this.send(&command).await });
        self.link.carry(step, call).await
    }

    async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let mut connection = self.connection().await?;
        let answer = command.query_async(&mut connection).await;
        if answer.is_err() {
            *self.connection.lock().await = None;
        }
        answer.map_err(|e: redis::RedisError| {
            // What the server itself answers with was not done.
            let effect = match e.code() {
                Some(_) => Effect::NotApplied,
                None => Effect::Unknown,
            };
            failed(e).with_effect(effect)
        })
    }

    async fn connection(&self) -> Result<MultiplexedConnection, Error> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = &*slot {
            return Ok(connection.clone());
        }
        let connection = connect(self.server.url()).await.map_err(failed)?;
        Ok(slot.insert(connection).clone())
    }
}

async fn connect(url: &str) -> Result<MultiplexedConnection, redis::RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let client = Client::open(url)?;
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

fn failed(e: redis::RedisError) -> Error {
    let message = match e.code() {
        Some(code) => code.to_owned(),
        None => "Redis does not answer".to_owned(),
    };
    Error::new(ErrorKind::Unavailable, message).with_source(e)
}

/// A server, or two of which one takes over.
pub(super) enum Server {
    One(RedisServer),
    Pair {
        pair: RedisFailover,
        /// Whether the replica has got everything when it takes over.
        is_in_step: bool,
        has_failed_over: AtomicBool,
    },
}

impl Server {
    /// Where a supervisor would send clients now.
    fn url(&self) -> &str {
        match self {
            Self::One(server) => server.url(),
            Self::Pair {
                pair,
                has_failed_over,
                ..
            } => match has_failed_over.load(Ordering::SeqCst) {
                true => pair.replica().url(),
                false => pair.primary().url(),
            },
        }
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        match (self, fault) {
            (Self::One(server), ServerFault::FlushScripts) => server.flush_scripts().await?,
            (Self::One(server), ServerFault::Kill { .. }) => server.restart(Data::Keep).await?,
            (
                Self::Pair {
                    pair,
                    is_in_step,
                    has_failed_over,
                },
                ServerFault::FailOver,
            ) => {
                if *is_in_step {
                    pair.until_in_step().await?;
                }
                pair.fail_over().await?;
                has_failed_over.store(true, Ordering::SeqCst);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Makes the lock of one process.
pub(super) type Make = fn(Wire) -> Box<dyn Lock>;

/// Redis, and a lock on it.
pub(super) struct RedisGround {
    server: Arc<Server>,
    make: Make,
    /// What else is written to the server all the time.
    cache: Option<Cache>,
}

impl RedisGround {
    /// A server that keeps nothing on disk.
    pub(super) async fn plain(make: Make) -> Result<Arc<dyn Ground>, SetupError> {
        Self::with(RedisServerOptions::new(), make).await
    }

    /// A server that writes every step to its disk before it answers.
    pub(super) async fn persistent(make: Make) -> Result<Arc<dyn Ground>, SetupError> {
        let options = RedisServerOptions::new()
            .config("appendonly yes")
            .config("appendfsync always");
        Self::with(options, make).await
    }

    /// A primary and its replica.
    pub(super) async fn pair(make: Make, is_in_step: bool) -> Result<Arc<dyn Ground>, SetupError> {
        let pair = RedisFailover::start().await?;
        if !is_in_step {
            pair.cut_link().await?;
        }
        let server = Server::Pair {
            pair,
            is_in_step,
            has_failed_over: AtomicBool::new(false),
        };
        Ok(Arc::new(Self {
            server: Arc::new(server),
            make,
            cache: None,
        }))
    }

    /// A server that others use as a cache, with so much room.
    pub(super) async fn cache(make: Make, room: &str) -> Result<Arc<dyn Ground>, SetupError> {
        let options = RedisServerOptions::new()
            .config(&format!("maxmemory {room}"))
            .config("maxmemory-policy allkeys-lru");
        let server = Arc::new(Server::One(options.start().await?));
        let cache = Cache::fill(&server).await?;
        Ok(Arc::new(Self {
            server,
            make,
            cache: Some(cache),
        }))
    }

    async fn with(options: RedisServerOptions, make: Make) -> Result<Arc<dyn Ground>, SetupError> {
        Ok(Arc::new(Self {
            server: Arc::new(Server::One(options.start().await?)),
            make,
            cache: None,
        }))
    }
}

#[async_trait]
impl Ground for RedisGround {
    async fn lock(&self, link: Link) -> Result<Box<dyn Lock>, SetupError> {
        if self.cache.as_ref().is_some_and(Cache::has_ended) {
            return Err(SetupError::new("nobody fills the cache any more"));
        }
        Ok((self.make)(Wire {
            server: Arc::clone(&self.server),
            connection: Arc::default(),
            link,
        }))
    }

    async fn suffer(&self, fault: &ServerFault) -> Result<bool, SetupError> {
        self.server.suffer(fault).await
    }
}

/// Another service that caches pages on the same server.
struct Cache {
    task: JoinHandle<()>,
}

impl Cache {
    async fn fill(server: &Server) -> Result<Self, SetupError> {
        let mut connection = connect(server.url())
            .await
            .map_err(|e| SetupError::new("cannot fill the cache").with_source(e))?;
        let filling: BoxFuture<'static, ()> = Box::pin(async move {
            let page = vec![b'x'; PAGE_BYTES];
            for number in (0..PAGES).cycle() {
                let mut set = redis::cmd("SET");
                set.arg(format!("page/{number}")).arg(&page);
                let stored: Result<(), _> = set.query_async(&mut connection).await;
                // A cache does not mind if the server has no room; but the server may be gone.
                if stored.is_err_and(|e| e.code().is_none()) {
                    break;
                }
            }
        });
        Ok(Self {
            task: tokio::spawn(filling),
        })
    }

    fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How long a client waits for a server.
const PATIENCE: Duration = Duration::from_secs(5);

const PAGE_BYTES: usize = 20_000;

/// All pages together are far more than a small server has room for.
const PAGES: u32 = 1_000;
