//! Settings: named JSON values with a version, so that two pages that change one notice.

use serde_json::Value;
use sqlx::{AnyConnection, Row};

use crate::error::{During, from_json, to_json};
use crate::{Storage, StorageError};

/// A setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its value.
    pub value: Value,
    /// Rises by 1 with every change, from 1.
    pub version: u64,
}

impl Storage {
    /// A setting, if it was ever saved.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn setting(&self, name: &str) -> Result<Option<Setting>, StorageError> {
        let mut reading = self.read().await?;
        read(&mut reading, name).await
    }

    /// Saves a setting and returns its new version. With `expected`, only if that is still its
    /// version; 0 stands for never saved.
    ///
    /// # Errors
    /// Somebody else saved it meanwhile ([`StorageError::Conflict`], which has their value), or
    /// the database refuses.
    pub async fn save_setting(&self, name: &str, value: &Value, expected: Option<u64>) -> Result<u64, StorageError> {
        let mut writing = self.write().await?;
        let before = read(&mut writing.transaction, name).await?;
        let version = before.as_ref().map_or(0, |before| before.version);
        if let Some(expected) = expected.filter(|expected| *expected != version) {
            let value = before.map_or(Value::Null, |before| before.value);
            return Err(StorageError::Conflict { name: name.to_owned(), expected, found: version, value });
        }
        sqlx::query(
            "INSERT INTO record_settings (name, value, version) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, version = excluded.version",
        )
        .bind(name)
        .bind(to_json(value))
        .bind((version + 1).cast_signed())
        .execute(&mut *writing.transaction)
        .await
        .during("save setting")?;
        writing.commit().await?;
        Ok(version + 1)
    }
}

async fn read(connection: &mut AnyConnection, name: &str) -> Result<Option<Setting>, StorageError> {
    let row = sqlx::query("SELECT value, version FROM record_settings WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .during("read setting")?;
    let Some(row) = row else {
        return Ok(None);
    };
    let value: String = row.try_get(0).during("read setting")?;
    let version: i64 = row.try_get(1).during("read setting")?;
    Ok(Some(Setting { value: from_json("setting", &value)?, version: version.cast_unsigned() }))
}
