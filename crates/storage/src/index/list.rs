//! The list of runs: sorted, filtered and cut into pages by the database, with cursors that stay
//! right while runs come and go.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::rows::RunRow;
use crate::error::{During, from_json};
use crate::statement::Statement;
use crate::{Storage, StorageError};

/// What runs are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunSort {
    /// When they were made.
    #[default]
    Created,
    /// When their log last grew.
    Changed,
    /// Their name, without regard to case, numbers in it as numbers.
    Name,
    /// Lowest held-out loss; those without come last either way.
    BestLoss,
    /// Pace; those without come last either way.
    TokensPerSecond,
    /// Working time.
    Elapsed,
    /// Steps done.
    Step,
    /// The word for their state.
    State,
}

impl RunSort {
    /// Every one, with its word.
    pub const ALL: [(RunSort, &'static str); 8] = [
        (RunSort::Created, "created"),
        (RunSort::Changed, "changed"),
        (RunSort::Name, "name"),
        (RunSort::BestLoss, "best_loss"),
        (RunSort::TokensPerSecond, "tokens_per_second"),
        (RunSort::Elapsed, "elapsed"),
        (RunSort::Step, "step"),
        (RunSort::State, "state"),
    ];

    /// The one of a word.
    pub fn from_word(word: &str) -> Option<RunSort> {
        RunSort::ALL.iter().find(|(_, known)| *known == word).map(|(sort, _)| *sort)
    }

    /// The column, which has the word's name.
    fn column(self) -> &'static str {
        RunSort::ALL.iter().find(|(sort, _)| *sort == self).map_or("created", |(_, word)| word)
    }

    fn may_be_absent(self) -> bool {
        matches!(self, RunSort::BestLoss | RunSort::TokensPerSecond)
    }

    fn key(self, row: &AnyRow) -> Result<Value, sqlx::Error> {
        Ok(match self {
            RunSort::BestLoss | RunSort::TokensPerSecond => row.try_get::<Option<f64>, _>(0)?.into(),
            RunSort::Elapsed | RunSort::Step => row.try_get::<i64, _>(0)?.into(),
            _ => row.try_get::<String, _>(0)?.into(),
        })
    }
}

/// Which way runs are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOrder {
    /// Least first.
    Asc,
    /// Greatest first.
    Desc,
}

/// Order and filter of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Rows a page, 1–200; 50 where 0.
    pub limit: u32,
    /// `next` of the page before; its sort and order must be the same.
    pub cursor: Option<String>,
    /// What it is sorted by.
    pub sort: RunSort,
    /// Which way; names, losses and states rise, everything else falls, where `None`.
    pub order: Option<RunOrder>,
    /// Only these states; all where empty.
    pub states: Vec<String>,
    /// Only those where a worker is expected to be at work, or only the others.
    pub is_active: Option<bool>,
    /// Only this model.
    pub model: Option<String>,
    /// Only this data.
    pub data: Option<String>,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only those of this sweep.
    pub sweep: Option<String>,
    /// Only those whose name, model, data, method, tags or notes contain each of these words.
    pub text: String,
    /// The trash, instead of everything else.
    pub is_trash: bool,
}

/// A page of the list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunPage {
    /// Its rows.
    pub rows: Vec<RunRow>,
    /// Rows that pass the filter.
    pub total: u64,
    /// Rows of the whole list, or of the trash.
    pub of: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// Where a page begins: after this row.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Cursor {
    sort: RunSort,
    order: RunOrder,
    /// Null among those that have no value.
    key: Value,
    id: String,
}

impl Storage {
    /// A page of the list of runs.
    ///
    /// # Errors
    /// The cursor is not one of this list, or the database refuses.
    pub async fn runs(&self, query: &RunQuery) -> Result<RunPage, StorageError> {
        let order = query.order.unwrap_or(match query.sort {
            RunSort::Name | RunSort::BestLoss | RunSort::State => RunOrder::Asc,
            _ => RunOrder::Desc,
        });
        let mut after = query.cursor.as_deref().map(|text| Cursor::read(text, query.sort, order)).transpose()?;
        let limit = if query.limit == 0 { 50 } else { query.limit.min(200) } as usize;

        let mut reading = self.read().await?;
        let everything = RunQuery { is_trash: query.is_trash, ..RunQuery::default() };
        let of = count(&mut reading, &everything).await?;
        let total = if query.has_filter() { count(&mut reading, query).await? } else { of };

        if total == 0 {
            return Ok(RunPage { of, ..RunPage::default() });
        }
        // One more than the page has, to know whether there is a next one.
        let mut found = Vec::new();
        let is_absent = after.as_ref().is_some_and(|cursor| cursor.key.is_null());
        if !is_absent {
            found = read(&mut reading, query, order, after.as_ref(), false, limit + 1).await?;
            after = None;
        }
        if query.sort.may_be_absent() && found.len() <= limit {
            let rest = limit + 1 - found.len();
            found.extend(read(&mut reading, query, order, after.as_ref(), true, rest).await?);
        }
        let has_next = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_next);
        let next = next.map(|(key, row)| Cursor { sort: query.sort, order, key: key.clone(), id: row.facts.id.clone() }.write());
        Ok(RunPage { rows: found.into_iter().map(|(_, row)| row).collect(), total, of, next })
    }

    /// The runs that wait, in order.
    ///
    /// # Errors
    /// The database refuses, or the index is damaged.
    pub async fn queue(&self) -> Result<Vec<RunRow>, StorageError> {
        let rows = sqlx::query(
            "SELECT body FROM index_runs JOIN index_rows ON run = id WHERE queue_place IS NOT NULL AND is_trash = 0 \
             ORDER BY queue_place, id",
        )
        .fetch_all(&self.pool)
        .await
        .during("read queue")?;
        rows.iter().map(|row| from_json("run", &row.try_get::<String, _>(0).during("read queue")?)).collect()
    }
}

