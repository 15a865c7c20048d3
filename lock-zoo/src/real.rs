//! What the command does with broken locks on real servers.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use lock_testkit::SetupError;
use lock_testkit::hunt::Finding;
use lock_testkit::report::{Report, core};
use lock_zoo::served::{ServedMember, served_members};

/// Prints a row for each member; what is not as it should be.
pub(crate) fn all() -> Result<Vec<String>, SetupError> {
    let runtime = runtime()?;
    let mut complaints = Vec::new();
    for member in served_members() {
        eprint!("\r\x1b[K{} ", member.id);
        let hunted = runtime.block_on(member.hunt())?;
        eprint!("\r\x1b[K");
        let found = hunted.finding.as_ref();
        let (cases, took) = found.map_or((0, 0.0), |f| (f.cases, f.took.as_secs_f64()));
        println!(
            "{:<36}{:<10}{:<8}{cases:>6}{:>8.2} s{:>12}{:>10.1} s",
            member.id,
            member.property.id(),
            found.map_or("nothing", |f| f.violation.property.id()),
            took,
            found.map_or(0, |f| core(&f.history, &f.violation).len()),
            hunted.started_in.as_secs_f64(),
        );
        complaints.extend(hunted.complaint(member));
    }
    Ok(complaints)
}

/// Prints the rows of the page.
pub(crate) fn markdown() {
    println!("\n## On real servers\n");
    println!("| Member | Property | What goes wrong | Seen at |\n|---|---|---|---|");
    for member in served_members() {
        let ServedMember { id, what, .. } = member;
        let (property, place) = (member.property, member.where_seen.unwrap_or(""));
        println!("| `{id}` | {property} | {what} | {place} |");
    }
}

/// Prints the report of one member, and keeps it in a folder if one is given; whether it was caught
/// as it should be.
pub(crate) fn one(member: &ServedMember, folder: Option<&str>) -> Result<bool, SetupError> {
    println!("{}: {}", member.id, member.what);
    if let Some(place) = member.where_seen {
        println!("seen at {place}");
    }
    println!();
    let hunted = runtime()?.block_on(member.hunt())?;
    let complaint = hunted.complaint(member);
    if let Some(found) = &hunted.finding {
        let mut report = report(member, found);
        let text = format!("{report}\nplan: {}\n", found.plan.to_line());
        print!("{text}");
        if let Some(folder) = folder {
            keep(member.id, Path::new(folder), &text, &mut report)
                .map_err(|e| SetupError::new("cannot keep the report").with_source(e))?;
        }
    }
    if let Some(complaint) = &complaint {
        eprintln!("zoo: {complaint}");
    }
    Ok(complaint.is_none())
}

/// Runs the plan of a member again and again; whether it is caught in nine of ten runs.
pub(crate) fn repeat(members: &[&ServedMember], tries: u32) -> Result<bool, SetupError> {
    let runtime = runtime()?;
    let mut is_well = true;
    for member in members {
        let times = runtime.block_on(member.repeat(tries))?;
        let (id, property) = (member.id, member.property.id());
        println!("{id:<36}{property:<10}{times} of {tries}");
        is_well &= times.saturating_mul(10) >= tries.saturating_mul(9);
    }
    Ok(is_well)
}

fn report<'a>(member: &ServedMember, found: &'a Finding) -> Report<'a> {
    Report::new(&found.history, &found.violation)
        .subject(member.id)
        .case(format!("run {} of its plan", found.cases))
        .replay(format!("cargo xtask zoo --served {}", member.id))
}

/// Keeps the report as text and as a picture.
fn keep(
    id: &str,
    folder: &Path,
    text: &str,
    report: &mut Report<'_>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{id}.txt")), text)?;
    let files = tempfile::tempdir()?;
    let page = report.write(files.path())?.page;
    let picture = folder.join(format!("{id}.png"));
    let browser = std::env::var("LOCK_TESTKIT_CHROMIUM").unwrap_or("chromium".to_owned());
    let status = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .arg(format!(
            "--user-data-dir={}",
            files.path().join("user").display()
        ))
        .arg(format!("--window-size={PICTURE}"))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(format!("file://{}", page.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    match status.success() && picture.is_file() {
        true => Ok(()),
        false => Err(format!("the browser did not take a picture: {status}").into()),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, SetupError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| SetupError::new("cannot start a runtime").with_source(e))
}

/// Width and height of the picture.
const PICTURE: &str = "1200,640";
