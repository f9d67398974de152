//! What a decoder is made of: a list of layers that every family maps to.
//!
//! Each layer has a mixer and a channel with their own widths; no code takes a shape from
//! layer 0 or from the head.

use apertis_kernels::{Activation, NormKind};

use crate::rope::RopeSpec;

/// Index into [`ModelSpec::parameters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterId(pub usize);

/// Index into [`ModelSpec::modules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(pub usize);

/// A tensor of the checkpoint that makes up (a row range of) a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterPart {
    /// Name in the checkpoint.
    pub name: String,
    /// Rows of the parameter that this tensor fills.
    pub rows: usize,
    /// The checkpoint keeps the transpose (GPT-2's `Conv1D`).
    pub transposed: bool,
    /// Index along the first axis, when the checkpoint stacks experts in one 3-D tensor.
    pub stacked_index: Option<usize>,
}

/// One matrix or vector that the decoder reads.
#[derive(Clone, Debug)]
pub struct ParameterSpec {
    /// Output features; 1 for vectors.
    pub rows: usize,
    /// Input features, or length of the vector.
    pub columns: usize,
    /// Checkpoint tensors, stacked along the rows.
    pub parts: Vec<ParameterPart>,
    /// Whether the checkpoint keeps it with one axis.
    pub is_vector: bool,
}

impl ParameterSpec {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.rows * self.columns
    }
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The name of its first tensor in the checkpoint.
    pub fn name(&self) -> &str {
        &self.parts[0].name
    }
}

/// A linear module of the checkpoint: what an adapter sits on.
#[derive(Clone, Debug)]
pub struct ModuleSpec {
    /// Name of the module (`model.layers.0.self_attn.q_proj`).
    pub name: String,
    /// The matrix, `output × input`.
    pub weight: ParameterId,
    /// Added to the output.
    pub bias: Option<ParameterId>,
    /// Output features.
    pub output_width: usize,
    /// Input features.
    pub input_width: usize,
    /// Row ranges that have names of their own in the checkpoint (gate and up of a fused
    /// expert); empty when the module is one tensor.
    pub named_ranges: Vec<NamedRange>,
}

/// A row range of a module with its own name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRange {
    /// Name of the module in the checkpoint.
    pub name: String,
    /// First output feature.
    pub start: usize,
    /// Number of output features.
    pub count: usize,
}

/// A normalisation with its parameters.
#[derive(Clone, Debug)]
pub struct NormSpec {
    /// Which mean is removed.
    pub kind: NormKind,
    /// Added to the mean square.
    pub epsilon: f32,
    /// Added to the weight before multiplying.
    pub weight_offset: f32,
    /// Scale of each column.
    pub weight: Option<ParameterId>,
    /// Shift of each column.
    pub bias: Option<ParameterId>,
    /// Columns normalised together.
    pub group_columns: usize,
}

/// Some columns of a module's output, read as heads.
#[derive(Clone, Copy, Debug)]
pub struct HeadsSpec {
    /// The module, by its place in [`AttentionSpec::inputs`].
    pub input: usize,
    /// First column.
    pub column_start: usize,
    /// Columns between the starts of two heads.
    pub head_stride: usize,
}

/// A mixer that attends to earlier positions.
#[derive(Clone, Debug)]
pub struct AttentionSpec {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Modules applied to the mixer's input.
    pub inputs: Vec<ModuleId>,
    /// Where queries lie.
    pub query: HeadsSpec,
    /// Where keys lie.
    pub key: HeadsSpec,
    /// Where values lie.
    pub value: HeadsSpec,
    /// Normalises queries before rotation.
    pub query_norm: Option<NormSpec>,
    /// Normalises keys before rotation.
    pub key_norm: Option<NormSpec>,
    /// Index into [`ModelSpec::ropes`]; none for layers without rotation.
    pub rope: Option<usize>,
    /// Positions a query sees.
    pub window: Option<usize>,
    /// Cap of the scores.
    pub soft_cap: Option<f32>,
    /// Multiplies the scores.
    pub scale: f32,
    /// The module that mixes the heads' outputs; a reduction point for a split of tensors.
    pub output: ModuleId,
}

