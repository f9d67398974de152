//! The database of a home for the command line: keys, filling the index again, backup and restore.

use std::path::Path;
use std::sync::Arc;

use apertis_protocol::system::{Key, MadeKey};
use apertis_runs::clock::now_text;
use apertis_runs::{Home, RunsError, mirror};
use apertis_storage::record::BackupCount;
use apertis_storage::{Storage, StorageError};
use tokio::runtime::Runtime;

use crate::keys;

/// The database of a home, without a server around it.
pub struct Database {
    runtime: Runtime,
    storage: Arc<Storage>,
}

impl Database {
    /// Opens the database of a home: the file in it, or the PostgreSQL that `url` names.
    ///
    /// # Errors
    /// It cannot be opened, is of a newer version, or belongs to another home.
    pub fn open(home: &Home, url: Option<&str>) -> Result<Database, StorageError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let unready = |source| StorageError::File { operation: "start", path: home.root().to_owned(), source };
        let runtime = runtime.map_err(unready)?;
        let storage = Arc::new(runtime.block_on(Storage::open(home.root(), url))?);
        Ok(Database { runtime, storage })
    }

    /// Where it is, without a password.
    pub fn place(&self) -> &str {
        self.storage.place()
    }

    /// The keys that open something, without their secrets.
    ///
    /// # Errors
    /// The database refuses.
    pub fn keys(&self) -> Result<Vec<Key>, StorageError> {
        self.runtime.block_on(keys::list(&self.storage))
    }

    /// Makes a key. Its secret is shown this once.
    ///
    /// # Errors
    /// The database refuses.
    pub fn make_key(&self, name: &str) -> Result<MadeKey, StorageError> {
        self.runtime.block_on(keys::make(&self.storage, name))
    }

    /// Takes a key back, with every session that was opened with it; whether there was one.
    ///
    /// # Errors
    /// The database refuses.
    pub fn revoke_key(&self, id: &str) -> Result<bool, StorageError> {
        self.runtime.block_on(self.storage.revoke_key(id, &now_text()))
    }

    /// Writes every record into a file, and says how many of each kind.
    ///
    /// # Errors
    /// The database refuses, or the file cannot be written.
    pub fn backup(&self, path: &Path) -> Result<BackupCount, StorageError> {
        self.runtime.block_on(self.storage.backup(path, &now_text()))
    }

    /// Takes the records of a file in place of those that are there, and says how many of each kind.
    ///
    /// # Errors
    /// The file is no backup, or the database refuses; nothing has changed then.
    pub fn restore(&self, path: &Path) -> Result<BackupCount, StorageError> {
        self.runtime.block_on(self.storage.restore(path))
    }

    /// Fills the index again from the folders, and names the runs that could not be read.
    /// `progress` hears how many of how many are done.
    ///
    /// # Errors
    /// The home cannot be listed, or the database refuses.
    pub fn reindex(&self, home: &Home, progress: impl FnMut(usize, usize)) -> Result<Vec<(String, RunsError)>, RunsError> {
        self.runtime.block_on(mirror::reindex(&self.storage, home, progress))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.runtime.block_on(self.storage.close());
    }
}
