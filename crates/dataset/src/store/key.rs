//! The name of a token cache: a hash over everything that its content depends on.

use std::fs::{self, File};
use std::path::Path;
use std::time::UNIX_EPOCH;

use blake3::Hasher;

use super::Tokeniser;
use crate::error::DatasetError;
use crate::read::DataFile;
use crate::settings::{DataSettings, Duplicates};

/// Raised when the same input would give other shards.
const LAYOUT_VERSION: u32 = 2;

/// The key of the given files under the given settings.
pub(super) fn cache_key(
    files: &[DataFile],
    tokeniser: &Tokeniser,
    settings: &DataSettings,
    cache_folder: &Path,
) -> Result<String, DatasetError> {
    let mut hasher = Hasher::new();
    let mut part = |name: &str, content: &str| {
        for text in [name, content] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    };
    let rendering = &tokeniser.rendering;
    part("layout", &LAYOUT_VERSION.to_string());
    part("tokenizer", &tokeniser.tokenizer.content_hash());
    part("template", rendering.template.source());
    part("train_on", &format!("{:?}", rendering.train_on));
    part("max_length", &rendering.max_length.to_string());
    part("too_long", rendering.too_long.name());
    part("packing", if rendering.packing { "yes" } else { "no" });
    part("columns", &format!("{:?}", settings.columns));
    part("duplicates", if settings.duplicates == Duplicates::Keep { "keep" } else { "skip" });
    part("block_bytes", &settings.block_bytes.to_string());
    for file in files {
        part("ending", &file.path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default());
        part("named", if file.is_named { "yes" } else { "no" });
        part("content", &content_hash(&file.path, cache_folder)?);
    }
    Ok(hasher.finalize().to_hex()[..32].to_string())
}

/// The hash of a file's content. It is remembered under size and times, so that a large file is
/// not read again before every run.
fn content_hash(path: &Path, cache_folder: &Path) -> Result<String, DatasetError> {
    let io = || DatasetError::io("read data file", path);
    let metadata = fs::metadata(path).map_err(io())?;
    let mut identity = Hasher::new();
    identity.update(path.canonicalize().map_err(io())?.to_string_lossy().as_bytes());
    identity.update(&metadata.len().to_le_bytes());
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    identity.update(&modified.as_nanos().to_le_bytes());
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        for value in [metadata.ino() as i64, metadata.ctime(), metadata.ctime_nsec()] {
            identity.update(&value.to_le_bytes());
        }
    }
    let folder = cache_folder.join("hashes");
    let note = folder.join(identity.finalize().to_hex().as_str());
    if let Ok(hash) = fs::read_to_string(&note)
        && hash.len() == 64
    {
        return Ok(hash);
    }
    let mut hasher = Hasher::new();
    hasher.update_reader(File::open(path).map_err(io())?).map_err(io())?;
    let hash = hasher.finalize().to_hex().to_string();
    // Only a saving of time: without the note the file is hashed again.
    if fs::create_dir_all(&folder).is_ok() {
        let temporary = note.with_extension(format!("{}.tmp", std::process::id()));
        if fs::write(&temporary, &hash).and_then(|()| fs::rename(&temporary, &note)).is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }
    Ok(hash)
}
