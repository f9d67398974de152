//! Cards of models and data sets, as whoever looks through their folders made them.

use serde_json::Value;
use sqlx::Row;

use crate::error::{During, from_json, to_json};
use crate::{Storage, StorageError};

/// Which shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShelfKind {
    /// Models and checkpoints.
    Models,
    /// Data sets.
    Data,
}

impl ShelfKind {
    fn name(self) -> &'static str {
        match self {
            ShelfKind::Models => "models",
            ShelfKind::Data => "data",
        }
    }
}

/// A card.
#[derive(Debug, Clone, PartialEq)]
pub struct ShelfCard {
    /// Unlike any other of its shelf.
    pub id: String,
    /// What it shows.
    pub card: Value,
}

impl Storage {
    /// The cards of a shelf, in the order in which they were put there.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn shelf(&self, kind: ShelfKind) -> Result<Vec<ShelfCard>, StorageError> {
        let rows = sqlx::query("SELECT id, card FROM index_shelf WHERE kind = $1 ORDER BY place")
            .bind(kind.name())
            .fetch_all(&self.pool)
            .await
            .during("read shelf")?;
        let mut cards = Vec::with_capacity(rows.len());
        for row in rows {
            let card: String = row.try_get(1).during("read shelf")?;
            cards.push(ShelfCard { id: row.try_get(0).during("read shelf")?, card: from_json("card", &card)? });
        }
        Ok(cards)
    }

    /// Puts these cards on a shelf in place of what is there. Of two with one id the last stays.
    ///
    /// # Errors
    /// The database refuses.
    pub async fn put_shelf(&self, kind: ShelfKind, cards: &[ShelfCard]) -> Result<(), StorageError> {
        let mut writing = self.write().await?;
        sqlx::query("DELETE FROM index_shelf WHERE kind = $1")
            .bind(kind.name())
            .execute(&mut *writing.transaction)
            .await
            .during("write shelf")?;
        for (place, card) in (0i64..).zip(cards) {
            sqlx::query(
                "INSERT INTO index_shelf (kind, id, place, card) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (kind, id) DO UPDATE SET place = excluded.place, card = excluded.card",
            )
            .bind(kind.name())
            .bind(card.id.as_str())
            .bind(place)
            .bind(to_json(&card.card))
            .execute(&mut *writing.transaction)
            .await
            .during("write shelf")?;
        }
        writing.commit().await
    }
}
