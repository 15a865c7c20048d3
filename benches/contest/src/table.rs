//! The figures as a page.

use std::fmt::Write;
use std::time::Duration;

use crate::Entry;
use crate::play::Section;
use crate::scenario::Scenario;

/// One contestant in one scenario, for who watches.
pub(crate) fn line(entry: &Entry) -> String {
    format!("{:<24}{}", entry.contestant, cells(entry).join("  "))
}

/// The page.
pub(crate) fn page(
    server: &str,
    flush: Option<Duration>,
    about: &[(&str, &str)],
    length: Duration,
    rounds: usize,
    rows: &[(&Scenario, Vec<Entry>)],
    alone: &[(&str, String)],
) -> String {
    let is_redis = server.starts_with("Redis");
    let mut page = format!("# Locks side by side: {server}\n\n");
    let kind = if is_redis { "redis" } else { "postgres" };
    let _ = writeln!(
        page,
        "Made by `cargo xtask bench contest {kind} --write` on {}: {}, loopback, {server}.\n\
         {rounds} rounds of {} ms for each contestant and scenario, interleaved, each beginning with another contestant; every process is one of its own.\n\
         **×** is the rate over the floor's of the same round, the median of the rounds (least to most); absolute figures are of this machine only.\n\
         *Shares* says by how much the tasks that were served least and most differ from the mean of all.\n",
        today(),
        machine(),
        length.as_millis(),
    );
    if let Some(flush) = flush {
        let _ = writeln!(
            page,
            "A commit that wrote waits for a flush of the write-ahead log: {:.2} ms here by the median, and a lock and release of the floor or of ours is two of them.\n",
            flush.as_secs_f64() * 1e3
        );
    }
    let _ = writeln!(page, "![The ratios as bars]({kind}.svg)\n");
    for (row, entries) in rows {
        let _ = write!(page, "## {}\n\n", row.title);
        if let Some(goal) = row.goal(is_redis) {
            let _ = write!(page, "Goal: {goal} ×.\n\n");
        }
        page.push_str("| who | × | a second | wait p50 | p99 | worst | shares | lost updates | failures |\n|---|---|---|---|---|---|---|---|---|\n");
        for entry in entries {
            let _ = writeln!(
                page,
                "| {} | {} |",
                entry.contestant,
                cells(entry).join(" | ")
            );
        }
        if row.play.section == Section::Update {
            page.push_str("\nThe wait is the whole call.\n");
        }
        page.push('\n');
    }
    if !alone.is_empty() {
        page.push_str("## Ours alone\n\n| what | found |\n|---|---|\n");
        for (what, found) in alone {
            let _ = writeln!(page, "| {what} | {found} |");
        }
        page.push('\n');
    }
    page.push_str("## Who takes part\n\n");
    for (name, what) in about {
        let _ = writeln!(page, "- **{name}**: {what}.");
    }
    page
}

fn cells(entry: &Entry) -> [String; 8] {
    let tally = &entry.tally;
    let ms = |ms: f64| match ms {
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 10.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    };
    let short = |ratio: f64| match ratio {
        ratio if ratio >= 10.0 => format!("{ratio:.1}"),
        ratio => format!("{ratio:.2}"),
    };
    let ends = match entry.ratios.as_slice() {
        [least, .., most] if entry.contestant != "floor" => {
            format!(" ({} to {})", short(*least), short(*most))
        }
        _ => String::new(),
    };
    let shares = match tally.sections.len() {
        0 | 1 => String::new(),
        _ => {
            let (least, most) = tally.shares();
            format!("{:+.0} % to {:+.0} %", least * 100.0, most * 100.0)
        }
    };
    [
        format!("{}{ends}", short(entry.ratio())),
        format!("{:.0}", tally.rate()),
        ms(tally.wait_ms(0.5)),
        ms(tally.wait_ms(0.99)),
        ms(tally.worst_ms()),
        shares,
        entry.lost.map_or(String::new(), |lost| lost.to_string()),
        tally.failures.to_string(),
    ]
}

fn today() -> String {
    let output = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    output.map_or_else(
        |_| "an unknown day".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("an unknown processor", |model| {
            model.trim_start_matches([' ', '\t', ':'])
        });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}
