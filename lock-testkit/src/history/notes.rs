//! What a history holds besides operations: beliefs of clients, and marks of what was done to them.

use super::Key;

/// For how long a client believed that it held a lock, by its own reckoning.
///
/// A renewal makes the belief longer, so it is noted once, when it ended: with the release, the
/// loss or the deadline, whichever came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a record that tests build")]
pub struct Belief {
    /// The lock.
    pub key: Key,
    /// Which client.
    pub client: u32,
    /// Which task of that client.
    pub task: u16,
    /// Under which token; 0 for a lock without tokens.
    pub token: u64,
    /// When it began: the moment at which the grant was handed out, in nanoseconds.
    pub from: u64,
    /// The last moment at which the client would have acted as the holder, in nanoseconds. Before
    /// `from` for a grant that was handed out too late.
    pub until: u64,
}

/// What a mark means to a judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarkKind {
    /// Something was in the way, and the store kept what it had.
    #[default]
    Fault,
    /// The store was restarted, crashed or failed over: what it had not kept safe is gone.
    Restart,
}

/// Something that was done to the run: a fault, a restart, a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a record that tests build")]
pub struct Mark {
    /// When it began, in nanoseconds.
    pub from: u64,
    /// When it ended, in nanoseconds.
    pub until: u64,
    /// Whom it concerned; `None` for the store.
    pub client: Option<u32>,
    /// What it means to a judge.
    pub kind: MarkKind,
    /// What it was, in a few words.
    pub text: String,
}
