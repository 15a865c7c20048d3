//! Hints that a holder key is gone: by a release, by force, or because etcd's clock said so.

use std::time::Duration;

use etcd_client::{WatchFilterType, WatchOptions, WatchStream};
use futures_util::{StreamExt, stream};
use lock_core::{Clock, Effect, Error, ErrorKind, Hints, SystemClock};

use crate::store::{Store, failed, within};

/// The pause between two attempts to set up a watch that broke.
const PAUSE: Duration = Duration::from_millis(200);

/// Yields once for each deletion of the key from now on. Dropping the stream ends the watch.
pub(crate) async fn deletions(store: Store, key: String) -> Result<Hints, Error> {
    let first = within(watch(&store, &key)).await?;
    let state = (store, key, first);
    Ok(stream::unfold(state, |(store, key, stream)| async move {
        let stream = next(&store, &key, stream).await;
        Some(((), (store, key, stream)))
    })
    .boxed())
}

/// Watches for the deletion of a key, by whoever or whatever it is deleted. etcd has the watch when
/// this returns: it answers its creation before all else.
async fn watch(store: &Store, key: &str) -> Result<WatchStream, Error> {
    let options = WatchOptions::new().with_filters([WatchFilterType::NoPut]);
    let mut client = store.client.watch_client();
    let mut stream = client
        .watch(key, Some(options))
        .await
        .map_err(|e| failed(e, Effect::NotApplied))?;
    match stream.message().await {
        Ok(Some(first)) if first.created() && !first.canceled() => Ok(stream),
        Ok(_) => Err(Error::new(ErrorKind::Unavailable, "etcd refused the watch")),
        Err(error) => Err(failed(error, Effect::NotApplied)),
    }
}

/// Waits for a deletion. A watch that broke is set up again, which is a hint too: what happened
/// meanwhile was not seen.
async fn next(store: &Store, key: &str, mut stream: WatchStream) -> WatchStream {
    while let Ok(Some(message)) = stream.message().await
        && !message.canceled()
    {
        if !message.events().is_empty() {
            return stream;
        }
    }
    loop {
        if let Ok(stream) = within(watch(store, key)).await {
            return stream;
        }
        let clock = SystemClock::new();
        clock.sleep_until(clock.now().after(PAUSE)).await;
    }
}
