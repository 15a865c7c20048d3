//! etcd as the steps need it: look at a name, change it if it is as it was seen, and keep leases.
//!
//! The only file that knows the driver's errors.

use std::future::Future;
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, GetResponse, KeyValue, LeaseGrantOptions, PutOptions,
    Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use lock_core::{Clock, Effect, Error, ErrorKind, FormatTag, State, SystemClock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Code;

use crate::record::{Holder, Keys, Record, Seen};

/// How long a step may take in all. A client's own time-out is usually shorter.
const STEP_MAX: Duration = Duration::from_secs(10);

/// Whether a look also fetches the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    Everything,
    NoState,
}

/// How a change turned out.
pub(crate) enum Change {
    /// All of it was made, in one revision of the store.
    Made,
    /// Somebody else was faster; nothing was changed, and this is how the name is now.
    Overtaken(Box<Seen>),
}

/// One client of etcd. Its clones share one connection.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) client: Client,
}

impl Store {
    /// Reads all keys of a name at one revision. One round trip.
    ///
    /// Reads are linearizable by default in etcd: a quorum confirms that the leader still is one.
    pub(crate) async fn look(&self, keys: &Keys, fetch: Fetch) -> Result<Seen, Error> {
        let txn = Txn::new().and_then(reads(keys, fetch));
        let answer = self.client.kv_client().txn(txn).await;
        seen(&answer.map_err(|e| failed(e, Effect::NotApplied))?)
    }

    /// Makes the writes if the name is as it was seen. One round trip, and one atomic step.
    pub(crate) async fn change(
        &self,
        keys: &Keys,
        before: &Seen,
        fetch: Fetch,
        writes: Vec<TxnOp>,
    ) -> Result<Change, Error> {
        let unchanged =
            |key: &str, revision| Compare::mod_revision(key, CompareOp::Equal, revision);
        let txn = Txn::new()
            .when([
                unchanged(&keys.holder, before.holder_revision),
                unchanged(&keys.record, before.record_revision),
                unchanged(&keys.epoch, before.epoch_revision),
            ])
            .and_then(writes)
            .or_else(reads(keys, fetch));
        match self.client.kv_client().txn(txn).await {
            Ok(answer) if answer.succeeded() => Ok(Change::Made),
            Ok(answer) => Ok(Change::Overtaken(Box::new(seen(&answer)?))),
            // It ran out before it was used, or a release by the same owner took it away.
            Err(error) if says(&error, "requested lease not found") => Err(Error::new(
                ErrorKind::Unavailable,
                "the etcd lease ended before the holder was bound to it",
            )),
            Err(error) => Err(failed(error, Effect::Unknown)),
        }
    }

    /// Makes an etcd lease; returns its id and for how many seconds it is granted, which is no less
    /// than asked for. With an id of 0 the store chooses one. A lease that is there already is taken
    /// if it is long enough: the same owner made it, in an attempt that got no further.
    pub(crate) async fn grant_lease(&self, id: i64, ttl_s: u64) -> Result<(i64, u64), Error> {
        let mut leases = self.client.lease_client();
        let asked = i64::try_from(ttl_s).unwrap_or(i64::MAX);
        let named = Some(LeaseGrantOptions::new().with_id(id));
        let mut answer = leases.grant(asked, named).await;
        if answer
            .as_ref()
            .is_err_and(|e| says(e, "lease already exists"))
        {
            let known = leases.time_to_live(id, None).await;
            let granted = known
                .map_err(|e| failed(e, Effect::NotApplied))?
                .granted_ttl();
            if granted >= asked && self.keep_lease(id).await? {
                return Ok((id, u64::try_from(granted).unwrap_or(ttl_s)));
            }
            answer = leases.grant(asked, None).await;
        }
        let lease = answer.map_err(|e| failed(e, Effect::NotApplied))?;
        Ok((lease.id(), u64::try_from(lease.ttl()).unwrap_or(ttl_s)))
    }

    /// Starts the ttl of an etcd lease anew; `false` if it is over.
    pub(crate) async fn keep_lease(&self, id: i64) -> Result<bool, Error> {
        match self.client.lease_client().keep_alive(id).await {
            Ok(_) => Ok(true),
            Err(etcd_client::Error::LeaseKeepAliveError(_)) => Ok(false),
            Err(error) if says(&error, "lease not found") => Ok(false),
            Err(error) => Err(failed(error, Effect::Unknown)),
        }
    }

    /// Ends an etcd lease and removes the keys bound to it; one that is over is no failure.
    pub(crate) async fn revoke_lease(&self, id: i64) -> Result<(), Error> {
        match self.client.lease_client().revoke(id).await {
            Ok(_) => Ok(()),
            Err(error) if says(&error, "lease not found") => Ok(()),
            Err(error) => Err(failed(error, Effect::Unknown)),
        }
    }

    /// For how long an etcd lease lasts yet. etcd says it in whole seconds, rounded down, so the
    /// second that was cut off is added: whoever waits for so long does not wait in vain.
    pub(crate) async fn lease_left(&self, id: i64) -> Result<Duration, Error> {
        let answer = self.client.lease_client().time_to_live(id, None).await;
        let left = answer.map_err(|e| failed(e, Effect::NotApplied))?.ttl();
        Ok(
            u64::try_from(left)
                .map_or(Duration::ZERO, |s| Duration::from_secs(s.saturating_add(1))),
        )
    }

