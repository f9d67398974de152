//! One block of tokenised rows as a file: ids, which of them are trained, and where each row
//! begins. Written once under a name of its own, renamed when whole, then only mapped and read.
//!
//! Layout, little-endian: a head of 64 bytes (magic, bytes of an id, whether the block is full,
//! counts of tokens and rows, bytes on disk, checksum); the ids (2 or 4 bytes each); the mask, one bit a
//! token; one entry of 24 bytes a row. Sections begin at multiples of 8.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::Mmap;

use crate::error::DatasetError;
use crate::problem::RowSource;

const MAGIC: [u8; 8] = *b"APTOKS02";
const HEAD_BYTES: usize = 64;
const ROW_ENTRY_BYTES: usize = 24;
/// Bit of a row entry's file field: the row goes on where the one before it ended.
const CONTINUES: u32 = 1 << 31;

/// Tokens of one row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Whether each token is learned; `None` where all are.
    pub mask: Option<Vec<bool>>,
    /// Whether this row goes on where the one before it ended.
    pub continues: bool,
    /// Tokens cut off its end.
    pub cut_tokens: u32,
}

/// What a row of a block says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowEntry {
    pub(crate) tokens: Range<u64>,
    pub(crate) source: RowSource,
    pub(crate) continues: bool,
    pub(crate) cut_tokens: u32,
}

/// Writes one block.
pub(crate) struct ShardWriter {
    path: PathBuf,
    temporary: PathBuf,
    output: BufWriter<File>,
    id_bytes: usize,
    mask: Vec<u8>,
    rows: Vec<u8>,
    token_count: u64,
    row_count: u64,
    is_finished: bool,
}

/// A name for a file that is still being written, its own for each writer of each process.
pub(super) fn temporary_name(purpose: &str) -> String {
    static WRITER_NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = WRITER_NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{purpose}.{}-{number}.tmp", std::process::id())
}

impl ShardWriter {
    pub(crate) fn create(path: &Path, vocab_size: usize) -> Result<Self, DatasetError> {
        let temporary = path.with_extension(temporary_name("tokens"));
        let io = || DatasetError::io("write token cache", &temporary);
        let mut output = BufWriter::with_capacity(256 << 10, File::create(&temporary).map_err(io())?);
        output.write_all(&[0; HEAD_BYTES]).map_err(io())?;
        Ok(Self {
            path: path.to_path_buf(),
            output,
            id_bytes: if vocab_size <= 1 << 16 { 2 } else { 4 },
            mask: Vec::new(),
            rows: Vec::new(),
            token_count: 0,
            row_count: 0,
            is_finished: false,
            temporary,
        })
    }

    pub(crate) fn row_count(&self) -> u64 {
        self.row_count
    }

    pub(crate) fn push(&mut self, row: &TokenRow, source: RowSource) -> Result<(), DatasetError> {
        self.write_ids(&row.ids).map_err(DatasetError::io("write token cache", &self.temporary))?;
        let count = row.ids.len() as u64;
        self.mask.resize((self.token_count + count).div_ceil(8) as usize, 0);
        for at in 0..row.ids.len() {
            if row.mask.as_ref().is_none_or(|mask| mask[at]) {
                let bit = self.token_count as usize + at;
                self.mask[bit / 8] |= 1 << (bit % 8);
            }
        }
        self.token_count += count;
        self.row_count += 1;
        let file = source.file | if row.continues { CONTINUES } else { 0 };
        self.rows.extend_from_slice(&self.token_count.to_le_bytes());
        self.rows.extend_from_slice(&source.line.to_le_bytes());
        self.rows.extend_from_slice(&file.to_le_bytes());
        self.rows.extend_from_slice(&row.cut_tokens.to_le_bytes());
        Ok(())
    }

    fn write_ids(&mut self, ids: &[u32]) -> io::Result<()> {
        for &id in ids {
            let bytes = id.to_le_bytes();
            self.output.write_all(&bytes[..self.id_bytes])?;
        }
        Ok(())
    }

