//! [`Rule`]: what a service must keep, by stable ids.

use std::fmt;

/// A rule for whoever uses locks, by its stable id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// SV-1: what is written is computed from what it replaces.
    Sv1,
    /// SV-2: what a lock guards is used only while the lock is held.
    Sv2,
    /// SV-3: a change is committed, and the commit awaited.
    Sv3,
    /// SV-4: a lock is not held longer than the others can wait.
    Sv4,
    /// SV-5: several locks are always taken in one order.
    Sv5,
}

impl Rule {
    /// All of them, by id.
    pub const ALL: [Self; 5] = [Self::Sv1, Self::Sv2, Self::Sv3, Self::Sv4, Self::Sv5];

    /// The id, as reports and documents write it.
    #[must_use]
    pub const fn id(self) -> &'static str {
        self.words().0
    }

    /// What it means to break it, in a few words.
    #[must_use]
    pub const fn broken(self) -> &'static str {
        self.words().1
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.words().2
    }

    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Sv1 => (
                "SV-1",
                "a write undid another one",
                "read what you change under the lock: use the guard's value, or read again after \
                 the lock was granted",
            ),
            Self::Sv2 => (
                "SV-2",
                "something was used without the lock that guards it",
                "stop at `guard.lost()`, for which `while_held` is the short form, end the guard \
                 last, and have the resource refuse tokens smaller than the largest that it has seen",
            ),
            Self::Sv3 => (
                "SV-3",
                "a change was not committed",
                "await `commit` to its end, outside of any time-out that drops it, and give a \
                 change up by `release` on a guard that was not changed",
            ),
            Self::Sv4 => (
                "SV-4",
                "a lock was held too long",
                "do what is slow before the lock is taken or after it was given up, or take the \
                 lock twice and look again the second time",
            ),
            Self::Sv5 => (
                "SV-5",
                "locks were taken in opposite orders",
                "take several locks always in one order, by their names for instance",
            ),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
