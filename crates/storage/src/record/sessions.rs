//! Sessions of browsers, as hashes of what their cookies hold.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::During;
use crate::{Storage, StorageError};

/// A session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRecord {
    /// Hash of what the cookie holds.
    pub hash: String,
    /// The key that opened it; empty where a one-time code did.
    pub key_id: String,
    /// What a person tells it apart by: browser, address.
    pub label: String,
    /// When it was opened.
    pub created_at: String,
    /// When it ends.
    pub expires_at: String,
}

impl Storage {
    /// Adds a session.
    ///
    /// # Errors
    /// The hash is taken, or the database refuses.
    pub async fn add_session(&self, session: &SessionRecord) -> Result<(), StorageError> {
        let mut writing = self.write().await?;
        sqlx::query("INSERT INTO record_sessions (hash, key_id, label, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(session.hash.as_str())
            .bind(session.key_id.as_str())
            .bind(session.label.as_str())
            .bind(session.created_at.as_str())
            .bind(session.expires_at.as_str())
            .execute(&mut *writing.transaction)
            .await
            .during("add session")?;
        writing.commit().await
    }

    /// The session of a hash that has not ended by then.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn session_by_hash(&self, hash: &str, now: &str) -> Result<Option<SessionRecord>, StorageError> {
        let row =
            sqlx::query("SELECT hash, key_id, label, created_at, expires_at FROM record_sessions WHERE hash = $1 AND expires_at > $2")
                .bind(hash)
                .bind(now)
                .fetch_optional(&self.pool)
                .await
                .during("find session")?;
        row.as_ref().map(session).transpose()
    }

    /// The sessions that have not ended by then, the oldest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn sessions(&self, now: &str) -> Result<Vec<SessionRecord>, StorageError> {
        let rows = sqlx::query(
            "SELECT hash, key_id, label, created_at, expires_at FROM record_sessions WHERE expires_at > $1 ORDER BY created_at, hash",
        )
        .bind(now)
        .fetch_all(&self.pool)
        .await
        .during("list sessions")?;
        rows.iter().map(session).collect()
    }

    /// Ends a session. Returns whether there was one.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn end_session(&self, hash: &str) -> Result<bool, StorageError> {
        let mut writing = self.write().await?;
        let done = sqlx::query("DELETE FROM record_sessions WHERE hash = $1")
            .bind(hash)
            .execute(&mut *writing.transaction)
            .await
            .during("end session")?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes the sessions that have ended by then.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn remove_ended_sessions(&self, now: &str) -> Result<u64, StorageError> {
        let mut writing = self.write().await?;
        let done = sqlx::query("DELETE FROM record_sessions WHERE expires_at <= $1")
            .bind(now)
            .execute(&mut *writing.transaction)
            .await
            .during("remove sessions")?;
        writing.commit().await?;
        Ok(done.rows_affected())
    }
}

fn session(row: &AnyRow) -> Result<SessionRecord, StorageError> {
    let read = || {
        Ok(SessionRecord {
            hash: row.try_get(0)?,
            key_id: row.try_get(1)?,
            label: row.try_get(2)?,
            created_at: row.try_get(3)?,
            expires_at: row.try_get(4)?,
        })
    };
    read().during("read session")
}
