//! What etcd keeps of one name, and under which keys.
//!
//! | key | value | why |
//! |---|---|---|
//! | `{prefix}holder/{name}` | [`Holder`] as JSON | It is bound to an etcd lease, so it is there exactly as long as the lock is held. |
//! | `{prefix}record/{name}` | [`Record`] as JSON | What outlives the holder: the last token, how the last lease ended, what was committed. |
//! | `{prefix}state/{name}` | the value, byte for byte | Apart from the record, so that a renewal does not read it. Bound to the etcd lease of the record, if that has one. |
//! | `{prefix}epoch` | a number | Where the tokens of this store begin; see [`Seen::next_token`]. |
//!
//! Keys of etcd are any bytes, so that a name stands in them as it is: two names never share a key,
//! and the keys of all names that begin alike are one range.

use std::time::Duration;

use lock_core::{
    Acquire, FencingToken, HolderInfo, LockInfo, LockName, LossCause, OwnerId, Previous, State, Ttl,
};
use serde::{Deserialize, Serialize};

/// The keys of one name.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) holder: String,
    pub(crate) record: String,
    pub(crate) state: String,
    pub(crate) epoch: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str, name: &LockName) -> Self {
        Self {
            holder: format!("{}{}", Self::holders(prefix), name.as_str()),
            record: format!("{prefix}record/{}", name.as_str()),
            state: format!("{prefix}state/{}", name.as_str()),
            epoch: format!("{prefix}epoch"),
        }
    }

    /// What the holder keys of all names begin with.
    pub(crate) fn holders(prefix: &str) -> String {
        format!("{prefix}holder/")
    }
}

/// Who holds the lock. Nothing but this key says that it is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    #[serde(with = "hex")]
    pub(crate) owner: OwnerId,
    pub(crate) token: u64,
    pub(crate) reserved: u32,
    pub(crate) label: String,
    /// For how long etcd granted the lease, in its whole seconds.
    pub(crate) ttl_s: u64,
    /// The etcd lease that the key is bound to. The key itself knows it.
    #[serde(skip)]
    pub(crate) lease: i64,
}

impl Holder {
    /// Whether a token is the grant's, or one of those reserved with it.
    pub(crate) fn covers(&self, token: FencingToken) -> bool {
        let nth = token.get().checked_sub(self.token);
        nth.is_some_and(|nth| nth < u64::from(self.reserved.max(1)))
    }

    pub(crate) fn info(&self, expires_in: Duration) -> HolderInfo {
        let mut info = HolderInfo::unknown();
        info.owner = Some(self.owner);
        info.token = Some(FencingToken::new(self.token));
        info.label.clone_from(&self.label);
        info.expires_in = Some(expires_in);
        info
    }
}

const FORGET_S_MAX: u64 = 8_000_000_000;

/// What is known of a name whether or not somebody holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The largest token granted or reserved so far.
    pub(crate) last_token: u64,
    /// The last grant, until it is known how it ended.
    pub(crate) granted: Option<Granted>,
    /// How the last lease ended that is over.
    pub(crate) ended: Option<Ended>,
    /// The last commit.
    pub(crate) written: Option<Written>,
    /// After how many seconds without use the record and the value are forgotten, counted from the
    /// last renewal; 0 for never. They are bound to an etcd lease of that length.
    pub(crate) forget_s: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    #[serde(with = "hex")]
    pub(crate) owner: OwnerId,
    pub(crate) token: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    #[serde(with = "hex")]
    pub(crate) owner: OwnerId,
    pub(crate) token: u64,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    Expired,
    Forced,
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) token: u64,
    pub(crate) sequence: u32,
    pub(crate) format: u8,
}

/// All keys of a name at one revision of the store, and what tells whether they have changed since.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) holder: Option<Holder>,
    pub(crate) record: Record,
    pub(crate) state: Option<State>,
    pub(crate) epoch: Option<u64>,
    /// The etcd lease that the record and the value are bound to, 0 for none.
    pub(crate) record_lease: i64,
    /// The revisions of the last change of each key, 0 for a key that is not there.
    pub(crate) holder_revision: i64,
    pub(crate) record_revision: i64,
    pub(crate) epoch_revision: i64,
    /// The revision of the store at which all this was so.
    pub(crate) revision: u64,
}

impl Seen {
    /// Writes into the record what the clock of the store has done: a grant whose holder key is
    /// gone, and of which nobody wrote how it ended, has run out.
    pub(crate) fn settle(mut self) -> Self {
        if self.holder.is_none()
            && let Some(Granted { owner, token }) = self.record.granted.take()
        {
            self.record.ended = Some(Ended {
                owner,
                token,
                how: How::Expired,
            });
        }
        self
    }

