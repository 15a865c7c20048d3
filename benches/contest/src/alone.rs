//! What is measured of ours alone: turns between processes, and many leases held.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use distributed_mutex::DistributedMutex;
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::contestant::Failure;
use crate::floor_redis;
use crate::ours::Ours;
use crate::round_trip;

/// What there is to measure.
pub(crate) const ALL: [(&str, &str); 3] = [
    (
        "turns",
        "release to the grant in another process, 2 processes, 2000 turns",
    ),
    (
        "held-10000",
        "10 000 leases of 30 s held for 60 s by one process",
    ),
    (
        "held-100000",
        "100 000 leases of 30 s held for 5 minutes by one process",
    ),
];

/// Measures one of them.
pub(crate) async fn measure(id: &str, url: &str) -> Result<String, Failure> {
    match id {
        "turns" => turns(url).await,
        "held-10000" => held(url, 10_000, 60).await,
        _ => held(url, 100_000, 300).await,
    }
}

async fn said(words: &[&str]) -> Result<Vec<String>, Failure> {
    let mut child = tokio::process::Command::new(std::env::current_exe()?)
        .args(words)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let mut all = Vec::new();
    while let Some(line) = lines.next_line().await? {
        all.push(line);
    }
    if child.wait().await?.success() {
        Ok(all)
    } else {
        Err("a process failed".into())
    }
}

async fn turns(url: &str) -> Result<String, Failure> {
    let trip = round_trip(url).await?;
    let ours = Waits::of("turns", url).await?;
    let mut text = format!("{}; ", ours.in_trips(trip));
    if url.starts_with("redis") {
        let by_hand = Waits::of("turns-by-hand", url).await?;
        text += &format!("by hand {}; ", by_hand.in_trips(trip));
    }
    text += &format!("a round trip takes {:.3} ms", trip.as_secs_f64() * 1e3);
    Ok(text)
}

/// How long it was from each release to the grant in the other process, sorted, in ns.
struct Waits(Vec<u64>);

impl Waits {
    async fn of(what: &str, url: &str) -> Result<Self, Failure> {
        let (first, second) = ([what, url, "0"], [what, url, "1"]);
        let (one, other) = tokio::join!(said(&first), said(&second));
        let mut turns: Vec<[u64; 4]> = Vec::new();
        for line in one?.iter().chain(&other?) {
            let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
            turns.push(numbers.try_into().map_err(|_| "a line has four numbers")?);
        }
        // By token: whoever was granted after a release is the next.
        turns.sort_unstable();
        let mut waits: Vec<u64> = turns
            .windows(2)
            .filter(|pair| pair[0][3] != pair[1][3])
            .map(|pair| pair[1][1].saturating_sub(pair[0][2]))
            .collect();
        waits.sort_unstable();
        if waits.is_empty() {
            return Err("nobody took turns".into());
        }
        Ok(Self(waits))
    }

    fn at(&self, share: f64) -> Duration {
        let waits = &self.0;
        let rank = ((waits.len() as f64 * share).ceil() as usize).clamp(1, waits.len()) - 1;
        Duration::from_nanos(waits[rank])
    }

    fn in_trips(&self, trip: Duration) -> String {
        let trips = |share| self.at(share).as_secs_f64() / trip.as_secs_f64();
        let ms = |share| self.at(share).as_secs_f64() * 1e3;
        format!(
            "p50 {:.2} ms ({:.1} round trips), p99 {:.2} ms ({:.1}), worst {:.2} ms, n = {}",
            ms(0.5),
            trips(0.5),
            ms(0.99),
            trips(0.99),
            ms(1.0),
            self.0.len(),
        )
    }
}

/// Takes a thousand turns, and says of each its token, when it was granted, when it was given back.
pub(crate) async fn turns_child(words: &[String]) -> Result<(), Failure> {
    let [url, id] = words else {
        return Err("turns URL ID".into());
    };
    let ours = Ours::new(url).await?;
    let mutex: DistributedMutex<()> = ours.locks().mutex("contest/turns")?;
    for _ in 0..1000 {
        let guard = mutex.lock().await?;
        let (token, granted) = (guard.token(), now_ns());
        // Long enough for the other to stand in line.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let released = now_ns();
        guard.release().await?;
        println!("{token} {granted} {released} {id}");
    }
    Ok(())
}

