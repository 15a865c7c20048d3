//! The rows of the file, read into a [`Record`] and written from it.

use lock_core::{FencingToken, FormatTag, LockName, OwnerId, Peeked, State};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::clock::Boot;
use crate::error::Failure;
use crate::record::{ClientId, Ended, How, Lease, Record, Tokens, Written};
use crate::store::Tx;

/// A record and the number of its row.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: i64,
    pub(crate) record: Record,
}

const FIND: &str = "SELECT id, last_token, owner, client, token, tokens, boot, since_ns, expires_ns, \
     label, ended_how, ended_owner, ended_token, ended_tokens, commit_token, commit_sequence, \
     forget_at_us, name FROM locks WHERE namespace = ?1 AND name = ?2";

const INSERT: &str = "INSERT INTO locks (last_token, owner, client, token, tokens, boot, since_ns, \
     expires_ns, label, ended_how, ended_owner, ended_token, ended_tokens, commit_token, \
     commit_sequence, forget_at_us, namespace, name) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) \
     RETURNING id";

const UPDATE: &str = "UPDATE locks SET last_token = ?1, owner = ?2, client = ?3, token = ?4, \
     tokens = ?5, boot = ?6, since_ns = ?7, expires_ns = ?8, label = ?9, ended_how = ?10, \
     ended_owner = ?11, ended_token = ?12, ended_tokens = ?13, commit_token = ?14, \
     commit_sequence = ?15, forget_at_us = ?16 WHERE id = ?17";

const WRITE_STATE: &str = "INSERT INTO states (lock_id, format, bytes) VALUES (?1, ?2, ?3) \
     ON CONFLICT (lock_id) DO UPDATE SET format = excluded.format, bytes = excluded.bytes";

/// Held names that begin with the prefix, from the index.
const LIST: &str = "SELECT id, last_token, owner, client, token, tokens, boot, since_ns, expires_ns, \
     label, ended_how, ended_owner, ended_token, ended_tokens, commit_token, commit_sequence, \
     forget_at_us, name FROM locks WHERE namespace = ?1 AND name >= ?2 \
     AND substr(name, 1, length(?2)) = ?2 AND token IS NOT NULL AND boot = ?3 AND expires_ns > ?4 \
     ORDER BY name LIMIT ?5";

/// How many idle names one step forgets at most, so that none takes long.
const FORGET_AT_ONCE: i64 = 256;

const FORGETTABLE: &str = "SELECT id FROM locks WHERE forget_at_us <= ?1 \
     AND (owner IS NULL OR boot <> ?2 OR expires_ns <= ?3) LIMIT ?4";

