//! Lists that come in pages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The page's rows.
    pub items: Vec<T>,
    /// Rows of the whole list that pass the filter.
    pub total: u64,
    /// Rows of the whole list, filtered or not.
    pub of: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
    /// State of the room `runs` or `jobs` at which the list was read.
    pub seq: u64,
    /// Name of the server's life; another one means that `seq` began anew.
    pub epoch: String,
}