/// The same, by as little as can be written by hand: a release is one script that deletes the lock and
/// wakes the other, and a grant is the end of a blocking read and one `SET NX PX`.
pub(crate) async fn turns_by_hand_child(words: &[String]) -> Result<(), Failure> {
    let [url, id] = words else {
        return Err("turns-by-hand URL ID".into());
    };
    let id: u64 = id.parse()?;
    let (lock, mine, others) = (
        "contest/by-hand",
        format!("contest/by-hand/{id}"),
        format!("contest/by-hand/{}", 1 - id),
    );
    let mut connection = floor_redis::connect(url).await?;
    let mut wakes = floor_redis::connect_patiently(url).await?;
    let release = redis::Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('LPUSH', KEYS[2], '') \
         return redis.call('DEL', KEYS[1]) end return 0",
    );
    for turn in 0..1000 {
        // The first of all wakes nobody.
        if turn > 0 || id > 0 {
            let mut wait = redis::cmd("BLPOP");
            let _woken: (String, String) = wait.arg(&mine).arg(0).query_async(&mut wakes).await?;
        }
        let mut set = redis::cmd("SET");
        set.arg(lock).arg(id).arg("NX").arg("PX").arg(30_000);
        let set: Option<String> = set.query_async(&mut connection).await?;
        if set.is_none() {
            return Err("who was woken found the lock taken".into());
        }
        let granted = now_ns();
        tokio::time::sleep(Duration::from_millis(2)).await;
        let released = now_ns();
        let _deleted: i64 = release
            .key(lock)
            .key(&others)
            .arg(id)
            .invoke_async(&mut connection)
            .await?;
        println!("{} {granted} {released} {id}", 2 * turn + id);
    }
    Ok(())
}

/// The machine's clock, which its processes share.
fn now_ns() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_nanos() as u64
}

async fn held(url: &str, leases: usize, seconds: u64) -> Result<String, Failure> {
    let lines = said(&["held", url, &leases.to_string(), &seconds.to_string()]).await?;
    lines
        .last()
        .cloned()
        .ok_or_else(|| "it said nothing".into())
}

/// Takes so many locks, holds them for so long, and says what that cost.
pub(crate) async fn held_child(words: &[String]) -> Result<(), Failure> {
    let [url, leases, seconds] = words else {
        return Err("held URL LEASES SECONDS".into());
    };
    let (leases, seconds): (usize, u64) = (leases.parse()?, seconds.parse()?);
    let ours = Ours::new(url).await?;
    // One lock ahead, so that what every client needs is there.
    ours.locks()
        .mutex::<()>("contest/held/first")?
        .lock()
        .await?
        .release()
        .await?;
    let before = resident()?;
    let began = Instant::now();
    let mut taking = stream::iter(0..leases)
        .map(|number| {
            let locks = ours.locks();
            async move {
                locks
                    .mutex::<()>(format!("contest/held/{number}"))?
                    .lock()
                    .await
            }
        })
        .buffer_unordered(64);
    let mut guards = Vec::with_capacity(leases);
    while let Some(guard) = taking.next().await {
        guards.push(guard?);
    }
    drop(taking);
    let took = began.elapsed();
    let (busy, slept) = (processor_time()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let share = (processor_time()? - busy).as_secs_f64() / slept.elapsed().as_secs_f64();
    let each = resident()?.saturating_sub(before) as f64 / leases as f64;
    let kept = guards.iter().filter(|guard| guard.is_held()).count();
    println!(
        "{} of {leases} kept; {each:.0} bytes each in the client (resident); {:.1} % of a core; taken in {:.1} s",
        kept,
        share * 100.0,
        took.as_secs_f64()
    );
    drop(guards);
    ours.locks().close(Duration::from_secs(60)).await?;
    Ok(())
}

/// The memory of this process, in bytes.
fn resident() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.ok_or("no VmRSS")?.split_whitespace().next();
    Ok(words.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
}

/// What this process had of processors so far.
fn processor_time() -> Result<Duration, Failure> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let all = std::fs::read_dir("/proc/self/task")?;
    let mut total = 0;
    for task in all {
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let ns = text
            .split_whitespace()
            .next()
            .and_then(|word| word.parse::<u64>().ok());
        total += ns.unwrap_or(0);
    }
    if total == 0 && text.is_empty() {
        return Err("this system does not say how busy a process is".into());
    }
    Ok(Duration::from_nanos(total))
}
