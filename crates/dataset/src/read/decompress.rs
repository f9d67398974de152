//! Bytes of a file without their packing: gzip and zstd by their first bytes, the byte order mark
//! taken off, UTF-16 turned into UTF-8.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes looked at before a file is read for real.
const HEAD_BYTES: usize = 256 << 10;

/// A decompressed stream with its beginning also at hand.
pub(super) struct Stream {
    /// The first bytes, without a byte order mark.
    pub(super) head: Vec<u8>,
    /// Whether `head` is the whole content.
    pub(super) is_whole: bool,
    /// Everything, from the first byte on.
    pub(super) reader: Chain<Cursor<Vec<u8>>, Box<dyn Read + Send>>,
}

/// Opens a file; `position` follows how far the file on disk has been read.
pub(super) fn open_stream(path: &Path, position: Arc<AtomicU64>) -> io::Result<Stream> {
    let mut file = Counted { file: File::open(path)?, position };
    let (magic, _) = read_head(&mut file, 4)?;
    let input = Cursor::new(magic.clone()).chain(file);
    let mut reader: Box<dyn Read + Send> = if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(64 << 10, input)))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::stream::read::Decoder::new(input)?)
    } else {
        Box::new(input)
    };
    let (mut head, mut is_whole) = read_head(&mut reader, HEAD_BYTES)?;
    if let Some(is_big_endian) = utf16_order(&head) {
        let rest = Cursor::new(head).chain(reader);
        reader = Box::new(Utf16Reader { input: Box::new(rest), is_big_endian, high: None, ready: Vec::new(), at: 0 });
        (head, is_whole) = read_head(&mut reader, HEAD_BYTES)?;
    }
    if head.starts_with(&[0xef, 0xbb, 0xbf]) {
        head.drain(..3);
    }
    Ok(Stream { reader: Cursor::new(head.clone()).chain(reader), head, is_whole })
}

/// Reads up to `limit` bytes; the flag says that the end was reached.
fn read_head(reader: &mut impl Read, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut head = vec![0; limit];
    let mut filled = 0;
    while filled < limit {
        match reader.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A damaged archive still yields what came before the damage; the same error comes
            // again when the rows are read.
            Err(_) if filled > 0 => {
                head.truncate(filled);
                return Ok((head, false));
            }
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok((head, filled < limit))
}

fn utf16_order(head: &[u8]) -> Option<bool> {
    match head {
        [0xff, 0xfe, ..] => Some(false),
        [0xfe, 0xff, ..] => Some(true),
        _ => None,
    }
}

struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.position.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// UTF-16 to UTF-8; what is no character becomes U+FFFD, as every decoder does it.
struct Utf16Reader {
    input: Box<dyn Read + Send>,
    is_big_endian: bool,
    high: Option<u16>,
    ready: Vec<u8>,
    at: usize,
}

impl Utf16Reader {
    fn refill(&mut self) -> io::Result<()> {
        let (bytes, _) = read_head(&mut self.input, 16 << 10)?;
        self.ready.clear();
        self.at = 0;
        let units = bytes.chunks(2).map(|pair| match (pair, self.is_big_endian) {
            ([a, b], true) => u16::from_be_bytes([*a, *b]),
            ([a, b], false) => u16::from_le_bytes([*a, *b]),
            _ => 0xfffd,
        });
        let mut pending: Vec<u16> = self.high.take().into_iter().chain(units).collect();
        if bytes.len() == 16 << 10 && pending.last().is_some_and(|unit| (0xd800..0xdc00).contains(unit)) {
            self.high = pending.pop();
        }
        for unit in char::decode_utf16(pending) {
            let character = unit.unwrap_or(char::REPLACEMENT_CHARACTER);
            if character != '\u{feff}' {
                self.ready.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        Ok(())
    }
}

impl Read for Utf16Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.ready.len() {
            self.refill()?;
        }
        let count = (self.ready.len() - self.at).min(buffer.len());
        buffer[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
