//! The rows that the statements return, read into the answers of `lock-core`.

use std::time::Duration;

use lock_core::{
    Acquisition, FencingToken, ForcedRelease, FormatTag, Grant, HolderInfo, LockInfo, LockName,
    LossCause, OwnerId, Peeked, Previous, Refusal, Release, Renewal, State, Stored, Ttl,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::error::Failure;
use crate::names::{name_of, restored};

/// An answer, or the row was changed by another just when it was judged: ask again.
pub(crate) enum Judged<T> {
    Again,
    Answer(T),
}

pub(crate) fn acquisition(rows: &[PgRow], ttl: Ttl) -> Result<Judged<Acquisition>, Failure> {
    let row = only(rows, "an acquire")?;
    let answer = match text(row, "verdict")?.as_deref() {
        Some("again") => return Ok(Judged::Again),
        Some("ended") => Acquisition::Ended,
        Some("refused") => Acquisition::Refused(refusal(row)?),
        Some("granted" | "same") => {
            let token = token(row, "token")?.ok_or_else(|| unexpected("an acquire"))?;
            let mut grant = Grant::new(token, ttl);
            grant.reserved = int(row, "tokens")?
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| unexpected("an acquire"))?;
            grant.state = state(row)?;
            grant.previous = previous(row)?;
            grant.others_wait = flag(row, "others_wait")?;
            Acquisition::Granted(grant)
        }
        _ => return Err(unexpected("an acquire")),
    };
    Ok(Judged::Answer(answer))
}

/// `None` for a lease of which it must be asked again.
pub(crate) fn renewals(rows: &[PgRow], count: usize) -> Result<Vec<Option<Renewal>>, Failure> {
    if rows.len() != count {
        return Err(unexpected("a renewal"));
    }
    rows.iter()
        .map(|row| {
            Ok(match text(row, "verdict")?.as_deref() {
                Some("again") => None,
                Some("renewed") => Some(Renewal::Renewed {
                    others_wait: flag(row, "others_wait")?,
                }),
                cause => Some(Renewal::Lost {
                    cause: cause_of(cause)?,
                }),
            })
        })
        .collect()
}

pub(crate) fn stored(rows: &[PgRow]) -> Result<Judged<Stored>, Failure> {
    let row = only(rows, "a commit")?;
    let answer = match text(row, "verdict")?.as_deref() {
        Some("again") => return Ok(Judged::Again),
        Some("committed") => Stored::Committed {
            others_wait: flag(row, "others_wait")?,
        },
        Some("lost") => Stored::Lost {
            cause: cause_of(text(row, "cause")?.as_deref())?,
            last_commit: token(row, "commit_token")?,
        },
        _ => return Err(unexpected("a commit")),
    };
    Ok(Judged::Answer(answer))
}

pub(crate) fn release(rows: &[PgRow]) -> Result<Judged<Release>, Failure> {
    let Some(row) = rows.first() else {
        return Ok(Judged::Answer(Release::NotHeld));
    };
    let answer = match text(row, "verdict")?.as_deref() {
        Some("again") => return Ok(Judged::Again),
        Some("released") => Release::Released,
        Some("not held") => Release::NotHeld,
        _ => return Err(unexpected("a release")),
    };
    Ok(Judged::Answer(answer))
}

pub(crate) fn forced(rows: &[PgRow]) -> Result<Judged<ForcedRelease>, Failure> {
    let Some(row) = rows.first() else {
        return Ok(Judged::Answer(ForcedRelease::NotHeld));
    };
    let answer = match text(row, "verdict")?.as_deref() {
        Some("again") => return Ok(Judged::Again),
        Some("released") => ForcedRelease::Released(holder(row)?),
        Some("not held") => ForcedRelease::NotHeld,
        _ => return Err(unexpected("a forced release")),
    };
    Ok(Judged::Answer(answer))
}

pub(crate) fn peeked(rows: &[PgRow]) -> Result<Option<Peeked>, Failure> {
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let token = token(row, "commit_token")?;
    Ok(state(row)?
        .zip(token)
        .map(|(state, token)| Peeked::new(state, token)))
}

pub(crate) fn inspection(rows: &[PgRow], name: &LockName) -> Result<LockInfo, Failure> {
    match rows.first() {
        Some(row) => info(row, name.clone()),
        None => Ok(LockInfo::free(name.clone())),
    }
}

/// What is not a name of this library is left out.
pub(crate) fn listing(rows: &[PgRow]) -> Result<Vec<LockInfo>, Failure> {
    rows.iter()
        .filter_map(|row| match text(row, "name") {
            Ok(name) => Some(info(row, name_of(&name?)?)),
            Err(failure) => Some(Err(failure)),
        })
        .collect()
}

