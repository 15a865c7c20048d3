//! [`Resource`] and [`Request`]: what the service's test doubles report.

use std::sync::Arc;
use std::time::Duration;

use lock_core::FencingToken;

use super::Shared;
use super::evidence::{Access, Served, Use};

/// Something outside of the store that a lock guards. Its double in a test reports each use.
///
/// # Examples
/// ```
/// use lock_core::FencingToken;
/// use lock_testkit::sections::{Resource, Watch};
///
/// /// A double of the warehouse that the service sends its orders to.
/// struct Warehouse {
///     probe: Resource,
///     largest: Option<FencingToken>,
/// }
///
/// impl Warehouse {
///     fn ship(&mut self, token: FencingToken, order: &str) -> Result<(), String> {
///         if Some(token) < self.largest {
///             self.probe.refused(Some(token), order);
///             return Err("a stale token".to_owned());
///         }
///         self.largest = Some(token);
///         self.probe.wrote(Some(token), order);
///         Ok(())
///     }
/// }
///
/// let watch = Watch::new();
/// let warehouse = Warehouse {
///     probe: watch.resource("warehouse", "stock/sku-17"),
///     largest: None,
/// };
/// ```
#[derive(Clone, Debug)]
pub struct Resource {
    shared: Arc<Shared>,
    name: Arc<str>,
    guarded_by: Arc<str>,
}

impl Resource {
    pub(super) fn new(shared: Arc<Shared>, name: String, guarded_by: String) -> Self {
        Self {
            shared,
            name: name.into(),
            guarded_by: guarded_by.into(),
        }
    }

    /// This task read it, under the lease of this token if it said which.
    pub fn read(&self, token: Option<FencingToken>, what: impl Into<String>) {
        self.used(Access::Read, token, what.into());
    }

    /// This task wrote it, under the lease of this token if it said which.
    pub fn wrote(&self, token: Option<FencingToken>, what: impl Into<String>) {
        self.used(Access::Write, token, what.into());
    }

    /// It refused this task, so nothing happened.
    pub fn refused(&self, token: Option<FencingToken>, what: impl Into<String>) {
        self.used(Access::Refused, token, what.into());
    }

    fn used(&self, access: Access, token: Option<FencingToken>, what: String) {
        let (at, task) = self.shared.here();
        self.shared.inner().uses.push(Use {
            resource: Arc::clone(&self.name),
            lock: Arc::clone(&self.guarded_by),
            access,
            token: token.map(FencingToken::get),
            what,
            at,
            task,
        });
    }
}

/// A request that a task serves. It is over when this is dropped.
#[derive(Debug)]
#[must_use = "the request is over as soon as this is dropped"]
pub struct Request {
    shared: Arc<Shared>,
    served: Served,
}

impl Request {
    pub(super) fn new(shared: Arc<Shared>, name: String, limit: Duration) -> Self {
        let (from, task) = shared.here();
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let served = Served {
            name,
            task,
            from,
            until: u64::MAX,
            deadline: from.saturating_add(limit),
        };
        Self { shared, served }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let (now, _) = self.shared.here();
        self.served.until = now;
        let served = self.served.clone();
        self.shared.inner().requests.push(served);
    }
}
