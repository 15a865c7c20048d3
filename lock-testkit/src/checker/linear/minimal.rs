//! Why a history is wrong, in few operations.
//!
//! Only steps that keep "no order exists" true of the whole history are taken: cut the history
//! after a return, leave out what only observes, let a mutator return later or have had no effect.
//! A mutator is never left out, which could make a fault where there was none: those that need not
//! have happened are told apart from those that must.

use super::{Entry, Linearizability, Model, NEVER, check};

/// The part of a history that already has no order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Core {
    /// The operations that contradict each other, by index into the history.
    pub culprits: Vec<usize>,
    /// Mutators that may have taken effect at any time after their invocation, or never: it makes
    /// no difference.
    pub any_effect: Vec<usize>,
}

/// Finds a core of a history that has no order, spending at most `budget` steps of the model on
/// each trial. `None` if it cannot be shown within the budget that there is no order.
///
/// ```
/// use lock_testkit::checker::linear::{Entry, Register, RegisterOp, minimise};
///
/// let history = [
///     Entry::new(RegisterOp::Read(None), 0, 1),
///     Entry::new(RegisterOp::Write(1), 2, 3),
///     Entry::new(RegisterOp::Read(Some(1)), 4, 5),
///     Entry::new(RegisterOp::Read(Some(2)), 6, 7),
/// ];
/// let core = minimise(&Register, &history, 10_000).unwrap();
/// assert_eq!(core.culprits, [3]);
/// assert_eq!(core.any_effect, [1]);
/// ```
pub fn minimise<M: Model>(model: &M, history: &[Entry<M::Op>], budget: u64) -> Option<Core>
where
    M::Op: Clone,
{
    let Linearizability::Violated { part, .. } = check(model, history, budget) else {
        return None;
    };
    let mut members: Vec<usize> = (0..history.len())
        .filter(|index| {
            let entry = history.get(*index);
            entry.is_some_and(|entry| model.part(&entry.op) == part)
        })
        .collect();
    members.sort_by_key(|index| history.get(*index).map(|entry| entry.invoked));
    let mut trial = Trial {
        model,
        history,
        budget,
        kept: members
            .iter()
            .map(|index| (*index, fate_of(history.get(*index))))
            .collect(),
    };
    trial.cut();
    trial.relax();
    let with = |fate: Fate| {
        let of_fate = trial.kept.iter().filter(move |(_, f)| *f == fate);
        of_fate.map(|(index, _)| *index).collect()
    };
    Some(Core {
        culprits: with(Fate::Whole),
        any_effect: with(Fate::AnyEffect),
    })
}

/// What has become of an operation of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It may have had no effect, and never returns.
    AnyEffect,
    /// It is left out, since it only observes or is invoked too late.
    Gone,
    /// It is as it was.
    Whole,
}

struct Trial<'a, M: Model> {
    model: &'a M,
    history: &'a [Entry<M::Op>],
    budget: u64,
    kept: Vec<(usize, Fate)>,
}

impl<M: Model> Trial<'_, M>
where
    M::Op: Clone,
{
    /// Cuts the history after the first return by which it is wrong.
    fn cut(&mut self) {
        let mut returns: Vec<u64> = self.whole().map(|(_, entry)| entry.returned).collect();
        returns.retain(|returned| *returned != NEVER);
        returns.sort_unstable();
        let (mut low, mut high) = (0, returns.len().saturating_sub(1));
        while low < high {
            let middle = low.midpoint(high);
            if returns
                .get(middle)
                .is_some_and(|end| self.is_wrong(&self.before(*end)))
            {
                high = middle;
            } else {
                low = middle.saturating_add(1);
            }
        }
        if let Some(end) = returns.get(high) {
            let kept = self.before(*end);
            // Not so only if a trial ran out of budget.
            if self.is_wrong(&kept) {
                self.kept = kept;
            }
        }
        self.drop_gone();
    }

    /// The history up to a stamp.
    fn before(&self, end: u64) -> Vec<(usize, Fate)> {
        let fate = |(index, fate): &(usize, Fate)| {
            let Some(entry) = self.history.get(*index) else {
                return (*index, Fate::Gone);
            };
            let fate = match *fate {
                _ if entry.invoked > end => Fate::Gone,
                Fate::Whole if entry.returned > end => self.relaxed(entry),
                Fate::AnyEffect | Fate::Gone | Fate::Whole => *fate,
            };
            (*index, fate)
        };
        self.kept.iter().map(fate).collect()
    }

    /// Relaxes as many operations as can be, large groups first.
    fn relax(&mut self) {
        let mut size = self.kept.len().div_ceil(2).max(1);
        loop {
            let mut relaxed_any = false;
            let whole: Vec<usize> = self.whole().map(|(at, _)| at).collect();
            for group in whole.chunks(size) {
                let mut kept = self.kept.clone();
                for at in group {
                    if let Some((index, fate)) = kept.get_mut(*at) {
                        *fate = match self.history.get(*index) {
                            Some(entry) => self.relaxed(entry),
                            None => Fate::Gone,
                        };
                    }
                }
                if self.is_wrong(&kept) {
                    self.kept = kept;
                    relaxed_any = true;
                }
            }
            self.drop_gone();
            if size > 1 {
                size = size.div_ceil(2);
            } else if !relaxed_any {
                return;
            }
        }
    }

    fn relaxed(&self, entry: &Entry<M::Op>) -> Fate {
        if self.model.observes(&entry.op) {
            Fate::Gone
        } else {
            Fate::AnyEffect
        }
    }

    fn drop_gone(&mut self) {
        self.kept.retain(|(_, fate)| *fate != Fate::Gone);
    }

    /// Those that are whole, by their place in `kept`.
    fn whole(&self) -> impl Iterator<Item = (usize, &Entry<M::Op>)> {
        let kept = self.kept.iter().enumerate();
        kept.filter_map(|(at, (index, fate))| {
            let entry = self.history.get(*index)?;
            (*fate == Fate::Whole).then_some((at, entry))
        })
    }

    fn is_wrong(&self, kept: &[(usize, Fate)]) -> bool {
        let entries: Vec<Entry<M::Op>> = kept
            .iter()
            .filter_map(|(index, fate)| {
                let mut entry = self.history.get(*index)?.clone();
                match fate {
                    Fate::AnyEffect => (entry.returned, entry.optional) = (NEVER, true),
                    Fate::Gone => return None,
                    Fate::Whole => {}
                }
                Some(entry)
            })
            .collect();
        check(self.model, &entries, self.budget).decided() == Some(false)
    }
}

/// What an operation is before anything is relaxed.
fn fate_of<O>(entry: Option<&Entry<O>>) -> Fate {
    match entry {
        Some(entry) if entry.optional && entry.returned == NEVER => Fate::AnyEffect,
        _ => Fate::Whole,
    }
}
