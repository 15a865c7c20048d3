//! What stands in the box of an operation or a fault.

use super::grid::{Grid, TAKEN};
use super::words::{shortened, verb};
use crate::history::{Mark, NEVER, Operation, Outcome};

/// Draws an operation, with as much text as fits.
pub(super) fn draw(
    grid: &mut Grid,
    row: usize,
    (from, until): (usize, usize),
    name: &str,
    of: &Operation,
) {
    let room = until.saturating_sub(from).saturating_sub(1);
    let within = from.saturating_add(1);
    if room < name.len() {
        // No room for a box: its letter, or as much of it as there is.
        let room = until.saturating_sub(from).saturating_add(1);
        grid.text(row, from, &shortened_to(name, room));
        return;
    }
    grid.fill(row, (within, until), TAKEN);
    grid.put(row, from, '[');
    let is_open = of.returned == NEVER;
    grid.put(row, until, if is_open { '…' } else { ']' });
    if let Some(text) = texts(name, of).iter().find(|text| text.len() <= room) {
        grid.text(row, within, text);
    }
}

fn shortened_to(name: &str, room: usize) -> String {
    name.chars().take(room).collect()
}

/// A token for a picture: of a long one its end, since tokens of one run begin alike.
pub(super) fn brief(token: u64) -> String {
    let text = token.to_string();
    match text.len().checked_sub(TOKEN_WIDTH) {
        None | Some(0) => text,
        Some(more) => format!("_{}", text.split_at(more.saturating_add(1)).1),
    }
}

/// What may stand in the box of an operation, the longest first.
pub(super) fn texts(name: &str, of: &Operation) -> [String; 4] {
    let sign = match of.outcome {
        Outcome::Done => "",
        Outcome::NotApplied => " /",
        Outcome::Refused => " x",
        Outcome::Unknown => " ?",
    };
    let verb = verb(of.step);
    let token = match of.token {
        0 => String::new(),
        token => format!(" {}", brief(token)),
    };
    [
        format!("{name} {verb}{token}{sign}"),
        format!("{name} {verb}{sign}"),
        format!("{name}{sign}"),
        name.to_owned(),
    ]
}

/// The text of a fault for its lane, in characters of one column each.
pub(super) fn boxed(mark: &Mark) -> String {
    let text: String = mark.text.chars().flat_map(char::escape_default).collect();
    format!("# {} #", shortened(&text, MARK_WIDTH))
}

/// As much as is shown of a token.
const TOKEN_WIDTH: usize = 7;
/// As much as is shown of a fault.
pub(super) const MARK_WIDTH: usize = 24;
