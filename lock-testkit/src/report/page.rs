//! The page of a report: one file that needs nothing else.
//!
//! Names and values come from a test's input and may hold anything, so they go into the page in two
//! ways only: as JSON in ASCII in which no character of HTML is left, which the script puts on the
//! page as text, and as escaped text for a reader without scripts.

use std::collections::HashMap;
use std::io;

use serde::Serialize;

use super::lease::bars;
use super::time::Times;
use super::{Report, core, sentence};
use crate::history::{History, Key, NEVER, Outcome, Step, Value};

const TEMPLATE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const MODEL: &str = include_str!("page/model.js");
const CHART: &str = include_str!("page/chart.js");
const SCRIPT: &str = include_str!("page/page.js");

/// The page as HTML.
pub(super) fn page(report: &Report<'_>) -> io::Result<String> {
    let data = serde_json::to_string(&Data::new(report))?;
    // In one pass, so that no text of a history is taken for a place to fill.
    let fills = [
        ("<!--style-->", STYLE.to_owned()),
        ("<!--text-->", html_text(&report.to_string())),
        ("<!--data-->", script_text(&data)),
        ("<!--script-->", [MODEL, CHART, SCRIPT].concat()),
    ];
    let mut page = String::new();
    let mut rest = TEMPLATE;
    for (place, content) in fills {
        if let Some((before, after)) = rest.split_once(place) {
            page.push_str(before);
            page.push_str(&content);
            rest = after;
        }
    }
    page.push_str(rest);
    Ok(page)
}

/// JSON in which nothing can end a script.
fn script_text(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && !matches!(c, '<' | '>' | '&' | '\u{7f}') {
            text.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// Text for HTML.
fn html_text(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// What the script reads. Moments are nanoseconds from the start of the history and `null` for never,
/// which a number of JavaScript holds for 104 days; tokens are texts, since they may be larger.
#[derive(Serialize)]
struct Data {
    property: &'static str,
    sentence: String,
    /// Empty where there is but one.
    lock: String,
    rule: &'static str,
    subject: String,
    case: String,
    bound: String,
    replay: String,
    keys: Vec<String>,
    values: Vec<String>,
    operations: Vec<OperationRow>,
    leases: Vec<LeaseRow>,
    beliefs: Vec<BeliefRow>,
    marks: Vec<MarkRow>,
    healed: Option<u64>,
    core: Vec<usize>,
    culprits: Vec<usize>,
}

/// Invoked, returned, key, client, task, step, outcome, token, ttl, value (-1: nothing was ever
/// written, -2: not recorded).
#[derive(Serialize)]
struct OperationRow(
    u64,
    Option<u64>,
    usize,
    u32,
    u16,
    Step,
    Outcome,
    String,
    u64,
    i64,
);

/// Key, token, grant, from, sure from, sure until, until.
#[derive(Serialize)]
struct LeaseRow(usize, String, usize, u64, u64, u64, Option<u64>);

/// Key, client, task, token, from, until.
#[derive(Serialize)]
struct BeliefRow(usize, u32, u16, String, u64, Option<u64>);

/// From, until, client, text.
#[derive(Serialize)]
struct MarkRow(u64, Option<u64>, Option<u32>, String);

impl Data {
    fn new(report: &Report<'_>) -> Self {
        let (history, violation) = (report.history, report.violation);
        let core = core(history, violation);
        let names = Names::new(history, Times::new(history, &core).start());
        let words = report.words();
        let id = violation.property.id();
        let leases = bars(history, violation.bound, |_, _| true);
        let (values, operations) = names.operations();
        Self {
            property: id,
            sentence: sentence::body(&words, violation) + ".",
            lock: sentence::lock(&words, violation)
                .map(|key| history.key_name(key).to_owned())
                .unwrap_or_default(),
            rule: violation.property.rule(),
            subject: report.subject.clone(),
            case: report.case.clone(),
            bound: report.bound(),
            replay: report.replay.clone(),
            keys: names.keys.clone(),
            values,
            operations,
            leases: leases
                .iter()
                .map(|bar| {
                    LeaseRow(
                        names.key(bar.key),
                        bar.token.to_string(),
                        bar.grant,
                        names.since(bar.from),
                        names.since(bar.sure_from),
                        names.since(bar.sure_until),
                        names.end(bar.until),
                    )
                })
                .collect(),
            beliefs: names.beliefs(),
            marks: names.marks(),
            healed: history.healed_at().map(|at| names.since(at)),
            core,
            culprits: violation.culprits.clone(),
        }
    }
}

/// The numbers by which the page names keys and moments.
struct Names<'a> {
    history: &'a History,
    start: u64,
    keys: Vec<String>,
    numbers: HashMap<Key, usize>,
}

impl<'a> Names<'a> {
    fn new(history: &'a History, start: u64) -> Self {
        let keys: Vec<Key> = history.by_key().into_iter().map(|(key, _)| key).collect();
        Self {
            history,
            start,
            keys: keys
                .iter()
                .map(|key| history.key_name(*key).to_owned())
                .collect(),
            numbers: keys.into_iter().zip(0..).collect(),
        }
    }

    fn key(&self, key: Key) -> usize {
        self.numbers.get(&key).copied().unwrap_or_default()
    }

    fn since(&self, moment: u64) -> u64 {
        moment.saturating_sub(self.start)
    }

    fn end(&self, moment: u64) -> Option<u64> {
        (moment != NEVER).then(|| self.since(moment))
    }

    /// The texts of values, and the operations that name them by number.
    fn operations(&self) -> (Vec<String>, Vec<OperationRow>) {
        let mut values: Vec<String> = Vec::new();
        let mut numbers: HashMap<Value, i64> = HashMap::new();
        let mut rows = Vec::with_capacity(self.history.operations().len());
        for of in self.history.operations() {
            let value = match (of.value, self.history.value_text(of.value)) {
                (Value::NONE, _) => -1,
                (_, None) => -2,
                (value, Some(text)) => *numbers.entry(value).or_insert_with(|| {
                    values.push(text.to_owned());
                    i64::try_from(values.len().saturating_sub(1)).unwrap_or(-2)
                }),
            };
            rows.push(OperationRow(
                self.since(of.invoked),
                self.end(of.returned),
                self.key(of.key),
                of.client,
                of.task,
                of.step,
                of.outcome,
                of.token.to_string(),
                of.ttl_ns,
                value,
            ));
        }
        (values, rows)
    }

    fn beliefs(&self) -> Vec<BeliefRow> {
        let row = |belief: &crate::history::Belief| {
            BeliefRow(
                self.key(belief.key),
                belief.client,
                belief.task,
                belief.token.to_string(),
                self.since(belief.from),
                self.end(belief.until),
            )
        };
        self.history.beliefs().iter().map(row).collect()
    }

    fn marks(&self) -> Vec<MarkRow> {
        let row = |mark: &crate::history::Mark| {
            let (from, until) = (self.since(mark.from), self.end(mark.until));
            MarkRow(from, until, mark.client, mark.text.clone())
        };
        self.history.marks().iter().map(row).collect()
    }
}
