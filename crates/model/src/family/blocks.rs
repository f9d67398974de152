//! Pieces that several families share: sizes, separate or grouped projections, gated channels.

use apertis_kernels::Activation;

use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::rope::RopeSpec;
use crate::spec::{AttentionSpec, ChannelSpec, DenseSpec, HeadsSpec, LayerSpec, MixerSpec, ModelSpec, NormSpec, ParameterId, SpecBuilder};

/// Numbers that every family has, under the usual keys.
pub(super) struct Sizes {
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_width: usize,
    pub(super) vocabulary: usize,
    pub(super) context: usize,
    pub(super) epsilon: f32,
}

impl Sizes {
    pub(super) fn read(config: &ModelConfig) -> Result<Sizes, ModelError> {
        let width = config.size("hidden_size")?;
        let heads = config.size("num_attention_heads")?;
        let kv_heads = config.count_or("num_key_value_heads", heads)?;
        let head_width = match config.optional_count("head_dim")? {
            Some(head_width) => head_width,
            None => width / heads,
        };
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(ModelError::config(format!("num_key_value_heads: found {kv_heads}, expected a divisor of {heads}")));
        }
        if head_width == 0 {
            return Err(ModelError::config(format!("head width: hidden_size {width} is smaller than num_attention_heads {heads}")));
        }
        let layers = config.count("num_hidden_layers")?;
        Ok(Sizes {
            width,
            layers,
            heads,
            kv_heads,
            head_width,
            vocabulary: config.size("vocab_size")?,
            context: config.count_or("max_position_embeddings", 2048)?,
            epsilon: config.number_or("rms_norm_eps", 1e-6)? as f32,
        })
    }

    /// The usual scale of scores.
    pub(super) fn score_scale(&self) -> f32 {
        (self.head_width as f64).powf(-0.5) as f32
    }
}

/// The pointwise function named in a config.
pub(super) fn activation(word: &str) -> Result<Activation, ModelError> {
    Ok(match word {
        "silu" | "swish" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        "relu2" => Activation::ReluSquared,
        other => {
            return Err(ModelError::config(format!(
                "activation: found {other:?}, expected silu, gelu, gelu_new, gelu_pytorch_tanh, relu or relu2"
            )));
        }
    })
}

/// `model.` or what stands in its place when the text model is nested.
pub(super) fn prefix(config: &ModelConfig) -> &'static str {
    if config.is_nested() { "language_model.model." } else { "model." }
}

/// Attention with separate query, key, value and output modules under `{layer}.self_attn`.
pub(super) struct SeparateAttention<'a> {
    pub(super) sizes: &'a Sizes,
    pub(super) layer: &'a str,
    pub(super) input_bias: bool,
    pub(super) output_bias: bool,
    pub(super) rope: Option<usize>,
    pub(super) window: Option<usize>,
    pub(super) scale: f32,
}

impl SeparateAttention<'_> {
    pub(super) fn build(&self, builder: &mut SpecBuilder) -> AttentionSpec {
        let Sizes { width, heads, kv_heads, head_width, .. } = *self.sizes;
        let attention = format!("{}.self_attn", self.layer);
        let query = builder.linear(format!("{attention}.q_proj"), heads * head_width, width, self.input_bias);
        let key = builder.linear(format!("{attention}.k_proj"), kv_heads * head_width, width, self.input_bias);
        let value = builder.linear(format!("{attention}.v_proj"), kv_heads * head_width, width, self.input_bias);
        let output = builder.linear(format!("{attention}.o_proj"), width, heads * head_width, self.output_bias);
        let heads_of = |input| HeadsSpec { input, column_start: 0, head_stride: head_width };
        AttentionSpec {
            heads,
            kv_heads,
            head_width,
            inputs: vec![query, key, value],
            query: heads_of(0),
            key: heads_of(1),
            value: heads_of(2),
            query_norm: None,
            key_norm: None,
            rope: self.rope,
            window: self.window,
            soft_cap: None,
            scale: self.scale,
            output,
        }
    }
}

