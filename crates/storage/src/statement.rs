//! A statement whose text depends on the question. Values are only ever bound; the text is made
//! of our own words and `$1`, `$2`, …, which both databases take.

use sqlx::any::{Any, AnyArguments, AnyRow};
use sqlx::{AnyConnection, Arguments, AssertSqlSafe, Encode, Type};

use crate::StorageError;
use crate::error::During;

/// A statement being put together.
#[derive(Default)]
pub(crate) struct Statement {
    text: String,
    values: AnyArguments,
}

impl Statement {
    /// Begins with these words.
    pub(crate) fn new(words: &'static str) -> Statement {
        Statement { text: words.to_owned(), values: AnyArguments::default() }
    }

    /// Adds words of ours.
    pub(crate) fn words(&mut self, words: &'static str) -> &mut Statement {
        self.text.push_str(words);
        self
    }

    /// Adds a value.
    pub(crate) fn value<'t, T: Encode<'t, Any> + Type<Any>>(&mut self, value: T) -> &mut Statement {
        self.values.add(value).expect("texts, numbers and bytes can always be bound");
        self.text.push_str(&format!("${}", self.values.len()));
        self
    }

    /// Runs it and reads its rows.
    pub(crate) async fn rows(self, connection: &mut AnyConnection, operation: &'static str) -> Result<Vec<AnyRow>, StorageError> {
        sqlx::query_with(AssertSqlSafe(self.text), self.values).fetch_all(connection).await.during(operation)
    }

    /// Runs it.
    pub(crate) async fn run(self, connection: &mut AnyConnection, operation: &'static str) -> Result<u64, StorageError> {
        let done = sqlx::query_with(AssertSqlSafe(self.text), self.values).execute(connection).await.during(operation)?;
        Ok(done.rows_affected())
    }
}
