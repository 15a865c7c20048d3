//! Locks side by side in one run: ours, what a careful hand writes on the same client library, and
//! public crates. Ratios to the hand-written floor come first, since they hold on other machines too.
//!
//! `cargo xtask bench contest [redis|postgres] [--seconds S] [--rounds N] [--only ID] [--write]`

mod alone;
mod chart;
mod contestant;
mod distributed_lock;
mod floor_postgres;
mod floor_redis;
mod ours;
mod play;
mod rslock;
mod scenario;
mod table;
mod tally;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use contestant::Failure;
use lock_testkit::service::{PostgresServerOptions, RedisServer};
use play::{Crew, Play, Section};
use scenario::Scenario;
use tally::Tally;

/// What one contestant did in one scenario.
pub(crate) struct Entry {
    pub(crate) contestant: &'static str,
    /// Its rate over the floor's, round by round, sorted.
    pub(crate) ratios: Vec<f64>,
    pub(crate) tally: Tally,
    /// Updates that were acknowledged and are not there; none if nothing counts.
    pub(crate) lost: Option<i64>,
}

impl Entry {
    /// The median of the rounds.
    pub(crate) fn ratio(&self) -> f64 {
        self.ratios
            .get(self.ratios.len() / 2)
            .copied()
            .unwrap_or(0.0)
    }
}

struct Wanted {
    store: String,
    length: Duration,
    rounds: usize,
    only: Vec<String>,
    write: bool,
}

fn wanted(words: &[String]) -> Result<Wanted, Failure> {
    let mut wanted = Wanted {
        store: "redis".to_owned(),
        length: Duration::from_secs(1),
        rounds: 5,
        only: Vec::new(),
        write: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "redis" | "postgres" => wanted.store.clone_from(word),
            "--seconds" => wanted.length = Duration::from_secs_f64(value()?.parse()?),
            "--rounds" => wanted.rounds = value()?.parse::<usize>()?.max(1),
            "--only" => wanted.only.push(value()?.clone()),
            "--write" => wanted.write = true,
            _ => return Err(format!("{word} is unknown: [redis|postgres] [--seconds S] [--rounds N] [--only ID] [--write]").into()),
        }
    }
    Ok(wanted)
}

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first() {
        Some((first, rest)) if first == "child" => play::child(rest).await,
        Some((first, rest)) if first == "turns" => alone::turns_child(rest).await,
        Some((first, rest)) if first == "turns-by-hand" => alone::turns_by_hand_child(rest).await,
        Some((first, rest)) if first == "held" => alone::held_child(rest).await,
        _ => contest(&words).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("contest: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn contest(words: &[String]) -> Result<(), Failure> {
    let wanted = wanted(words)?;
    if wanted.store == "redis" {
        let server = RedisServer::start().await?;
        let version = server.info("redis_version").await?;
        hold(&wanted, server.url(), &format!("Redis {version}")).await
    } else {
        // Flushed at each commit, as a server is run that is to keep what it acknowledged.
        let server = PostgresServerOptions::new()
            .durable()
            .config("max_connections = 300")
            .start()
            .await?;
        let version = server.sql("SHOW server_version").await?;
        let version = version.concat().concat();
        hold(&wanted, server.url(), &format!("PostgreSQL {version}")).await
    }
}

async fn hold(wanted: &Wanted, url: &str, server: &str) -> Result<(), Failure> {
    let all = scenario::all(wanted.length);
    let is_wanted = |id: &str| wanted.only.is_empty() || wanted.only.iter().any(|only| only == id);
    let mut rows = Vec::new();
    let chosen: Vec<&Scenario> = all.iter().filter(|row| is_wanted(row.id)).collect();
    for (number, row) in (1..).zip(&chosen) {
        eprintln!("{number}/{} {}", chosen.len(), row.title);
        let entries = one(wanted, url, row).await?;
        for entry in &entries {
            eprintln!("    {}", table::line(entry));
        }
        rows.push((*row, entries));
    }
    let mut alone = Vec::new();
    for (id, what) in alone::ALL {
        if is_wanted(id) {
            eprintln!("{what}");
            let found = alone::measure(id, url).await?;
            eprintln!("    {found}");
            alone.push((what, found));
        }
    }
    let flush = if wanted.store == "postgres" {
        Some(floor_postgres::flush(url).await?)
    } else {
        None
    };
    let text = table::page(
        server,
        flush,
        contestant::about(url),
        wanted.length,
        wanted.rounds,
        &rows,
        &alone,
    );
    println!("{text}");
    if wanted.write {
        let folder = std::path::Path::new("docs/benchmarks");
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(format!("{}.md", wanted.store)), text)?;
        std::fs::write(
            folder.join(format!("{}.svg", wanted.store)),
            chart::svg(server, &rows),
        )?;
        eprintln!("written to {}", folder.display());
    }
    Ok(())
}

