//! A `redis-server` process on a free port of the loopback, with a folder of its own; it ends with
//! its owner.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_redis::{RedisBackend, RedisOptions};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, cmd};

use crate::PATIENCE;

pub(crate) struct Server {
    pub(crate) port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    password: Option<String>,
    child: Option<Child>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Further arguments in the form of the configuration file: `--maxmemory`, `100mb`.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let mut server = Self::prepared(arguments);
        server.run();
        server.answers().await;
        server
    }

    /// Not started yet.
    pub(crate) fn prepared(arguments: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("lock-redis-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let password = arguments
            .iter()
            .position(|a| *a == "--requirepass")
            .map(|i| arguments[i + 1].to_owned());
        Self {
            port: free_port(),
            folder,
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            password,
            child: None,
        }
    }

    pub(crate) fn run(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--dir"])
            .arg(&self.folder)
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    fn url_with_password(&self) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}/", self.port),
            None => self.url(),
        }
    }

    /// Another client than the backend's.
    pub(crate) async fn raw(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url_with_password()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Sends a command as another client would.
    pub(crate) async fn say<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.raw().await).await.unwrap()
    }

    pub(crate) async fn answers(&self) {
        let asking = async {
            let client = redis::Client::open(self.url_with_password()).unwrap();
            loop {
                if let Ok(mut raw) = client.get_multiplexed_async_connection().await
                    && cmd("PING").query_async::<String>(&mut raw).await.is_ok()
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking)
            .await
            .expect("the server must start in time");
    }

    /// A backend whose requests have time on a busy machine.
    pub(crate) async fn backend(&self) -> RedisBackend {
        self.options().connect().await.unwrap()
    }

    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions::new(&self.url_with_password())
            .unwrap()
            .request_timeout(Duration::from_secs(10))
            .connect_timeout(Duration::from_secs(10))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // A folder that stays behind in the temporary one harms nobody.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// A port that was free a moment ago, below the range from which the system draws for clients. A
/// node of a cluster also takes the one 10000 above.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = 12_000 + std::process::id() % 5_000;
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(12_000 + (start - 12_000 + offset) % 8_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok()
        {
            return port;
        }
    }
}
