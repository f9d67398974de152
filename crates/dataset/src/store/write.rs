//! The one place where rows become blocks: counts, copies, windows of unpacked documents, and the
//! end of a block, all in file order.

use std::path::{Path, PathBuf};

use apertis_domain::recipe::OnBadRow;

use super::copies::{COPIES_COMPARED_MAX, SeenRows};
use super::make::{Outcome, shard_name, write_json, write_manifest};
use super::shard::{Shard, ShardWriter, TokenRow};
use super::shared::Shared;
use super::standing::{OpenDocument, Standing};
use super::tokenise::{Tokeniser, target_count};
use crate::error::DatasetError;
use crate::problem::{Problem, RowProblem, RowSource};
use crate::report::DataReport;
use crate::rows::FoundRow;
use crate::settings::{BLOCK_ROWS, DataSettings, Duplicates};

/// Rows in, blocks out.
pub(super) struct Writer<'a> {
    settings: &'a DataSettings,
    tokeniser: &'a Tokeniser,
    folder: &'a Path,
    shared: &'a Shared,
    report: DataReport,
    shard: Option<ShardWriter>,
    shard_rows: Vec<u64>,
    rows_to_skip: u64,
    rows_taken: u64,
    block_bytes: u64,
    /// Bytes of the files read by now, and when the open block began.
    position: u64,
    block_position: u64,
    seen: SeenRows,
    document: OpenDocument,
}

impl<'a> Writer<'a> {
    /// A writer that goes on where `standing` says.
    pub(super) fn new(
        settings: &'a DataSettings,
        tokeniser: &'a Tokeniser,
        folder: &'a Path,
        shared: &'a Shared,
        standing: Standing,
    ) -> Self {
        Self {
            settings,
            tokeniser,
            folder,
            shared,
            report: standing.report,
            shard: None,
            shard_rows: standing.shard_rows,
            rows_to_skip: standing.rows_taken,
            rows_taken: 0,
            block_bytes: 0,
            position: standing.position,
            block_position: standing.position,
            seen: SeenRows::default(),
            document: standing.document,
        }
    }

