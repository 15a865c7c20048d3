//! What the examples share: a client by URL, and their events on the terminal.

use lock_core::{Error, LockClient, LockOptions, MemoryBackend};
use lock_redis::RedisBackend;

/// A client of the store that the URL names; without one, of a store in memory.
///
/// # Errors
/// If the URL is wrong or the store is not fit to keep locks.
///
/// # Cancel safety
/// Safe to drop: nothing is left but a connection that closes.
pub async fn connect(url: Option<&str>, options: LockOptions) -> Result<LockClient, Error> {
    let builder = match url {
        Some(url) => LockClient::builder(RedisBackend::connect(url).await?),
        None => LockClient::builder(MemoryBackend::new()),
    };
    Ok(builder.options(options).build())
}

/// Shows the library's warnings and errors, or what `RUST_LOG` asks for, on standard error.
pub fn show_events() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
