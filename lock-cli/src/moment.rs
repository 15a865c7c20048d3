//! Moments by the wall clock, for people: nothing is decided by them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, by this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "people are told when something happened; nothing is decided by it"
)]
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// `2026-11-24 03:04:05 UTC`
#[expect(
    clippy::arithmetic_side_effects,
    reason = "so many days as 64 bits of milliseconds make are far from the bounds"
)]
pub(crate) fn utc(at_ms: u64) -> String {
    let (days, s) = (at_ms / 86_400_000, at_ms / 1000 % 86400);
    // Counted in years that begin with March, so that a leap day is the last of its year, and in
    // eras of 400 years, which have all one length.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year + 400 * era + next;
    let (h, min, s) = (s / 3600, s / 60 % 60, s % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{min:02}:{s:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn a_moment_is_written_as_its_day_and_time() {
        for (s, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_709_251_200, "2024-03-01 00:00:00 UTC"),
            (1_798_761_599, "2026-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(s * 1000), text);
        }
    }
}