/// Whether another transaction has a row.
pub(crate) fn kept(rows: &[PgRow]) -> Result<bool, Failure> {
    flag(only(rows, "who has a row")?, "kept")
}

/// How many rows were taken away.
pub(crate) fn forgotten(rows: &[PgRow]) -> Result<i64, Failure> {
    get(only(rows, "a count")?, "gone")
}

/// Whether the lease is held, or how it was lost.
pub(crate) fn pinned(rows: &[PgRow]) -> Result<Option<LossCause>, Failure> {
    let row = only(rows, "a fence")?;
    if flag(row, "held")? {
        return Ok(None);
    }
    cause_of(text(row, "cause")?.as_deref()).map(Some)
}

fn info(row: &PgRow, name: LockName) -> Result<LockInfo, Failure> {
    let mut info = LockInfo::free(name);
    info.last_token = token(row, "last_token")?;
    info.waiting = int(row, "waiting")?
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(0);
    info.previous = previous(row)?;
    if flag(row, "held")? {
        info.holder = Some(holder(row)?);
    }
    Ok(info)
}

fn holder(row: &PgRow) -> Result<HolderInfo, Failure> {
    let mut holder = HolderInfo::unknown();
    holder.owner = owner(row, "owner")?;
    holder.token = token(row, "token")?;
    holder.label = label(row)?;
    holder.held_for = millis(row, "held_ms")?;
    holder.expires_in = millis(row, "left_ms")?;
    Ok(holder)
}

fn refusal(row: &PgRow) -> Result<Refusal, Failure> {
    let refusal = Refusal::new(millis(row, "left_ms")?);
    let Some(owner) = owner(row, "holder")? else {
        return Ok(refusal);
    };
    let mut holder = HolderInfo::unknown();
    holder.owner = Some(owner);
    holder.label = label(row)?;
    Ok(refusal.by(holder))
}

fn label(row: &PgRow) -> Result<String, Failure> {
    let label = text(row, "label")?.unwrap_or_default();
    Ok(restored(&label).unwrap_or(label))
}

fn previous(row: &PgRow) -> Result<Previous, Failure> {
    match text(row, "previous")?.as_deref() {
        Some("F") => Ok(Previous::First),
        Some("R") => Ok(Previous::Released),
        Some("X") => Ok(Previous::Forced),
        Some("A") => owner(row, "previous_owner")?
            .zip(token(row, "previous_token")?)
            .map(|(owner, token)| Previous::Abandoned { owner, token })
            .ok_or_else(|| unexpected("the end of the lease before")),
        _ => Err(unexpected("the end of the lease before")),
    }
}

fn cause_of(text: Option<&str>) -> Result<LossCause, Failure> {
    match text {
        Some("D") => Ok(LossCause::Displaced),
        Some("E") => Ok(LossCause::Expired),
        Some("X") => Ok(LossCause::Forced),
        _ => Err(unexpected("the cause of a loss")),
    }
}

fn state(row: &PgRow) -> Result<Option<State>, Failure> {
    let bytes: Option<Vec<u8>> = get(row, "state")?;
    let format: Option<i16> = get(row, "format")?;
    Ok(bytes.map(|bytes| {
        let tag = format.and_then(|n| u8::try_from(n).ok());
        State::new(tag.map_or(FormatTag::UNKNOWN, FormatTag::new), bytes)
    }))
}

fn owner(row: &PgRow, column: &str) -> Result<Option<OwnerId>, Failure> {
    let bytes: Option<Vec<u8>> = get(row, column)?;
    Ok(bytes
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok())
        .map(|bytes| OwnerId::from_bits(u128::from_be_bytes(bytes))))
}

fn token(row: &PgRow, column: &str) -> Result<Option<FencingToken>, Failure> {
    let number = int(row, column)?.and_then(|n| u64::try_from(n).ok());
    Ok(number.map(FencingToken::new))
}

fn millis(row: &PgRow, column: &str) -> Result<Option<Duration>, Failure> {
    // A clock that was set back may make a time negative.
    Ok(int(row, column)?.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))))
}

fn int(row: &PgRow, column: &str) -> Result<Option<i64>, Failure> {
    get(row, column)
}

fn flag(row: &PgRow, column: &str) -> Result<bool, Failure> {
    Ok(get::<Option<bool>>(row, column)?.unwrap_or(false))
}

fn text(row: &PgRow, column: &str) -> Result<Option<String>, Failure> {
    get(row, column)
}

pub(crate) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T, Failure>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column)
        .map_err(|error| Failure::unreadable(error, column))
}

fn only<'r>(rows: &'r [PgRow], what: &str) -> Result<&'r PgRow, Failure> {
    match rows {
        [row] => Ok(row),
        _ => Err(unexpected(what)),
    }
}

fn unexpected(what: &str) -> Failure {
    Failure::unexpected(what)
}
