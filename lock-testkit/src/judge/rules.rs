//! [`Rules`]: what a lock declares, and how far it is judged.

use lock_core::Durability;

use crate::checker::liveness::Limits;
use crate::spec::{Bound, Property};
use crate::subject::Traits;

/// What a lock declares, and how far it is judged by that.
#[derive(Clone, Copy, Debug)]
#[must_use = "rules judge nothing by themselves"]
pub struct Rules {
    pub(super) bound: Bound,
    pub(super) budget: u64,
    pub(super) has_line: bool,
    pub(super) has_tokens: bool,
    pub(super) is_durable: bool,
    /// Whether the store's clock goes as the clients' do, so that what these believe can be held
    /// against each other.
    pub(super) is_clock_trusted: bool,
    pub(super) limits: Option<Limits>,
    /// A bit for each property.
    off: u32,
}

impl Rules {
    /// A lock with fencing tokens that may lose all at a restart, and whose liveness is not judged.
    pub const fn new(bound: Bound) -> Self {
        Self {
            bound,
            budget: 1_000_000,
            has_line: false,
            has_tokens: true,
            is_durable: false,
            is_clock_trusted: true,
            limits: None,
            off: 0,
        }
    }

    /// A lock without tokens, whose liveness is not judged. It is held to ME-1, OW-1, OW-2 and ER-1
    /// on each key where no lease can have expired and all outcomes are known, and to what its
    /// clients believe. A client without a ttl that crashed is recorded as a release of unknown
    /// outcome, since its hold would be taken to last for ever.
    pub const fn tokenless() -> Self {
        let mut rules = Self::new(Bound::Untimed);
        rules.has_tokens = false;
        rules
    }

    /// What a subject is held to by what it declares. `timed` says whether the store's clock is
    /// trusted: where it jumps, a lease may end while its holder rightly believes in it, so beliefs
    /// are not judged either. Liveness is judged by limits that are set apart.
    pub fn of(traits: &Traits, timed: bool) -> Self {
        // What a store rounds up makes no lease shorter.
        let bound = match timed {
            true => Bound::timed(500, 1_000_000),
            false => Bound::Untimed,
        };
        let mut rules = if traits.tokens {
            Self::new(bound)
        } else {
            Self::tokenless()
        };
        rules.is_clock_trusted = timed;
        rules.has_line = traits.capabilities.line;
        rules.is_durable = traits.capabilities.durability != Durability::None;
        rules
    }

    /// Also judges liveness, by these limits.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// The store declares that restarts, crashes and failovers lose nothing.
    pub const fn durable(mut self) -> Self {
        self.is_durable = true;
        self
    }

    /// The store keeps the lock for the first in line for a while, and refuses all others meanwhile.
    /// A refusal that no lease explains is then no violation if somebody else waited, or had begun to
    /// and was not heard of again.
    pub const fn line(mut self) -> Self {
        self.has_line = true;
        self
    }

    /// Spends at most so many steps of the general checker on each key that needs it; 1 000 000 by
    /// default, about a second.
    pub const fn budget(mut self, steps: u64) -> Self {
        self.budget = steps;
        self
    }

    /// Passes over violations of this property, to show that nothing else finds what it does. The
    /// check of tokens gives one violation of a key; if it is passed over, no other of its kind is
    /// looked for on that key.
    pub const fn without(mut self, property: Property) -> Self {
        self.off |= bit(property);
        self
    }

    pub(super) const fn is_on(&self, property: Property) -> bool {
        self.off & bit(property) == 0
    }
}

const fn bit(property: Property) -> u32 {
    1_u32.wrapping_shl(property as u32)
}
