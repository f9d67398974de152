//! The index as text, to compare one that was made again with the one before it.

use sqlx::Row;

use crate::error::During;
use crate::{Storage, StorageError};

/// Every table of the index with its columns as text, in the order of its keys. What is kept as
/// bytes is compared by their hash, which the text holds.
const TABLES: &[(&str, &str, usize)] = &[
    (
        "runs",
        "SELECT id, CAST(is_trash AS TEXT), CAST(is_active AS TEXT), created, changed, name, state, CAST(step AS TEXT), \
         CAST(elapsed AS TEXT), COALESCE(CAST(best_loss AS TEXT), ''), COALESCE(CAST(tokens_per_second AS TEXT), ''), \
         COALESCE(CAST(queue_place AS TEXT), ''), model, data, sweep, words FROM index_runs ORDER BY id",
        16,
    ),
    ("rows", "SELECT run, body, details FROM index_rows ORDER BY run", 3),
    ("tags", "SELECT run, tag FROM index_tags ORDER BY run, tag", 2),
    ("logs", "SELECT run, file, CAST(byte_offset AS TEXT), first_line, fold FROM index_logs ORDER BY run, file", 5),
    ("places", "SELECT run, CAST(seq AS TEXT), CAST(byte_offset AS TEXT) FROM index_places ORDER BY run, index_places.seq", 3),
    (
        "events",
        "SELECT run, CAST(seq AS TEXT), CAST(step AS TEXT), CAST(elapsed_ms AS TEXT), kind, CAST(place AS TEXT), \
         CAST(stands AS TEXT), mark, mark_text, line FROM index_events ORDER BY run, index_events.seq",
        10,
    ),
    (
        "tracks",
        "SELECT run, track, CAST(stretch AS TEXT), CAST(points AS TEXT), names FROM index_tracks \
         ORDER BY run, track, index_tracks.stretch",
        5,
    ),
    ("shelf", "SELECT kind, id, CAST(place AS TEXT), card FROM index_shelf ORDER BY kind, index_shelf.place, id", 4),
];

const CHUNKS: &str = "SELECT run, track, CAST(stretch AS TEXT), CAST(level AS TEXT), CAST(chunk AS TEXT), name, body FROM index_chunks \
                      ORDER BY run, track, index_chunks.stretch, index_chunks.level, index_chunks.chunk, name";

impl Storage {
    /// Every row of the index as a line of text, in the order of tables and keys. Two indexes hold
    /// the same exactly where these lines are the same.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn index_lines(&self) -> Result<Vec<String>, StorageError> {
        let mut reading = self.read().await?;
        let mut lines = Vec::new();
        for (table, select, columns) in TABLES {
            for row in sqlx::query(*select).fetch_all(&mut *reading).await.during("read index")? {
                let mut line = (*table).to_owned();
                for column in 0..*columns {
                    line.push('\t');
                    line.push_str(&row.try_get::<String, _>(column).during("read index")?);
                }
                lines.push(line);
            }
        }
        for row in sqlx::query(CHUNKS).fetch_all(&mut *reading).await.during("read index")? {
            let mut line = "chunks".to_owned();
            for column in 0..6 {
                line.push('\t');
                line.push_str(&row.try_get::<String, _>(column).during("read index")?);
            }
            let body: Vec<u8> = row.try_get(6).during("read index")?;
            line.push_str(&format!("\t{} bytes {}", body.len(), blake3::hash(&body).to_hex()));
            lines.push(line);
        }
        Ok(lines)
    }
}
