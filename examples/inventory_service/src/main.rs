//! A service that keeps stock: how many units of each SKU there are, and who reserved some. Any
//! number of its processes may run on one store; a [`DistributedMutex`](distributed_mutex::DistributedMutex)
//! for each SKU sees to it that none is oversold or lost, whichever of them is killed.
//!
//! ```sh
//! cargo run -p inventory_service            # on the file inventory.db, port 8080
//! curl -X PUT localhost:8080/skus/widget -H 'content-type: application/json' -d '{"units": 100}'
//! ```
//!
//! Its page is `docs/inventory-service.md`.
#![expect(clippy::print_stdout, reason = "it says where it listens")]
#![expect(
    clippy::disallowed_methods,
    reason = "a service that ends waits in real time"
)]

mod api;
#[cfg(feature = "metrics")]
mod figures;
mod inventory;
mod item;
mod problem;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use distributed_mutex::{BoxError, Connector, LockClient, LockOptions};
use inventory::Inventory;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

const USAGE: &str = "\
usage: inventory_service [STORE [ADDRESS]]
  STORE    its URL: sqlite:inventory.db (default), memory:, redis://HOST/, postgres://USER@HOST/DB
  ADDRESS  where to listen: 127.0.0.1:8080 (default)";

/// For so long it serves on, after it was asked to end, whoever it had begun to serve.
const DRAIN: Duration = Duration::from_secs(5);
/// For so long the store may take to confirm that no lease is left.
const CLOSE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (store, address) = match words[..] {
        [] => ("sqlite:inventory.db", ADDRESS),
        [store] if !store.starts_with('-') => (store, ADDRESS),
        [store, address] => (store, address),
        _ => {
            println!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(store, address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = problem::with_causes(&*error);
            tracing::error!(error, "the service ended");
            ExitCode::FAILURE
        }
    }
}

const ADDRESS: &str = "127.0.0.1:8080";

async fn run(store: &str, address: &str) -> Result<(), BoxError> {
    let address: SocketAddr = address.parse()?;
    // Its store gives up well before a caller would, so that the caller is told.
    let defaults = LockOptions::builder()
        .patience(Duration::from_secs(3))
        .label("inventory_service");
    let locks = Connector::new().defaults(defaults).connect(store).await?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let served = serve(listener, &locks).await;
    // Also after a failure: no lease is left for others to wait for.
    let closed = locks.close(CLOSE).await;
    served?;
    Ok(closed?)
}

/// Serves until a signal asks to end, and then whoever is being served, but not for ever.
async fn serve(listener: TcpListener, locks: &LockClient) -> Result<(), BoxError> {
    let router = api::router(Inventory::new(locks.clone())?);
    #[cfg(feature = "metrics")]
    let router = figures::with_page(router)?;
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let (asked, mut is_asked) = watch::channel(false);
    let mut late = asked.subscribe();
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { drop(is_asked.wait_for(|asked| *asked).await) });
    let watched = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _told = asked.send(true);
        std::future::pending::<()>().await;
    };
    let too_late = async {
        // The sender lives as long as this function.
        drop(late.wait_for(|asked| *asked).await);
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = served => Ok(served?),
        () = watched => Ok(()),
        () = too_late => Err("requests were still being served when its time to end was up".into()),
    }
}