impl RunQuery {
    fn has_filter(&self) -> bool {
        let everything = RunQuery {
            limit: self.limit,
            cursor: self.cursor.clone(),
            sort: self.sort,
            order: self.order,
            is_trash: self.is_trash,
            ..RunQuery::default()
        };
        *self != everything
    }

    fn filter(&self, statement: &mut Statement) {
        statement.words(" WHERE is_trash = ").value(i64::from(self.is_trash));
        if let Some(is_active) = self.is_active {
            statement.words(" AND is_active = ").value(i64::from(is_active));
        }
        if let [state] = self.states.as_slice() {
            // One alone can be walked in order by an index.
            statement.words(" AND state = ").value(state.as_str());
        } else if !self.states.is_empty() {
            statement.words(" AND state IN (''");
            for state in &self.states {
                statement.words(", ").value(state.as_str());
            }
            statement.words(")");
        }
        if let Some(model) = &self.model {
            statement.words(" AND model = ").value(model.as_str());
        }
        if let Some(data) = &self.data {
            statement.words(" AND data = ").value(data.as_str());
        }
        if let Some(sweep) = &self.sweep {
            statement.words(" AND sweep = ").value(sweep.as_str());
        }
        if let Some(tag) = &self.tag {
            statement.words(" AND id IN (SELECT run FROM index_tags WHERE tag = ").value(tag.as_str()).words(")");
        }
        for word in self.text.to_lowercase().split_whitespace() {
            let escaped = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_").replace('\0', "");
            statement.words(" AND words LIKE ").value(format!("%{escaped}%")).words(" ESCAPE '\\'");
        }
    }
}

async fn count(connection: &mut AnyConnection, query: &RunQuery) -> Result<u64, StorageError> {
    let mut statement = Statement::new("SELECT COUNT(*) FROM index_runs");
    query.filter(&mut statement);
    let rows = statement.rows(connection, "count runs").await?;
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).during("count runs")?;
    Ok(count.cast_unsigned())
}

/// Reads rows after a cursor: those that have a value to be sorted by, or those without.
async fn read(
    connection: &mut AnyConnection,
    query: &RunQuery,
    order: RunOrder,
    after: Option<&Cursor>,
    is_absent: bool,
    limit: usize,
) -> Result<Vec<(Value, RunRow)>, StorageError> {
    let column = query.sort.column();
    let (follows, direction) = match order {
        RunOrder::Asc => (" > ", ""),
        RunOrder::Desc => (" < ", " DESC"),
    };
    let mut statement = Statement::new("SELECT ");
    statement.words(column).words(", body FROM index_runs JOIN index_rows ON run = id");
    query.filter(&mut statement);
    if query.sort.may_be_absent() {
        statement.words(" AND ").words(column).words(if is_absent { " IS NULL" } else { " IS NOT NULL" });
    }
    if let Some(after) = after {
        if is_absent {
            statement.words(" AND id").words(follows).value(after.id.as_str());
        } else {
            statement.words(" AND (").words(column).words(", id)").words(follows).words("(");
            match (&after.key, query.sort) {
                (Value::Number(number), RunSort::BestLoss | RunSort::TokensPerSecond) => statement.value(number.as_f64()),
                (Value::Number(number), RunSort::Elapsed | RunSort::Step) => statement.value(number.as_i64()),
                (key, _) => statement.value(key.as_str().unwrap_or_default()),
            };
            statement.words(", ").value(after.id.as_str()).words(")");
        }
    }
    statement.words(" ORDER BY ");
    if !is_absent {
        statement.words(column).words(direction).words(", ");
    }
    statement.words("id").words(direction).words(" LIMIT ").value(i64::try_from(limit).unwrap_or(i64::MAX));
    let mut found = Vec::new();
    for row in statement.rows(connection, "list runs").await? {
        let body: String = row.try_get(1).during("list runs")?;
        found.push((query.sort.key(&row).during("list runs")?, from_json("run", &body)?));
    }
    Ok(found)
}

impl Cursor {
    /// As letters and digits, to be part of an address.
    fn write(&self) -> String {
        crate::error::to_json(self).bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn read(text: &str, sort: RunSort, order: RunOrder) -> Result<Cursor, StorageError> {
        let wrong = || StorageError::Query { message: "expected `next` of a page of the same list as cursor".to_owned() };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        let cursor: Cursor = bytes.filter(|_| rest.is_empty()).and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(wrong)?;
        let is_key = match sort {
            RunSort::BestLoss | RunSort::TokensPerSecond => cursor.key.is_null() || cursor.key.is_number(),
            RunSort::Elapsed | RunSort::Step => cursor.key.is_i64() || cursor.key.is_u64(),
            _ => cursor.key.is_string(),
        };
        if is_key && cursor.sort == sort && cursor.order == order { Ok(cursor) } else { Err(wrong()) }
    }
}
