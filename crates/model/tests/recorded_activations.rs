//! A real trained model (minGPT that sorts letters) reproduces every activation that its authors
//! recorded; runs where the shared folder is there.
//!
//! The decoder keeps its activations to itself, so each is read as the logits of a model that is
//! cut short: fewer layers, another last norm, a head that passes the residual stream through.

use std::path::Path;
use std::sync::Arc;

use apertis_kernels::{AttentionShape, Backend, Context, CpuBackend, Dtype, Heads, InstructionSet, Owned, SequenceSpan};
use apertis_model::decoder::{Arena, Batch, Targets};
use apertis_model::spec::{ChannelSpec, MixerSpec, ModelSpec, ModuleId, NormSpec, ParameterId, ParameterPart, ParameterSpec};
use apertis_model::weights::{LoadOptions, load_model};
use apertis_model::{Decoder, ModelWeights};
use safetensors::tensor::{Dtype as FileDtype, TensorView, serialize_to_file};
use serde_json::{Value, json};

/// Rows, positions of a row, heads, and the widths of the stream, a head and the hidden layer.
const ROWS: usize = 3;
const TIME: usize = 11;
const HEADS: usize = 3;
const WIDTH: usize = 48;
const HEAD_WIDTH: usize = 16;
const HIDDEN: usize = 192;
const LAYERS: usize = 3;

/// Tensors by name, as the file keeps them: base64 of 32-bit numbers.
struct Tensors(Value);

impl Tensors {
    fn read(path: &Path) -> Tensors {
        Tensors(serde_json::from_str(&std::fs::read_to_string(path).expect("the file is there")).expect("JSON"))
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let text = self.0[name]["data"].as_str().unwrap_or_else(|| panic!("{name} is recorded"));
        let mut bytes = Vec::new();
        for four in text.trim_end_matches('=').as_bytes().chunks(4) {
            let digit = |byte: u8| match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => panic!("{name}: {byte} is no digit of base64"),
            };
            let bits = (0..4).fold(0u32, |bits, index| bits << 6 | four.get(index).map_or(0, |byte| u32::from(digit(*byte))));
            bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
        }
        let values: Vec<f32> = bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
        assert_eq!(values.len(), self.shape(name).iter().product::<usize>(), "{name}");
        values
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        serde_json::from_value(self.0[name]["shape"].clone()).expect("a shape")
    }
}

fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

