//! How many parameters a safetensors file holds, from its header alone.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A header longer than this is not believed.
const HEADER_BYTES_MAX: u64 = 100_000_000;

/// The sum of all tensors' sizes.
///
/// # Errors
/// The file cannot be read or its header is not one.
pub(crate) fn parameter_count(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX || length > file.metadata()?.len() {
        return Err(invalid("its header is longer than the file"));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header)?;
    let header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|_| invalid("its header is not JSON"))?;
    let mut count: u64 = 0;
    for (name, tensor) in &header {
        if name == "__metadata__" {
            continue;
        }
        let shape = tensor.get("shape").and_then(|shape| shape.as_array());
        let mut sizes = shape.ok_or_else(|| invalid("a tensor has no shape"))?.iter();
        let size = sizes.try_fold(1_u64, |size, axis| size.checked_mul(axis.as_u64()?));
        let size = size.ok_or_else(|| invalid("a tensor's shape is not one"))?;
        count = count.checked_add(size).ok_or_else(|| invalid("its tensors are too large"))?;
    }
    Ok(count)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
