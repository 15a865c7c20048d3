//! [`Requirement`]: what a program needs of a store beyond the contract.

use lock_core::{Capabilities, Durability, Error, ErrorKind};

/// A promise beyond the contract that a program cannot do without. A store that does not make it is
/// refused before the first lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Requirement {
    /// `force-alarm`: a forced release is pushed to the holder.
    ForceAlarm,
    /// `line`: waiters of different processes are served in the order in which they came.
    Line,
    /// `loss-alarm`: a lease record that somebody deleted by hand is pushed to its holder.
    LossAlarm,
    /// `push`: a release is pushed to those who wait.
    Push,
    /// `survives-failover`: what was acknowledged survives the loss of the store's machine.
    SurvivesFailover,
    /// `survives-restart`: what was acknowledged survives a crash of the store.
    SurvivesRestart,
}

impl Requirement {
    pub(crate) const ALL: [Self; 6] = [
        Self::ForceAlarm,
        Self::Line,
        Self::LossAlarm,
        Self::Push,
        Self::SurvivesFailover,
        Self::SurvivesRestart,
    ];

    /// As it stands in a URL: `require=line,survives-restart`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ForceAlarm => "force-alarm",
            Self::Line => "line",
            Self::LossAlarm => "loss-alarm",
            Self::Push => "push",
            Self::SurvivesFailover => "survives-failover",
            Self::SurvivesRestart => "survives-restart",
        }
    }

    /// Whether a store that promises this makes the promise.
    #[must_use]
    pub fn is_met_by(self, capabilities: &Capabilities) -> bool {
        match self {
            Self::ForceAlarm => capabilities.force_alarm,
            Self::Line => capabilities.line,
            Self::LossAlarm => capabilities.loss_alarm,
            Self::Push => capabilities.push,
            Self::SurvivesFailover => capabilities.durability >= Durability::Failover,
            Self::SurvivesRestart => capabilities.durability >= Durability::Restart,
        }
    }
}

/// Refuses a store that does not make all of the promises.
pub(crate) fn check(
    wanted: &[Requirement],
    kind: &str,
    capabilities: &Capabilities,
) -> Result<(), Error> {
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|requirement| !requirement.is_met_by(capabilities))
        .map(|requirement| requirement.word())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "the {kind} store does not promise {}, which is required; choose another store",
            missing.join(", ")
        ),
    ))
}