    /// Makes the block durable and gives it its name.
    ///
    /// `is_full` says that it ended because of its size, not because the data ended.
    pub(crate) fn finish(mut self, disk_bytes: u64, is_full: bool) -> Result<PathBuf, DatasetError> {
        self.write_tail(disk_bytes, is_full).map_err(DatasetError::io("write token cache", &self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(DatasetError::io("write token cache", &self.path))?;
        self.is_finished = true;
        Ok(self.path.clone())
    }

    fn write_tail(&mut self, disk_bytes: u64, is_full: bool) -> io::Result<()> {
        let padding = [0u8; 8];
        let id_bytes = self.token_count as usize * self.id_bytes;
        self.output.write_all(&padding[..id_bytes.next_multiple_of(8) - id_bytes])?;
        self.output.write_all(&self.mask)?;
        self.output.write_all(&padding[..self.mask.len().next_multiple_of(8) - self.mask.len()])?;
        self.output.write_all(&self.rows)?;
        let mut head = Vec::with_capacity(HEAD_BYTES);
        head.extend_from_slice(&MAGIC);
        let kind = self.id_bytes as u64 | u64::from(is_full) << 32;
        for value in [kind, self.token_count, self.row_count, disk_bytes] {
            head.extend_from_slice(&value.to_le_bytes());
        }
        let checksum = blake3::hash(&head);
        head.extend_from_slice(&checksum.as_bytes()[..HEAD_BYTES - head.len()]);
        self.output.seek(SeekFrom::Start(0))?;
        self.output.write_all(&head)?;
        self.output.flush()?;
        self.output.get_ref().sync_all()
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            // A file that was given up; nothing depends on its removal.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A mapped block.
pub(crate) struct Shard {
    map: Mmap,
    id_bytes: usize,
    token_count: u64,
    row_count: u64,
    disk_bytes: u64,
    is_full: bool,
    mask_at: usize,
    rows_at: usize,
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Shard({} rows, {} tokens)", self.row_count, self.token_count)
    }
}

impl Shard {
    /// Maps a block; `None` when it is absent, torn, or of another layout.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        // SAFETY: the file is written under another name and renamed when whole; nobody writes to
        // it afterwards, a newer one replaces the name and leaves this content as it is.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let head = map.get(..HEAD_BYTES)?;
        let field = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let checksum = blake3::hash(&head[..40]);
        if head[..8] != MAGIC || head[40..] != checksum.as_bytes()[..HEAD_BYTES - 40] {
            return None;
        }
        let id_bytes = (field(8) & 0xff) as usize;
        let is_full = field(8) >> 32 == 1;
        let (token_count, row_count, disk_bytes) = (field(16), field(24), field(32));
        let mask_at = HEAD_BYTES + (token_count as usize * id_bytes).next_multiple_of(8);
        let rows_at = mask_at + (token_count as usize).div_ceil(8).next_multiple_of(8);
        let is_whole = map.len() == rows_at + row_count as usize * ROW_ENTRY_BYTES;
        let shard = Self { map, id_bytes, token_count, row_count, disk_bytes, is_full, mask_at, rows_at };
        shard.release_pages();
        is_whole.then_some(shard)
    }

    pub(crate) fn row_count(&self) -> u64 {
        self.row_count
    }

    /// Bytes on disk that were read for this block.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Whether more data followed, or could have.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(crate) fn token_count(&self) -> u64 {
        self.token_count
    }

    fn row_end(&self, row: u64) -> u64 {
        let at = self.rows_at + row as usize * ROW_ENTRY_BYTES;
        u64::from_le_bytes(self.map[at..at + 8].try_into().expect("eight bytes"))
    }

    /// Where row `row` begins; its end is where the next one begins.
    pub(crate) fn row_start(&self, row: u64) -> u64 {
        if row == 0 { 0 } else { self.row_end(row - 1) }
    }

    pub(crate) fn row(&self, row: u64) -> RowEntry {
        let at = self.rows_at + row as usize * ROW_ENTRY_BYTES;
        let entry = &self.map[at..at + ROW_ENTRY_BYTES];
        let file = u32::from_le_bytes(entry[16..20].try_into().expect("four bytes"));
        RowEntry {
            tokens: self.row_start(row)..self.row_end(row),
            source: RowSource { file: file & !CONTINUES, line: u64::from_le_bytes(entry[8..16].try_into().expect("eight bytes")) },
            continues: file & CONTINUES != 0,
            cut_tokens: u32::from_le_bytes(entry[20..24].try_into().expect("four bytes")),
        }
    }

    /// The row that holds a token.
    pub(crate) fn row_of_token(&self, token: u64) -> u64 {
        let (mut low, mut high) = (0, self.row_count);
        while low < high {
            let middle = (low + high) / 2;
            if self.row_end(middle) <= token { low = middle + 1 } else { high = middle }
        }
        low
    }

    pub(crate) fn id(&self, token: u64) -> u32 {
        let at = HEAD_BYTES + token as usize * self.id_bytes;
        if self.id_bytes == 2 {
            u32::from(u16::from_le_bytes([self.map[at], self.map[at + 1]]))
        } else {
            u32::from_le_bytes(self.map[at..at + 4].try_into().expect("four bytes"))
        }
    }

    pub(crate) fn push_ids(&self, tokens: Range<u64>, ids: &mut Vec<u32>) {
        let bytes = &self.map[HEAD_BYTES + tokens.start as usize * self.id_bytes..HEAD_BYTES + tokens.end as usize * self.id_bytes];
        if self.id_bytes == 2 {
            ids.extend(bytes.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]]))));
        } else {
            ids.extend(bytes.chunks_exact(4).map(|four| u32::from_le_bytes(four.try_into().expect("four bytes"))));
        }
    }

    pub(crate) fn is_trained(&self, token: u64) -> bool {
        self.map[self.mask_at + token as usize / 8] >> (token % 8) & 1 == 1
    }

    /// Gives the pages that were read back, so that memory does not grow with the rows visited.
    pub(crate) fn release_pages(&self) {
        #[cfg(unix)]
        {
            // SAFETY: the mapping is read-only and backed by the file; pages dropped here are read
            // again from it at the next access.
            let _ = unsafe { self.map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}
