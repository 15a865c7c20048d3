//! What the scripts return, read into the answers of `lock-core`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a reply of any other type is unexpected, also of one that a later driver adds"
)]

use std::time::Duration;

use lock_core::{
    Acquisition, FencingToken, ForcedRelease, FormatTag, Grant, HolderInfo, LockInfo, LockName,
    LossCause, OwnerId, Peeked, Previous, Refusal, Release, Renewal, State, Stored, Ttl,
};
use redis::Value;

use crate::error::Failure;

pub(crate) fn acquisition(value: Value, ttl: Ttl) -> Result<Acquisition, Failure> {
    let unexpected = || Failure::unexpected("an acquire");
    let [kind, rest @ ..] = &items(value, "an acquire")?[..] else {
        return Err(unexpected());
    };
    match (kind, rest) {
        (Value::Int(0), [Value::Int(ms), Value::Int(_), owner, label]) => {
            let refusal = Refusal::new(left(*ms));
            let Some(owner) = text(owner) else {
                return Ok(Acquisition::Refused(refusal));
            };
            let mut holder = HolderInfo::unknown();
            holder.owner = owner.parse().ok();
            holder.label = text(label).unwrap_or_default();
            Ok(Acquisition::Refused(refusal.by(holder)))
        }
        (Value::Int(2), []) => Ok(Acquisition::Ended),
        (Value::Int(1), [token, reserved, state, format, previous, others]) => {
            let mut grant = Grant::new(token_of(token).ok_or_else(unexpected)?, ttl);
            grant.reserved = int(reserved)
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(unexpected)?;
            grant.state = state_of(state, format);
            grant.previous = text(previous)
                .as_deref()
                .and_then(previous_of)
                .ok_or_else(unexpected)?;
            grant.others_wait = is_positive(others);
            Ok(Acquisition::Granted(grant))
        }
        _ => Err(unexpected()),
    }
}

