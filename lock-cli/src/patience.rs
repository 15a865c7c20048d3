//! Takes a lock with the patience that the user has, and says who has it where that fails.

use distributed_mutex::{DistributedMutex, Error, ErrorKind, LockClient, LockGuard};

use crate::cli::WaitOptions;
use crate::output::{Escaped, complain, failed};
use crate::show;

/// The lock, or the exit code of not having it.
pub(crate) async fn lock<T: Send + 'static>(
    mutex: &DistributedMutex<T>,
    locks: &LockClient,
    options: &WaitOptions,
) -> Result<LockGuard<T>, u8> {
    let taken: Result<Option<LockGuard<T>>, Error> = match options {
        WaitOptions { no_wait: true, .. } => mutex.try_lock().await,
        WaitOptions {
            timeout: Some(timeout),
            ..
        } => match mutex.lock_timeout(*timeout).await {
            Err(e) if e.kind() == ErrorKind::Timeout => Ok(None),
            taken => taken.map(Some),
        },
        _ => mutex.lock().await.map(Some),
    };
    match taken {
        Ok(Some(guard)) => Ok(guard),
        Ok(None) => {
            complain_of_holder(mutex.name().as_str(), locks).await;
            Err(options.conflict_exit_code)
        }
        Err(e) => Err(failed(&e)),
    }
}

async fn complain_of_holder(name: &str, locks: &LockClient) {
    let shown = Escaped(name);
    let holder = locks.inspect(name).await.ok().and_then(|info| info.holder);
    match holder {
        Some(holder) => complain(format_args!(
            "lock '{shown}' is held by {}",
            show::sentence(&holder)
        )),
        None => complain(format_args!("lock '{shown}' is held by another")),
    }
}
