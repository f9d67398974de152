//! Opens a model for use: weights, adapter, tokenizer.

use std::sync::Arc;

use apertis_domain::Recipe;
use apertis_library::ResolvedModel;
use apertis_model::weights::{LoadOptions, load_model};
use apertis_model::{Adapter, Decoder, adapter};
use apertis_runs::Home;
use apertis_tokenizer::Tokenizer;
use apertis_trainer::Machine;

use crate::failure::Failure;
use crate::settings;

/// A model in memory.
pub(crate) struct OpenModel {
    pub(crate) resolved: ResolvedModel,
    pub(crate) machine: Machine,
    pub(crate) decoder: Decoder,
    pub(crate) adapter: Option<Adapter>,
}

/// Loads the model that a recipe names.
pub(crate) fn open(recipe: &Recipe, home: &Home) -> Result<OpenModel, Failure> {
    if recipe.model.is_empty() {
        return Err(Failure::usage("model: is missing").hint("Say which with model=FOLDER, a name or a run."));
    }
    let mut resolved = settings::resolve(home, &recipe.model)?;
    if !recipe.adapter.is_empty() {
        resolved.adapter = Some(recipe.adapter.clone().into());
    }
    let machine = apertis_trainer::machine(recipe, settings::cores())?;
    apertis_trainer::check_weights_fit(&resolved.folder, machine.dtype, settings::memory_limit_bytes())?;
    let options = LoadOptions { dtype: machine.dtype, checks_values: true };
    let (_, weights) = load_model(&resolved.folder, &machine.backend, &options)?;
    let (weights, adapter) = match &resolved.adapter {
        Some(folder) => {
            // An adapter that brings a head of its own makes other weights of a tied model.
            let attached = adapter::attach(folder, &weights)?;
            (attached.weights, Some(attached.adapter))
        }
        None => (weights, None),
    };
    Ok(OpenModel { resolved, machine, decoder: Decoder::new(weights), adapter })
}

impl OpenModel {
    /// The tokenizer beside the model.
    pub(crate) fn tokenizer(&self) -> Result<Arc<Tokenizer>, Failure> {
        let tokenizer = Tokenizer::from_folder(&self.resolved.folder)?;
        apertis_trainer::check_vocabulary(&tokenizer, self.decoder.spec())?;
        Ok(tokenizer.shared())
    }
}
