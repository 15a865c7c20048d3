//! Key-value histories like the largest public ones: 50 clients, 10 keys, appends and reads that
//! overlap, some of them wrong.

use std::time::Duration;

use lock_testkit::checker::linear::{Entry, Kv, KvOp, check};

use crate::public::{judge, micros};
use crate::{Dice, Row, timed};

const CLIENTS: u64 = 50;
const KEYS: u64 = 10;
const OPERATIONS: usize = 1_900;
const SEEDS: u64 = 10;
const BUDGET: u64 = 50_000_000;

pub(crate) fn rows() -> Vec<Row> {
    let kinds = [(true, "right"), (false, "with one stale read")];
    let row = |(is_right, name)| {
        let mut times: Vec<(Duration, String)> = Vec::new();
        for seed in 0..SEEDS {
            let history = simulate(seed, is_right);
            let (took, found) = timed(5, || check(&Kv::of(&history), &history, BUDGET));
            times.push((took, judge(found, is_right)));
        }
        times.sort();
        let is_wrong = times
            .iter()
            .find(|(_, verdict)| verdict != "verdict as expected");
        let verdict = is_wrong.map_or("all verdicts as expected", |(_, verdict)| verdict);
        let at = |index: usize| times.get(index).map(|t| t.0).unwrap_or_default();
        Row::new(
            format!("appends by {CLIENTS} clients, {OPERATIONS} operations, {name}, {SEEDS} seeds"),
            format!(
                "median {}, worst {}; {verdict}",
                micros(at(times.len() / 2)),
                micros(at(times.len().saturating_sub(1))),
            ),
        )
    };
    kinds.into_iter().map(row).collect()
}

/// Each client does one operation after another; each takes effect at some moment of its own.
fn simulate(seed: u64, is_right: bool) -> Vec<Entry<KvOp>> {
    let mut dice = Dice(seed);
    let mut free_at = vec![0_u64; usize::try_from(CLIENTS).unwrap_or_default()];
    let mut planned: Vec<(u64, u64, u64)> = Vec::new();
    while planned.len() < OPERATIONS {
        let client = usize::try_from(dice.below(CLIENTS)).unwrap_or_default();
        let Some(free) = free_at.get_mut(client) else {
            continue;
        };
        let invoked = *free + 1 + dice.below(40);
        let moment = invoked + dice.below(400);
        let returned = moment + 1 + dice.below(400);
        *free = returned;
        planned.push((moment, invoked, returned));
    }
    planned.sort_unstable();
    let mut texts = vec![String::new(); usize::try_from(KEYS).unwrap_or_default()];
    let mut entries = Vec::new();
    for (number, (_, invoked, returned)) in (0_u64..).zip(planned) {
        let key = dice.below(KEYS);
        let Some(text) = texts.get_mut(usize::try_from(key).unwrap_or_default()) else {
            continue;
        };
        let word = format!("x {} {number} y", dice.below(CLIENTS));
        let op = match dice.below(100) {
            0..=4 => {
                text.clone_from(&word);
                KvOp::Put(key, word.into())
            }
            5..=53 => {
                text.push_str(&word);
                KvOp::Append(key, word.into())
            }
            _ => KvOp::Get(key, text.as_str().into()),
        };
        entries.push(Entry::new(op, invoked, returned));
    }
    if !is_right {
        make_stale(&mut entries);
    }
    entries
}

/// The last read in the second half that saw two words at least sees the second last no more.
fn make_stale(entries: &mut [Entry<KvOp>]) {
    for entry in entries.iter_mut().rev() {
        if let KvOp::Get(_, text) = &mut entry.op {
            let words: Vec<&str> = text.split_inclusive('y').collect();
            if let [head @ .., _, last] = words.as_slice()
                && !head.is_empty()
            {
                *text = format!("{}{last}", head.concat()).into();
                return;
            }
        }
    }
}
