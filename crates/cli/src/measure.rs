//! One model on one data set: loss by row, and generated answers where they are asked for.

use std::collections::BTreeMap;

use apertis_dataset::{Dataset, RowId, Unit};
use apertis_domain::Recipe;
use apertis_model::generate::{GenerateSettings, Generator};
use apertis_runs::Home;
use apertis_trainer::evaluate::{Evaluation, evaluate_model};
use apertis_trainer::setup::data_settings;

use crate::failure::Failure;
use crate::model::OpenModel;
use crate::scores::{AnswerScores, Patterns, score};
use crate::{model, settings};

/// Tokens computed at once.
const MICRO_BATCH_TOKENS: usize = 2048;

/// What is generated and how it is judged.
#[derive(Debug)]
pub(crate) struct Generation {
    /// Rows that are answered at most, from the first.
    pub(crate) rows: u64,
    /// Longest answer, in tokens.
    pub(crate) tokens: usize,
    pub(crate) patterns: Patterns,
}

/// One generated answer.
#[derive(Debug)]
pub(crate) struct Generated {
    pub(crate) place: String,
    pub(crate) answer: String,
    pub(crate) reference: String,
    pub(crate) scores: AnswerScores,
}

/// What a model came to.
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) evaluation: Evaluation,
    /// Where each row of the evaluation stands.
    pub(crate) places: Vec<String>,
    pub(crate) dropped: BTreeMap<String, u64>,
    pub(crate) generated: Vec<Generated>,
    /// Rows that have no question to answer, or whose question fills the context.
    pub(crate) unanswered_rows: u64,
    /// Equal where losses a token can be compared.
    pub(crate) tokenizer_hash: String,
}

pub(crate) fn measure(recipe: &Recipe, generation: Option<&Generation>, home: &Home) -> Result<Measured, Failure> {
    if recipe.data.is_empty() {
        return Err(Failure::usage("data: is missing").hint("Say which with data=FILE."));
    }
    let opened = model::open(recipe, home)?;
    let tokenizer = opened.tokenizer()?;
    let surroundings = settings::surroundings(recipe, home)?;
    let max_length = if recipe.max_length == 0 { opened.decoder.spec().context.clamp(2, 2048) } else { recipe.max_length };
    let mut data = data_settings(recipe, &surroundings, max_length)?;
    data.eval_fraction = 0.0;
    let prepared = apertis_dataset::open_whole(&data, &tokenizer, &home.cache(), &mut |_| {})?;
    let dataset = &prepared.train;
    let evaluation = evaluate_model(&opened.decoder, opened.adapter.as_ref(), dataset, MICRO_BATCH_TOKENS, |_| {})?;
    if evaluation.target_tokens() == 0 {
        return Err(Failure { code: "data_empty", ..Failure::new("eval: the data has no token to predict") });
    }
    let faults = prepared.report.problems.iter().filter(|(problem, _)| problem.is_fault());
    let dropped = faults.map(|(problem, count)| (problem.code().to_owned(), count.count)).collect();
    let place = |row: RowId| Ok::<String, Failure>(prepared.report.place(dataset.row(row)?.source));
    let places = evaluation.rows.iter().map(|row| place(row.row)).collect::<Result<_, _>>()?;
    let mut measured = Measured {
        name: opened.resolved.name.clone(),
        evaluation,
        places,
        dropped,
        generated: Vec::new(),
        unanswered_rows: 0,
        tokenizer_hash: tokenizer.content_hash(),
    };
    if let Some(generation) = generation {
        if dataset.unit() != Unit::Row {
            return Err(Failure::usage("generate: plain text has no questions to answer").hint("Give rows with questions and answers."));
        }
        for unit in 0..dataset.units()?.min(generation.rows) {
            let row = dataset.row_id(unit)?;
            match answer(&opened, &tokenizer, dataset, row, generation)? {
                Some((answer, reference)) => {
                    let scores = score(&answer, &reference, &generation.patterns);
                    measured.generated.push(Generated { place: place(row)?, answer, reference, scores });
                }
                None => measured.unanswered_rows += 1,
            }
        }
    }
    Ok(measured)
}

/// The model's greedy answer to a row's last question, and the row's own.
fn answer(
    opened: &OpenModel,
    tokenizer: &apertis_tokenizer::Tokenizer,
    dataset: &Dataset,
    row: RowId,
    generation: &Generation,
) -> Result<Option<(String, String)>, Failure> {
    let view = dataset.row(row)?;
    let Some((start, end)) = last_answer(&view.mask) else { return Ok(None) };
    if start >= opened.decoder.spec().context {
        return Ok(None);
    }
    let settings =
        GenerateSettings { temperature: 0.0, max_tokens: generation.tokens, stop_ids: tokenizer.stop_ids(), ..GenerateSettings::default() };
    let mut generator = Generator::new(&opened.decoder, opened.adapter.as_ref(), &view.ids[..start], &settings)?;
    let mut ids = Vec::new();
    while let Some(id) = generator.next_token()? {
        ids.push(id);
    }
    let text = |ids: &[u32]| Ok::<String, Failure>(tokenizer.decode(ids, true)?.trim().to_owned());
    Ok(Some((text(&ids)?, text(&view.ids[start..end])?)))
}

/// Where the last run of trained tokens begins and ends; none where nothing stands before it.
fn last_answer(mask: &[bool]) -> Option<(usize, usize)> {
    let end = mask.iter().rposition(|trained| *trained)? + 1;
    let start = mask[..end].iter().rposition(|trained| !trained)? + 1;
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_is_found() {
        let check = |mask: &str, expected| {
            let mask: Vec<bool> = mask.chars().map(|letter| letter == 'T').collect();
            assert_eq!(last_answer(&mask), expected);
        };
        check("--TT", Some((2, 4)));
        check("--TT--T-", Some((6, 7)));
        check("TTT", None);
        check("---", None);
        check("", None);
    }
}
