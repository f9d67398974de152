//! Reading rows of a file: all of them, whatever each says.

use std::path::Path;

use apertis_dataset::{Columns, samples};

/// More rows than any input of a few kilobytes can hold, packed or not.
const MOST_ROWS: usize = 1 << 20;

/// Bytes as a file of this name.
pub fn read(name: &str, content: &[u8]) {
    read_file(&crate::write(name, content));
}

/// Every row is a sample or a counted problem, and there is an end.
pub fn read_file(path: &Path) {
    let rows = match samples(&[path.to_path_buf()], &Columns::default()) {
        Ok(rows) => rows,
        Err(error) => return crate::check_sentence(error),
    };
    let mut count = 0;
    for row in rows {
        match row {
            Ok(_) => count += 1,
            Err(error) => return crate::check_sentence(error),
        }
        assert!(count < MOST_ROWS, "more rows than the file can hold");
    }
}