/// The model as a folder in GPT-2's format, whose linear layers are kept turned.
fn folder(model: &Tensors) -> tempfile::TempDir {
    let out = tempfile::tempdir().expect("room");
    let mut files: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for name in model.0.as_object().expect("tensors by name").keys() {
        if name == "config" || name.ends_with(".attn.bias") {
            continue; // The second is the causal mask.
        }
        let (mut shape, mut values) = (model.shape(name), model.values(name));
        if shape.len() == 2 && name.starts_with("transformer.h.") {
            values = transposed(&values, shape[1]);
            shape.reverse();
        }
        files.push((name.clone(), shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
    }
    let views =
        files.iter().map(|(name, shape, bytes)| (name, TensorView::new(FileDtype::F32, shape.clone(), bytes).expect("sizes agree")));
    serialize_to_file(views, None, &out.path().join("model.safetensors")).expect("room");
    let config = json!({
        "model_type": "gpt2", "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "vocab_size": 3, "n_positions": TIME,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": false,
    });
    std::fs::write(out.path().join("config.json"), config.to_string()).expect("room");
    out
}

/// The loaded model, and what models cut from it share.
struct Whole {
    backend: Arc<dyn Backend>,
    weights: Arc<ModelWeights>,
    rows: Vec<Vec<u32>>,
}

/// A model cut from the whole one.
struct Cut {
    spec: ModelSpec,
    tensors: Vec<Arc<Owned>>,
    backend: Arc<dyn Backend>,
}

impl Whole {
    /// The first layers alone, without a last norm, answering with the residual stream.
    fn cut(&self, layers: usize) -> Cut {
        let mut spec = ModelSpec::clone(&self.weights.spec);
        spec.layers.truncate(layers);
        spec.final_norm = None;
        let mut cut = Cut { spec, tensors: self.weights.tensors.clone(), backend: Arc::clone(&self.backend) };
        let identity = selection(0, WIDTH, WIDTH);
        cut.spec.head = cut.add(WIDTH, WIDTH, &identity);
        cut.spec.vocabulary = WIDTH;
        cut
    }

    fn batch(&self) -> Batch {
        Batch::from_rows(&self.rows)
    }
}

/// `rows × columns` with ones where column = first + row.
fn selection(first: usize, rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|index| if index % columns == first + index / columns { 1.0 } else { 0.0 }).collect()
}

impl Cut {
    fn add(&mut self, rows: usize, columns: usize, values: &[f32]) -> ParameterId {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = self.backend.load_weight("a test's", Dtype::F32, Dtype::F32, rows, columns, &bytes).expect("sizes agree");
        self.tensors.push(Arc::new(Owned::adopt(&self.backend, tensor)));
        let part = ParameterPart { name: format!("added.{}", self.tensors.len()), rows, transposed: false, stacked_index: None };
        self.spec.parameters.push(ParameterSpec { rows, columns, parts: vec![part], is_vector: rows == 1 });
        ParameterId(self.tensors.len() - 1)
    }

    /// The last layer is its mixer alone.
    fn without_channel(mut self) -> Cut {
        let last = self.spec.layers.last_mut().expect("a layer");
        (last.channel, last.channel_norm) = (ChannelSpec::None, None);
        self
    }

    fn then(mut self, norm: &Option<NormSpec>) -> Cut {
        self.spec.final_norm = norm.clone();
        self
    }

    /// The weight of a module as the head, its bias left out.
    fn into_module(mut self, module: ModuleId) -> Cut {
        self.spec.head = self.spec.module(module).weight;
        self.spec.vocabulary = self.spec.module(module).output_width;
        self
    }

    /// A module that only passes some of its inputs on.
    fn selecting(mut self, module: ModuleId, first: usize) -> Cut {
        let (rows, columns) = (self.spec.module(module).output_width, self.spec.module(module).input_width);
        let weight = self.add(rows, columns, &selection(first, rows, columns));
        (self.spec.modules[module.0].weight, self.spec.modules[module.0].bias) = (weight, None);
        self
    }

    /// Zeros for the tokens' embeddings, or none for the positions'.
    fn without_tokens(mut self) -> Cut {
        let parameter = self.spec.parameter(self.spec.embedding).clone();
        self.spec.embedding = self.add(parameter.rows, parameter.columns, &vec![0.0; parameter.len()]);
        self
    }

    fn without_positions(mut self) -> Cut {
        self.spec.position_embedding = None;
        self
    }

    fn run(self, batch: &Batch) -> Vec<f32> {
        let rows: Vec<u32> = (0..batch.tokens() as u32).collect();
        let decoder = Decoder::new(Arc::new(ModelWeights { spec: Arc::new(self.spec), tensors: self.tensors, dtype: Dtype::F32 }));
        let mut arena = Arena::new(&self.backend, decoder.logits_bytes(batch.tokens(), rows.len(), None)).expect("memory");
        decoder.logits(&mut arena, batch, &rows, None, None).expect("the rows fit")
    }
}

/// The tolerance of the models' logits: both sides compute in f32.
fn check(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 2e-5 * largest, "{what}, number {index}: {found} instead of {expected}");
    }
}

fn plus(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b.iter().cycle()).map(|(a, b)| a + b).collect()
}

/// `rows × heads × time × width` as the engine lays it out: `rows × time × heads × width`.
fn by_position(values: &[f32]) -> Vec<f32> {
    let at = |row, head, time| &values[((row * HEADS + head) * TIME + time) * HEAD_WIDTH..][..HEAD_WIDTH];
    let places = (0..ROWS * TIME * HEADS).map(|index| (index / (TIME * HEADS), index % HEADS, index / HEADS % TIME));
    places.flat_map(|(row, head, time)| at(row, head, time).to_vec()).collect()
}

