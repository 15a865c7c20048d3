//! [`Inventory`]: the stock in the store, one mutex a SKU; the only file that locks anything.

use std::collections::BTreeSet;
use std::time::Duration;

use distributed_mutex::{DistributedMutex, Error, LockClient};

use crate::item::{Done, Item, Refused};

/// All SKUs. Clones share the client.
#[derive(Clone, Debug)]
pub(crate) struct Inventory {
    locks: LockClient,
    /// The names of all SKUs.
    catalogue: DistributedMutex<BTreeSet<String>>,
}

/// So many SKUs there may be: their names are one value.
pub(crate) const SKUS_MAX: usize = 1000;

/// For so long a request waits for its lock, to the moment when the caller is told to come back.
const WAIT: Duration = Duration::from_secs(2);

/// Why something was not done, or perhaps not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Before anything was written: the lock was not had, or the store not read.
    Before(Error),
    /// The write, of which the error's effect says whether it may have happened.
    Commit(Error),
    /// A rule of the stock: nothing was changed.
    Refused(Refused),
    /// There are as many SKUs as there may be.
    TooManySkus,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

impl Inventory {
    pub(crate) fn new(locks: LockClient) -> Result<Self, Error> {
        let catalogue = locks.mutex("inventory/catalogue")?;
        Ok(Self { locks, catalogue })
    }

    /// The names of all SKUs, as last committed.
    pub(crate) async fn list(&self) -> Result<BTreeSet<String>, Failure> {
        Ok(self.catalogue.peek().await?.value)
    }

    /// Makes a SKU, once. It is in the catalogue first: if this process dies in between, the same
    /// request sent again finishes the work.
    pub(crate) async fn create(&self, sku: &str, units: u32) -> Result<(Done, u32), Failure> {
        let name = sku.to_owned();
        change(&self.catalogue, |skus| {
            if skus.len() >= SKUS_MAX && !skus.contains(&name) {
                return Err(Failure::TooManySkus);
            }
            let _is_new = skus.insert(name);
            Ok(())
        })
        .await?;
        change(&self.mutex(sku)?, |item| match item {
            Some(item) if item.units() == units => Ok((Done::Before, item.left())),
            Some(_) => Err(Failure::Refused(Refused::Conflict)),
            None => {
                *item = Some(Item::new(units));
                Ok((Done::Now, units))
            }
        })
        .await
    }

    /// A SKU as last committed.
    pub(crate) async fn item(&self, sku: &str) -> Result<Item, Failure> {
        let item = self.mutex(sku)?.peek().await?.value;
        item.ok_or(Failure::Refused(Refused::NoSku))
    }

    pub(crate) async fn reserve(
        &self,
        sku: &str,
        id: &str,
        units: u32,
    ) -> Result<(Done, u32), Failure> {
        self.with_item(sku, |item| item.reserve(id, units)).await
    }

    pub(crate) async fn give_back(&self, sku: &str, id: &str) -> Result<(Done, u32), Failure> {
        self.with_item(sku, |item| item.give_back(id)).await
    }

    /// Whether the store answers.
    pub(crate) async fn is_ready(&self) -> Result<(), Error> {
        self.catalogue.peek().await.map(drop)
    }

    /// Changes a SKU and says what is left of it.
    async fn with_item(
        &self,
        sku: &str,
        work: impl FnOnce(&mut Item) -> Result<Done, Refused> + Send,
    ) -> Result<(Done, u32), Failure> {
        change(&self.mutex(sku)?, |item| {
            let item = item.as_mut().ok_or(Failure::Refused(Refused::NoSku))?;
            let done = work(item).map_err(Failure::Refused)?;
            Ok((done, item.left()))
        })
        .await
    }

    fn mutex(&self, sku: &str) -> Result<DistributedMutex<Option<Item>>, Error> {
        self.locks.mutex(format!("inventory/sku/{sku}"))
    }
}

/// Takes the lock, changes the value, and commits it; gives the lock up where the change is refused
/// or changes nothing.
///
/// Dropped half-way, as when the caller hangs up, it is committed as a whole or not at all; the
/// caller may send the request again, and is told then.
async fn change<T, R>(
    mutex: &DistributedMutex<T>,
    work: impl FnOnce(&mut T) -> Result<R, Failure> + Send,
) -> Result<R, Failure>
where
    T: Clone + PartialEq + Send + Sync + 'static,
    R: Send,
{
    let mut guard = mutex.lock_timeout(WAIT).await?;
    let mut value = T::clone(&guard);
    let result = work(&mut value);
    if result.is_ok() && value != *guard {
        *guard = value;
        guard.commit().await.map_err(Failure::Commit)?;
    } else {
        // Nothing was to be written, so the answer is the same if the lease is lost or ends late.
        let _given_up = guard.release().await;
    }
    result
}