/// `gate_proj`, `up_proj`, `down_proj` under `name`.
pub(super) fn gated(
    builder: &mut SpecBuilder,
    name: &str,
    width: usize,
    hidden: usize,
    activation: Activation,
    has_bias: bool,
) -> DenseSpec {
    let gate = builder.linear(format!("{name}.gate_proj"), hidden, width, has_bias);
    let up = builder.linear(format!("{name}.up_proj"), hidden, width, has_bias);
    let output = builder.linear(format!("{name}.down_proj"), width, hidden, has_bias);
    DenseSpec { inputs: vec![gate, up], hidden, is_gated: true, activation, output }
}

/// A layer whose norms stand before mixer and channel, under the names most families use.
pub(super) fn pre_norm_layer(mixer_norm: NormSpec, mixer: AttentionSpec, channel_norm: NormSpec, channel: ChannelSpec) -> LayerSpec {
    LayerSpec {
        mixer_norm: Some(mixer_norm),
        mixer: MixerSpec::Attention(mixer),
        mixer_post_norm: None,
        channel_norm: Some(channel_norm),
        channel,
        channel_post_norm: None,
        is_parallel: false,
        residual_scale: 1.0,
    }
}

/// Embedding and, unless tied, the head, under the usual names.
pub(super) fn embedding(
    builder: &mut SpecBuilder,
    config: &ModelConfig,
    sizes: &Sizes,
    tied_default: bool,
) -> Result<(ParameterId, ParameterId), ModelError> {
    let embedding = builder.matrix(format!("{}embed_tokens.weight", prefix(config)), sizes.vocabulary, sizes.width);
    let is_tied = tied_embeddings(config, tied_default)?;
    let head_name = if config.is_nested() { "language_model.lm_head.weight" } else { "lm_head.weight" };
    let head = if is_tied { embedding } else { builder.matrix(head_name, sizes.vocabulary, sizes.width) };
    Ok((embedding, head))
}

/// `tie_word_embeddings`, which nested configs keep outside their text part.
pub(super) fn tied_embeddings(config: &ModelConfig, default: bool) -> Result<bool, ModelError> {
    if let Some(outer) = config.document.get("tie_word_embeddings").and_then(serde_json::Value::as_bool) {
        return Ok(outer);
    }
    config.flag_or("tie_word_embeddings", default)
}

/// What is left of a model once its layers are known.
pub(super) struct Frame {
    pub(super) embedding: ParameterId,
    pub(super) head: ParameterId,
    pub(super) final_norm: NormSpec,
    pub(super) ropes: Vec<RopeSpec>,
}

impl Frame {
    /// Puts a model together, without the options that few families have.
    pub(super) fn finish(
        self,
        config: &ModelConfig,
        sizes: &Sizes,
        layers: Vec<LayerSpec>,
        builder: SpecBuilder,
    ) -> Result<ModelSpec, ModelError> {
        Ok(ModelSpec {
            family: config.family()?,
            vocabulary: sizes.vocabulary,
            width: sizes.width,
            context: sizes.context,
            embedding: self.embedding,
            embedding_scale: 1.0,
            position_embedding: None,
            layers,
            final_norm: Some(self.final_norm),
            head: self.head,
            logit_scale: 1.0,
            logit_soft_cap: None,
            ropes: self.ropes,
            parameters: builder.parameters,
            modules: builder.modules,
        })
    }
}

/// Which layers see a window only: from `layer_types`, else by `default`.
pub(super) fn windows(
    config: &ModelConfig,
    layers: usize,
    window: Option<usize>,
    default: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>, ModelError> {
    let words = config.layer_words("layer_types", layers)?;
    Ok((0..layers)
        .map(|layer| match &words {
            Some(words) => words[layer] == "sliding_attention",
            None => default(layer),
        })
        .map(|is_windowed| window.filter(|_| is_windowed))
        .collect())
}
