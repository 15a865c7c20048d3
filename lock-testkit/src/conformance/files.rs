//! The results as files: `JUnit` XML and JSON.

use std::fmt::Write;
use std::path::Path;

use serde_json::json;

use super::settings::Settings;
use super::summary::{Standing, Summary, durability};
use crate::SetupError;

pub(super) fn write(summary: &Summary, settings: &Settings) -> Result<(), SetupError> {
    if let Some(path) = &settings.arguments.junit {
        save(path, &junit(summary))?;
    }
    if let Some(path) = &settings.arguments.json {
        save(path, &json(summary))?;
    }
    Ok(())
}

fn save(path: &Path, text: &str) -> Result<(), SetupError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let saved = match folder.as_os_str().is_empty() {
        true => Ok(()),
        false => std::fs::create_dir_all(folder),
    };
    saved
        .and_then(|()| std::fs::write(path, text))
        .map_err(|e| SetupError::new(format!("cannot write {}", path.display())).with_source(e))
}

fn json(summary: &Summary) -> String {
    let Summary { capabilities, .. } = summary;
    let cases = summary.cases.iter().map(|case| {
        json!({
            "id": case.id,
            "result": case.standing.word(),
            "text": case.standing.text(),
            "seconds": case.took.as_secs_f64(),
        })
    });
    let value = json!({
        "suite": { "name": "lock-testkit", "version": env!("CARGO_PKG_VERSION") },
        "backend": {
            "name": summary.backend,
            "kind": summary.kind,
            "capabilities": {
                "push": capabilities.push,
                "line": capabilities.line,
                "force_alarm": capabilities.force_alarm,
                "loss_alarm": capabilities.loss_alarm,
                "durability": durability(capabilities.durability),
            },
        },
        "profile": summary.profile.name(),
        "seed": summary.seed,
        "scheduler_delay_seconds": summary.delay.as_secs_f64(),
        "seconds": summary.took.as_secs_f64(),
        "statement": summary.statement(),
        "cases": cases.collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

fn junit(summary: &Summary) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (all, failures) = (summary.cases.len(), summary.count("fail"));
    let skipped = all
        .saturating_sub(failures)
        .saturating_sub(summary.count("pass"));
    let seconds = summary.took.as_secs_f64();
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "<testsuites tests=\"{all}\" failures=\"{failures}\" time=\"{seconds:.3}\">\n\
         <testsuite name=\"lock-testkit conformance: {}\" tests=\"{all}\" failures=\"{failures}\" \
         errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\">\n<properties>",
        escaped(&summary.backend)
    );
    let properties = [
        ("suite version", env!("CARGO_PKG_VERSION").to_owned()),
        ("profile", summary.profile.name().to_owned()),
        ("seed", summary.seed.to_string()),
        ("capabilities", format!("{:?}", summary.capabilities)),
        ("statement", summary.statement()),
    ];
    for (name, value) in properties {
        let value = escaped(&value);
        let _ = writeln!(text, "<property name=\"{name}\" value=\"{value}\"/>");
    }
    text.push_str("</properties>\n");
    for case in &summary.cases {
        let (group, sentence) = case.id.split_once('/').unwrap_or(("", case.id));
        let seconds = case.took.as_secs_f64();
        let _ = write!(
            text,
            "<testcase classname=\"{group}\" name=\"{sentence}\" time=\"{seconds:.3}\">"
        );
        let said = escaped(case.standing.text().unwrap_or_default());
        let word = case.standing.word();
        let _ = match &case.standing {
            Standing::Fail(_) => write!(text, "<failure message=\"fail\">{said}</failure>"),
            Standing::Pass(None) => Ok(()),
            Standing::Pass(Some(_)) => write!(text, "<system-out>{said}</system-out>"),
            Standing::ExpectedFailure(_) | Standing::NotApplicable(_) | Standing::Skip(_) => {
                write!(text, "<skipped message=\"{word}: {said}\"/>")
            }
        };
        text.push_str("</testcase>\n");
    }
    text.push_str("</testsuite>\n</testsuites>\n");
    text
}

/// Text as XML 1.0 can hold it: what it cannot hold becomes a question mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
