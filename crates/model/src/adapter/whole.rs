//! Modules trained in full beside an adapter (`modules_to_save`): which parameters a name means, and
//! their first numbers.

use std::collections::{BTreeMap, BTreeSet};

use apertis_kernels::{Dtype, Owned};

use super::names::{class_name, ends_with_words, expert_channels, head_tensor_name, last_words, module_of};
use crate::decoder::ModelWeights;
use crate::error::ModelError;
use crate::spec::{ModelSpec, ParameterId};

/// The parameters of the modules whose names end in these words, first to last.
///
/// A tied head and embedding are one parameter by either name.
///
/// # Errors
/// When a word names no module, or experts, which `peft` keeps stacked and cannot save one by one.
pub(super) fn parameters_of(spec: &ModelSpec, words: &[String]) -> Result<BTreeSet<ParameterId>, ModelError> {
    let mut by_module: BTreeMap<String, BTreeSet<ParameterId>> = BTreeMap::new();
    for (index, parameter) in spec.parameters.iter().enumerate() {
        for part in &parameter.parts {
            for name in [&part.name, &class_name(&part.name)] {
                by_module.entry(module_of(name).to_string()).or_default().insert(ParameterId(index));
            }
        }
    }
    let head_name = head_tensor_name(spec);
    for name in [&head_name, &class_name(&head_name)] {
        by_module.entry(module_of(name).to_string()).or_default().insert(spec.head);
    }
    let experts: BTreeSet<ParameterId> = expert_channels(spec)
        .flat_map(|channel| &channel.experts)
        .flat_map(|(input, output)| [spec.module(*input).weight, spec.module(*output).weight])
        .collect();
    let mut found = BTreeSet::new();
    for word in words {
        let mut matching = by_module.iter().filter(|(name, _)| ends_with_words(name, word)).flat_map(|(_, ids)| ids).peekable();
        if matching.peek().is_none() {
            let names: BTreeSet<&str> =
                by_module.keys().map(|name| last_words(name, 1)).filter(|name| name.parse::<u32>().is_err()).collect();
            let names: Vec<&str> = names.into_iter().collect();
            let message = format!("lora.modules_to_save: no module is called {word:?}; this model has {}", names.join(", "));
            return Err(ModelError::adapter(message));
        }
        for id in matching {
            if experts.contains(id) {
                let message = format!("lora.modules_to_save: {word:?} names experts, which only lora.targets can train");
                return Err(ModelError::adapter(message));
            }
            found.insert(*id);
        }
    }
    Ok(found)
}

/// Copies of parameters in F32, which an optimizer changes without losing small updates.
///
/// # Errors
/// When memory is short.
pub(super) fn copies_of(weights: &ModelWeights, ids: &BTreeSet<ParameterId>) -> Result<BTreeMap<ParameterId, Owned>, ModelError> {
    let backend = weights.backend();
    let copy = |id: &ParameterId| {
        let parameter = weights.spec.parameter(*id);
        let copy = Owned::zeros(backend, parameter.rows, parameter.columns, Dtype::F32)?;
        backend.copy(*copy, weights.tensor(*id).reshape(parameter.rows, parameter.columns), 1.0, false);
        Ok((*id, copy))
    };
    ids.iter().map(copy).collect()
}
