//! What the examples share: a client by URL, and their events on the terminal.

use distributed_mutex::{Connector, Error, LockClient, LockOptionsBuilder};

/// A client of the store that the URL names, with these options where the URL does not say otherwise.
///
/// # Errors
/// If the URL is wrong or the store is not fit to keep locks.
///
/// # Cancel safety
/// Safe to drop: nothing is left but a connection that closes.
pub async fn connect(url: &str, options: LockOptionsBuilder) -> Result<LockClient, Error> {
    Connector::new().defaults(options).connect(url).await
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
