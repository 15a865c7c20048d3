//! [`Tasks`]: a small number for each task.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Numbers tasks in the order in which they are first seen, from 1; 0 is whoever is in no task.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    numbers: Mutex<HashMap<tokio::task::Id, u16>>,
}

impl Tasks {
    /// The number of the task that asks.
    pub(crate) fn present(&self) -> u16 {
        let Some(id) = tokio::task::try_id() else {
            return 0;
        };
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u16::try_from(numbers.len().saturating_add(1)).unwrap_or(u16::MAX);
        *numbers.entry(id).or_insert(next)
    }
}
