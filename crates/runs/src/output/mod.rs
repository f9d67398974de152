//! Files for people that are made of the log, and can be made again from it at any time:
//! `results.csv`, `results.png`, `samples.jsonl` and `report.html`.

mod csv;
mod curves;
mod number;
mod report;
mod series;
mod svg;

use apertis_domain::Recipe;

use crate::durable::replace_file;
use crate::error::AtPath;
use crate::{RunFolder, RunRecord, RunsError};

pub use csv::results_csv;
pub use curves::{CURVES_HEIGHT, CURVES_WIDTH, draw_curves};
pub use report::report_html;

/// The curves while they are drawn; the drawing library wants an ending it knows.
pub(crate) const CURVES_UNFINISHED: &str = "results.tmp.png";

/// Makes all of a run's files again from its log.
///
/// # Errors
/// The log or the recipe cannot be read, or a file not be written.
pub fn remake(folder: &RunFolder) -> Result<(), RunsError> {
    let record = RunRecord::read(&folder.events())?;
    write_all(folder, &record, &folder.recipe()?)
}

/// Writes all four files.
///
/// # Errors
/// The first one that cannot be made or written; the others are tried too.
pub fn write_all(folder: &RunFolder, record: &RunRecord, recipe: &Recipe) -> Result<(), RunsError> {
    let report = folder.report();
    let written = [
        write_csv(folder, record),
        write_samples(folder, record),
        replace_file(&report, report_html(&folder.name(), record, recipe).as_bytes()).at("write", &report),
        write_curves(folder, record),
    ];
    written.into_iter().collect()
}

/// Writes `results.csv`.
///
/// # Errors
/// It cannot be written.
pub fn write_csv(folder: &RunFolder, record: &RunRecord) -> Result<(), RunsError> {
    let path = folder.results_csv();
    replace_file(&path, results_csv(record).as_bytes()).at("write", &path)
}

/// Draws `results.png`.
///
/// # Errors
/// It cannot be drawn or written.
pub fn write_curves(folder: &RunFolder, record: &RunRecord) -> Result<(), RunsError> {
    let path = folder.results_png();
    let temporary = folder.path().join(CURVES_UNFINISHED);
    draw_curves(&temporary, &folder.name(), record)?;
    std::fs::rename(&temporary, &path).at("rename", &temporary)
}

/// Writes `samples.jsonl`: one standing sample a line.
///
/// # Errors
/// It cannot be written.
pub fn write_samples(folder: &RunFolder, record: &RunRecord) -> Result<(), RunsError> {
    let path = folder.samples();
    let mut text = String::new();
    for point in &record.samples {
        let mut line = serde_json::Map::new();
        line.insert("step".to_owned(), point.step.into());
        if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(&point.value) {
            line.extend(fields);
        }
        text += &serde_json::Value::Object(line).to_string();
        text.push('\n');
    }
    replace_file(&path, text.as_bytes()).at("write", &path)
}
