//! What the store keeps of one name.

use std::collections::VecDeque;
use std::time::Duration;

use lock_core::{Commit, FencingToken, Moment, OwnerId, Peeked, State};

use super::{Defect, LAG};

/// What is kept of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) lease: Option<Lease>,
    pub(super) last_token: u64,
    /// Who gave it up last.
    pub(super) ended: Option<OwnerId>,
    /// When it was given up.
    pub(super) freed: Option<Moment>,
    /// For whom it is kept, and until when.
    pub(super) reserved: Option<(OwnerId, Moment)>,
    pub(super) line: Line,
    /// The last moment at which anybody asked for it.
    pub(super) used: Option<Moment>,
    written: Option<Written>,
    /// What was written before, until when a replica shows it.
    before: Option<(Option<Written>, Moment)>,
    /// What somebody wanted to write who was refused.
    pub(super) draft: Option<State>,
}

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) owner: OwnerId,
    pub(super) client: u32,
    pub(super) token: u64,
    /// The largest token that is reserved for the owner.
    pub(super) last: u64,
    pub(super) expires: Moment,
    pub(super) since: Moment,
}

impl Lease {
    pub(super) fn is(&self, owner: OwnerId, token: FencingToken) -> bool {
        self.owner == owner && (self.token..=self.last).contains(&token.get())
    }
}

#[derive(Clone, Debug)]
struct Written {
    state: State,
    token: FencingToken,
    sequence: u32,
}

impl Record {
    /// The record of a name that was never used. Tokens of different names begin at different
    /// numbers, so that it shows if one name's are taken for another's.
    pub(super) fn new(key: &str) -> Self {
        let sum = key.bytes().fold(0_u64, |sum, b| sum.wrapping_add(b.into()));
        Self {
            last_token: sum.saturating_mul(1000),
            ..Self::default()
        }
    }

    pub(super) fn expire(&mut self, now: Moment) {
        if self.lease.as_ref().is_some_and(|l| now >= l.expires) {
            self.lease = None;
        }
    }

    pub(super) fn is_idle(&self, now: Moment, long: Duration) -> bool {
        let is_unused = self.used.is_some_and(|used| now.since(used) >= long);
        self.lease.is_none() && is_unused
    }

    /// Whether this commit, or a later one under its token, is applied already.
    pub(super) fn has_applied(&self, commit: &Commit) -> bool {
        let written = self.written.as_ref();
        written.is_some_and(|w| w.token == commit.token && w.sequence >= commit.sequence)
    }

    /// Whether a later token has written already.
    pub(super) fn is_overtaken(&self, commit: &Commit) -> bool {
        let written = self.written.as_ref();
        written.is_some_and(|w| w.token > commit.token)
    }

    pub(super) fn write(&mut self, commit: &Commit, defect: Defect, now: Moment) {
        let mut state = commit.state.clone();
        if defect == Defect::TruncatesValues && state.bytes().len() > COLUMN {
            state = State::new(state.format(), state.bytes().slice(..COLUMN));
        }
        self.before = Some((self.written.take(), now.after(LAG)));
        self.written = Some(Written {
            state,
            token: commit.token,
            sequence: commit.sequence,
        });
    }

    pub(super) fn value(&self, defect: Defect, now: Moment) -> Option<State> {
        let shown = match (defect, &self.before) {
            (Defect::GrantReadsReplica, Some((before, until))) if now < *until => before,
            _ => &self.written,
        };
        shown.as_ref().map(|written| written.state.clone())
    }

    pub(super) fn peek(&self, defect: Defect, now: Moment) -> Option<Peeked> {
        let written = self.written.as_ref()?;
        let holder = self.lease.as_ref().filter(|l| now < l.expires);
        let token = match (defect, holder) {
            (Defect::PeekNamesHolder, Some(lease)) => FencingToken::new(lease.token),
            _ => written.token,
        };
        let state = self.draft.as_ref().unwrap_or(&written.state);
        Some(Peeked::new(state.clone(), token))
    }

    pub(super) fn forget_value(&mut self) {
        if let Some((before, _)) = self.before.take() {
            self.written = before;
        }
    }
}

/// Who waits, first come first.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(VecDeque<(OwnerId, u32, Moment)>);

impl Line {
    /// Takes a place, or keeps the one that it has. Places of those who should have asked again and
    /// did not have lapsed.
    pub(super) fn stand(&mut self, owner: OwnerId, client: u32, until: Moment, now: Moment) {
        self.0
            .retain(|(waiting, _, lapses)| *waiting == owner || now < *lapses);
        match self.0.iter_mut().find(|(waiting, _, _)| *waiting == owner) {
            Some((_, _, lapses)) => *lapses = until,
            None => self.0.push_back((owner, client, until)),
        }
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&(OwnerId, u32)) -> bool) {
        self.0.retain(|(owner, client, _)| keep(&(*owner, *client)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn pop_front(&mut self, now: Moment) -> Option<(OwnerId, u32)> {
        self.0.retain(|(_, _, lapses)| now < *lapses);
        self.0.pop_front().map(|(owner, client, _)| (owner, client))
    }

    pub(super) fn pop_back(&mut self, now: Moment) -> Option<(OwnerId, u32)> {
        self.0.retain(|(_, _, lapses)| now < *lapses);
        self.0.pop_back().map(|(owner, client, _)| (owner, client))
    }
}

/// The length at which values are cut off, with that defect.
const COLUMN: usize = 6;
