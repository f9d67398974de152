//! Data sets of the home: `data/<name>/v1/` with the file and `dataset.toml`, which says what was
//! counted in it. Counting goes over every row once, after the upload.

use std::fs;
use std::path::{Path, PathBuf};

use apertis_dataset::{Columns, ProblemCounts, Sample, SampleRow, samples};
use apertis_protocol::error::ErrorCode;
use apertis_protocol::library::{DataCard, DataMessage, DataPreview, DataRow};
use apertis_protocol::run::Reason;
use apertis_runs::clock::now_text;
use apertis_runs::durable::replace_file;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::{Answer, Failure};
use crate::jobs::Progress;

/// Longest text of a message in a preview.
const MESSAGE_CHARACTERS: usize = 4_000;
/// Progress is looked at once in so many rows.
const ROWS_A_LOOK: u64 = 512;

/// `dataset.toml`: what is known of a data set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct About {
    /// What a person calls it.
    pub(crate) name: String,
    /// Its file.
    pub(crate) file: String,
    /// When it was added, in UTC.
    pub(crate) created_at: String,
    /// Size of the file.
    pub(crate) bytes: u64,
    /// Recognised format, in words.
    pub(crate) format: String,
    /// Rows; absent until counted.
    pub(crate) rows: Option<u64>,
    /// Rows that cannot be used.
    pub(crate) bad_rows: Option<u64>,
    /// Why not, with examples.
    pub(crate) reasons: Vec<Reason>,
}

impl About {
    /// What stands beside a version's file.
    pub(crate) fn read(version: &Path) -> Option<About> {
        toml::from_str(&fs::read_to_string(version.join("dataset.toml")).ok()?).ok()
    }

    /// Writes it.
    pub(crate) fn write(&self, version: &Path) -> Answer<()> {
        let text = toml::to_string(self).map_err(Failure::internal)?;
        Ok(replace_file(&version.join("dataset.toml"), text.as_bytes())?)
    }

    /// As a card.
    pub(crate) fn card(&self, version: &Path, number: u32) -> DataCard {
        let path = version.join(&self.file);
        let is_sample = version.parent().and_then(Path::file_name).is_some_and(|name| name == "sample");
        DataCard {
            reference: path.display().to_string(),
            name: self.name.clone(),
            kind: if is_sample { "sample" } else { "upload" }.to_owned(),
            version: number,
            format: self.format.clone(),
            rows: self.rows,
            bad_rows: self.bad_rows,
            bytes: self.bytes,
            created_at: Some(self.created_at.clone()).filter(|at| !at.is_empty()),
            problem: if path.is_file() { String::new() } else { "Its file is gone.".to_owned() },
        }
    }
}

/// The newest version of every data set, the newest first.
pub(crate) fn list(data: &Path) -> Vec<(PathBuf, u32, About)> {
    let folders = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let newest = |set: PathBuf| {
        let versions = folders(&set).filter_map(|path| {
            let number = path.file_name()?.to_str()?.strip_prefix('v')?.parse::<u32>().ok()?;
            Some((path, number))
        });
        let (path, number) = versions.max_by_key(|(_, number)| *number)?;
        let about = About::read(&path)?;
        Some((path, number, about))
    };
    let mut sets: Vec<_> = folders(data).filter_map(newest).collect();
    sets.sort_by(|a, b| b.2.created_at.cmp(&a.2.created_at));
    sets
}

/// Some rows of a file, folder or pattern, as chat.
pub(crate) fn preview(path: &Path, from: u64, limit: usize) -> Answer<DataPreview> {
    let mut preview = DataPreview { format: String::new(), rows: None, items: Vec::new(), reasons: Vec::new() };
    let rows = samples(&[path.to_owned()], &Columns::default())?;
    let skipped = usize::try_from(from).map_err(|_| Failure::bad("from is too large."))?;
    for (number, row) in rows.enumerate().skip(skipped).take(limit) {
        let row = row?;
        if preview.format.is_empty() {
            preview.format = row.format.words().to_owned();
        }
        preview.items.push(as_chat(number as u64, row));
    }
    Ok(preview)
}

fn as_chat(number: u64, row: SampleRow) -> DataRow {
    let message = |role: &str, text: &str| DataMessage { role: role.to_owned(), text: text.chars().take(MESSAGE_CHARACTERS).collect() };
    match row.content {
        Ok(converted) => {
            let messages = match converted.sample {
                Sample::Document(text) => vec![message("text", &text)],
                Sample::Conversation(conversation) => conversation
                    .messages
                    .iter()
                    .map(|turn| {
                        let calls = || turn.tool_calls.as_ref().map(Value::to_string).unwrap_or_default();
                        message(&turn.role, &turn.content.as_text().unwrap_or_else(calls))
                    })
                    .collect(),
            };
            DataRow { row: number, messages, problem: String::new() }
        }
        Err(problem) => {
            let messages = if row.excerpt.is_empty() { Vec::new() } else { vec![message("text", &row.excerpt)] };
            DataRow { row: number, messages, problem: problem.detail }
        }
    }
}

/// Counts every row of a version, and writes what was found beside it.
pub(crate) fn count(version: &Path, progress: &Progress) -> Answer<Value> {
    let mut about = About::read(version).ok_or_else(|| Failure::missing("data set at", &version.display().to_string()))?;
    let mut problems = ProblemCounts::default();
    let mut rows = 0_u64;
    for row in samples(&[version.join(&about.file)], &Columns::default())? {
        let row = row?;
        rows += 1;
        if about.format.is_empty() {
            about.format = row.format.words().to_owned();
        }
        if let Err(problem) = row.content {
            problems.add(row.source, problem, &row.excerpt);
        }
        if rows.is_multiple_of(ROWS_A_LOOK) {
            if progress.is_cancelled() {
                return Err(Failure::new(ErrorCode::NotPossibleNow, "It was cancelled."));
            }
            progress.at(None, &format!("{rows} rows counted."));
        }
    }
    about.rows = Some(rows);
    about.bad_rows = Some(problems.total());
    about.reasons = problems
        .iter()
        .map(|(problem, found)| Reason {
            code: problem.code().to_owned(),
            is_dropped: true,
            count: found.count,
            // Lines are counted from 1, rows from 0.
            rows: found.examples.iter().map(|example| example.source.line.saturating_sub(1)).collect(),
            example: found.examples.first().map(|example| example.detail.clone()).unwrap_or_default(),
        })
        .collect();
    about.write(version)?;
    Ok(json!({ "name": about.name, "rows": rows, "bad_rows": problems.total() }))
}

/// The record of a file that just came.
pub(crate) fn arrived(version: &Path, name: &str, file: &str) -> Answer<About> {
    let bytes = fs::metadata(version.join(file))?.len();
    let preview = preview(&version.join(file), 0, 1)?;
    if preview.items.is_empty() {
        return Err(Failure::new(ErrorCode::DataInvalid, "The file has no rows."));
    }
    let about =
        About { name: name.to_owned(), file: file.to_owned(), created_at: now_text(), bytes, format: preview.format, ..About::default() };
    about.write(version)?;
    Ok(about)
}
