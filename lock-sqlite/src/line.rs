//! The line of waiting owners, and whom a freed lock goes to.

use lock_core::{LockName, OwnerId};

use crate::ears::{Ear, Message, Push, digest};
use crate::error::Failure;
use crate::record::{ClientId, Record};
use crate::rows::{bits, owner_bytes, owner_of};
use crate::store::Tx;

impl Tx<'_> {
    /// How many owners stand in line.
    pub(crate) async fn waiting(&mut self, id: i64) -> Result<u64, Failure> {
        let (count,): (i64,) = sqlx::query_as("SELECT count(*) FROM line WHERE lock_id = ?1")
            .bind(id)
            .fetch_one(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Puts the owner at the end of the line, unless it stands there.
    pub(crate) async fn stand(&mut self, id: i64, owner: OwnerId) -> Result<(), Failure> {
        let statement = "INSERT INTO line (lock_id, owner, client) VALUES (?1, ?2, ?3) \
             ON CONFLICT (lock_id, owner) DO NOTHING";
        let done = sqlx::query(statement)
            .bind(id)
            .bind(owner_bytes(owner))
            .bind(self.store.client.0.to_be_bytes().to_vec())
            .execute(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        self.changed |= done.rows_affected() > 0;
        Ok(())
    }

    /// Takes the owner out of the line.
    pub(crate) async fn leave(&mut self, id: i64, owner: OwnerId) -> Result<(), Failure> {
        let done = sqlx::query("DELETE FROM line WHERE lock_id = ?1 AND owner = ?2")
            .bind(id)
            .bind(owner_bytes(owner))
            .execute(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        self.changed |= done.rows_affected() > 0;
        Ok(())
    }

    /// Reserves the freed lock for the first in line whose client is still there, or leaves it free
    /// for anybody. The second is told to look again when the claim time is over, in case the first
    /// is frozen.
    pub(crate) async fn hand_on(
        &mut self,
        name: &LockName,
        id: i64,
        record: &mut Record,
    ) -> Result<(), Failure> {
        record.lease = None;
        while let Some((place, owner, client)) = self.first(id).await? {
            self.changed = true;
            sqlx::query("DELETE FROM line WHERE place = ?1")
                .bind(place)
                .execute(&mut *self.connection)
                .await
                .map_err(|e| self.store.failed(e))?;
            let ear = self.store.ears.of(client);
            if matches!(ear, Ear::Gone) {
                continue;
            }
            let claim = self.store.claim_time;
            record.reserve(owner, client, claim, &self.now);
            self.pushes.push(Push::To {
                ear,
                message: Message::Wake(name.clone()),
            });
            if let Some((_, _, second)) = self.first(id).await? {
                self.pushes.push(Push::To {
                    ear: self.store.ears.of(second),
                    message: Message::LookAgain(name.clone(), claim),
                });
            }
            return Ok(());
        }
        self.pushes.push(Push::Free {
            digest: digest(&self.store.namespace, name),
            name: name.clone(),
        });
        Ok(())
    }

    /// Tells the holder that an operator took its lock.
    pub(crate) fn tell_forced(&mut self, name: &LockName, client: ClientId) {
        self.pushes.push(Push::To {
            ear: self.store.ears.of(client),
            message: Message::Forced(name.clone()),
        });
    }

    /// Takes those out of all lines whose clients are gone.
    pub(crate) async fn sweep_lines(&mut self) -> Result<(), Failure> {
        let clients: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT DISTINCT client FROM line")
            .fetch_all(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        for (client,) in clients {
            let is_gone = bits(&client, "a client").map_or(true, |bits| {
                matches!(self.store.ears.of(ClientId(bits)), Ear::Gone)
            });
            if is_gone {
                self.changed = true;
                sqlx::query("DELETE FROM line WHERE client = ?1")
                    .bind(client)
                    .execute(&mut *self.connection)
                    .await
                    .map_err(|e| self.store.failed(e))?;
            }
        }
        Ok(())
    }

    async fn first(&mut self, id: i64) -> Result<Option<(i64, OwnerId, ClientId)>, Failure> {
        let statement =
            "SELECT place, owner, client FROM line WHERE lock_id = ?1 ORDER BY place LIMIT 1";
        let first: Option<(i64, Vec<u8>, Vec<u8>)> = sqlx::query_as(statement)
            .bind(id)
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(|e| self.store.failed(e))?;
        first
            .map(|(place, owner, client)| {
                Ok((
                    place,
                    owner_of(&owner)?,
                    ClientId(bits(&client, "a client")?),
                ))
            })
            .transpose()
    }
}
