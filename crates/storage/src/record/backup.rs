//! Carrying the records to another database: a file of JSON lines. The first says what it is; each
//! other is a row with its table.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::error::{AtPath, During};
use crate::statement::Statement;
use crate::{Storage, StorageError};

/// Version of the file that this program writes; it reads older ones too.
pub const BACKUP_VERSION: u64 = 1;

/// How many rows of each table were carried.
pub type BackupCount = Vec<(&'static str, u64)>;

/// What a column holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    TextOrNull,
    Number,
}

/// A table of records.
struct Table {
    name: &'static str,
    key: &'static str,
    columns: &'static [(&'static str, Kind)],
}

/// Every table of records. A table that is not here is not carried.
const TABLES: &[Table] = &[
    Table {
        name: "record_keys",
        key: "id",
        columns: &[
            ("id", Kind::Text),
            ("name", Kind::Text),
            ("prefix", Kind::Text),
            ("hash", Kind::Text),
            ("created_at", Kind::Text),
            ("used_at", Kind::TextOrNull),
            ("revoked_at", Kind::TextOrNull),
        ],
    },
    Table {
        name: "record_sessions",
        key: "hash",
        columns: &[
            ("hash", Kind::Text),
            ("key_id", Kind::Text),
            ("label", Kind::Text),
            ("created_at", Kind::Text),
            ("expires_at", Kind::Text),
        ],
    },
    Table { name: "record_settings", key: "name", columns: &[("name", Kind::Text), ("value", Kind::Text), ("version", Kind::Number)] },
    Table {
        name: "record_jobs",
        key: "id",
        columns: &[("id", Kind::Text), ("created_at", Kind::Text), ("state", Kind::Text), ("body", Kind::Text)],
    },
    Table {
        name: "record_job_lines",
        key: "job, number",
        columns: &[("job", Kind::Text), ("number", Kind::Number), ("at", Kind::Text), ("text", Kind::Text)],
    },
];

impl Storage {
    /// Writes every record into a file, readable by its owner alone. A file that is there is
    /// replaced only once the new one is whole.
    ///
    /// # Errors
    /// The database refuses, or the file cannot be written.
    pub async fn backup(&self, path: &Path, at: &str) -> Result<BackupCount, StorageError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let written = self.write_backup(&temporary, at).await;
        if written.is_err() {
            // What is left of it is in nobody's way.
            let _ = fs::remove_file(&temporary);
        }
        let counts = written?;
        fs::rename(&temporary, path).at("rename", &temporary)?;
        Ok(counts)
    }

    async fn write_backup(&self, path: &Path, at: &str) -> Result<BackupCount, StorageError> {
        let mut file = BufWriter::new(create_private(path).at("write", path)?);
        let mut line = |value: Value| writeln!(file, "{value}").at("write", path);
        line(json!({"apertis_backup": BACKUP_VERSION, "home": self.home_id(), "at": at}))?;
        let mut reading = self.read().await?;
        let mut counts = BackupCount::new();
        for table in TABLES {
            let rows = read_table(&mut reading, table).await?;
            counts.push((table.name, rows.len() as u64));
            for row in rows {
                line(json!({"table": table.name, "row": row}))?;
            }
        }
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).at("write", path)?;
        file.sync_all().at("write", path)?;
        Ok(counts)
    }

    /// Puts the records of a file in place of those that are there, all or none. The index and
    /// the home stay as they are.
    ///
    /// # Errors
    /// The file cannot be read, is no backup or one of a newer version, or the database refuses.
    pub async fn restore(&self, path: &Path) -> Result<BackupCount, StorageError> {
        let reader = BufReader::new(File::open(path).at("read", path)?);
        let mut counts: BackupCount = TABLES.iter().map(|table| (table.name, 0)).collect();
        let mut writing = self.write().await?;
        let mut has_head = false;
        for (number, line) in (1..).zip(reader.lines()) {
            let wrong = |message: String| StorageError::Backup { path: path.to_owned(), line: number, message };
            let line = line.at("read", path)?;
            let value: Value = serde_json::from_str(&line).map_err(|error| wrong(format!("expected JSON: {error}")))?;
            if !has_head {
                check_head(&value).map_err(wrong)?;
                has_head = true;
                for table in TABLES {
                    empty(table).run(&mut writing.transaction, "restore").await?;
                }
                continue;
            }
            let name = value.get("table").and_then(Value::as_str).unwrap_or_default();
            let Some(place) = TABLES.iter().position(|table| table.name == name) else {
                return Err(wrong(format!("expected a table of records, found `{name}`")));
            };
            let row = value.get("row").and_then(Value::as_object).ok_or_else(|| wrong("expected a row".to_owned()))?;
            insertion(&TABLES[place], row).map_err(wrong)?.run(&mut writing.transaction, "restore").await?;
            counts[place].1 += 1;
        }
        if !has_head {
            return Err(StorageError::Backup {
                path: PathBuf::from(path),
                line: 1,
                message: "expected a first line, found none".to_owned(),
            });
        }
        writing.commit().await?;
        Ok(counts)
    }
}

