//! How far a token cache was made: written beside each whole block, so that a preparation that was
//! killed goes on after its last block instead of starting again.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Shard;
use super::make::{adopt_files, shard_name};
use crate::problem::RowSource;
use crate::report::DataReport;

/// Everything that the writer carries from one block to the next, except the hashes of earlier
/// rows, which are read again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) report: DataReport,
    /// Rows of each block.
    pub(super) shard_rows: Vec<u64>,
    /// Raw rows that went into the blocks.
    pub(super) rows_taken: u64,
    /// Bytes of the files read when the last block ended.
    pub(super) position: u64,
    pub(super) document: OpenDocument,
}

/// The document whose pieces are arriving.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct OpenDocument {
    pub(super) source: Option<RowSource>,
    pub(super) length: u64,
    /// Tokens of an unpacked document that do not fill a window yet.
    pub(super) pending: Vec<u32>,
    pub(super) pending_continues: bool,
}

impl Standing {
    /// Where the making of a folder stopped, with its whole blocks; the beginning where there are
    /// none.
    pub(super) fn recover(folder: &Path, fresh: DataReport) -> (Self, Vec<Shard>) {
        let mut standing =
            Self { report: fresh.clone(), shard_rows: Vec::new(), rows_taken: 0, position: 0, document: OpenDocument::default() };
        let mut shards: Vec<Shard> = Vec::new();
        loop {
            let block = shards.len();
            let Some(shard) = Shard::open(&folder.join(shard_name(block))) else {
                break;
            };
            let Some(mut next) = fs::read(Self::path(folder, block)).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok())
            else {
                break;
            };
            if next.shard_rows.get(block) != Some(&shard.row_count()) || !adopt_files(&mut next.report, &fresh) {
                break;
            }
            standing = next;
            shards.push(shard);
        }
        (standing, shards)
    }

    /// The file beside a block.
    pub(super) fn path(folder: &Path, block: usize) -> PathBuf {
        folder.join(format!("block-{block:05}.json"))
    }
}
