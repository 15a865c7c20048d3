//! The store's clock: the machine's time since its boot. Read nowhere else.
//!
//! # Invariants
//! 1. A step reads it once, while it holds the write lock, so the order of the steps is the order
//!    of their times.
//! 2. The wall clock makes tokens and forgets idle names; it ends no lease.

use std::time::Duration;

use crate::error::Failure;

/// Which boot of the machine a time belongs to. Times of two boots cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boot(pub(crate) u128);

/// The time at which a step is decided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) boot: Boot,
    /// Nanoseconds since the boot.
    pub(crate) ns: u64,
    /// Microseconds since 1970.
    pub(crate) wall_us: u64,
}

impl Now {
    /// The moment so much later, in nanoseconds since the boot.
    pub(crate) fn ns_after(&self, length: Duration) -> u64 {
        self.ns
            .saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX))
            // The store keeps signed numbers.
            .min(i64::MAX.unsigned_abs())
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod source {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    use super::{Boot, Now};
    use crate::error::Failure;

    const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

    pub(super) fn boot() -> Result<Boot, Failure> {
        let text = std::fs::read_to_string(BOOT_ID).map_err(|e| {
            Failure::unsupported(format!("cannot read {BOOT_ID}; is /proc mounted?")).because(e)
        })?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let Ok(bits) = u128::from_str_radix(&digits, 16) else {
            return Err(Failure::unsupported(format!(
                "{BOOT_ID} holds no boot id as Linux writes it"
            )));
        };
        // A time namespace shifts the clock for its own processes alone.
        let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        if super::is_shifted(&offsets) {
            return Err(Failure::unsupported(
                "this process runs in a time namespace whose boot clock is shifted, so it would not \
                 agree with others on when a lease ends; run it outside of it",
            ));
        }
        Ok(Boot(bits))
    }

    pub(super) fn now(boot: Boot) -> Now {
        let since_boot = clock_gettime(ClockId::Boottime);
        let wall = clock_gettime(ClockId::Realtime);
        Now {
            boot,
            ns: units(&since_boot, 1),
            wall_us: units(&wall, 1000),
        }
    }

    /// The time in units of so many nanoseconds; a time before the origin is the origin.
    fn units(time: &Timespec, unit_ns: u64) -> u64 {
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        let per_second = 1_000_000_000_u64.checked_div(unit_ns).unwrap_or(0);
        let rest = nanos.checked_div(unit_ns).unwrap_or(0);
        seconds.saturating_mul(per_second).saturating_add(rest)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod source {
    use std::time::SystemTime;

    use super::{Boot, Now};
    use crate::error::Failure;

    #[expect(
        clippy::unnecessary_wraps,
        reason = "on Linux the boot may be unreadable"
    )]
    pub(super) fn boot() -> Result<Boot, Failure> {
        Ok(Boot(0))
    }

    /// There is no clock here that all processes share and nobody sets.
    #[expect(
        clippy::disallowed_methods,
        reason = "the wall clock is the only one that all processes share here"
    )]
    pub(super) fn now(boot: Boot) -> Now {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            boot,
            ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            wall_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

/// Whether the list of a time namespace's offsets shifts the boot clock.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    expect(dead_code, reason = "only Linux has time namespaces")
)]
fn is_shifted(offsets: &str) -> bool {
    offsets
        .lines()
        .filter_map(|line| line.trim().strip_prefix("boottime"))
        .any(|numbers| numbers.split_whitespace().any(|n| n != "0"))
}

/// The machine's clock, in this boot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BootClock(Boot);

impl BootClock {
    pub(crate) fn of_this_machine() -> Result<Self, Failure> {
        source::boot().map(Self)
    }

    pub(crate) fn now(self) -> Now {
        source::now(self.0)
    }
}

#[cfg(test)]
mod tests;