/// Some columns of `rows × columns` numbers.
fn columns(values: &[f32], columns: usize, first: usize, count: usize) -> Vec<f32> {
    values.chunks(columns).flat_map(|row| row[first..first + count].to_vec()).collect()
}

#[test]
fn activations_of_the_sorting_model_are_those_recorded() {
    let Some(shared) = apertis_testkit::shared_testdata() else { return };
    let home = shared.join("models/gpt-nano-sort");
    if !home.is_dir() {
        return;
    }
    let model = Tensors::read(&home.join("gpt-nano-sort-model.json"));
    let recorded = Tensors::read(&home.join("gpt-nano-sort-t0-partials.json"));
    let files = folder(&model);
    let ids: Vec<u32> = recorded.values("idx").into_iter().map(|id| id as u32).collect();
    for set in InstructionSet::available() {
        let backend: Arc<dyn Backend> = CpuBackend::new(Arc::new(Context::new(2, set).expect("available")));
        let options = LoadOptions { dtype: Dtype::F32, checks_values: true };
        let (_, weights) = load_model(files.path(), &backend, &options).unwrap_or_else(|error| panic!("{error}"));
        let whole = Whole { backend, weights, rows: ids.chunks(TIME).map(<[u32]>::to_vec).collect() };
        embeddings_and_first_layer(&whole, &model, &recorded);
        layers_and_answer(&whole, &recorded);
        scores(&whole, &recorded);
    }
}

fn embeddings_and_first_layer(whole: &Whole, model: &Tensors, recorded: &Tensors) {
    let batch = whole.batch();
    let layer = &whole.weights.spec.layers[0];
    let (MixerSpec::Attention(attention), ChannelSpec::Dense(dense)) = (&layer.mixer, &layer.channel) else {
        panic!("GPT-2 attends and has a dense channel")
    };
    check("tok_emb", &whole.cut(0).without_positions().run(&batch), &recorded.values("tok_emb"));
    check("pos_emb", &whole.cut(0).without_tokens().run(&batch), &recorded.values("pos_emb").repeat(ROWS));
    check("x", &whole.cut(0).run(&batch), &recorded.values("x"));
    check("ln1", &whole.cut(0).then(&layer.mixer_norm).run(&batch), &recorded.values("ln1"));

    let qkv = whole.cut(0).then(&layer.mixer_norm).into_module(attention.inputs[0]).run(&batch);
    let qkv = plus(&qkv, &model.values("transformer.h.0.attn.c_attn.bias"));
    check("qkv", &qkv, &recorded.values("qkv"));
    for (index, name) in ["q", "k", "v"].into_iter().enumerate() {
        check(name, &columns(&qkv, 3 * WIDTH, index * WIDTH, WIDTH), &by_position(&recorded.values(name)));
    }

    let x = recorded.values("x");
    let attended = whole.cut(1).without_channel().selecting(attention.output, 0).run(&batch);
    check("x + y", &attended, &plus(&x, &recorded.values("y")));
    let mixed = whole.cut(1).without_channel().run(&batch);
    check("x + yProj", &mixed, &plus(&x, &recorded.values("yProj")));
    check("attnResid", &mixed, &recorded.values("attnResid"));
    check("ln2", &whole.cut(1).without_channel().then(&layer.channel_norm).run(&batch), &recorded.values("ln2"));

    let input = dense.inputs[0];
    let hidden = whole.cut(1).without_channel().then(&layer.channel_norm).into_module(input).run(&batch);
    check("fc", &plus(&hidden, &model.values("transformer.h.0.mlp.c_fc.bias")), &recorded.values("fc"));
    for first in (0..HIDDEN).step_by(WIDTH) {
        let part = columns(&recorded.values("gelu"), HIDDEN, first, WIDTH);
        let found = whole.cut(1).selecting(dense.output, first).run(&batch);
        check("attnResid + gelu", &found, &plus(&recorded.values("attnResid"), &part));
    }
    let out = whole.cut(1).run(&batch);
    check("attnResid + mlp", &out, &plus(&recorded.values("attnResid"), &recorded.values("mlp")));
    check("mlpResid", &out, &recorded.values("mlpResid"));
}

