//! The steps as SQL: one statement each, prepared, or written out whole where a pooler gives each
//! transaction another connection, so that nothing prepared is there to be found again.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use sqlx::Arguments;
use sqlx::postgres::PgArguments;

use crate::error::Failure;
use crate::names::quoted;

/// The statements of one table.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) acquire: Step,
    /// In a transaction of the user's own, whose settings are left alone.
    pub(crate) acquire_in: Arc<str>,
    pub(crate) commit_keep: Step,
    pub(crate) commit_release: Step,
    pub(crate) force_release: Step,
    pub(crate) forget: Arc<str>,
    pub(crate) inspect: Arc<str>,
    pub(crate) kept: Arc<str>,
    pub(crate) list: Arc<str>,
    pub(crate) peek: Arc<str>,
    pub(crate) pin: Arc<str>,
    pub(crate) release: Step,
    pub(crate) release_in: Arc<str>,
    /// Passes over rows that another transaction has.
    pub(crate) renew: Arc<str>,
    /// Waits for them.
    pub(crate) renew_waiting: Arc<str>,
}

/// The statements of one step, which take the same parameters.
#[derive(Debug)]
pub(crate) struct Step {
    /// For the case that nobody else wants the lock, which takes the server a third of the time. It
    /// answers nothing, and did nothing, where the case is another.
    pub(crate) quick: Option<Arc<str>>,
    pub(crate) full: Arc<str>,
}

/// The table that keeps the locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    /// Outside of the write-ahead log, so that a crash of the server empties it.
    pub(crate) unlogged: bool,
}

impl Table {
    /// The longest name of a table and of a schema, in bytes: the server cuts off what is over 63,
    /// and the table of migrations has a longer name.
    pub(crate) const TABLE_BYTES_MAX: usize = 48;
    pub(crate) const SCHEMA_BYTES_MAX: usize = 63;

    /// As a statement names it.
    pub(crate) fn records(&self) -> String {
        self.with_suffix("")
    }

    /// The table that says which migrations were applied.
    pub(crate) fn migrations(&self) -> String {
        self.with_suffix("_migrations")
    }

    fn with_suffix(&self, suffix: &str) -> String {
        let table = quoted(&format!("{}{suffix}", self.name));
        match &self.schema {
            Some(schema) => format!("{}.{table}", quoted(schema)),
            None => table,
        }
    }
}

impl Statements {
    pub(crate) fn new(table: &Table) -> Self {
        let records = table.records();
        let make = |template: &str, claim: &str, channel: &str| -> Arc<str> {
            let text = template
                .replace("{heir}", include_str!("sql/heir.sql").trim_end())
                .replace("{told}", include_str!("sql/told.sql").trim_end())
                .replace("{info}", include_str!("sql/info.sql").trim_end())
                .replace("{claim_ms}", claim)
                .replace("{channel}", channel)
                .replace("{records}", &records);
            without_comments(&text).into()
        };
        let plain = |template: &str| make(template, "", "");
        let commit = |strength| {
            let of = |template: &str| template.replace("{strength}", strength);
            Step {
                quick: Some(plain(&of(include_str!("sql/commit_quick.sql")))),
                full: make(
                    &of(include_str!("sql/commit.sql")),
                    "$8::bigint",
                    "$9::text",
                ),
            }
        };
        let renew = |skip| plain(&include_str!("sql/renew.sql").replace("{skip}", skip));
        let release = make(include_str!("sql/release.sql"), "$3::bigint", "$4::text");
        let acquire = plain(include_str!("sql/acquire.sql"));
        Self {
            acquire_in: in_transaction(&acquire),
            release_in: in_transaction(&release),
            acquire: Step {
                quick: Some(plain(include_str!("sql/acquire_quick.sql"))),
                full: acquire,
            },
            // What ends a lease waits for a fence, what goes on with it does not.
            commit_keep: commit("NO KEY UPDATE"),
            commit_release: commit("UPDATE"),
            force_release: Step {
                quick: None,
                full: make(
                    include_str!("sql/force_release.sql"),
                    "$2::bigint",
                    "$3::text",
                ),
            },
            forget: plain(include_str!("sql/forget.sql")),
            inspect: plain(include_str!("sql/inspect.sql")),
            kept: plain(include_str!("sql/kept.sql")),
            list: plain(include_str!("sql/list.sql")),
            peek: plain(include_str!("sql/peek.sql")),
            pin: plain(include_str!("sql/pin.sql")),
            release: Step {
                quick: Some(plain(include_str!("sql/release_quick.sql"))),
                full: release,
            },
            renew: renew("SKIP LOCKED"),
            renew_waiting: renew(""),
        }
    }
}

