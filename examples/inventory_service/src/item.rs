//! [`Item`]: what the service knows of one SKU, and the rules by which it changes. It knows no lock,
//! no store and no HTTP.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The stock of one SKU: the value inside its mutex.
///
/// # Invariants
/// 1. What is left and what is reserved make up the units there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// The units there are, reserved or not.
    units: u32,
    /// The units that nobody has reserved.
    left: u32,
    /// By the caller's id, so that a request that is sent again is recognised.
    reservations: BTreeMap<String, Reservation>,
    /// How many reservations there were so far.
    count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Reservation {
    units: u32,
    returned: bool,
    /// Its place among all: the oldest returned ones are forgotten first.
    number: u64,
}

/// Whether a request did something, or had been done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    Before,
    Now,
}

/// Why a request is refused; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The id was used for something else.
    Conflict,
    /// It holds as many open reservations as it may.
    Full,
    /// There are not so many units left.
    NotEnough { left: u32 },
    /// No reservation has this id.
    NoReservation,
    /// The reservation was returned before.
    Returned,
    /// No SKU has this name.
    NoSku,
}

/// So many reservations are kept; what was returned is forgotten when there are more.
pub(crate) const RESERVATIONS_MAX: usize = 4096;

impl Item {
    pub(crate) const fn new(units: u32) -> Self {
        Self {
            units,
            left: units,
            reservations: BTreeMap::new(),
            count: 0,
        }
    }

    pub(crate) const fn units(&self) -> u32 {
        self.units
    }

    pub(crate) const fn left(&self) -> u32 {
        self.left
    }

    /// The units of an open reservation.
    pub(crate) fn reserved(&self, id: &str) -> Result<u32, Refused> {
        match self.reservations.get(id) {
            Some(found) if found.returned => Err(Refused::Returned),
            Some(found) => Ok(found.units),
            None => Err(Refused::NoReservation),
        }
    }

    /// Reserves units under this id, once.
    pub(crate) fn reserve(&mut self, id: &str, units: u32) -> Result<Done, Refused> {
        match self.reservations.get(id) {
            Some(found) if found.units != units => return Err(Refused::Conflict),
            Some(found) if found.returned => return Err(Refused::Returned),
            Some(_) => return Ok(Done::Before),
            None => {}
        }
        let not_enough = Refused::NotEnough { left: self.left };
        let left = self.left.checked_sub(units).ok_or(not_enough)?;
        if self.reservations.len() >= RESERVATIONS_MAX && !self.forget_one() {
            return Err(Refused::Full);
        }
        self.left = left;
        self.count = self.count.saturating_add(1);
        let reservation = Reservation {
            units,
            returned: false,
            number: self.count,
        };
        let _none = self.reservations.insert(id.to_owned(), reservation);
        Ok(Done::Now)
    }

    /// Gives back the units of a reservation, once.
    pub(crate) fn give_back(&mut self, id: &str) -> Result<Done, Refused> {
        let found = self.reservations.get_mut(id);
        let found = found.ok_or(Refused::NoReservation)?;
        if found.returned {
            return Ok(Done::Before);
        }
        found.returned = true;
        // INVARIANT: 1, so this is no more than `units`.
        self.left = self.left.saturating_add(found.units);
        Ok(Done::Now)
    }

    /// Forgets the oldest reservation that was returned.
    fn forget_one(&mut self) -> bool {
        let returned = self.reservations.iter().filter(|(_, r)| r.returned);
        let oldest = returned.min_by_key(|(_, r)| r.number);
        let Some(id) = oldest.map(|(id, _)| id.clone()) else {
            return false;
        };
        self.reservations.remove(&id).is_some()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("this id was used for another number of units"),
            Self::Full => write!(f, "{RESERVATIONS_MAX} reservations are open; return some"),
            Self::NotEnough { left } => write!(f, "only {left} units are left"),
            Self::NoReservation => f.write_str("there is no such reservation"),
            Self::Returned => f.write_str("the reservation was returned"),
            Self::NoSku => f.write_str("there is no such SKU"),
        }
    }
}

impl Error for Refused {}

#[cfg(test)]
mod tests;
