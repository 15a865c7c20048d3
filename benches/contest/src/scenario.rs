//! What is measured, and against what.

use std::time::Duration;

use crate::play::{Play, Section};

/// One row of the table.
pub(crate) struct Scenario {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) play: Play,
    /// What the floor plays where it is not the same.
    pub(crate) floor: Option<Play>,
    /// The ratio to the floor that we want to reach on Redis.
    goal_redis: Option<f64>,
    /// The same on PostgreSQL.
    goal_postgres: Option<f64>,
}

impl Scenario {
    /// The ratio to the floor that we want to reach.
    pub(crate) fn goal(&self, is_redis: bool) -> Option<f64> {
        if is_redis {
            self.goal_redis
        } else {
            self.goal_postgres
        }
    }
}

const fn play(section: Section, processes: usize, tasks: usize, names: usize) -> Play {
    Play {
        section,
        processes,
        tasks,
        names,
        pause: Duration::ZERO,
        length: Duration::ZERO,
    }
}

/// All of them, each play so long.
pub(crate) fn all(length: Duration) -> Vec<Scenario> {
    use Section::{Counter, Plain, Update};
    let row = |id, title, play: Play, floor: Option<Play>, goal_redis| Scenario {
        id,
        title,
        play: Play { length, ..play },
        floor: floor.map(|floor| Play { length, ..floor }),
        goal_redis,
        goal_postgres: POSTGRES
            .iter()
            .find(|(of, _)| *of == id)
            .map(|(_, goal)| *goal),
    };
    let alone = Some(play(Counter, 1, 1, 1));
    let between = Play {
        pause: Duration::from_millis(2),
        ..play(Plain, 4, 4, 1)
    };
    vec![
        row(
            "plain-1",
            "1 task, lock + release",
            play(Plain, 1, 1, 1),
            None,
            Some(0.9),
        ),
        row(
            "counter-1",
            "1 task, lock + read + write + release",
            play(Counter, 1, 1, 1),
            None,
            Some(1.4),
        ),
        row(
            "plain-64-names",
            "64 tasks on 64 names, lock + release",
            play(Plain, 1, 64, 64),
            None,
            Some(0.75),
        ),
        row(
            "plain-2",
            "2 tasks on one name, lock + release",
            play(Plain, 1, 2, 1),
            None,
            None,
        ),
        row(
            "plain-16",
            "16 tasks on one name, lock + release",
            play(Plain, 1, 16, 1),
            None,
            None,
        ),
        row(
            "plain-64",
            "64 tasks on one name, lock + release",
            play(Plain, 1, 64, 1),
            None,
            Some(20.0),
        ),
        row(
            "plain-4x4",
            "4 processes of 4 tasks, one name, lock + release",
            play(Plain, 4, 4, 1),
            None,
            Some(14.0),
        ),
        row(
            "plain-4x16",
            "4 processes of 16 tasks, one name, lock + release",
            play(Plain, 4, 16, 1),
            None,
            None,
        ),
        row(
            "work-4x4",
            "the same with 4 tasks, 2 ms of other work between",
            between,
            None,
            Some(3.0),
        ),
        row(
            "counter-4x4",
            "4 processes of 4 tasks, a counter under one lock",
            play(Counter, 4, 4, 1),
            None,
            Some(4.0),
        ),
        row(
            "update-64",
            "`update` of a counter by 64 tasks, against the counter of 1 task",
            play(Update, 1, 64, 1),
            alone,
            Some(30.0),
        ),
        row(
            "update-256",
            "`update` of a counter by 256 tasks, against the counter of 1 task",
            play(Update, 1, 256, 1),
            alone,
            Some(120.0),
        ),
        row(
            "update-4x16",
            "`update` of a counter, 4 processes of 16 tasks, against as many",
            play(Update, 4, 16, 1),
            Some(play(Counter, 4, 16, 1)),
            Some(15.0),
        ),
    ]
}

/// What we want to reach on PostgreSQL.
const POSTGRES: [(&str, f64); 3] = [("plain-1", 0.85), ("counter-1", 0.85), ("update-64", 20.0)];
