//! The core of a violation as lanes of text over time.

use super::WIDTH;
use super::axis::{Axis, OPEN};
use super::boxes::{MARK_WIDTH, boxed, brief, draw, texts};
use super::grid::Grid;
use super::lease::{LeaseBar, bars};
use super::time::moments_of;
use super::words::{Words, plain, shortened, wrapped};
use crate::history::{Belief, Key, Mark, NEVER, Operation, Outcome};
use crate::spec::Violation;

/// What is drawn, and where.
struct Picture<'a> {
    words: &'a Words<'a>,
    /// Each with its letter, and a star if it is a culprit.
    core: Vec<(String, &'a Operation)>,
    bars: Vec<LeaseBar>,
    beliefs: Vec<&'a Belief>,
    marks: Vec<&'a Mark>,
    healed: Option<u64>,
    has_keys: bool,
}

/// The lanes, what they mean, and a line for each operation and fault in them.
pub(super) fn lanes(words: &Words<'_>, violation: &Violation, core: &[usize]) -> Vec<String> {
    let picture = Picture::new(words, violation, core);
    if picture.core.is_empty() {
        return vec!["(no operation is to blame)".to_owned()];
    }
    let mut lines = picture.drawn();
    lines.push(String::new());
    lines.extend(picture.legend());
    lines.push(String::new());
    lines.extend(picture.listed());
    lines
}

impl<'a> Picture<'a> {
    fn new(words: &'a Words<'a>, violation: &Violation, core: &[usize]) -> Self {
        let history = words.history;
        let core_places = core;
        let named = core.iter().zip('A'..).filter_map(|(at, letter)| {
            let star = if violation.culprits.contains(at) {
                "*"
            } else {
                ""
            };
            Some((format!("{letter}{star}"), history.operations().get(*at)?))
        });
        let core: Vec<(String, &Operation)> = named.collect();
        let tokens: Vec<(Key, u64)> = core.iter().map(|(_, of)| (of.key, of.token)).collect();
        let is_named = |key: Key, token: u64| tokens.contains(&(key, token));
        let mut bars = bars(history, violation.bound, is_named);
        // Leases without tokens are told apart by their grants.
        let is_core = |grant: usize| core_places.contains(&grant);
        bars.retain(|bar| bar.token != 0 || is_core(bar.grant));
        let moments: Vec<u64> = core.iter().flat_map(|(_, of)| moments_of(of)).collect();
        let from = moments.iter().min().copied().unwrap_or_default();
        let until = moments.iter().max().copied().unwrap_or_default();
        let is_shown = |belief: &&Belief| {
            let is_core = |(_, of): &(String, &Operation)| {
                (of.key, of.client, of.task) == (belief.key, belief.client, belief.task)
            };
            let is_near = belief.from <= until && belief.until.max(belief.from) >= from;
            let is_named = belief.token == 0 || is_named(belief.key, belief.token);
            is_near && is_named && core.iter().any(is_core)
        };
        let beliefs = history.beliefs().iter().filter(is_shown).take(BELIEFS_MOST);
        let marks = history.marks().iter();
        let marks = marks.filter(|mark| mark.from <= until && mark.until >= from);
        let mut keys: Vec<Key> = core.iter().map(|(_, of)| of.key).collect();
        keys.dedup();
        Self {
            beliefs: beliefs.collect(),
            marks: marks.take(MARKS_MOST).collect(),
            healed: history.healed_at().filter(|at| (from..=until).contains(at)),
            has_keys: keys.len() > 1,
            words,
            core,
            bars,
        }
    }

    fn gutter(&self) -> usize {
        if self.has_keys { GUTTER_WIDE } else { GUTTER }
    }

    fn label(&self, text: &str) -> String {
        shortened(text, self.gutter().saturating_sub(1))
    }

