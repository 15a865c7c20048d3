//! The service mended.

use lock_core::BoxError;

use super::{Service, ms, pay, take};

/// Changes the value that it got with the lock.
pub(super) async fn sell(service: Service, order: u32) -> Result<(), BoxError> {
    let sold = service.stock.update(|stock| take(stock, order));
    Ok(sold.await?)
}

/// Stops where the lock is lost, and says so.
pub(super) async fn ship(service: &Service, orders: &[u32]) -> Result<(), BoxError> {
    let guard = service.stock.lock().await?;
    let token = guard.token();
    let shipping = async {
        for order in orders {
            service.warehouse.ship(token, *order).await;
        }
    };
    guard.while_held(shipping).await?;
    Ok(guard.release().await?)
}

/// Waits for the lock no longer than it may, and for the answer to the commit as long as it takes.
pub(super) async fn sell_quickly(service: &Service, order: u32) -> Result<(), BoxError> {
    let mut guard = service.stock.lock_timeout(ms(200)).await?;
    take(&mut guard, order)?;
    Ok(guard.commit().await?)
}

/// Commits.
pub(super) async fn reserve(service: &Service, order: u32) -> Result<(), BoxError> {
    let mut guard = service.stock.lock().await?;
    take(&mut guard, order)?;
    Ok(guard.commit().await?)
}

/// Has the money before it takes the lock.
pub(super) async fn sell_for_money(service: &Service, order: u32) -> Result<(), BoxError> {
    pay(service).await;
    let sold = service.stock.update(|stock| take(stock, order));
    Ok(sold.await?)
}
