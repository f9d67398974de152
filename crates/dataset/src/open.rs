//! The way in: settings to a training part, a held-out part, and a report.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apertis_domain::recipe::OnBadRow;
use apertis_tokenizer::{ChatTemplate, Tokenizer};

use crate::dataset::{Dataset, Unit};
use crate::error::DatasetError;
use crate::read::{find_files, split_by_name};
use crate::report::DataReport;
use crate::settings::DataSettings;
use crate::split::{hold_out_rows, hold_out_tokens};
use crate::store::{Handle, Rendering, Tokeniser, prepare};

/// How far the preparation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the files read so far.
    pub bytes_read: u64,
    /// Bytes of all files.
    pub bytes_total: u64,
}

/// Data that can be trained on.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What is trained on.
    pub train: Dataset,
    /// What is held out.
    pub eval: Option<Dataset>,
    /// What was found so far; [`Dataset::report`] gives the latest.
    pub report: DataReport,
    /// What was found in held-out data of its own.
    pub eval_report: Option<DataReport>,
}

/// Opens data for training. Returns when the first block is tokenised; the rest goes on in the
/// background and readers wait for what they need. Data that was tokenised before opens at once.
///
/// # Errors
/// Files that are absent, unreadable or of no known format, no usable row, a cache that cannot be
/// written, or a bad row where the settings say to stop.
pub fn open(
    settings: &DataSettings,
    tokenizer: &Arc<Tokenizer>,
    cache_folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Prepared, DatasetError> {
    open_parts(settings, tokenizer, cache_folder, false, progress)
}

/// Opens data as [`open`] does, and returns when all of it is tokenised: for statistics,
/// evaluation and small data.
///
/// # Errors
/// As [`open`].
pub fn open_whole(
    settings: &DataSettings,
    tokenizer: &Arc<Tokenizer>,
    cache_folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Prepared, DatasetError> {
    open_parts(settings, tokenizer, cache_folder, true, progress)
}

fn open_parts(
    settings: &DataSettings,
    tokenizer: &Arc<Tokenizer>,
    cache_folder: &Path,
    whole: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Prepared, DatasetError> {
    if settings.max_length < 2 {
        return Err(DatasetError::Settings(format!("max_length={}, expected at least 2", settings.max_length)));
    }
    if !(0.0..=0.9).contains(&settings.eval_fraction) {
        return Err(DatasetError::Settings(format!("eval_fraction={}, expected 0 to 0.9", settings.eval_fraction)));
    }
    let tokeniser = Arc::new(new_tokeniser(settings, tokenizer));
    let (mut files, mut notes) = find_files(&settings.paths)?;
    let mut eval_files = match settings.eval_paths.as_slice() {
        [] => None,
        paths => Some(find_files(paths)?),
    };
    if eval_files.is_none()
        && let Some((train, eval, further)) = split_by_name(&files)
    {
        files = train;
        notes.extend(further);
        eval_files = (settings.eval_fraction > 0.0).then_some((eval, Vec::new()));
    }
    let mut open_files = |files, whole: bool| -> Result<(Arc<Handle>, Unit), DatasetError> {
        let handle = prepare(files, settings, &tokeniser, cache_folder, whole, progress)?;
        let report = handle.0.report();
        stop_at_fault(settings, &report)?;
        let unit = if report.has_rows { Unit::Row } else { Unit::Window(settings.max_length) };
        Ok((Arc::new(handle), unit))
    };
    let (handle, unit) = open_files((files, notes), whole)?;
    let report = handle.0.report();
    if let Some(eval_files) = eval_files {
        let (eval, eval_unit) = open_files(eval_files, true)?;
        let eval_report = eval.0.report();
        return Ok(Prepared {
            train: Dataset::all(handle, unit),
            eval: Some(Dataset::all(eval, eval_unit)),
            report,
            eval_report: Some(eval_report),
        });
    }
    let (blocks, _) = handle.0.blocks()?;
    let (bytes_total, fraction, seed) = (handle.0.bytes_total, settings.eval_fraction, settings.seed);
    let held_out = blocks.first().and_then(|shard| match unit {
        Unit::Row => hold_out_rows(shard, bytes_total, fraction, seed),
        Unit::Window(length) => hold_out_tokens(shard, bytes_total, fraction, seed, length),
    });
    // Choosing looked at every row of the block.
    blocks.iter().for_each(|shard| shard.release_pages());
    let (train, eval) = match held_out {
        Some(held_out) => {
            let (train, eval) = Dataset::split(handle, unit, held_out);
            (train, Some(eval))
        }
        None => (Dataset::all(handle, unit), None),
    };
    Ok(Prepared { train, eval, report, eval_report: None })
}

pub(crate) fn new_tokeniser(settings: &DataSettings, tokenizer: &Arc<Tokenizer>) -> Tokeniser {
    let own = || tokenizer.chat_template().cloned().unwrap_or_else(ChatTemplate::chatml);
    Tokeniser {
        tokenizer: tokenizer.clone(),
        rendering: Rendering {
            template: settings.template.clone().unwrap_or_else(own),
            train_on: settings.train_on,
            max_length: settings.max_length,
            too_long: settings.too_long,
            packing: settings.packing,
        },
    }
}

/// A cache that was made with `on_bad_row=skip` does not hide its bad rows from `stop`.
fn stop_at_fault(settings: &DataSettings, report: &DataReport) -> Result<(), DatasetError> {
    if settings.on_bad_row == OnBadRow::Skip {
        return Ok(());
    }
    let faults = report.problems.iter().filter(|(kind, _)| kind.is_fault());
    let first = faults.flat_map(|(kind, count)| count.examples.iter().map(move |example| (example, kind)));
    match first.min_by_key(|(example, _)| example.source) {
        None => Ok(()),
        Some((example, kind)) => Err(DatasetError::BadRow {
            path: report.files.get(example.source.file as usize).map_or_else(PathBuf::new, |file| file.path.clone()),
            line: example.source.line,
            code: kind.code(),
            detail: example.detail.clone(),
            because: "on_bad_row=stop",
        }),
    }
}
