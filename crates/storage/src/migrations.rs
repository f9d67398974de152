//! The versions of the tables, and bringing a database to the newest.

use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, SqlSafeStr};

use crate::StorageError;

/// One version of the tables: its number, what it is about, and its statements.
pub(crate) type Step = (i64, &'static str, &'static str);

/// Name of the table in which `sqlx` notes what was done.
const TABLE: &str = "_sqlx_migrations";

/// What a database needs to be of this version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing.
    Nothing,
    /// It has no tables yet.
    Tables,
    /// It has those of an older version; this is the newest.
    Newer(i64),
}

/// Compares a database with the versions that are known.
pub(crate) async fn need(connection: &mut AnyConnection, steps: &[Step], place: &str) -> Result<Need, StorageError> {
    let failed = |error: sqlx::migrate::MigrateError| StorageError::Migration { place: place.to_owned(), message: error.to_string() };
    connection.ensure_migrations_table(TABLE).await.map_err(failed)?;
    let applied = connection.list_applied_migrations(TABLE).await.map_err(failed)?;
    let known = steps.last().map_or(0, |(version, ..)| *version);
    Ok(match applied.iter().map(|migration| migration.version).max() {
        None => Need::Tables,
        Some(found) if found > known => return Err(StorageError::Newer { place: place.to_owned(), known, found }),
        Some(found) if found < known => Need::Newer(known),
        Some(_) => Need::Nothing,
    })
}

/// Brings a database to the newest version.
pub(crate) async fn run(connection: &mut AnyConnection, steps: &[Step], place: &str) -> Result<(), StorageError> {
    let migrations = steps
        .iter()
        .map(|(version, about, sql)| Migration::new(*version, (*about).into(), MigrationType::Simple, sql.into_sql_str(), false))
        .collect();
    let migrator = Migrator::with_migrations(migrations);
    let done = migrator.run_direct(None, connection, false).await;
    done.map_err(|error| StorageError::Migration { place: place.to_owned(), message: error.to_string() })
}