/// A gated or plain feed-forward channel.
#[derive(Clone, Debug)]
pub struct DenseSpec {
    /// Modules applied to the channel's input: gate and up, one fused module, or one plain.
    pub inputs: Vec<ModuleId>,
    /// Width of the hidden layer.
    pub hidden: usize,
    /// Hidden layer is `act(gate) · up`; else `act(input)`.
    pub is_gated: bool,
    /// Pointwise function.
    pub activation: Activation,
    /// Back to the model's width; a reduction point for a split of tensors.
    pub output: ModuleId,
}

/// A channel that sends each token to a few of many small channels.
#[derive(Clone, Debug)]
pub struct ExpertsSpec {
    /// Scores of the experts.
    pub router: ModuleId,
    /// For each expert: gate and up in one module, then down.
    pub experts: Vec<(ModuleId, ModuleId)>,
    /// Width of each expert's hidden layer.
    pub hidden: usize,
    /// Experts a token is sent to.
    pub choices: usize,
    /// Divide the chosen probabilities by their sum.
    pub normalize: bool,
    /// Pointwise function.
    pub activation: Activation,
    /// A dense channel that every token passes.
    pub shared: Option<DenseSpec>,
    /// A one-column module whose sigmoid multiplies the shared channel.
    pub shared_gate: Option<ModuleId>,
    /// Name of the stacked parameter of gate and up, as `peft` targets it.
    pub stacked_input_name: String,
    /// Name of the stacked parameter of down.
    pub stacked_output_name: String,
}

/// What mixes positions.
#[derive(Clone, Debug)]
pub enum MixerSpec {
    /// Attention.
    Attention(AttentionSpec),
    /// Nothing: the layer is a channel alone.
    None,
}

/// What transforms each position.
#[derive(Clone, Debug)]
pub enum ChannelSpec {
    /// One feed-forward network.
    Dense(DenseSpec),
    /// Many, of which each token uses a few.
    Experts(ExpertsSpec),
    /// Nothing: the layer is a mixer alone.
    None,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct LayerSpec {
    /// Before the mixer.
    pub mixer_norm: Option<NormSpec>,
    /// What mixes positions.
    pub mixer: MixerSpec,
    /// On the mixer's output, before it is added.
    pub mixer_post_norm: Option<NormSpec>,
    /// Before the channel; none with `is_parallel` means that it shares the mixer's.
    pub channel_norm: Option<NormSpec>,
    /// What transforms each position.
    pub channel: ChannelSpec,
    /// On the channel's output, before it is added.
    pub channel_post_norm: Option<NormSpec>,
    /// Mixer and channel read the same input.
    pub is_parallel: bool,
    /// Multiplies what is added to the residual.
    pub residual_scale: f32,
}

/// A whole decoder.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// The `model_type` of the config.
    pub family: String,
    /// Rows of the embedding table.
    pub vocabulary: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Longest sequence the config promises.
    pub context: usize,
    /// Token embeddings.
    pub embedding: ParameterId,
    /// Multiplies the embeddings.
    pub embedding_scale: f32,
    /// Learned positions, added to the embeddings.
    pub position_embedding: Option<ParameterId>,
    /// Layers, first to last.
    pub layers: Vec<LayerSpec>,
    /// After the last layer.
    pub final_norm: Option<NormSpec>,
    /// The head's matrix; equal to `embedding` when tied.
    pub head: ParameterId,
    /// Multiplies the logits.
    pub logit_scale: f32,
    /// Cap of the logits.
    pub logit_soft_cap: Option<f32>,
    /// Rotations that layers refer to.
    pub ropes: Vec<RopeSpec>,
    /// Every parameter.
    pub parameters: Vec<ParameterSpec>,
    /// Every linear module.
    pub modules: Vec<ModuleSpec>,
}

impl ModelSpec {
    /// A parameter.
    pub fn parameter(&self, id: ParameterId) -> &ParameterSpec {
        &self.parameters[id.0]
    }
    /// A module.
    pub fn module(&self, id: ModuleId) -> &ModuleSpec {
        &self.modules[id.0]
    }
    /// Number of trained numbers in the whole model.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(ParameterSpec::len).sum()
    }
    /// Whether embedding and head are one matrix.
    pub fn is_tied(&self) -> bool {
        self.head == self.embedding
    }
}