    fn axis(&self) -> Axis {
        let mut moments: Vec<u64> = self
            .core
            .iter()
            .flat_map(|(_, of)| [of.invoked, of.returned])
            .collect();
        for bar in &self.bars {
            moments.extend([bar.from, bar.sure_from, bar.sure_until, bar.until]);
        }
        let first = moments.iter().min().copied().unwrap_or_default();
        let last = moments
            .iter()
            .filter(|at| **at != OPEN)
            .max()
            .copied()
            .unwrap_or_default();
        let beliefs = self
            .beliefs
            .iter()
            .flat_map(|belief| [belief.from, belief.until]);
        let marks = self.marks.iter().flat_map(|mark| [mark.from, mark.until]);
        let more = beliefs.chain(marks).chain(self.healed);
        let more: Vec<u64> = more.map(|at| at.clamp(first, last.max(first))).collect();
        moments.extend(more);
        let mut axis = Axis::new(moments, WIDTH.saturating_sub(self.gutter()));
        let starred_first = || {
            let (culprits, others): (Vec<_>, Vec<_>) =
                self.core.iter().partition(|(name, _)| name.ends_with('*'));
            culprits.into_iter().chain(others)
        };
        for (name, of) in starred_first() {
            axis.widen(of.invoked, of.returned, name.len().saturating_add(2));
        }
        for (name, of) in starred_first() {
            let longest = texts(name, of).first().map_or(0, String::len);
            axis.widen(of.invoked, of.returned, longest.saturating_add(2));
        }
        let mut ticks: Vec<u64> = self
            .core
            .iter()
            .flat_map(|(_, of)| moments_of(of))
            .collect();
        ticks.sort_unstable();
        for pair in ticks.windows(2) {
            if let [one, next] = pair {
                let room = self.words.times.at(*one).len().saturating_add(2);
                axis.widen(*one, *next, room);
            }
        }
        for mark in &self.marks {
            axis.widen(mark.from, mark.until, boxed(mark).len().min(MARK_WIDTH));
        }
        axis.share_rest();
        axis
    }

    fn drawn(&self) -> Vec<String> {
        let axis = self.axis();
        let mut grid = Grid::new(WIDTH.saturating_sub(self.gutter()));
        self.ticks(&axis, &mut grid);
        let mut lanes: Vec<(u32, u16)> = self
            .core
            .iter()
            .map(|(_, of)| (of.client, of.task))
            .collect();
        lanes.sort_unstable();
        lanes.dedup();
        for lane in lanes {
            self.lane(lane, &axis, &mut grid);
        }
        for bar in &self.bars {
            let mut label = match bar.token {
                0 => "lease".to_owned(),
                token => format!("token {}", brief(token)),
            };
            if self.has_keys {
                label.push_str(&format!(" {}", self.words.key(bar.key)));
            }
            let row = grid.row(self.label(&label));
            let column = |at| axis.column(at);
            grid.fill(row, (column(bar.from), column(bar.until)), '-');
            grid.fill(row, (column(bar.sure_from), column(bar.sure_until)), '=');
            let end = if bar.until == NEVER { '>' } else { '|' };
            grid.put(row, column(bar.until), end);
        }
        self.faults(&axis, &mut grid);
        grid.lines(self.gutter())
    }

    /// The times of the operations, the culprits' first, as far as they have room.
    fn ticks(&self, axis: &Axis, grid: &mut Grid) {
        let (labels, ticks) = (grid.row("ms"), grid.row(""));
        let width = WIDTH.saturating_sub(self.gutter());
        for wants_star in [true, false] {
            let named = self
                .core
                .iter()
                .filter(|(name, _)| name.ends_with('*') == wants_star);
            for moment in named.flat_map(|(_, of)| moments_of(of)) {
                let text = self.words.times.at(moment);
                let tick = axis.column(moment);
                let from = tick.min(width.saturating_sub(text.len()));
                let around = (
                    from.saturating_sub(1),
                    from.saturating_add(text.len()).min(width.saturating_sub(1)),
                );
                if grid.is_free(labels, around) {
                    grid.text(labels, from, &text);
                    grid.put(ticks, tick, '|');
                }
            }
        }
    }

    /// What a client asked for, and what it believed.
    fn lane(&self, (client, task): (u32, u16), axis: &Axis, grid: &mut Grid) {
        let is_own = |of: &Operation| (of.client, of.task) == (client, task);
        let mut of_client = self
            .core
            .iter()
            .map(|(_, of)| of)
            .filter(|of| of.client == client);
        let has_tasks = of_client.any(|of| of.task != 0);
        let label = match has_tasks {
            true => format!("client {client}/{task}"),
            false => format!("client {client}"),
        };
        let mut label = self.label(&label);
        // Operations that overlap stand in lines of their own.
        let mut rows: Vec<usize> = Vec::new();
        for (name, of) in self.core.iter().filter(|(_, of)| is_own(of)) {
            let columns = (axis.column(of.invoked), axis.column(of.returned));
            let free = rows.iter().find(|row| grid.is_free(**row, columns));
            let row = free.copied().unwrap_or_else(|| {
                let row = grid.row(std::mem::take(&mut label));
                rows.push(row);
                row
            });
            draw(grid, row, columns, name, of);
        }
        let own = |belief: &&&Belief| (belief.client, belief.task) == (client, task);
        for belief in self.beliefs.iter().filter(own) {
            let label = match belief.token {
                0 => "  believes".to_owned(),
                token => self.label(&format!("  believes {}", brief(token))),
            };
            let row = grid.row(label);
            if belief.until < belief.from {
                grid.put(row, axis.column(belief.from), '!');
            } else {
                grid.fill(
                    row,
                    (axis.column(belief.from), axis.column(belief.until)),
                    '~',
                );
            }
        }
    }