    /// The keys that begin with the prefix, without their values, at most so many.
    pub(crate) async fn keys(&self, prefix: &str, limit: usize) -> Result<Vec<String>, Error> {
        if limit == 0 {
            // To etcd that would mean all of them.
            return Ok(Vec::new());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let options = GetOptions::new()
            .with_prefix()
            .with_keys_only()
            .with_limit(limit);
        let answer = self.client.kv_client().get(prefix, Some(options)).await;
        let found = answer.map_err(|e| failed(e, Effect::NotApplied))?;
        let text = |kv: &KeyValue| kv.key_str().ok().map(str::to_owned);
        Ok(found.kvs().iter().filter_map(text).collect())
    }
}

/// Puts a value as JSON.
pub(crate) fn put(key: &str, value: &impl Serialize, lease: i64) -> Result<TxnOp, Error> {
    let json = serde_json::to_vec(value).map_err(|e| {
        Error::new(ErrorKind::Internal, format!("{key} cannot be encoded")).with_source(e)
    })?;
    Ok(TxnOp::put(
        key,
        json,
        Some(PutOptions::new().with_lease(lease)),
    ))
}

/// Waits for a step, but no longer than [`STEP_MAX`].
pub(crate) async fn within<T>(step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let clock = SystemClock::new();
    tokio::select! {
        biased;
        answer = step => answer,
        () = clock.sleep_until(clock.now().after(STEP_MAX)) => Err(Error::new(
            ErrorKind::Unavailable,
            format!("etcd did not answer within {} ms", STEP_MAX.as_millis()),
        )
        .with_effect(Effect::Unknown)),
    }
}

/// Puts bytes.
pub(crate) fn put_bytes(key: &str, bytes: Vec<u8>, lease: i64) -> TxnOp {
    TxnOp::put(key, bytes, Some(PutOptions::new().with_lease(lease)))
}

/// Binds a key, if it is there, to another etcd lease and leaves its value as it is.
pub(crate) fn bind(key: &str, lease: i64) -> TxnOp {
    let options = PutOptions::new().with_ignore_value().with_lease(lease);
    let is_there = Compare::version(key, CompareOp::Greater, 0);
    let put = TxnOp::put(key, "", Some(options));
    TxnOp::txn(Txn::new().when([is_there]).and_then([put]))
}

fn reads(keys: &Keys, fetch: Fetch) -> Vec<TxnOp> {
    let mut wanted = vec![&keys.holder, &keys.record, &keys.epoch];
    if fetch == Fetch::Everything {
        wanted.push(&keys.state);
    }
    let read = |key: &String| TxnOp::get(key.as_str(), None);
    wanted.into_iter().map(read).collect()
}

/// Reads what [`reads`] asked for.
fn seen(answer: &TxnResponse) -> Result<Seen, Error> {
    let responses = answer.op_responses();
    let kv = |index: usize| match responses.get(index) {
        Some(TxnOpResponse::Get(found)) => first(found),
        _ => None,
    };
    let (holder, record, epoch, state) = (kv(0), kv(1), kv(2), kv(3));
    let revision_of = |kv: Option<&KeyValue>| kv.map_or(0, KeyValue::mod_revision);
    let revision = answer.header().map_or(0, |header| header.revision());
    let mut seen = Seen {
        holder_revision: revision_of(holder),
        record_revision: revision_of(record),
        record_lease: record.map_or(0, KeyValue::lease),
        epoch_revision: revision_of(epoch),
        holder: holder.map(decode::<Holder>).transpose()?,
        record: record
            .map(decode::<Record>)
            .transpose()?
            .unwrap_or_default(),
        epoch: epoch.map(decode::<u64>).transpose()?,
        state: None,
        revision: u64::try_from(revision).unwrap_or(0),
    };
    if let (Some(holder), Some(kv)) = (&mut seen.holder, holder) {
        holder.lease = kv.lease();
    }
    if let (Some(written), Some(kv)) = (seen.record.written, state) {
        seen.state = Some(State::new(
            FormatTag::new(written.format),
            kv.value().to_vec(),
        ));
    }
    Ok(seen.settle())
}

fn first(found: &GetResponse) -> Option<&KeyValue> {
    found.kvs().first()
}

fn decode<T: DeserializeOwned>(kv: &KeyValue) -> Result<T, Error> {
    serde_json::from_slice(kv.value()).map_err(|e| {
        let key = kv.key_str().unwrap_or("?").escape_debug();
        Error::new(
            ErrorKind::Invalid,
            format!("the key {key} is not what this library writes; delete it if it is nobody's"),
        )
        .with_source(e)
    })
}

fn says(error: &etcd_client::Error, words: &str) -> bool {
    matches!(error, etcd_client::Error::GRpcStatus(status) if status.message().contains(words))
}

/// What the driver's error means. `effect` is what is known if no answer came: a request that only
/// reads has none. If the store said no, nothing was changed.
pub(crate) fn failed(error: etcd_client::Error, effect: Effect) -> Error {
    let kind = if let etcd_client::Error::GRpcStatus(status) = &error {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "whatever else it says may pass"
        )]
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Denied,
            Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
            Code::Unimplemented => ErrorKind::Unsupported,
            _ => ErrorKind::Unavailable,
        }
    } else if matches!(
        error,
        etcd_client::Error::InvalidArgs(_) | etcd_client::Error::InvalidUri(_)
    ) {
        ErrorKind::Invalid
    } else {
        ErrorKind::Unavailable
    };
    let (message, effect) = if kind == ErrorKind::Unavailable {
        ("etcd did not serve the request", effect)
    } else {
        ("etcd refused the request", Effect::NotApplied)
    };
    let message = format!("{message}: {error}");
    Error::new(kind, message)
        .with_effect(effect)
        .with_source(error)
}
