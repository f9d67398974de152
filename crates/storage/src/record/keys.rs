//! API keys, as hashes.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::error::During;
use crate::{Storage, StorageError};

/// A key, without its secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Its first characters, to be told apart by a person.
    pub prefix: String,
    /// Hash of its secret.
    pub hash: String,
    /// When it was made.
    pub created_at: String,
    /// When it was last used.
    pub used_at: Option<String>,
    /// When it was taken back; it opens nothing from then on.
    pub revoked_at: Option<String>,
}

/// The columns in the order of the fields.
const READ: &str = "SELECT id, name, prefix, hash, created_at, used_at, revoked_at FROM record_keys ORDER BY created_at, id";
const READ_BY_HASH: &str =
    "SELECT id, name, prefix, hash, created_at, used_at, revoked_at FROM record_keys WHERE hash = $1 AND revoked_at IS NULL";

impl Storage {
    /// Adds a key.
    ///
    /// # Errors
    /// The id or the hash is taken, or the database refuses.
    pub async fn add_key(&self, key: &KeyRecord) -> Result<(), StorageError> {
        let mut writing = self.write().await?;
        sqlx::query(
            "INSERT INTO record_keys (id, name, prefix, hash, created_at, used_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(key.id.as_str())
        .bind(key.name.as_str())
        .bind(key.prefix.as_str())
        .bind(key.hash.as_str())
        .bind(key.created_at.as_str())
        .bind(key.used_at.clone())
        .bind(key.revoked_at.clone())
        .execute(&mut *writing.transaction)
        .await
        .during("add key")?;
        writing.commit().await
    }

    /// Every key, revoked ones too, the oldest first.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, StorageError> {
        let rows = sqlx::query(READ).fetch_all(&self.pool).await.during("list keys")?;
        rows.iter().map(key).collect()
    }

    /// The key of a hash, unless it was revoked.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn key_by_hash(&self, hash: &str) -> Result<Option<KeyRecord>, StorageError> {
        let row = sqlx::query(READ_BY_HASH).bind(hash).fetch_optional(&self.pool).await.during("find key")?;
        row.as_ref().map(key).transpose()
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn key_used(&self, id: &str, at: &str) -> Result<(), StorageError> {
        let mut writing = self.write().await?;
        sqlx::query("UPDATE record_keys SET used_at = $2 WHERE id = $1")
            .bind(id)
            .bind(at)
            .execute(&mut *writing.transaction)
            .await
            .during("note use of key")?;
        writing.commit().await
    }

    /// Takes a key back, with the sessions it opened. Returns whether there was one to take back.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn revoke_key(&self, id: &str, at: &str) -> Result<bool, StorageError> {
        let mut writing = self.write().await?;
        let done = sqlx::query("UPDATE record_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .bind(id)
            .bind(at)
            .execute(&mut *writing.transaction)
            .await
            .during("revoke key")?;
        sqlx::query("DELETE FROM record_sessions WHERE key_id = $1")
            .bind(id)
            .execute(&mut *writing.transaction)
            .await
            .during("revoke key")?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

fn key(row: &AnyRow) -> Result<KeyRecord, StorageError> {
    let read = || {
        Ok(KeyRecord {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            prefix: row.try_get(2)?,
            hash: row.try_get(3)?,
            created_at: row.try_get(4)?,
            used_at: row.try_get(5)?,
            revoked_at: row.try_get(6)?,
        })
    };
    read().during("read key")
}
