//! The id of a home, in a file of its own: a database that belongs to another home is noticed.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::StorageError;
use crate::error::AtPath;

/// Name of the file.
const FILE: &str = "home.id";

/// Reads the id of a home, or makes one.
pub(crate) fn read_or_make(home: &Path) -> Result<String, StorageError> {
    let path = home.join(FILE);
    fs::create_dir_all(home).at("create folder", home)?;
    if let Some(id) = read(&path)? {
        return Ok(id);
    }
    let id = new_id(&path);
    // Written beside and linked in place, so that two first starts agree on one.
    let temporary = home.join(format!("{FILE}.{}.tmp", std::process::id()));
    let written = fs::File::create(&temporary).and_then(|mut file| {
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()
    });
    let placed = written.and_then(|()| match fs::hard_link(&temporary, &path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file system without hard links: nobody else is likely to start in the same moment.
        Err(_) => fs::copy(&temporary, &path).map(|_| ()),
        Ok(()) => Ok(()),
    });
    // What is left of it does no harm.
    let _ = fs::remove_file(&temporary);
    placed.at("write", &path)?;
    Ok(read(&path)?.unwrap_or(id))
}

fn read(path: &Path) -> Result<Option<String>, StorageError> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StorageError::File { operation: "read", path: path.to_owned(), source }),
    }
}

/// No secret, only unlike any other: made of the moment, the process, the place, and the keys that
/// the standard library draws for its hash maps.
fn new_id(path: &Path) -> String {
    use std::hash::{BuildHasher, RandomState};
    let moment = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let drawn = RandomState::new().hash_one(moment.as_nanos());
    let text = format!("{drawn} {} {} {}", moment.as_nanos(), std::process::id(), path.display());
    blake3::hash(text.as_bytes()).to_hex()[..24].to_owned()
}