fn layers_and_answer(whole: &Whole, recorded: &Tensors) {
    let batch = whole.batch();
    for layers in 1..=LAYERS {
        let name = format!("block{}", layers - 1);
        check(&name, &whole.cut(layers).run(&batch), &recorded.values(&name));
    }
    check("ln_f", &whole.cut(LAYERS).then(&whole.weights.spec.final_norm).run(&batch), &recorded.values("ln_f"));

    let decoder = Decoder::new(Arc::clone(&whole.weights));
    let rows: Vec<u32> = (0..batch.tokens() as u32).collect();
    let bytes = 2 * decoder.logits_bytes(batch.tokens(), rows.len(), None);
    let mut arena = Arena::new(&whole.backend, bytes).expect("memory");
    check("lm_head", &decoder.logits(&mut arena, &batch, &rows, None, None).expect("fits"), &recorded.values("lm_head"));
    for id in 0..3 {
        let targets = Targets::mean_nll(rows.clone(), vec![id; rows.len()], 1.0);
        let outputs = decoder.evaluate(&mut arena, &batch, &targets, None).expect("fits");
        let found: Vec<f32> = outputs.logp.iter().map(|logp| logp.exp()).collect();
        check("probs", &found, &columns(&recorded.values("probs"), 3, id as usize, 1));
    }
}

/// Attention never writes its scores down: their log-sum-exp is an output, and with a value that
/// marks its position each query answers with its probabilities.
fn scores(whole: &Whole, recorded: &Tensors) {
    let backend = &whole.backend;
    let tensor = |values: &[f32], columns: usize| {
        let owned = Owned::zeros(backend, values.len() / columns, columns, Dtype::F32).expect("small");
        backend.write_f32(*owned, values);
        owned
    };
    let (q, k) = (tensor(&by_position(&recorded.values("q")), WIDTH), tensor(&by_position(&recorded.values("k")), WIDTH));
    let marks: Vec<f32> = (0..ROWS * TIME * HEADS).flat_map(|index| selection(index / HEADS % TIME, 1, HEAD_WIDTH)).collect();
    let v = tensor(&marks, WIDTH);
    let (out, lse) = (tensor(&vec![0.0; ROWS * TIME * WIDTH], WIDTH), tensor(&vec![0.0; ROWS * TIME * HEADS], HEADS));
    let heads = |tensor: &Owned| Heads { tensor: **tensor, heads: HEADS, head_width: HEAD_WIDTH, head_stride: HEAD_WIDTH };
    let span = |row: usize| SequenceSpan { query_start: row * TIME, query_count: TIME, key_start: row * TIME, key_count: TIME };
    let sequences: Vec<_> = (0..ROWS).map(span).collect();
    let shape = AttentionShape { scale: 0.25, window: None, soft_cap: None, sequences: &sequences, visible: &[] };
    backend.attention(heads(&out), *lse, heads(&q), heads(&k), heads(&v), &shape);

    let (att, probabilities) = (recorded.values("att"), recorded.values("attSm"));
    let (mut expected_lse, mut expected) = (Vec::new(), Vec::new());
    for index in 0..ROWS * TIME * HEADS {
        let (row, time, head) = (index / (TIME * HEADS), index / HEADS % TIME, index % HEADS);
        let from = ((row * HEADS + head) * TIME + time) * TIME;
        // What a query may not see is recorded as minus infinity.
        assert!(att[from + time + 1..from + TIME].iter().all(|score| *score == f32::NEG_INFINITY), "att");
        expected_lse.push(att[from..from + TIME].iter().map(|score| score.exp()).sum::<f32>().ln());
        expected.extend_from_slice(&probabilities[from..from + TIME]);
        expected.extend([0.0; HEAD_WIDTH - TIME]);
    }
    check("log-sum-exp of att", &backend.read_f32(*lse), &expected_lse);
    check("attSm", &backend.read_f32(*out), &expected);
}
