//! [`Axis`]: where moments stand in a line of characters.

/// The end of what has no end, to the right of all moments.
pub(super) const OPEN: u64 = u64::MAX;

/// Moments in columns, in their order but not to scale: room goes where something is to be read.
#[derive(Debug)]
pub(super) struct Axis {
    moments: Vec<u64>,
    /// The columns between each moment and the next.
    gaps: Vec<usize>,
    left: usize,
}

impl Axis {
    /// So many columns for these moments.
    pub(super) fn new(mut moments: Vec<u64>, width: usize) -> Self {
        moments.sort_unstable();
        moments.dedup();
        let between = moments.len().saturating_sub(1);
        let room = width.saturating_sub(1);
        let gap = room.checked_div(between).unwrap_or_default().min(2);
        let mut gaps = vec![gap; between];
        if gap == 0 {
            // More moments than columns: the last ones share one.
            for gap in gaps.iter_mut().take(room) {
                *gap = 1;
            }
        }
        let left = room.saturating_sub(gaps.iter().sum());
        Self {
            moments,
            gaps,
            left,
        }
    }

    /// Makes room between two moments for so many columns, as far as there is any.
    pub(super) fn widen(&mut self, from: u64, until: u64, columns: usize) {
        let (from, until) = (self.place(from), self.place(until));
        let Some(within) = self
            .gaps
            .get_mut(from..until)
            .filter(|gaps| !gaps.is_empty())
        else {
            return;
        };
        let is = within.iter().sum::<usize>().saturating_add(1);
        let mut more = columns.saturating_sub(is).min(self.left);
        self.left = self.left.saturating_sub(more);
        let count = within.len();
        for (gap, rest) in within.iter_mut().zip((1..=count).rev()) {
            let share = more.div_ceil(rest);
            *gap = gap.saturating_add(share);
            more = more.saturating_sub(share);
        }
    }

    /// Shares out what room is left, more of it to the longer times.
    pub(super) fn share_rest(&mut self) {
        let lengths = self.moments.windows(2).map(|pair| match pair {
            [_, OPEN] => 0,
            [from, until] => until.saturating_sub(*from).isqrt(),
            _ => 0,
        });
        let weights: Vec<u128> = lengths.map(u128::from).collect();
        let total: u128 = weights.iter().sum();
        let left = u128::try_from(self.left).unwrap_or_default();
        for (gap, weight) in self.gaps.iter_mut().zip(weights) {
            let share = left
                .saturating_mul(weight)
                .checked_div(total)
                .unwrap_or_default();
            let share = usize::try_from(share).unwrap_or_default();
            *gap = gap.saturating_add(share);
            self.left = self.left.saturating_sub(share);
        }
    }

    /// The column of a moment: of the last one that is not later, for one that is not known.
    pub(super) fn column(&self, moment: u64) -> usize {
        self.gaps.iter().take(self.place(moment)).sum()
    }

    fn place(&self, moment: u64) -> usize {
        self.moments
            .partition_point(|known| *known <= moment)
            .saturating_sub(1)
    }
}