impl Tx<'_> {
    /// The record of the name, with what the clock ended already taken out of it.
    pub(crate) async fn find(&mut self, name: &LockName) -> Result<Option<Found>, Failure> {
        let row = sqlx::query(FIND)
            .bind(self.store.namespace.as_bytes())
            .bind(name.as_str().as_bytes())
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        let Some(row) = row else { return Ok(None) };
        let mut found = self.decoded(&row)?;
        found.record.settle(&self.now);
        if found.record.is_forgotten(&self.now) {
            if self.writes {
                self.forget(found.id).await?;
            }
            return Ok(None);
        }
        Ok(Some(found))
    }

    /// The same, with a new record where there was none; its row is made when it is written.
    pub(crate) async fn find_or_new(
        &mut self,
        name: &LockName,
    ) -> Result<(Option<i64>, Record), Failure> {
        if let Some(found) = self.find(name).await? {
            return Ok((Some(found.id), found.record));
        }
        let (last,): (i64,) = sqlx::query_as("SELECT max(last_token) FROM forgotten")
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        let record = Record {
            last_token: unsigned(last)?,
            ..Record::default()
        };
        Ok((None, record))
    }

    /// Writes the record into its row, or into a new one.
    pub(crate) async fn write(
        &mut self,
        name: &LockName,
        id: Option<i64>,
        record: &Record,
    ) -> Result<i64, Failure> {
        self.changed = true;
        let lease = record.lease.as_ref();
        let tokens = lease.and_then(|l| l.tokens);
        let ended = record.ended;
        let written = record.written;
        let query = sqlx::query(if id.is_some() { UPDATE } else { INSERT })
            .bind(signed(record.last_token))
            .bind(lease.map(|l| owner_bytes(l.owner)))
            .bind(lease.map(|l| l.client.0.to_be_bytes().to_vec()))
            .bind(tokens.map(|t| signed(t.first)))
            .bind(tokens.map(|t| i64::from(t.count)))
            .bind(lease.map(|l| l.boot.0.to_be_bytes().to_vec()))
            .bind(lease.map(|l| signed(l.since_ns)))
            .bind(lease.map(|l| signed(l.expires_ns)))
            .bind(lease.map(|l| l.label.clone()))
            .bind(ended.map(|e| how_text(e.how)))
            .bind(ended.map(|e| owner_bytes(e.owner)))
            .bind(ended.map(|e| signed(e.tokens.first)))
            .bind(ended.map(|e| i64::from(e.tokens.count)))
            .bind(written.map(|w| signed(w.token.get())))
            .bind(written.map(|w| i64::from(w.sequence)))
            .bind(record.forget_at_us.map(signed));
        if let Some(id) = id {
            query
                .bind(id)
                .execute(&mut *self.connection)
                .await
                .map_err(|e| self.store.failed(e))?;
            return Ok(id);
        }
        let row = query
            .bind(self.store.namespace.as_bytes())
            .bind(name.as_str().as_bytes())
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        row.try_get(0).map_err(|e| self.store.failed(e))
    }

    /// The value of the name.
    pub(crate) async fn state(&mut self, id: i64) -> Result<Option<State>, Failure> {
        let row = sqlx::query("SELECT format, bytes FROM states WHERE lock_id = ?1")
            .bind(id)
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        row.map(|row| {
            let format: i64 = row.try_get(0).map_err(|e| self.store.failed(e))?;
            let bytes: Vec<u8> = row.try_get(1).map_err(|e| self.store.failed(e))?;
            // A value whose tag is not ours is still a value: it must not pass for the first one.
            let format = u8::try_from(format).map_or(FormatTag::UNKNOWN, FormatTag::new);
            Ok(State::new(format, bytes))
        })
        .transpose()
    }

    pub(crate) async fn peeked(&mut self, found: &Found) -> Result<Option<Peeked>, Failure> {
        let state = self.state(found.id).await?;
        let written = found.record.written;
        Ok(state
            .zip(written)
            .map(|(state, written)| Peeked::new(state, written.token)))
    }

    pub(crate) async fn write_state(&mut self, id: i64, state: &State) -> Result<(), Failure> {
        self.changed = true;
        sqlx::query(WRITE_STATE)
            .bind(id)
            .bind(i64::from(state.format().get()))
            .bind(&**state.bytes())
            .execute(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        Ok(())
    }

    /// What is held and begins with the prefix.
    pub(crate) async fn held(
        &mut self,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<(LockName, Found)>, Failure> {
        let rows = sqlx::query(LIST)
            .bind(self.store.namespace.as_bytes())
            .bind(prefix.as_bytes())
            .bind(self.now.boot.0.to_be_bytes().to_vec())
            .bind(signed(self.now.ns))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        let mut held = Vec::new();
        for row in &rows {
            let name: Vec<u8> = row.try_get("name").map_err(|e| self.store.failed(e))?;
            // No name of ours is anything but UTF-8.
            let name = std::str::from_utf8(&name)
                .ok()
                .and_then(|text| LockName::new(text).ok());
            if let Some(name) = name {
                held.push((name, self.decoded(row)?));
            }
        }
        Ok(held)
    }

    /// Forgets idle names whose time has come, some at a time.
    pub(crate) async fn forget_idle(&mut self) -> Result<(), Failure> {
        let ids: Vec<(i64,)> = sqlx::query_as(FORGETTABLE)
            .bind(signed(self.now.wall_us))
            .bind(self.now.boot.0.to_be_bytes().to_vec())
            .bind(signed(self.now.ns))
            .bind(FORGET_AT_ONCE)
            .fetch_all(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        for (id,) in ids {
            self.forget(id).await?;
        }
        Ok(())
    }

    async fn forget(&mut self, id: i64) -> Result<(), Failure> {
        self.changed = true;
        let statements = [
            "UPDATE forgotten SET last_token = max(last_token, \
             (SELECT last_token FROM locks WHERE id = ?1))",
            "DELETE FROM states WHERE lock_id = ?1",
            "DELETE FROM line WHERE lock_id = ?1",
            "DELETE FROM locks WHERE id = ?1",
        ];
        for statement in statements {
            sqlx::query(statement)
                .bind(id)
                .execute(&mut *self.connection)
                .await
                .map_err(|e| self.store.failed(e))?;
        }
        Ok(())
    }

    fn decoded(&self, row: &SqliteRow) -> Result<Found, Failure> {
        decode(row).map_err(|e| match e {
            Undecoded::Driver(e) => self.store.failed(e),
            Undecoded::Spoilt(failure) => failure,
        })
    }
}

enum Undecoded {
    Driver(sqlx::Error),
    Spoilt(Failure),
}

impl From<sqlx::Error> for Undecoded {
    fn from(error: sqlx::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<Failure> for Undecoded {
    fn from(failure: Failure) -> Self {
        Self::Spoilt(failure)
    }
}

fn decode(row: &SqliteRow) -> Result<Found, Undecoded> {
    Ok(Found {
        id: row.try_get("id")?,
        record: Record {
            last_token: unsigned(row.try_get("last_token")?)?,
            lease: lease(row)?,
            ended: ended(row)?,
            written: written(row)?,
            forget_at_us: row
                .try_get::<Option<i64>, _>("forget_at_us")?
                .map(unsigned)
                .transpose()?,
        },
    })
}

fn lease(row: &SqliteRow) -> Result<Option<Lease>, Undecoded> {
    let Some(owner) = row.try_get::<Option<Vec<u8>>, _>("owner")? else {
        return Ok(None);
    };
    let token: Option<i64> = row.try_get("token")?;
    let tokens = match token {
        Some(first) => Some(tokens(first, row.try_get("tokens")?)?),
        None => None,
    };
    Ok(Some(Lease {
        owner: owner_of(&owner)?,
        client: ClientId(bits(&row.try_get::<Vec<u8>, _>("client")?, "a client")?),
        tokens,
        boot: Boot(bits(&row.try_get::<Vec<u8>, _>("boot")?, "a boot")?),
        since_ns: unsigned(row.try_get("since_ns")?)?,
        expires_ns: unsigned(row.try_get("expires_ns")?)?,
        label: row.try_get("label")?,
    }))
}

fn ended(row: &SqliteRow) -> Result<Option<Ended>, Undecoded> {
    let Some(how) = row.try_get::<Option<String>, _>("ended_how")? else {
        return Ok(None);
    };
    let how = match how.as_str() {
        "expired" => How::Expired,
        "forced" => How::Forced,
        "released" => How::Released,
        _ => return Err(Failure::spoilt("an end of a lease").into()),
    };
    let first = row.try_get("ended_token")?;
    Ok(Some(Ended {
        owner: owner_of(&row.try_get::<Vec<u8>, _>("ended_owner")?)?,
        tokens: tokens(first, row.try_get("ended_tokens")?)?,
        how,
    }))
}

fn written(row: &SqliteRow) -> Result<Option<Written>, Undecoded> {
    let Some(token) = row.try_get::<Option<i64>, _>("commit_token")? else {
        return Ok(None);
    };
    let sequence = u32::try_from(row.try_get::<i64, _>("commit_sequence")?)
        .map_err(|e| Failure::spoilt("the sequence of a commit").because(e))?;
    Ok(Some(Written {
        token: FencingToken::new(unsigned(token)?),
        sequence,
    }))
}

fn tokens(first: i64, count: i64) -> Result<Tokens, Failure> {
    Ok(Tokens {
        first: unsigned(first)?,
        count: u32::try_from(count)
            .map_err(|e| Failure::spoilt("a number of tokens").because(e))?,
    })
}

fn how_text(how: How) -> &'static str {
    match how {
        How::Expired => "expired",
        How::Forced => "forced",
        How::Released => "released",
    }
}

pub(crate) fn owner_bytes(owner: OwnerId) -> Vec<u8> {
    owner.bits().to_be_bytes().to_vec()
}

pub(crate) fn owner_of(bytes: &[u8]) -> Result<OwnerId, Failure> {
    bits(bytes, "an owner").map(OwnerId::from_bits)
}

pub(crate) fn bits(bytes: &[u8], what: &str) -> Result<u128, Failure> {
    let bytes: [u8; 16] = bytes
        .try_into()
        .map_err(|e| Failure::spoilt(what).because(e))?;
    Ok(u128::from_be_bytes(bytes))
}

/// SQLite's numbers are signed; none of ours comes near the bound.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|e| Failure::spoilt("a negative number").because(e))
}

#[cfg(test)]
mod tests;