fn check_head(value: &Value) -> Result<(), String> {
    match value.get("apertis_backup").and_then(Value::as_u64) {
        Some(version) if (1..=BACKUP_VERSION).contains(&version) => Ok(()),
        Some(version) => Err(format!("expected version {BACKUP_VERSION} or older, found {version}")),
        None => Err("expected the first line of a backup".to_owned()),
    }
}

async fn read_table(connection: &mut AnyConnection, table: &Table) -> Result<Vec<Map<String, Value>>, StorageError> {
    let mut statement = Statement::new("SELECT ");
    for (index, (column, _)) in table.columns.iter().enumerate() {
        statement.words(if index > 0 { ", " } else { "" }).words(column);
    }
    statement.words(" FROM ").words(table.name).words(" ORDER BY ").words(table.key);
    let rows = statement.rows(connection, "read records").await?;
    rows.iter().map(|row| read_row(row, table).during("read records")).collect()
}

fn read_row(row: &AnyRow, table: &Table) -> Result<Map<String, Value>, sqlx::Error> {
    let mut map = Map::new();
    for (index, (column, kind)) in table.columns.iter().enumerate() {
        let value: Value = match kind {
            Kind::Text => row.try_get::<String, _>(index)?.into(),
            Kind::TextOrNull => row.try_get::<Option<String>, _>(index)?.into(),
            Kind::Number => row.try_get::<i64, _>(index)?.into(),
        };
        map.insert((*column).to_owned(), value);
    }
    Ok(map)
}

fn empty(table: &Table) -> Statement {
    let mut statement = Statement::new("DELETE FROM ");
    statement.words(table.name);
    statement
}

fn insertion(table: &Table, row: &Map<String, Value>) -> Result<Statement, String> {
    if let Some(other) = row.keys().find(|name| !table.columns.iter().any(|(column, _)| column == name)) {
        return Err(format!("{}: expected a column of it, found `{other}`", table.name));
    }
    let mut statement = Statement::new("INSERT INTO ");
    statement.words(table.name).words(" (");
    for (index, (column, _)) in table.columns.iter().enumerate() {
        statement.words(if index > 0 { ", " } else { "" }).words(column);
    }
    statement.words(") VALUES (");
    for (index, (column, kind)) in table.columns.iter().enumerate() {
        let value = row.get(*column).unwrap_or(&Value::Null);
        let wrong = || format!("{}.{column}: found {value}", table.name);
        statement.words(if index > 0 { ", " } else { "" });
        match kind {
            Kind::Text => statement.value(value.as_str().ok_or_else(wrong)?),
            Kind::TextOrNull if value.is_null() => statement.value(None::<String>),
            Kind::TextOrNull => statement.value(value.as_str().ok_or_else(wrong)?),
            Kind::Number => statement.value(value.as_i64().ok_or_else(wrong)?),
        };
    }
    statement.words(")");
    Ok(statement)
}

/// Makes a file that only its owner can read, where the system knows such.
fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)
}
