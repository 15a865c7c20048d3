//! Lengths of time as they stand in a URL.

use std::time::Duration;

/// Reads `500ms`, `10s`, `2m`, `1h` or `1d`: whole numbers, and never without a unit.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    Some(Duration::from_millis(ms))
}

/// How a length is to be written.
pub(crate) const FORM: &str = "a length of time such as 500ms, 10s, 2m, 1h or 1d";

#[cfg(test)]
mod tests;
