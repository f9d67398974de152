//! Names: what a checkpoint calls a module, and what the classes that PEFT wraps call it.

use crate::spec::{ChannelSpec, ExpertsSpec, ModelSpec, ModuleId, ParameterId};

/// What PEFT puts before a module's name.
pub(super) const PREFIX: &str = "base_model.model.";

/// The class's name of a checkpoint's module or tensor. They differ where a text model is nested
/// in a larger one, for Mixtral's router, and for NeoX's head.
pub(super) fn class_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("embed_out") {
        return format!("lm_head{rest}");
    }
    if let Some(rest) = name.strip_prefix("language_model.") {
        return match rest.strip_prefix("model.") {
            Some(inner) => format!("model.language_model.{inner}"),
            None => rest.to_string(),
        };
    }
    if name.contains(".experts.") { name.to_string() } else { name.replace(".block_sparse_moe.", ".mlp.") }
}

/// Whether a module's name is `word` or ends in `.word`.
pub(super) fn ends_with_words(name: &str, word: &str) -> bool {
    name == word || name.strip_suffix(word).is_some_and(|rest| rest.ends_with('.'))
}

/// The last `count` words of a name.
pub(super) fn last_words(name: &str, count: usize) -> &str {
    name.rmatch_indices('.').nth(count - 1).map_or(name, |(dot, _)| &name[dot + 1..])
}

/// The tensor that an untied head has, or would have.
pub(super) fn head_tensor_name(spec: &ModelSpec) -> String {
    let embedding = spec.parameter(spec.embedding).name();
    if !spec.is_tied() {
        return spec.parameter(spec.head).name().to_string();
    }
    let name = match spec.family.as_str() {
        "gpt_neox" => "embed_out.weight",
        _ if embedding.starts_with("language_model.") => "language_model.lm_head.weight",
        _ => "lm_head.weight",
    };
    name.to_string()
}

/// The module that a tensor belongs to.
pub(super) fn module_of(tensor_name: &str) -> &str {
    tensor_name.rsplit_once('.').map_or(tensor_name, |(module, _)| module)
}

/// Beside experts PEFT takes these names for the experts' own, and routers are no linear modules;
/// as parameters they mean what they say.
pub(super) fn is_parameter_target(spec: &ModelSpec, name: &str) -> bool {
    let is_expert = name.contains(".experts.");
    expert_channels(spec).next().is_some() && !is_expert && matches!(last_words(name, 1), "gate" | "gate_proj" | "up_proj" | "down_proj")
}

/// Whether a module is one of a channel's experts, gate-and-up or down.
pub(super) fn is_expert(spec: &ModelSpec, module: ModuleId) -> bool {
    expert_channels(spec).any(|channel| channel.experts.iter().any(|(input, output)| *input == module || *output == module))
}

/// Channels of experts, first layer to last.
pub(super) fn expert_channels(spec: &ModelSpec) -> impl Iterator<Item = &ExpertsSpec> {
    spec.layers.iter().filter_map(|layer| match &layer.channel {
        ChannelSpec::Experts(experts) => Some(experts),
        _ => None,
    })
}

/// Gate-and-up or down of one channel's experts, which classes keep as one parameter.
pub(super) struct Stack {
    /// The parameter's name.
    pub(super) name: String,
    /// Its experts.
    pub(super) modules: Vec<ModuleId>,
}

impl Stack {
    /// The two stacks of a channel, in the order in which PEFT wraps them, innermost first.
    pub(super) fn of(experts: &ExpertsSpec) -> [Stack; 2] {
        [
            Stack { name: experts.stacked_input_name.clone(), modules: experts.experts.iter().map(|pair| pair.0).collect() },
            Stack { name: experts.stacked_output_name.clone(), modules: experts.experts.iter().map(|pair| pair.1).collect() },
        ]
    }

    /// The module that holds the parameter.
    pub(super) fn module_name(&self) -> &str {
        module_of(&self.name)
    }
}

/// The parameter and the number of its part that a tensor's name means, in the checkpoint's or
/// the class's words.
pub(super) fn parameter_of(spec: &ModelSpec, tensor: &str) -> Option<(ParameterId, usize)> {
    spec.parameters.iter().enumerate().find_map(|(index, parameter)| {
        let part = parameter.parts.iter().position(|part| part.name == tensor || class_name(&part.name) == tensor)?;
        Some((ParameterId(index), part))
    })
}
