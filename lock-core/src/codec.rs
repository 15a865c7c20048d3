//! [`Codec`]: the translation between a value and its stored bytes.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;
use crate::state::FormatTag;

/// Translates between a value and the bytes in the store.
///
/// A value that is read back must be the value that was written, by any version of the service that
/// runs at the same time.
pub trait Codec<T>: fmt::Debug + Send + Sync + 'static {
    /// Tells this codec's bytes from others'; a state with another tag is not decoded.
    fn format(&self) -> FormatTag;

    /// Writes a value as bytes.
    ///
    /// # Errors
    /// If the value has no form in this codec; nothing is sent to the store then.
    fn encode(&self, value: &T) -> Result<Bytes, BoxError>;

    /// Reads a value from bytes.
    ///
    /// # Errors
    /// If the bytes are not a value; the lock is given up then and the bytes stay as they are.
    fn decode(&self, bytes: &[u8]) -> Result<T, BoxError>;
}

/// JSON by `serde_json`: the default, readable with the store's own tools.
///
/// It writes some values that it cannot read back: `f64::NAN` and the infinities become `null`. Such
/// a value can be committed and not be locked again, so keep them out, or use a codec of your own.
///
/// A type may gain fields that have `#[serde(default)]` while older versions of the service run. For
/// anything else, lock the name as a `serde_json::Value`, change that and commit it:
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use lock_core::{ErrorKind, LockClient};
/// use serde_json::{Value, json};
///
/// let locks = LockClient::in_memory();
/// locks.mutex::<u32>("seats")?.update(|seats| { *seats = 7; Ok(()) }).await?;
///
/// // The next version of the service keeps a list, and does not read the number.
/// let seats = locks.mutex::<Vec<u32>>("seats")?;
/// assert_eq!(seats.lock().await.unwrap_err().kind(), ErrorKind::State);
///
/// // Run once, and harmless if it is run again.
/// let migration = |value: &mut Value| {
///     if let Some(number) = value.as_u64() {
///         *value = json!((1..=number).collect::<Vec<_>>());
///     }
///     Ok(())
/// };
/// locks.mutex::<Value>("seats")?.update(migration).await?;
/// assert_eq!(seats.lock().await?.len(), 7);
/// # Ok::<(), lock_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "it has no fields and will have none"
)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    fn format(&self) -> FormatTag {
        FormatTag::JSON
    }

    fn encode(&self, value: &T) -> Result<Bytes, BoxError> {
        Ok(serde_json::to_vec(value)?.into())
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, BoxError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}
