//! One play: tasks of one or several processes that take locks for a while.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::contestant::{self, Contestant, Failure};
use crate::tally::Tally;

/// What a task does with its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Counter,
    Ping,
    Plain,
    Update,
}

impl Section {
    const ALL: [(Self, &str); 4] = [
        (Self::Counter, "counter"),
        (Self::Ping, "ping"),
        (Self::Plain, "plain"),
        (Self::Update, "update"),
    ];

    fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(section, _)| *section == self);
        found.map_or("", |(_, word)| word)
    }

    fn of(word: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == word);
        found.map(|(section, _)| *section)
    }
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play {
    pub(crate) section: Section,
    pub(crate) processes: usize,
    /// Of each process.
    pub(crate) tasks: usize,
    /// The tasks share so many names, evenly.
    pub(crate) names: usize,
    /// What a task does between two sections.
    pub(crate) pause: Duration,
    pub(crate) length: Duration,
}

impl Play {
    /// Whether nobody wants the name of another.
    pub(crate) fn is_uncontended(&self) -> bool {
        self.processes * self.tasks == self.names
    }

    fn words(&self) -> [String; 6] {
        [
            self.section.word().to_owned(),
            self.processes.to_string(),
            self.tasks.to_string(),
            self.names.to_string(),
            self.pause.as_micros().to_string(),
            self.length.as_micros().to_string(),
        ]
    }

    fn of(words: &[String]) -> Option<Self> {
        let [section, processes, tasks, names, pause, length] = words else {
            return None;
        };
        Some(Self {
            section: Section::of(section)?,
            processes: processes.parse().ok()?,
            tasks: tasks.parse().ok()?,
            names: names.parse().ok()?,
            pause: Duration::from_micros(pause.parse().ok()?),
            length: Duration::from_micros(length.parse().ok()?),
        })
    }
}

/// A section that has not ended by so much after the end of the play is given up.
const GRACE: Duration = Duration::from_secs(15);

async fn section(
    contestant: &dyn Contestant,
    what: Section,
    name: &str,
) -> Result<Duration, Failure> {
    match what {
        Section::Counter => contestant.counter(name).await,
        Section::Ping => contestant.ping().await.map(|()| Duration::ZERO),
        Section::Plain => contestant.plain(name).await,
        Section::Update => contestant.update(name).await,
    }
}

/// Plays in this process. `prefix` begins all names.
pub(crate) async fn here(contestant: &Arc<dyn Contestant>, play: Play, prefix: &str) -> Tally {
    let began = Instant::now();
    let end = began + play.length;
    let mut tasks = Vec::new();
    for task in 0..play.tasks {
        let contestant = Arc::clone(contestant);
        let name = format!("{prefix}/{}", task % play.names);
        tasks.push(tokio::spawn(async move {
            let mut tally = Tally::default();
            tally.sections.push(0);
            while Instant::now() < end {
                let work = section(&*contestant, play.section, &name);
                match tokio::time::timeout_at((end + GRACE).into(), work).await {
                    Ok(Ok(waited)) => {
                        tally.sections[0] += 1;
                        tally.wait(waited);
                    }
                    Ok(Err(error)) => {
                        if tally.failures == 0 {
                            eprintln!("    a section failed: {error}");
                        }
                        tally.failures += 1;
                        // A lock that fails at once is not to spin.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Err(_) => tally.failures += 1,
                }
                if !play.pause.is_zero() {
                    tokio::time::sleep(play.pause).await;
                }
            }
            tally
        }));
    }
    let mut all = Tally::default();
    for task in tasks {
        match task.await {
            Ok(tally) => all.add(&tally, false),
            Err(error) => {
                eprintln!("    a task did not end well: {error}");
                all.failures += 1;
                all.sections.push(0);
            }
        }
    }
    // What was under way when the time was up counts, and so does the time that it took.
    all.length_us = began.elapsed().as_micros() as u64;
    all
}

/// The processes of one contestant, which are kept for all rounds of a scenario.
pub(crate) struct Crew {
    members: Vec<Member>,
}

struct Member {
    _child: Child,
    orders: ChildStdin,
    answers: tokio::io::Lines<BufReader<ChildStdout>>,
}

impl Crew {
    /// Starts them, and waits until each is connected.
    pub(crate) async fn start(contestant: &str, url: &str, play: Play) -> Result<Self, Failure> {
        let mut members = Vec::new();
        for _ in 0..play.processes {
            let mut child = tokio::process::Command::new(std::env::current_exe()?)
                .args(["child", contestant, url])
                .args(play.words())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            let orders = child.stdin.take().ok_or("no input")?;
            let answers = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
            members.push(Member {
                _child: child,
                orders,
                answers,
            });
        }
        let mut crew = Self { members };
        crew.answers("ready").await?;
        Ok(crew)
    }

    async fn answers(&mut self, expected: &str) -> Result<(), Failure> {
        for member in &mut self.members {
            let line = member.answers.next_line().await?;
            if line.as_deref() != Some(expected) {
                return Err(format!("a process said {line:?} and not {expected}").into());
            }
        }
        Ok(())
    }

    /// Has all of them play at once.
    pub(crate) async fn play(&mut self, prefix: &str) -> Result<Tally, Failure> {
        for member in &mut self.members {
            member
                .orders
                .write_all(format!("{prefix}\n").as_bytes())
                .await?;
        }
        let mut all = Tally::default();
        for member in &mut self.members {
            let line = member.answers.next_line().await?.ok_or("a process ended")?;
            let tally = Tally::from_line(&line).ok_or_else(|| format!("no tally: {line}"))?;
            all.add(&tally, false);
        }
        Ok(all)
    }
}

/// One process of a crew: plays once for each line that it reads.
pub(crate) async fn child(words: &[String]) -> Result<(), Failure> {
    let [name, url, play @ ..] = words else {
        return Err("child CONTESTANT URL PLAY…".into());
    };
    let play = Play::of(play).ok_or("no play")?;
    let contestant = contestant::enter(name, url).await?;
    warm(&contestant, play).await;
    let mut out = tokio::io::stdout();
    out.write_all(b"ready\n").await?;
    out.flush().await?;
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(prefix) = orders.next_line().await? {
        let tally = here(&contestant, play, &prefix).await;
        out.write_all(format!("{}\n", tally.to_line()).as_bytes())
            .await?;
        out.flush().await?;
    }
    Ok(())
}

/// Has connections and scripts ready, under a name of this process' own.
pub(crate) async fn warm(contestant: &Arc<dyn Contestant>, play: Play) {
    let warm = Play {
        processes: 1,
        tasks: 1,
        names: 1,
        pause: Duration::ZERO,
        length: Duration::from_millis(50),
        ..play
    };
    let _tally = here(contestant, warm, &format!("warm/{}", std::process::id())).await;
}