/// For a transaction of the user's own, where what a statement sets or locks would outlast it: without
/// the bound on the wait for a row, and looking at the listeners' locks in place of trying them.
fn in_transaction(statement: &str) -> Arc<str> {
    let replaced = |text: &str, from: &str, to: &str| {
        debug_assert!(text.contains(from), "{from}");
        text.replace(from, to)
    };
    let text = replaced(statement, "(SELECT set_config('lock_timeout', ", "");
    let text = replaced(&text, "::text, true)) IS NOT NULL", "::text IS NOT NULL");
    text.replace("NOT pg_try_advisory_xact_lock(", LISTENS)
        .into()
}

/// Whether somebody has the advisory lock of this number; the number and a bracket follow.
const LISTENS: &str = "EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted \
    AND (l.classid::bigint << 32) | l.objid::bigint = ";

fn without_comments(sql: &str) -> String {
    let lines = sql
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    Blobs(Vec<Vec<u8>>),
    Bool(bool),
    Bools(Vec<bool>),
    Bytes(Vec<u8>),
    Int(i64),
    Ints(Vec<i64>),
    MaybeInt(Option<i64>),
    MaybeInts(Vec<Option<i64>>),
    Text(String),
    Texts(Vec<String>),
}

impl Arg {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// The parameters of a prepared statement.
pub(crate) fn bound(args: &[Arg]) -> Result<PgArguments, Failure> {
    let mut bound = PgArguments::default();
    for arg in args {
        let added = match arg {
            Arg::Blobs(values) => bound.add(values),
            Arg::Bool(value) => bound.add(value),
            Arg::Bools(values) => bound.add(values),
            Arg::Bytes(value) => bound.add(value),
            Arg::Int(value) => bound.add(value),
            Arg::Ints(values) => bound.add(values),
            Arg::MaybeInt(value) => bound.add(value),
            Arg::MaybeInts(values) => bound.add(values),
            Arg::Text(value) => bound.add(value),
            Arg::Texts(values) => bound.add(values),
        };
        added.map_err(|e| Failure::invalid(format!("a parameter cannot be sent: {e}")))?;
    }
    Ok(bound)
}

/// The statement with its parameters written into it. Texts and bytes are written as hexadecimal
/// digits, so that nothing in them can mean anything to the server.
pub(crate) fn written_out(statement: &str, args: &[Arg]) -> String {
    let mut sql = String::with_capacity(statement.len());
    let mut rest = statement;
    while let Some((before, after)) = rest.split_once('$') {
        sql.push_str(before);
        let digits = after
            .len()
            .saturating_sub(after.trim_start_matches(|c: char| c.is_ascii_digit()).len());
        let (number, tail) = after.split_at(digits);
        let arg = number.parse::<usize>().ok();
        match arg.and_then(|number| args.get(number.checked_sub(1)?)) {
            Some(arg) => literal(arg, &mut sql),
            None => {
                sql.push('$');
                sql.push_str(number);
            }
        }
        rest = tail;
    }
    sql.push_str(rest);
    sql
}

fn literal(arg: &Arg, sql: &mut String) {
    match arg {
        Arg::Blobs(values) => array(values.iter(), sql, |value, sql| bytes(value, sql)),
        Arg::Bool(value) => boolean(*value, sql),
        Arg::Bools(values) => array(values.iter(), sql, |value, sql| boolean(*value, sql)),
        Arg::Bytes(value) => bytes(value, sql),
        Arg::Int(value) => integer(Some(*value), sql),
        Arg::Ints(values) => array(values.iter(), sql, |value, sql| integer(Some(*value), sql)),
        Arg::MaybeInt(value) => integer(*value, sql),
        Arg::MaybeInts(values) => array(values.iter(), sql, |value, sql| integer(*value, sql)),
        Arg::Text(value) => text(value, sql),
        Arg::Texts(values) => array(values.iter(), sql, |value, sql| text(value, sql)),
    }
}

fn array<T>(values: impl Iterator<Item = T>, sql: &mut String, each: impl Fn(T, &mut String)) {
    sql.push_str("ARRAY[");
    for (index, value) in values.enumerate() {
        if index > 0 {
            sql.push(',');
        }
        each(value, sql);
    }
    sql.push(']');
}

fn boolean(value: bool, sql: &mut String) {
    sql.push_str(if value { "true" } else { "false" });
}

fn integer(value: Option<i64>, sql: &mut String) {
    match value {
        // In brackets, so that a minus sign keeps to its number.
        Some(value) => {
            let _never: fmt::Result = write!(sql, "({value})");
        }
        None => sql.push_str("NULL"),
    }
}

fn bytes(value: &[u8], sql: &mut String) {
    sql.push_str("decode('");
    for byte in value {
        let _never: fmt::Result = write!(sql, "{byte:02x}");
    }
    sql.push_str("', 'hex')");
}

pub(crate) fn text(value: &str, sql: &mut String) {
    sql.push_str("convert_from(");
    bytes(value.as_bytes(), sql);
    sql.push_str(", 'UTF8')");
}

#[cfg(test)]
mod tests;
