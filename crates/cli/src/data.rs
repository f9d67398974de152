//! What a data set is read with, without opening a model's weights: settings and a tokenizer.

use std::sync::Arc;

use apertis_dataset::DataSettings;
use apertis_domain::Recipe;
use apertis_model::{ModelConfig, family};
use apertis_runs::Home;
use apertis_tokenizer::{Tokenizer, learn};
use apertis_trainer::setup::data_settings;

use crate::failure::Failure;
use crate::settings;

/// Longest row when neither recipe nor model says less; the same as in training.
const MAX_LENGTH: usize = 2048;
/// Without a model nothing is cut: a row of this many bytes is refused by the reader itself.
const MAX_BYTES: usize = 64 << 20;

/// How data will be read.
pub(crate) struct DataSource {
    pub(crate) settings: DataSettings,
    pub(crate) tokenizer: Arc<Tokenizer>,
    /// What lengths count: `tokens`, or `bytes` where no model was named.
    pub(crate) unit: &'static str,
}

/// Settings and tokenizer of a recipe; nothing is held out.
pub(crate) fn source(recipe: &Recipe, home: &Home) -> Result<DataSource, Failure> {
    if recipe.data.is_empty() {
        return Err(Failure::usage("data: is missing").hint("Say which with data=FILE."));
    }
    let surroundings = settings::surroundings(recipe, home)?;
    let (tokenizer, longest, unit) = match &surroundings.model_folder {
        Some(folder) => {
            let spec = family::map(&ModelConfig::from_folder(folder)?)?;
            let tokenizer = Tokenizer::from_folder(folder)?;
            apertis_trainer::check_vocabulary(&tokenizer, &spec)?;
            (tokenizer, spec.context.clamp(2, MAX_LENGTH), "tokens")
        }
        None => (bytes_tokenizer()?, MAX_BYTES, "bytes"),
    };
    let max_length = if recipe.max_length == 0 { longest } else { recipe.max_length };
    let mut settings = data_settings(recipe, &surroundings, max_length)?;
    settings.eval_fraction = 0.0;
    Ok(DataSource { settings, tokenizer: tokenizer.shared(), unit })
}

/// A vocabulary without joins: one token a byte.
fn bytes_tokenizer() -> Result<Tokenizer, Failure> {
    let special = learn::SpecialTokens::default();
    Ok(learn::byte_level_bpe(["a"].iter(), 256 + 1 + special.more.len(), &special)?)
}
