//! The service with its defects.

use lock_core::BoxError;

use super::{Service, ms, pay, take};

/// Reads the stock without the lock, and writes what it made of it under the lock.
pub(super) async fn sell(service: Service, order: u32) -> Result<(), BoxError> {
    let mut stock = service.stock.peek().await?.value;
    take(&mut stock, order)?;
    let mut guard = service.stock.lock().await?;
    *guard = stock;
    Ok(guard.commit().await?)
}

/// Sends parcel after parcel and never asks whether it still has the lock.
pub(super) async fn ship(service: &Service, orders: &[u32]) -> Result<(), BoxError> {
    let guard = service.stock.lock().await?;
    for order in orders {
        service.warehouse.ship(guard.token(), *order).await;
    }
    Ok(guard.release().await?)
}

/// Drops the commit if its answer takes long, and knows nothing then.
pub(super) async fn sell_quickly(service: &Service, order: u32) -> Result<(), BoxError> {
    let mut guard = service.stock.lock().await?;
    take(&mut guard, order)?;
    tokio::time::timeout(ms(200), guard.commit()).await??;
    Ok(())
}

/// Forgets to commit.
pub(super) async fn reserve(service: &Service, order: u32) -> Result<(), BoxError> {
    let mut guard = service.stock.lock().await?;
    take(&mut guard, order)
}

/// Has everybody wait for the payment provider.
pub(super) async fn sell_for_money(service: &Service, order: u32) -> Result<(), BoxError> {
    let mut guard = service.stock.lock().await?;
    pay(service).await;
    take(&mut guard, order)?;
    Ok(guard.commit().await?)
}