    fn faults(&self, axis: &Axis, grid: &mut Grid) {
        let mut label = "faults".to_owned();
        let mut rows: Vec<usize> = Vec::new();
        let healed = self.healed.map(|at| (at, at, "^".to_owned()));
        let marks = self
            .marks
            .iter()
            .map(|mark| (mark.from, mark.until, boxed(mark)));
        for (from, until, text) in marks.chain(healed) {
            let (from, until) = (axis.column(from), axis.column(until.max(from)));
            let room = until.saturating_sub(from).saturating_add(1);
            let free = rows.iter().find(|row| grid.is_free(**row, (from, until)));
            let row = free.copied().unwrap_or_else(|| {
                let row = grid.row(std::mem::take(&mut label));
                rows.push(row);
                row
            });
            grid.fill(row, (from, until), '#');
            if text.chars().count() <= room {
                grid.text(row, from, &text);
            }
        }
    }

    fn legend(&self) -> Vec<String> {
        let any = |is: &dyn Fn(&Operation) -> bool| self.core.iter().any(|(_, of)| is(of));
        let mut parts = vec!["[A ..] from request to answer", "* contradicts"];
        let optional = [
            (any(&|of| of.outcome == Outcome::Refused), "x refused"),
            (
                any(&|of| of.outcome == Outcome::NotApplied),
                "/ failed without effect",
            ),
            (
                any(&|of| of.outcome == Outcome::Unknown),
                "? outcome unknown",
            ),
            (any(&|of| of.returned == NEVER), "… never answered"),
            (
                !self.bars.is_empty(),
                "lease: = must be held, - may be held",
            ),
            (self.bars.iter().any(|bar| bar.until != NEVER), "| over"),
            (
                self.bars.iter().any(|bar| bar.until == NEVER),
                "> no end seen",
            ),
            (
                self.beliefs.iter().any(|b| b.until >= b.from),
                "~ believed valid",
            ),
            (
                self.beliefs.iter().any(|b| b.until < b.from),
                "! handed out too late",
            ),
            (!self.marks.is_empty(), "# fault"),
            (self.healed.is_some(), "^ healed"),
        ];
        parts.extend(optional.iter().filter(|(is, _)| *is).map(|(_, part)| *part));
        let text = parts.join("; ") + ". Time is not to scale.";
        wrapped(&text, WIDTH, "")
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn listed(&self) -> Vec<String> {
        let words = self.words;
        let with_key = words.history.keys() > 1;
        let operations = self.core.iter().map(|(name, of)| {
            let line = words.line(of, with_key);
            wrapped(&format!("{name:2} {line}"), WIDTH, "     ")
        });
        let marks = self.marks.iter().map(|mark| {
            let whom = mark
                .client
                .map_or("store".to_owned(), |client| format!("client {client}"));
            let until = match mark.until {
                NEVER => "ms on".to_owned(),
                until => format!("to {} ms", words.times.at(until)),
            };
            let text = plain(&mark.text);
            let from = words.times.at(mark.from);
            wrapped(
                &format!("#  {whom}: {text} ({from} {until})"),
                WIDTH,
                "     ",
            )
        });
        let healed = self
            .healed
            .map(|at| format!("^  nothing is at fault from {} on", words.at(at)));
        let all: Vec<String> = operations.chain(marks).chain(healed).collect();
        all.iter()
            .flat_map(|text| text.lines())
            .map(str::to_owned)
            .collect()
    }
}

const GUTTER: usize = 14;
const GUTTER_WIDE: usize = 26;
/// More faults and beliefs than this hide more than they show; the page has them all.
const MARKS_MOST: usize = 4;
const BELIEFS_MOST: usize = 6;
