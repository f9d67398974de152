//! SQLite: a file in the home, with a log of its own so that readers and the writer do not wait
//! for one another.

use std::path::{Path, PathBuf};

use sqlx::AnyConnection;

use crate::StorageError;
use crate::error::{AtPath, During};
use crate::migrations::Step;

/// Name of the file in the home.
pub(crate) const FILE: &str = "apertis.db";

/// The versions of the tables.
pub(crate) const STEPS: &[Step] = &[(1, "first", include_str!("0001_first.sql"))];

/// The address of a file for `sqlx`: every byte that could mean something is escaped.
pub(crate) fn url(path: &Path) -> String {
    let mut url = "sqlite:".to_owned();
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'/' | b'.' | b'_' | b'-' => url.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url + "?mode=rwc"
}

/// Prepares a connection. A lost commit of the last moments is read again from the logs, so
/// that commits need not wait for the disk; the file itself cannot be damaged that way.
pub(crate) async fn prepare(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 10000; \
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192; PRAGMA journal_size_limit = 67108864;",
    )
    .execute(connection)
    .await
    .map(|_| ())
}

/// Copies a database before its tables change, beside it: `apertis.db.before-<version>`.
pub(crate) async fn copy_before(connection: &mut AnyConnection, path: &Path, version: i64) -> Result<PathBuf, StorageError> {
    let copy = path.with_file_name(format!("{FILE}.before-{version}"));
    if copy.exists() {
        std::fs::remove_file(&copy).at("remove", &copy)?;
    }
    let text = copy.to_string_lossy().into_owned();
    sqlx::query("VACUUM INTO $1").bind(text).execute(connection).await.during("copy database")?;
    Ok(copy)
}
