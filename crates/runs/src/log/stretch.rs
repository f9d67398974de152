//! A stretch of a log from a number on, read from its end: what a reader missed while it was away.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use apertis_domain::Event;

/// The first look reads this much of the log's end.
const TAIL_BYTES: u64 = 1 << 16;

/// The events after number `after`, oldest first; `None` where they take more than `bytes_max` of
/// the log, which is for a reader of the whole.
///
/// # Errors
/// The file cannot be read. A missing one has no events.
pub fn events_after(path: &Path, after: Option<u64>, bytes_max: u64) -> io::Result<Option<Vec<Event>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut tail = TAIL_BYTES;
    loop {
        let start = length.saturating_sub(tail);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.by_ref().take(length - start).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // Unless the log begins here, the first line was cut.
        let first = match start {
            0 => 0,
            _ => bytes.iter().position(|byte| *byte == b'\n').map_or(whole, |end| end + 1),
        };
        let lines = bytes[first.min(whole)..whole].split(|byte| *byte == b'\n');
        let events: Vec<Event> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let reaches_back = match (after, events.first()) {
            (Some(after), Some(oldest)) => oldest.seq <= after.saturating_add(1),
            _ => false,
        };
        if start == 0 || reaches_back {
            let is_new = |event: &Event| after.is_none_or(|after| event.seq > after);
            return Ok(Some(events.into_iter().filter(is_new).collect()));
        }
        if tail >= bytes_max {
            return Ok(None);
        }
        tail = (tail * 4).min(bytes_max);
    }
}

/// At most so many events from a number on, oldest first, read from a byte at or before its line.
///
/// # Errors
/// The file cannot be read. A missing one has no events.
pub fn events_from(path: &Path, offset: u64, first: u64, count: usize) -> io::Result<Vec<Event>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut events, mut line) = (Vec::new(), Vec::new());
    while events.len() < count {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 || line.last() != Some(&b'\n') {
            break;
        }
        events.extend(serde_json::from_slice::<Event>(&line).ok().filter(|event| event.seq >= first));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_begins_after_its_number_and_is_not_too_long() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("events.jsonl");
        let line =
            |seq: u64| format!(r#"{{"v":1,"seq":{seq},"attempt":1,"step":{seq},"at":"","elapsed_ms":0,"kind":"step_finished"}}"#) + "\n";
        let text: String = (0..5000).map(line).collect();
        std::fs::write(&path, text + "{\"v\":1,\"seq\":5000,\"att")?;
        let check = |after: Option<u64>, bytes_max: u64, expected: Option<(u64, usize)>| {
            let found = events_after(&path, after, bytes_max).expect("the log is readable");
            assert_eq!(found.map(|events| (events.first().map_or(0, |event| event.seq), events.len())), expected);
        };
        check(Some(4989), 1 << 20, Some((4990, 10)));
        check(Some(4999), 1 << 20, Some((0, 0)));
        check(Some(10), 1 << 30, Some((11, 4989)));
        check(None, 1 << 30, Some((0, 5000)));
        check(Some(10), 1 << 16, None);
        let from = |offset, first, count| events_from(&path, offset, first, count).expect("the log is readable");
        let seqs = |events: Vec<Event>| events.iter().map(|event| event.seq).collect::<Vec<u64>>();
        assert_eq!(seqs(from(0, 17, 3)), [17, 18, 19]);
        assert_eq!(seqs(from((line(0).len() * 4) as u64, 4, 2)), [4, 5]);
        // A line that is being written is none yet.
        assert_eq!(seqs(from(0, 4998, 10)), [4998, 4999]);
        assert_eq!(events_after(&folder.path().join("none"), None, 1)?, Some(Vec::new()));
        Ok(())
    }
}