/// Plays one scenario: all contestants in each round, in turn, beginning with another each time.
async fn one(wanted: &Wanted, url: &str, row: &Scenario) -> Result<Vec<Entry>, Failure> {
    let names = contestant::on(url);
    let play_of = |name: &str| match (name, row.floor) {
        ("floor", Some(floor)) => floor,
        _ => row.play,
    };
    let is_in = |name: &str| match (row.play.section, name) {
        // Only ours has an `update` of its own.
        (Section::Update, name) => ["floor", "ours", "ours unlogged"].contains(&name),
        // It keeps nobody out.
        (_, "SELECT 1") => row.play.section == Section::Plain && row.play.is_uncontended(),
        _ => true,
    };
    let mut crews = BTreeMap::new();
    for name in names.iter().filter(|name| is_in(name)) {
        let crew = Crew::start(name, url, play_of(name)).await?;
        let look = contestant::enter(name, url).await?;
        crews.insert(*name, (crew, look));
    }
    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut lost: BTreeMap<&str, i64> = BTreeMap::new();
    for round in 0..wanted.rounds {
        for turn in 0..names.len() {
            let name = names[(turn + round) % names.len()];
            let Some((crew, look)) = crews.get_mut(name) else {
                continue;
            };
            let prefix = format!("contest/{}/{round}/{}", row.id, name.replace(' ', "-"));
            let tally = crew.play(&prefix).await?;
            let play = play_of(name);
            if matches!(play.section, Section::Counter | Section::Update) {
                let mut total = 0;
                for number in 0..play.names {
                    total += look.total(&format!("{prefix}/{number}")).await?;
                }
                // A section that failed may have counted.
                let missing = tally.total() as i64 - total as i64;
                *lost.entry(name).or_default() += missing.max(0);
            }
            rates.entry(name).or_default().push(tally.rate());
            match tallies.get_mut(name) {
                Some(all) => all.add(&tally, true),
                None => drop(tallies.insert(name, tally)),
            }
        }
    }
    let floor = rates.get("floor").cloned().unwrap_or_default();
    let mut entries = Vec::new();
    for name in names.iter().filter(|name| is_in(name)) {
        let of_round = rates.remove(name).unwrap_or_default();
        let mut ratios: Vec<f64> = of_round
            .iter()
            .zip(&floor)
            .map(|(rate, floor)| rate / floor.max(1e-9))
            .collect();
        ratios.sort_by(f64::total_cmp);
        entries.push(Entry {
            contestant: name,
            ratios,
            tally: tallies.remove(name).unwrap_or_default(),
            lost: lost.get(name).copied(),
        });
    }
    Ok(entries)
}

/// One task that pings, for what a round trip takes here.
pub(crate) async fn round_trip(url: &str) -> Result<Duration, Failure> {
    let floor = contestant::enter("floor", url).await?;
    let play = Play {
        section: Section::Ping,
        processes: 1,
        tasks: 1,
        names: 1,
        pause: Duration::ZERO,
        length: Duration::from_secs(1),
    };
    let tally = play::here(&floor, play, "ping").await;
    Ok(Duration::from_secs_f64(1.0 / tally.rate().max(1.0)))
}