    /// The holder, if it is this owner.
    pub(crate) fn held_by(&self, owner: OwnerId) -> Option<&Holder> {
        self.holder.as_ref().filter(|h| h.owner == owner)
    }

    /// The holder, if its lease is this very grant. The owner alone does not say so: an acquire that
    /// was held up on its way may have granted the lock to an owner that is long done with it.
    pub(crate) fn granted_as(&self, owner: OwnerId, token: FencingToken) -> Option<&Holder> {
        self.held_by(owner).filter(|h| h.covers(token))
    }

    /// Whether this owner gave the last lease up or was forced out of it. A duplicate of its acquire
    /// that arrives now must not take the lock again.
    pub(crate) fn is_over_for(&self, owner: OwnerId) -> bool {
        let over = |e: Ended| e.owner == owner && e.how != How::Expired;
        self.held_by(owner).is_none() && self.record.ended.is_some_and(over)
    }

    /// Larger than every token granted before (C2).
    ///
    /// The store's revision grows with every write, so that it would do as a token while etcd keeps
    /// its data, and also for a name whose record is gone. An etcd that lost its data begins again at
    /// revision 1: therefore the revision is counted from an epoch, the time of day in microseconds
    /// when the first lock of an empty store was granted. etcd makes far less than a million
    /// revisions a second, so the next epoch is larger than all tokens of this one.
    pub(crate) fn next_token(&self, epoch: u64) -> u64 {
        let after_last = self.record.last_token.saturating_add(1);
        self.clock(epoch).max(after_last)
    }

    /// The number of the next revision, counted from the epoch.
    fn clock(&self, epoch: u64) -> u64 {
        epoch.saturating_add(self.revision).saturating_add(1)
    }

    /// After how many seconds the record is to be forgotten if nobody renews the lease or takes the
    /// lock; 0 for never.
    pub(crate) fn forget_s(&self, ttl: Ttl, after: Option<Duration>, spare_state: bool) -> u64 {
        let before = self.record.forget_s;
        let length = |idle: Duration| ttl.as_duration().saturating_add(idle);
        let asked = after.map_or(0, |idle| length(idle).as_secs().saturating_add(1));
        // Reserved tokens may be ahead of the revision: only the record keeps them from being granted
        // again.
        if asked == 0 || self.record.last_token > self.clock(self.epoch.unwrap_or(0)) {
            0
        } else if spare_state && self.record.written.is_some() {
            if before == 0 { 0 } else { before.max(asked) }
        } else {
            // Beyond some 280 years etcd refuses.
            asked.min(FORGET_S_MAX)
        }
    }

    /// Enters a new grant, and says what to write for its holder, all but its lease.
    pub(crate) fn grant(&mut self, request: &Acquire, epoch: u64) -> Holder {
        self.epoch = Some(epoch);
        let token = self.next_token(epoch);
        let reserved = request.reserve.max(1);
        self.record.last_token = token.saturating_add(u64::from(reserved)).saturating_sub(1);
        self.record.granted = Some(Granted {
            owner: request.owner,
            token,
        });
        Holder {
            owner: request.owner,
            token,
            reserved,
            label: request.label.as_str().to_owned(),
            ttl_s: 0,
            lease: 0,
        }
    }

    /// Enters how the present lease ends.
    pub(crate) fn end(&mut self, how: How) {
        self.record.granted = None;
        self.record.ended = self.holder.take().map(|holder| Ended {
            owner: holder.owner,
            token: holder.token,
            how,
        });
    }

    pub(crate) fn previous(&self) -> Previous {
        match self.record.ended {
            None => Previous::First,
            Some(ended) => match ended.how {
                How::Expired => Previous::Abandoned {
                    owner: ended.owner,
                    token: FencingToken::new(ended.token),
                },
                How::Forced => Previous::Forced,
                How::Released => Previous::Released,
            },
        }
    }

    /// How the lease with this token was lost.
    pub(crate) fn cause(&self, token: FencingToken) -> LossCause {
        let forced = |e: Ended| e.token == token.get() && e.how == How::Forced;
        if self.record.ended.is_some_and(forced) {
            LossCause::Forced
        } else if self.holder.is_some() {
            LossCause::Displaced
        } else {
            LossCause::Expired
        }
    }

    pub(crate) fn info(&self, name: LockName, holder: Option<HolderInfo>) -> LockInfo {
        let mut info = LockInfo::free(name);
        let last = self.record.last_token;
        info.last_token = (last > 0).then(|| FencingToken::new(last));
        info.previous = self.previous();
        info.holder = holder;
        info
    }
}

/// An owner as 32 hexadecimal digits, as it is printed everywhere else.
mod hex {
    use lock_core::OwnerId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(owner: &OwnerId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(owner)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<OwnerId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
