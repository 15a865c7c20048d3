//! The public histories: verdicts against the expected ones, times, and the cores of the bad ones.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lock_testkit::checker::linear::{
    Entry, Kv, Linearizability, Model, Register, check, minimise, read_etcd_log, read_kv_log,
};

use crate::{Row, timed};

/// The etcd logs that are linearizable; all others are not.
const GOOD: [&str; 23] = [
    "002", "005", "007", "018", "025", "031", "038", "045", "048", "049", "051", "053", "056",
    "067", "075", "076", "080", "087", "092", "098", "100", "101", "102",
];

const BUDGET: u64 = 50_000_000;
const RUNS: usize = 9;

pub(crate) fn rows(folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = etcd(&folder.join("etcd"))?;
    for path in files(&folder.join("kv"), "txt")? {
        let name = stem(&path);
        let history = read_kv_log(&fs::read_to_string(&path)?)?;
        let (took, found) = timed(RUNS, || check(&Kv::of(&history), &history, BUDGET));
        let expected = name.ends_with("ok");
        rows.push(Row::new(
            format!("kv {name}, {} operations", history.len()),
            format!("{}, {}", micros(took), judge(found, expected)),
        ));
    }
    Ok(rows)
}

/// The files of one kind in a folder, by name; none if there is no such folder.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn etcd(folder: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut total = Duration::ZERO;
    let mut times = Vec::new();
    let mut wrong = Vec::new();
    let mut cores = Vec::new();
    for path in files(folder, "log")? {
        let name = stem(&path);
        let history = read_etcd_log(&fs::read_to_string(&path)?)?;
        if history.is_empty() {
            continue;
        }
        let (took, found) = timed(RUNS, || check(&Register, &history, BUDGET));
        let expected = GOOD.iter().any(|number| name.ends_with(number));
        if found.decided() != Some(expected) {
            wrong.push(name.clone());
        }
        total += took;
        times.push((took, name));
        if found.decided() == Some(false) {
            cores.extend(core(&Register, &history));
        }
    }
    times.sort();
    let Some((worst, name)) = times.last() else {
        return Ok(Vec::new());
    };
    let median = times.get(times.len() / 2).map_or(Duration::ZERO, |t| t.0);
    let verdicts = if wrong.is_empty() {
        "all verdicts as expected".to_owned()
    } else {
        format!("WRONG: {}", wrong.join(", "))
    };
    let mut rows = vec![Row::new(
        format!("etcd, {} histories", times.len()),
        format!(
            "total {}, median {}, worst {} ({name}); {verdicts}",
            micros(total),
            micros(median),
            micros(*worst)
        ),
    )];
    cores.sort_unstable();
    let middle = |sorted: &[Duration]| sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let mut took: Vec<Duration> = cores.iter().map(|core| core.1).collect();
    took.sort_unstable();
    let sizes: Vec<usize> = cores.iter().map(|core| core.0).collect();
    rows.push(Row::new(
        format!("etcd, cores of {} bad histories", cores.len()),
        format!(
            "median {} operations (largest {}), median {}, worst {}",
            sizes.get(sizes.len() / 2).copied().unwrap_or_default(),
            sizes.last().copied().unwrap_or_default(),
            micros(middle(&took)),
            micros(took.last().copied().unwrap_or_default()),
        ),
    ));
    Ok(rows)
}

fn core<M: Model>(model: &M, history: &[Entry<M::Op>]) -> Option<(usize, Duration)>
where
    M::Op: Clone,
{
    let (took, core) = timed(3, || minimise(model, history, 100_000));
    Some((core?.culprits.len(), took))
}

pub(crate) fn judge(found: Linearizability, expected: bool) -> String {
    match found.decided() {
        Some(decided) if decided == expected => "verdict as expected".to_owned(),
        Some(_) => "WRONG verdict".to_owned(),
        None => "undecided".to_owned(),
    }
}

pub(crate) fn micros(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    if us < 1000.0 {
        format!("{us:.0} µs")
    } else {
        format!("{:.2} ms", us / 1000.0)
    }
}
