//! `dlock doctor`: what this store can promise, as it stands.

use std::time::Duration;

use distributed_mutex::{
    Clock, Durability, Error, Finding, LockClient, LockOptions, Severity, SystemClock,
};
use serde_json::{Value, json};

use crate::cli::DoctorArgs;
use crate::codes;
use crate::output::{Escaped, Style, print, print_json, styled, whole};
use crate::store;

/// Prints each finding with its consequence and its remedy; the exit code is that of the worst.
pub(crate) async fn examine(args: &DoctorArgs, url: Option<&str>) -> u8 {
    let examined = match store::connect(url, LockOptions::builder()).await {
        Ok(locks) => looked_at(&locks).await,
        Err(e) => Err(e),
    };
    // That it is refused, or not there, is the finding.
    let mut findings = examined.unwrap_or_else(|e| vec![refusal(&e)]);
    // The worst first; what is alike stays in order.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    if args.json {
        let all: Vec<Value> = findings.iter().map(as_json).collect();
        print_json(&all);
    } else {
        print(page(&findings));
    }
    match findings.iter().map(|finding| finding.severity).max() {
        None | Some(Severity::Note) => codes::OK,
        Some(Severity::Warning) => codes::REFUSED,
        Some(_) => BROKEN,
    }
}

/// A promise does not hold.
const BROKEN: u8 = 2;

/// Why no client can use the store: an error says what is wrong, and then what to do.
fn refusal(error: &Error) -> Finding {
    let text = whole(error);
    let (fact, remedy) = text
        .split_once("; ")
        .unwrap_or((&text, "see that it runs and can be reached from here"));
    Finding::broken("store", fact, "no lock can be taken on it", remedy)
}

async fn looked_at(locks: &LockClient) -> Result<Vec<Finding>, Error> {
    let mut findings = locks.examine().await?;
    findings.push(promises(locks));
    findings.push(latency(locks).await?);
    Ok(findings)
}

fn promises(locks: &LockClient) -> Finding {
    let can = locks.capabilities();
    let word = |yes: bool| if yes { "yes" } else { "no" };
    let survives = match can.durability {
        Durability::Failover => "the loss of the machine",
        Durability::Restart => "a crash of the store",
        Durability::None | _ => "nothing for certain",
    };
    Finding::note(
        "promises",
        format!(
            "wake-ups pushed: {}; waiters in line: {}; forced releases pushed to the holder: {}; \
             acknowledged steps survive: {survives}",
            word(can.push),
            word(can.line),
            word(can.force_alarm)
        ),
    )
}

/// How long the store takes for the smallest question.
async fn latency(locks: &LockClient) -> Result<Finding, Error> {
    let clock = SystemClock::new();
    let mut times = Vec::new();
    for _ in 0..PROBES {
        let began = clock.now();
        let _info = locks.inspect(PROBE).await?;
        times.push(clock.now().since(began));
    }
    times.sort_unstable();
    let median = times.get(PROBES / 2).copied().unwrap_or_default();
    let worst = times.last().copied().unwrap_or_default();
    let ttl = locks.options().ttl();
    let fact = format!(
        "{} ms for one question in the middle, {} ms at worst, of {PROBES}",
        in_ms(median),
        in_ms(worst)
    );
    if median < ttl.as_duration() / 20 {
        return Ok(Finding::note("latency", fact));
    }
    Ok(Finding::warning(
        "latency",
        fact,
        format!("with a ttl of {ttl} few renewals fit into a lease, and a hiccup loses it"),
        "use a store that is nearer, or a longer ttl",
    ))
}

const PROBES: usize = 11;
const PROBE: &str = "dlock/doctor";

fn in_ms(length: Duration) -> String {
    format!("{:.2}", length.as_secs_f64() * 1000.0)
}

fn page(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.severity {
            Severity::Note => styled(Style::Good, "ok     "),
            Severity::Warning => styled(Style::Warn, "warning"),
            Severity::Broken | _ => styled(Style::Bad, "broken "),
        };
        let fact = Escaped(&finding.fact);
        text.push_str(&format!("{word}  {:<12} {fact}\n", finding.topic));
        let more = [("so", &finding.consequence), ("do", &finding.remedy)];
        for (key, what) in more.iter().filter(|(_, what)| !what.is_empty()) {
            text.push_str(&format!("         {key:<12} {}\n", Escaped(what)));
        }
    }
    text
}

fn as_json(finding: &Finding) -> Value {
    json!({
        "topic": finding.topic,
        "severity": finding.severity.to_string(),
        "fact": finding.fact,
        "consequence": finding.consequence,
        "remedy": finding.remedy,
    })
}
