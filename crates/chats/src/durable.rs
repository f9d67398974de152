//! Writing small files so that after a kill either the old or the new one is there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replaces a file at once and, where asked, makes it durable against a power cut too.
///
/// # Errors
/// The file system refused; the old file is as it was.
pub(crate) fn replace_file(path: &Path, bytes: &[u8], is_durable: bool) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let written = (|| {
        let mut file = File::create(temporary)?;
        file.write_all(bytes)?;
        if is_durable {
            file.sync_all()?;
        }
        fs::rename(temporary, path)
    })();
    if written.is_err() {
        // Nothing more can be done about a leftover than to try.
        let _ = fs::remove_file(temporary);
    }
    written?;
    match path.parent() {
        Some(parent) if is_durable => sync_folder(parent),
        _ => Ok(()),
    }
}

/// Makes the entries of a folder durable.
///
/// # Errors
/// The file system refused.
#[cfg(unix)]
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        // Some network and container file systems cannot; their renames are as durable as they get.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

/// Windows makes entries durable by itself.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}