/// Collects parameters and modules while a family is mapped.
#[derive(Debug, Default)]
pub struct SpecBuilder {
    /// Parameters so far.
    pub parameters: Vec<ParameterSpec>,
    /// Modules so far.
    pub modules: Vec<ModuleSpec>,
}

impl SpecBuilder {
    /// A vector of the checkpoint.
    pub fn vector(&mut self, name: impl Into<String>, columns: usize) -> ParameterId {
        self.push(1, columns, vec![part(name, 1)], true)
    }

    /// A matrix of the checkpoint.
    pub fn matrix(&mut self, name: impl Into<String>, rows: usize, columns: usize) -> ParameterId {
        self.push(rows, columns, vec![part(name, rows)], false)
    }

    /// Any parameter.
    pub fn push(&mut self, rows: usize, columns: usize, parts: Vec<ParameterPart>, is_vector: bool) -> ParameterId {
        self.parameters.push(ParameterSpec { rows, columns, parts, is_vector });
        ParameterId(self.parameters.len() - 1)
    }

    /// A linear module `name.weight` (and `name.bias`).
    pub fn linear(&mut self, name: impl Into<String>, output_width: usize, input_width: usize, has_bias: bool) -> ModuleId {
        let name = name.into();
        let weight = self.matrix(format!("{name}.weight"), output_width, input_width);
        self.module(name, weight, has_bias)
    }

    /// A linear module whose weight the checkpoint keeps transposed.
    pub fn transposed_linear(&mut self, name: impl Into<String>, output_width: usize, input_width: usize) -> ModuleId {
        let name = name.into();
        let weight = self.matrix(format!("{name}.weight"), output_width, input_width);
        self.parameters[weight.0].parts[0].transposed = true;
        self.module(name, weight, true)
    }

    fn module(&mut self, name: String, weight: ParameterId, has_bias: bool) -> ModuleId {
        let (output_width, input_width) = (self.parameters[weight.0].rows, self.parameters[weight.0].columns);
        let bias = has_bias.then(|| self.vector(format!("{name}.bias"), output_width));
        self.modules.push(ModuleSpec { name, weight, bias, output_width, input_width, named_ranges: Vec::new() });
        ModuleId(self.modules.len() - 1)
    }

    /// A module whose rows are several modules of the checkpoint, one after another.
    pub fn stacked_linear(&mut self, name: impl Into<String>, names: &[String], rows_each: usize, input_width: usize) -> ModuleId {
        let parts = names.iter().map(|name| part(format!("{name}.weight"), rows_each)).collect();
        let weight = self.push(rows_each * names.len(), input_width, parts, false);
        let id = self.module(name.into(), weight, false);
        self.modules[id.0].named_ranges = names
            .iter()
            .enumerate()
            .map(|(index, name)| NamedRange { name: name.clone(), start: index * rows_each, count: rows_each })
            .collect();
        id
    }

    /// An RMS norm `name.weight`.
    pub fn rms_norm(&mut self, name: impl Into<String>, columns: usize, epsilon: f32) -> NormSpec {
        let weight = self.vector(format!("{}.weight", name.into()), columns);
        NormSpec { kind: NormKind::Rms, epsilon, weight_offset: 0.0, weight: Some(weight), bias: None, group_columns: columns }
    }

    /// A layer norm `name.weight`, `name.bias`.
    pub fn layer_norm(&mut self, name: impl Into<String>, columns: usize, epsilon: f32, has_bias: bool) -> NormSpec {
        let name = name.into();
        let weight = self.vector(format!("{name}.weight"), columns);
        let bias = has_bias.then(|| self.vector(format!("{name}.bias"), columns));
        NormSpec { kind: NormKind::Layer, epsilon, weight_offset: 0.0, weight: Some(weight), bias, group_columns: columns }
    }
}

fn part(name: impl Into<String>, rows: usize) -> ParameterPart {
    ParameterPart { name: name.into(), rows, transposed: false, stacked_index: None }
}
