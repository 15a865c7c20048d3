//! Lengths of time as people write and read them.

use std::time::Duration;

/// Reads `500ms`, `1.5s`, `10s`, `2m`, `1h` or `1d`; a number without a unit is seconds, as flock's.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_s = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(FORM.to_owned()),
    };
    let number: f64 = number.parse().map_err(|_e| FORM.to_owned())?;
    Duration::try_from_secs_f64(number * unit_s).map_err(|e| format!("{FORM}: {e}"))
}

const FORM: &str = "a length of time is written 500ms, 10s, 2m, 1h or 1d";

/// Writes a length with the two units that tell most: `1h 4m`, `12.3 s`, `45 ms`.
pub(crate) fn show(length: Duration) -> String {
    let s = length.as_secs();
    match s {
        0 => format!("{} ms", length.as_millis()),
        1..60 => format!("{}.{} s", s, length.subsec_millis() / 100),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86400 => format!("{}h {}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {}h", s / 86400, s % 86400 / 3600),
    }
}
