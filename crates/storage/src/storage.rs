//! Opening a database and keeping its connections.

use std::path::Path;
use std::str::FromStr;
use std::sync::Once;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, ConnectOptions, Row, Transaction};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::During;
use crate::migrations::{self, Need, Step};
use crate::{StorageError, home_id, postgres, sqlite};

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseKind {
    /// The file in the home.
    Sqlite,
    /// A server.
    Postgres,
}

/// The database of a home. Cheap to share behind an `Arc`; every method can be called from many
/// tasks at once. Needs a Tokio runtime.
#[derive(Debug)]
pub struct Storage {
    pub(crate) pool: AnyPool,
    kind: DatabaseKind,
    place: String,
    home_id: String,
    /// One writer at a time: SQLite has no more, and in PostgreSQL two would wait for each other.
    writer: Mutex<()>,
}

/// A transaction that writes.
pub(crate) struct Writing<'a> {
    pub(crate) transaction: Transaction<'static, Any>,
    _turn: MutexGuard<'a, ()>,
}

impl Storage {
    /// Opens the database of a home, making it at the first start: `apertis.db` in the home, or
    /// the PostgreSQL that `url` names. Older tables are brought to this version.
    ///
    /// # Errors
    /// It cannot be opened or made, is of a newer version, or belongs to another home.
    pub async fn open(home: &Path, url: Option<&str>) -> Result<Storage, StorageError> {
        let steps = if url.is_some() { postgres::STEPS } else { sqlite::STEPS };
        Storage::open_with(home, url, steps).await
    }

    pub(crate) async fn open_with(home: &Path, url: Option<&str>, steps: &[Step]) -> Result<Storage, StorageError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let home_id = home_id::read_or_make(home)?;
        let file = home.join(sqlite::FILE);
        let (kind, place, address) = match url {
            None => (DatabaseKind::Sqlite, file.display().to_string(), sqlite::url(&file)),
            Some(url) => {
                postgres::check(url)?;
                (DatabaseKind::Postgres, postgres::shown(url), url.to_owned())
            }
        };
        let unreachable = |source| StorageError::Unreachable { place: place.clone(), source };
        let options = AnyConnectOptions::from_str(&address).map_err(unreachable)?.disable_statement_logging();
        let pool = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(20))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    match kind {
                        DatabaseKind::Sqlite => sqlite::prepare(connection).await,
                        DatabaseKind::Postgres => Ok(()),
                    }
                })
            })
            .connect_with(options)
            .await
            .map_err(unreachable)?;
        let storage = Storage { pool, kind, place, home_id, writer: Mutex::new(()) };
        storage.bring_to_version(&file, steps).await?;
        storage.claim().await?;
        Ok(storage)
    }

    async fn bring_to_version(&self, file: &Path, steps: &[Step]) -> Result<(), StorageError> {
        let mut connection = self.pool.acquire().await.during("open database")?;
        match migrations::need(&mut connection, steps, &self.place).await? {
            Need::Nothing => return Ok(()),
            Need::Newer(version) if self.kind == DatabaseKind::Sqlite => {
                sqlite::copy_before(&mut connection, file, version).await?;
            }
            Need::Newer(_) | Need::Tables => {}
        }
        migrations::run(&mut connection, steps, &self.place).await
    }

    /// Notes the home in a new database, or compares it.
    async fn claim(&self) -> Result<(), StorageError> {
        let mut writing = self.write().await?;
        sqlx::query("INSERT INTO meta (name, value) VALUES ('home', $1) ON CONFLICT (name) DO NOTHING")
            .bind(self.home_id.as_str())
            .execute(&mut *writing.transaction)
            .await
            .during("note home")?;
        let row =
            sqlx::query("SELECT value FROM meta WHERE name = 'home'").fetch_one(&mut *writing.transaction).await.during("read home")?;
        let found: String = row.try_get(0).during("read home")?;
        writing.commit().await?;
        match found == self.home_id {
            true => Ok(()),
            false => Err(StorageError::OtherHome { place: self.place.clone(), expected: self.home_id.clone(), found }),
        }
    }

    /// Which database it is.
    pub fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// Where it is, without a password: a path, or an address.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The id of its home.
    pub fn home_id(&self) -> &str {
        &self.home_id
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn check(&self) -> Result<(), StorageError> {
        sqlx::query("SELECT value FROM meta WHERE name = 'home'").fetch_one(&self.pool).await.during("ask database")?;
        Ok(())
    }

    /// Ends every connection, once their work is done.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction that writes, when it is its turn.
    pub(crate) async fn write(&self) -> Result<Writing<'_>, StorageError> {
        let turn = self.writer.lock().await;
        let begin = match self.kind {
            // Another process may write too: the turn is asked for before anything is read.
            DatabaseKind::Sqlite => "BEGIN IMMEDIATE",
            DatabaseKind::Postgres => "BEGIN",
        };
        let transaction = self.pool.begin_with(begin).await.during("begin")?;
        Ok(Writing { transaction, _turn: turn })
    }

    /// Begins a transaction that reads everything as of one moment.
    pub(crate) async fn read(&self) -> Result<Transaction<'static, Any>, StorageError> {
        let begin = match self.kind {
            DatabaseKind::Sqlite => "BEGIN",
            DatabaseKind::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.pool.begin_with(begin).await.during("begin")
    }
}

impl Writing<'_> {
    pub(crate) async fn commit(self) -> Result<(), StorageError> {
        self.transaction.commit().await.during("commit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_copy_is_made_before_the_tables_change() {
        let home = tempfile::tempdir().unwrap();
        let first = Storage::open(home.path(), None).await.unwrap();
        let value = serde_json::json!("kept");
        first.save_setting("word", &value, None).await.unwrap();
        first.close().await;
        assert!(!home.path().join("apertis.db.before-1").exists(), "there was nothing to copy");

        let second: &[Step] = &[sqlite::STEPS[0], (2, "more", "ALTER TABLE record_keys ADD COLUMN note TEXT NOT NULL DEFAULT ''")];
        let later = Storage::open_with(home.path(), None, second).await.unwrap();
        assert_eq!(later.setting("word").await.unwrap().unwrap().value, value);
        later.close().await;
        let newer = Storage::open(home.path(), None).await.unwrap_err();
        assert!(matches!(newer, StorageError::Newer { known: 1, found: 2, .. }), "{newer}");

        // Put back, the copy is as it was.
        let copy = home.path().join("apertis.db.before-2");
        std::fs::rename(copy, home.path().join(sqlite::FILE)).unwrap();
        let back = Storage::open(home.path(), None).await.unwrap();
        assert_eq!(back.setting("word").await.unwrap().unwrap().value, value);
    }

    #[tokio::test]
    async fn a_step_that_fails_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        Storage::open(home.path(), None).await.unwrap().close().await;
        let broken: &[Step] = &[sqlite::STEPS[0], (2, "broken", "CREATE TABLE extra (a TEXT); ALTER TABLE nowhere ADD COLUMN b TEXT")];
        let failed = Storage::open_with(home.path(), None, broken).await.unwrap_err();
        assert!(matches!(failed, StorageError::Migration { .. }) && failed.hint().is_some(), "{failed}");
        assert!(home.path().join("apertis.db.before-2").is_file());
        Storage::open(home.path(), None).await.unwrap();
    }

    #[tokio::test]
    async fn a_home_can_have_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("Größe 100% #1 ?a=b&c;");
        Storage::open(&home, None).await.unwrap().close().await;
        assert!(home.join(sqlite::FILE).is_file());
    }
}