    pub(super) fn shared(&self) -> &'a Shared {
        self.shared
    }

    pub(super) fn tokeniser(&self) -> &'a Tokeniser {
        self.tokeniser
    }

    /// Says how many bytes of the files had been read when the rows to come were complete.
    pub(super) fn set_position(&mut self, position: u64) {
        self.position = position;
    }

    /// Rows that are in whole blocks already.
    pub(super) fn rows_to_skip(&self) -> u64 {
        self.rows_to_skip
    }

    /// Passes over rows that are in whole blocks already.
    pub(super) fn skip(&mut self, hashes: &[Option<u64>]) {
        self.rows_to_skip -= hashes.len() as u64;
        self.rows_taken += hashes.len() as u64;
        for hash in hashes.iter().flatten() {
            self.seen.check(*hash);
        }
    }

    pub(super) fn add(&mut self, found: &FoundRow, outcome: Outcome, hash: Option<u64>) -> Result<(), DatasetError> {
        self.rows_taken += 1;
        let is_copy = hash.is_some_and(|hash| self.seen.check(hash));
        let source = found.row.source;
        let file = &mut self.report.files[source.file as usize];
        if file.format.is_empty() && !matches!(outcome, Outcome::Bad(..)) {
            file.format = found.format.name.words().to_string();
            file.unused_fields.clone_from(&found.format.unused);
            self.report.has_rows |= !found.format.is_text() || !self.tokeniser.rendering.packing;
        }
        let continues = matches!(outcome, Outcome::Document { continues: true, .. });
        if !continues {
            file.rows_read += 1;
            self.report.rows_read += 1;
        }
        self.block_bytes += found.row.bytes;
        match outcome {
            Outcome::Bad(problem, excerpt) => self.refuse(source, problem, &excerpt)?,
            Outcome::Conversation { rows, rejected_answers } => {
                if rows.must_stop {
                    let detail = format!("{} tokens, at most {} allowed", rows.length, self.settings.max_length);
                    return Err(self.stop(source, RowProblem::TooLong, detail, "too_long=stop"));
                }
                if is_copy && self.leaves_copy_out(source) {
                    return Ok(());
                }
                let statistics = &mut self.report.statistics;
                statistics.rejected_answers += rejected_answers;
                statistics.add_length(rows.length, source);
                for row in &rows.rows {
                    self.push(row, source)?;
                }
            }
            Outcome::Document { ids, continues, is_last } => {
                if is_copy && self.leaves_copy_out(source) {
                    return Ok(());
                }
                self.add_document(ids, continues, is_last, source)?;
            }
        }
        let is_full = |shard: &ShardWriter| shard.row_count() >= BLOCK_ROWS as u64;
        if self.shard.as_ref().is_some_and(|shard| self.block_bytes >= self.settings.block_bytes || is_full(shard))
            && let Some(shard) = self.end_block(true)?
        {
            self.write_standing()?;
            self.shared.publish(shard, self.report.clone());
        }
        Ok(())
    }

    fn refuse(&mut self, source: RowSource, problem: Problem, excerpt: &str) -> Result<(), DatasetError> {
        if self.settings.on_bad_row == OnBadRow::Stop && problem.kind.is_fault() {
            return Err(self.stop(source, problem.kind, problem.detail, "on_bad_row=stop"));
        }
        self.report.problems.add(source, problem, excerpt);
        Ok(())
    }

    fn stop(&self, source: RowSource, kind: RowProblem, detail: String, because: &'static str) -> DatasetError {
        let path = self.report.files.get(source.file as usize).map_or_else(PathBuf::new, |file| file.path.clone());
        DatasetError::BadRow { path, line: source.line, code: kind.code(), detail, because }
    }

    /// Counts a copy of an earlier row; true when it is to be left out.
    fn leaves_copy_out(&mut self, source: RowSource) -> bool {
        self.report.statistics.duplicate_rows += 1;
        let is_left_out = self.settings.duplicates == Duplicates::Skip;
        if is_left_out {
            let problem = Problem::new(RowProblem::Duplicate, "an exact copy of an earlier row");
            self.report.problems.add(source, problem, "");
        }
        is_left_out
    }

    fn add_document(&mut self, ids: Vec<u32>, continues: bool, is_last: bool, source: RowSource) -> Result<(), DatasetError> {
        if !continues {
            self.document = OpenDocument { source: Some(source), ..OpenDocument::default() };
        }
        self.document.length += ids.len() as u64;
        if self.tokeniser.rendering.packing {
            if !ids.is_empty() {
                self.push(&TokenRow { ids, mask: None, continues, cut_tokens: 0 }, source)?;
            }
        } else {
            self.document.pending.extend(ids);
            self.push_windows(is_last, source)?;
        }
        if is_last {
            let length = u32::try_from(self.document.length).unwrap_or(u32::MAX);
            self.report.statistics.add_length(length, self.document.source.unwrap_or(source));
        }
        Ok(())
    }

    /// Cuts the open document into windows; the rest waits unless the document ends.
    fn push_windows(&mut self, is_last: bool, source: RowSource) -> Result<(), DatasetError> {
        let length = self.tokeniser.rendering.max_length;
        let pending = std::mem::take(&mut self.document.pending);
        let mut windows = pending.chunks(length).peekable();
        while let Some(window) = windows.next() {
            if windows.peek().is_none() && !is_last && window.len() < length {
                self.document.pending = window.to_vec();
                break;
            }
            let continues = self.document.pending_continues;
            self.push(&TokenRow { ids: window.to_vec(), mask: None, continues, cut_tokens: 0 }, source)?;
            self.document.pending_continues = true;
        }
        Ok(())
    }

    fn push(&mut self, row: &TokenRow, source: RowSource) -> Result<(), DatasetError> {
        let shard = match &mut self.shard {
            Some(shard) => shard,
            empty => {
                let path = self.folder.join(shard_name(self.shard_rows.len()));
                empty.insert(ShardWriter::create(&path, self.tokeniser.tokenizer.largest_id() as usize + 1)?)
            }
        };
        shard.push(row, source)?;
        let statistics = &mut self.report.statistics;
        statistics.token_rows += 1;
        statistics.tokens += row.ids.len() as u64;
        statistics.target_tokens += target_count(row) as u64;
        statistics.cut_tokens += u64::from(row.cut_tokens);
        statistics.cut_rows += u64::from(row.cut_tokens > 0);
        Ok(())
    }

    /// Makes the open block whole, if there is one.
    fn end_block(&mut self, is_full: bool) -> Result<Option<Shard>, DatasetError> {
        let Some(shard) = self.shard.take() else {
            return Ok(None);
        };
        let path = shard.finish(self.position - self.block_position, is_full)?;
        self.block_position = self.position;
        let Some(shard) = Shard::open(&path) else {
            let source = std::io::Error::other("it cannot be read back");
            return Err(DatasetError::io("read token cache", &path)(source));
        };
        self.shard_rows.push(shard.row_count());
        self.block_bytes = 0;
        Ok(Some(shard))
    }

    /// Notes how far the making is, beside the block that just ended.
    fn write_standing(&self) -> Result<(), DatasetError> {
        let standing = Standing {
            report: self.report.clone(),
            shard_rows: self.shard_rows.clone(),
            rows_taken: self.rows_taken,
            position: self.position,
            document: self.document.clone(),
        };
        write_json(&Standing::path(self.folder, self.shard_rows.len() - 1), &standing)
    }

    pub(super) fn finish(mut self) -> Result<(), DatasetError> {
        let last = self.end_block(false)?;
        if self.shard_rows.is_empty() {
            let summary = self.report.problems.summary();
            return Err(DatasetError::NoUsableRows { rows_read: self.report.rows_read, summary });
        }
        if self.seen.is_full() {
            self.report.notes.push(format!("copies were looked for among the first {COPIES_COMPARED_MAX} different rows"));
        }
        self.report.is_complete = true;
        write_manifest(self.folder, &self.report, &self.shard_rows)?;
        self.shared.finish(last, self.report);
        Ok(())
    }
}
