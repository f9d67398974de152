//! Lists of layers that no family has, and numbers for them.

#![allow(unreachable_pub, reason = "each test file has its own copy of this module")]

use std::sync::Arc;

use apertis_kernels::{Activation, Backend, Dtype, Owned};
use apertis_model::ModelWeights;
use apertis_model::rope::{RopeScaling, RopeSpec};
use apertis_model::spec::{
    AttentionSpec, ChannelSpec, DenseSpec, ExpertsSpec, HeadsSpec, LayerSpec, MixerSpec, ModelSpec, NormSpec, ParameterId, SpecBuilder,
};

const WIDTH: usize = 24;
const VOCABULARY: usize = 31;

/// Numbers that depend on a seed alone (SplitMix64, Steele et al. 2014).
pub struct Numbers {
    state: u64,
}

impl Numbers {
    pub fn new(seed: u64) -> Numbers {
        Numbers { state: seed.wrapping_mul(0x2545_f491_4f6c_dd1d) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u32 {
        (self.next() % limit) as u32
    }

    /// `count` numbers in ±`size`.
    pub fn spread(&mut self, count: usize, size: f32) -> Vec<f32> {
        (0..count).map(|_| size * ((self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0)).collect()
    }
}

/// Separate projections of `heads` and `kv_heads` heads.
fn attention(builder: &mut SpecBuilder, name: &str, [heads, kv_heads, head_width]: [usize; 3], has_bias: bool) -> AttentionSpec {
    let query = builder.linear(format!("{name}.q_proj"), heads * head_width, WIDTH, has_bias);
    let key = builder.linear(format!("{name}.k_proj"), kv_heads * head_width, WIDTH, has_bias);
    let value = builder.linear(format!("{name}.v_proj"), kv_heads * head_width, WIDTH, has_bias);
    let output = builder.linear(format!("{name}.o_proj"), WIDTH, heads * head_width, has_bias);
    let place = |input| HeadsSpec { input, column_start: 0, head_stride: head_width };
    AttentionSpec {
        heads,
        kv_heads,
        head_width,
        inputs: vec![query, key, value],
        query: place(0),
        key: place(1),
        value: place(2),
        query_norm: None,
        key_norm: None,
        rope: None,
        window: None,
        soft_cap: None,
        scale: (head_width as f32).powf(-0.5),
        output,
    }
}

fn gated(builder: &mut SpecBuilder, name: &str, hidden: usize) -> DenseSpec {
    let gate = builder.linear(format!("{name}.gate_proj"), hidden, WIDTH, false);
    let up = builder.linear(format!("{name}.up_proj"), hidden, WIDTH, false);
    let output = builder.linear(format!("{name}.down_proj"), WIDTH, hidden, false);
    DenseSpec { inputs: vec![gate, up], hidden, is_gated: true, activation: Activation::Silu, output }
}

fn plain(builder: &mut SpecBuilder, name: &str, hidden: usize) -> DenseSpec {
    let input = builder.linear(format!("{name}.fc_in"), hidden, WIDTH, true);
    let output = builder.linear(format!("{name}.fc_out"), WIDTH, hidden, true);
    DenseSpec { inputs: vec![input], hidden, is_gated: false, activation: Activation::GeluTanh, output }
}

fn layer(mixer_norm: Option<NormSpec>, mixer: MixerSpec, channel_norm: Option<NormSpec>, channel: ChannelSpec) -> LayerSpec {
    LayerSpec {
        mixer_norm,
        mixer,
        mixer_post_norm: None,
        channel_norm,
        channel,
        channel_post_norm: None,
        is_parallel: false,
        residual_scale: 1.0,
    }
}

/// Grouped heads wider than the stream beside a gated channel, heads normalised, all of a head
/// rotates.
fn wide_parallel(builder: &mut SpecBuilder) -> LayerSpec {
    let mixer_norm = builder.rms_norm("layers.0.norm", WIDTH, 1e-5);
    let mut mixer = attention(builder, "layers.0.attn", [6, 2, 8], false);
    mixer.query_norm = Some(builder.rms_norm("layers.0.attn.q_norm", 8, 1e-5));
    mixer.key_norm = Some(builder.rms_norm("layers.0.attn.k_norm", 8, 1e-5));
    mixer.rope = Some(0);
    let channel_norm = builder.rms_norm("layers.0.channel_norm", WIDTH, 1e-6);
    let channel = gated(builder, "layers.0.mlp", 40);
    LayerSpec { is_parallel: true, ..layer(Some(mixer_norm), MixerSpec::Attention(mixer), Some(channel_norm), ChannelSpec::Dense(channel)) }
}

/// Narrow heads in a short window without rotation, norms behind each part, experts with a shared one.
fn windowed_experts(builder: &mut SpecBuilder) -> LayerSpec {
    let mut mixer = attention(builder, "layers.1.attn", [3, 1, 4], true);
    mixer.window = Some(3);
    mixer.soft_cap = Some(5.0);
    let router = builder.linear("layers.1.mlp.gate", 4, WIDTH, false);
    let experts = (0..4)
        .map(|expert| {
            let name = format!("layers.1.mlp.experts.{expert}");
            let inputs = [format!("{name}.gate_proj"), format!("{name}.up_proj")];
            let input = builder.stacked_linear(format!("{name}.gate_up_proj"), &inputs, 12, WIDTH);
            (input, builder.linear(format!("{name}.down_proj"), WIDTH, 12, false))
        })
        .collect();
    let shared = gated(builder, "layers.1.mlp.shared", 20);
    let channel = ExpertsSpec {
        router,
        experts,
        hidden: 12,
        choices: 2,
        normalize: true,
        activation: Activation::Gelu,
        shared: Some(shared),
        shared_gate: Some(builder.linear("layers.1.mlp.shared_gate", 1, WIDTH, false)),
        stacked_input_name: "layers.1.mlp.experts.gate_up_proj".to_string(),
        stacked_output_name: "layers.1.mlp.experts.down_proj".to_string(),
    };
    let mixer_post_norm = Some(builder.rms_norm("layers.1.mixer_post_norm", WIDTH, 1e-6));
    let channel_post_norm = Some(builder.rms_norm("layers.1.channel_post_norm", WIDTH, 1e-6));
    LayerSpec { mixer_post_norm, channel_post_norm, ..layer(None, MixerSpec::Attention(mixer), None, ChannelSpec::Experts(channel)) }
}

/// No mixer: a plain channel with biases.
fn without_mixer(builder: &mut SpecBuilder, name: &str) -> LayerSpec {
    let norm = builder.layer_norm(format!("{name}.norm"), WIDTH, 1e-5, true);
    let channel = plain(builder, &format!("{name}.mlp"), 28);
    layer(None, MixerSpec::None, Some(norm), ChannelSpec::Dense(channel))
}

/// No channel: one module of all heads in turns, of which a part rotates in neighbouring pairs.
fn without_channel(builder: &mut SpecBuilder, name: &str) -> LayerSpec {
    let norm = builder.layer_norm(format!("{name}.norm"), WIDTH, 1e-5, false);
    let input = builder.linear(format!("{name}.attn.qkv"), 2 * 30, WIDTH, true);
    let output = builder.linear(format!("{name}.attn.dense"), WIDTH, 2 * 10, true);
    let place = |column_start| HeadsSpec { input: 0, column_start, head_stride: 30 };
    let mixer = AttentionSpec {
        heads: 2,
        kv_heads: 2,
        head_width: 10,
        inputs: vec![input],
        query: place(0),
        key: place(10),
        value: place(20),
        query_norm: None,
        key_norm: None,
        rope: Some(1),
        window: None,
        soft_cap: None,
        scale: 0.3,
        output,
    };
    LayerSpec { residual_scale: 0.7, ..layer(Some(norm), MixerSpec::Attention(mixer), None, ChannelSpec::None) }
}

fn model(mut builder: SpecBuilder, layers: Vec<LayerSpec>) -> ModelSpec {
    let embedding = builder.matrix("embed.weight", VOCABULARY, WIDTH);
    let head = builder.matrix("head.weight", VOCABULARY, WIDTH);
    let position_embedding = Some(builder.matrix("positions.weight", 16, WIDTH));
    let final_norm = Some(builder.layer_norm("norm", WIDTH, 1e-5, true));
    let rope = |theta, rotary_width, interleaved, scaling| RopeSpec { theta, rotary_width, interleaved, attention_factor: 1.0, scaling };
    ModelSpec {
        family: "unlike".to_string(),
        vocabulary: VOCABULARY,
        width: WIDTH,
        context: 16,
        embedding,
        embedding_scale: 1.5,
        position_embedding,
        layers,
        final_norm,
        head,
        logit_scale: 0.8,
        logit_soft_cap: Some(20.0),
        ropes: vec![
            rope(10_000.0, 8, false, RopeScaling::None),
            // Each row of another length turns otherwise.
            rope(500.0, 6, true, RopeScaling::Linear { factor: 2.0 }),
        ],
        parameters: builder.parameters,
        modules: builder.modules,
    }
}

/// Four layers of which no two have a shape in common.
pub fn unlike_spec() -> ModelSpec {
    let mut builder = SpecBuilder::default();
    let layers = vec![
        wide_parallel(&mut builder),
        windowed_experts(&mut builder),
        without_mixer(&mut builder, "layers.2"),
        without_channel(&mut builder, "layers.3"),
    ];
    model(builder, layers)
}

/// Layers whose parts stand beside each other, of which one is missing.
pub fn half_empty_spec() -> ModelSpec {
    let mut builder = SpecBuilder::default();
    let mut shared = without_mixer(&mut builder, "layers.0");
    (shared.mixer_norm, shared.channel_norm) = (shared.channel_norm.take(), None);
    let layers = vec![
        shared,
        without_mixer(&mut builder, "layers.1"),
        without_channel(&mut builder, "layers.2"),
        layer(None, MixerSpec::None, None, ChannelSpec::None),
        without_channel(&mut builder, "layers.4"),
    ];
    let layers = layers.into_iter().map(|layer| LayerSpec { is_parallel: true, ..layer }).collect();
    model(builder, layers)
}

/// Weights that make every part matter: matrices in ±0.3, norms around one.
pub fn with_values(spec: Arc<ModelSpec>, backend: &Arc<dyn Backend>, seed: u64) -> Arc<ModelWeights> {
    let mut numbers = Numbers::new(seed);
    let tensors = spec
        .parameters
        .iter()
        .map(|parameter| {
            let mut values = numbers.spread(parameter.len(), 0.3);
            if parameter.is_vector && parameter.name().contains("norm") && parameter.name().ends_with("weight") {
                values.iter_mut().for_each(|value| *value += 1.0);
            }
            Arc::new(load(backend, parameter.rows, parameter.columns, &values))
        })
        .collect();
    Arc::new(ModelWeights { spec, tensors, dtype: Dtype::F32 })
}

/// The same weights with other numbers for one parameter.
pub fn with_parameter(weights: &ModelWeights, id: ParameterId, values: &[f32]) -> Arc<ModelWeights> {
    let mut tensors = weights.tensors.clone();
    let parameter = weights.spec.parameter(id);
    tensors[id.0] = Arc::new(load(weights.backend(), parameter.rows, parameter.columns, values));
    Arc::new(ModelWeights { spec: Arc::clone(&weights.spec), tensors, dtype: weights.dtype })
}

fn load(backend: &Arc<dyn Backend>, rows: usize, columns: usize, values: &[f32]) -> Owned {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = backend.load_weight("a test's", Dtype::F32, Dtype::F32, rows, columns, &bytes).expect("sizes agree");
    Owned::adopt(backend, tensor)
}