/// Whether an attempt was refused because of another program's lock; `None` if it was not refused.
pub(crate) fn refused_by_stranger(value: &Value) -> Option<bool> {
    match value {
        Value::Array(items) => match &items[..] {
            [Value::Int(0), _, stranger, ..] => Some(is_positive(stranger)),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn renewals(
    value: Value,
    count: usize,
    at: &str,
) -> Result<Vec<Result<Renewal, Failure>>, Failure> {
    let answers = items(value, "a renewal")?;
    if answers.len() != count {
        return Err(Failure::unexpected("a renewal"));
    }
    Ok(answers
        .into_iter()
        .map(|answer| match &items(answer, "a renewal")?[..] {
            [Value::Int(1), others] => Ok(Renewal::Renewed {
                others_wait: is_positive(others),
            }),
            [Value::Int(0), cause] => Ok(Renewal::Lost {
                cause: cause_of(cause)?,
            }),
            [Value::Int(-1), error] => Err(Failure::of_one(&text(error).unwrap_or_default(), at)),
            _ => Err(Failure::unexpected("a renewal")),
        })
        .collect())
}

pub(crate) fn stored(value: Value) -> Result<Stored, Failure> {
    match &items(value, "a commit")?[..] {
        [Value::Int(1), others] => Ok(Stored::Committed {
            others_wait: is_positive(others),
        }),
        [Value::Int(0), cause, last @ ..] => Ok(Stored::Lost {
            cause: cause_of(cause)?,
            last_commit: last.first().and_then(token_of),
        }),
        _ => Err(Failure::unexpected("a commit")),
    }
}

pub(crate) fn release(value: &Value) -> Result<Release, Failure> {
    match value {
        Value::Int(0) => Ok(Release::NotHeld),
        Value::Int(1) => Ok(Release::Released),
        _ => Err(Failure::unexpected("a release")),
    }
}

pub(crate) fn peeked(value: Value) -> Result<Option<Peeked>, Failure> {
    match &items(value, "a peek")?[..] {
        [state, format, token] => Ok(state_of(state, format)
            .zip(text(token).and_then(|t| t.parse().ok()))
            .map(|(state, token)| Peeked::new(state, FencingToken::new(token)))),
        _ => Err(Failure::unexpected("a peek")),
    }
}

pub(crate) fn inspection(value: Value, name: LockName) -> Result<LockInfo, Failure> {
    let unexpected = || Failure::unexpected("an inspection");
    let items = items(value, "an inspection")?;
    let [owner, ms, last, waiting, previous, token, label, held_ms] = &items[..] else {
        return Err(unexpected());
    };
    let mut info = LockInfo::free(name);
    info.last_token = token_of(last);
    info.waiting = int(waiting)
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(0);
    info.previous = text(previous)
        .as_deref()
        .and_then(previous_of)
        .ok_or_else(unexpected)?;
    if let Some(owner) = text(owner) {
        info.holder = Some(holder(
            &owner,
            ms,
            token_of(token).map(|t| (t, label, held_ms)),
        ));
    }
    Ok(info)
}

pub(crate) fn forced(value: Value) -> Result<ForcedRelease, Failure> {
    if value == Value::Int(0) {
        return Ok(ForcedRelease::NotHeld);
    }
    let unexpected = || Failure::unexpected("a forced release");
    let items = items(value, "a forced release")?;
    let (owner, ms, known) = match &items[..] {
        [owner, ms] => (owner, ms, None),
        [owner, ms, token, label, held_ms] => {
            (owner, ms, token_of(token).map(|t| (t, label, held_ms)))
        }
        _ => return Err(unexpected()),
    };
    let owner = text(owner).ok_or_else(unexpected)?;
    Ok(ForcedRelease::Released(holder(&owner, ms, known)))
}

/// A holder; its token, label and time held only if the record knows it.
fn holder(owner: &str, ms: &Value, known: Option<(FencingToken, &Value, &Value)>) -> HolderInfo {
    let mut holder = HolderInfo::unknown();
    holder.expires_in = int(ms).and_then(left);
    if let Some((token, label, held_ms)) = known {
        holder.owner = owner.parse().ok();
        holder.token = Some(token);
        holder.label = text(label).unwrap_or_default();
        holder.held_for = int(held_ms)
            .and_then(|ms| u64::try_from(ms).ok())
            .map(Duration::from_millis);
    }
    holder
}

fn items(value: Value, what: &str) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(Failure::unexpected(what)),
    }
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

fn is_positive(value: &Value) -> bool {
    int(value).is_some_and(|n| n > 0)
}

/// A lock's key may hold any bytes of another program.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

fn token_of(value: &Value) -> Option<FencingToken> {
    u64::try_from(int(value)?).ok().map(FencingToken::new)
}

/// The remaining time as PTTL tells it: -1 is no end, -2 that the key is gone.
fn left(ms: i64) -> Option<Duration> {
    match ms {
        -1 => None,
        other => Some(Duration::from_millis(u64::try_from(other).unwrap_or(0))),
    }
}

fn state_of(state: &Value, format: &Value) -> Option<State> {
    let Value::BulkString(bytes) = state else {
        return None;
    };
    // A value whose tag is gone or not ours is still a value: it must not pass for the first one.
    let format = text(format).and_then(|text| text.parse().ok());
    let format = format.map_or(FormatTag::UNKNOWN, FormatTag::new);
    Some(State::new(format, bytes.clone()))
}

fn cause_of(value: &Value) -> Result<LossCause, Failure> {
    match text(value).as_deref() {
        Some("D") => Ok(LossCause::Displaced),
        Some("E") => Ok(LossCause::Expired),
        Some("X") => Ok(LossCause::Forced),
        _ => Err(Failure::unexpected("the cause of a loss")),
    }
}

/// `F`, `R`, `X` or `A<owner>:<token>`, as the record keeps it.
fn previous_of(text: &str) -> Option<Previous> {
    match text {
        "F" => Some(Previous::First),
        "R" => Some(Previous::Released),
        "X" => Some(Previous::Forced),
        _ => {
            let (owner, token) = text.strip_prefix('A')?.split_once(':')?;
            Some(Previous::Abandoned {
                owner: owner.parse::<OwnerId>().ok()?,
                token: FencingToken::new(token.parse().ok()?),
            })
        }
    }
}
