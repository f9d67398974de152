//! From a recipe to everything a run needs: backend, model, adapter, tokenizer, data.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apertis_dataset::{Columns, Converted, DataSettings, Prepared, Sample, samples};
use apertis_domain::recipe::{InstructionSet as RecipeSet, Method, Precision, Recipe, TokenizerKind, TrainOn as RecipeTrainOn};
use apertis_kernels::{Backend, Context, CpuBackend, Dtype, InstructionSet};
use apertis_model::adapter::{self, AdapterSettings};
use apertis_model::weights::{LoadOptions, ScratchShape, config_for_scratch, initialize, load_model};
use apertis_model::{Adapter, ModelConfig, ModelSpec, ModelWeights, Trainable, family};
use apertis_tokenizer::{ChatTemplate, Tokenizer, TrainOn, learn};

use crate::error::TrainError;

/// Text that a vocabulary is learned from at most: more changes few merges.
const VOCABULARY_TEXT_BYTES: usize = 64 << 20;
/// Longest row when neither recipe nor model says less.
const MAX_LENGTH: usize = 2048;

/// Where a run's files are and what the machine offers.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The base model; none for method=scratch.
    pub model_folder: Option<PathBuf>,
    /// An adapter to go on from.
    pub adapter_folder: Option<PathBuf>,
    /// Where token caches lie.
    pub cache_folder: PathBuf,
    /// Cores this process may use.
    pub cores: usize,
    /// Memory this process may use.
    pub memory_limit_bytes: u64,
}

/// The machine part of a run.
pub struct Machine {
    /// Where everything is computed.
    pub backend: Arc<dyn Backend>,
    /// Its threads.
    pub context: Arc<Context>,
    /// What weights are kept and computed in.
    pub dtype: Dtype,
}

/// Makes threads and a backend.
///
/// # Errors
/// When this processor lacks the instruction set.
pub fn machine(recipe: &Recipe, cores: usize) -> Result<Machine, TrainError> {
    let set = match recipe.instruction_set {
        RecipeSet::Auto => InstructionSet::detect(),
        RecipeSet::Avx512Bf16 => InstructionSet::Avx512Bf16,
        RecipeSet::Avx512 => InstructionSet::Avx512,
        RecipeSet::Avx2 => InstructionSet::Avx2,
        RecipeSet::Portable => InstructionSet::Portable,
        RecipeSet::Scalar => InstructionSet::Scalar,
    };
    let threads = if recipe.threads == 0 { cores } else { recipe.threads };
    let context = Arc::new(Context::new(threads, set).map_err(TrainError::Recipe)?);
    let dtype = match recipe.precision {
        Precision::F32 => Dtype::F32,
        Precision::Bf16 | Precision::Auto => Dtype::Bf16,
    };
    Ok(Machine { backend: CpuBackend::new(Arc::clone(&context)), context, dtype })
}

/// Model, tokenizer and data of a run.
pub struct Parts {
    /// The configuration as it is written back.
    pub config: ModelConfig,
    /// The weights to start from.
    pub weights: Arc<ModelWeights>,
    /// The adapter that is trained.
    pub adapter: Option<Adapter>,
    /// What is trained.
    pub trainable: Trainable,
    /// Text to ids.
    pub tokenizer: Arc<Tokenizer>,
    /// Rows to train on and to hold out.
    pub data: Prepared,
    /// Longest row or window, in tokens.
    pub max_length: usize,
}

/// Reads or makes everything. `resume` is a checkpoint whose weights replace the base's.
///
/// # Errors
/// A sentence about the recipe, the model, the tokenizer or the data.
pub fn parts(
    recipe: &Recipe,
    surroundings: &Surroundings,
    machine: &Machine,
    resume: Option<&Path>,
    progress: &mut dyn FnMut(apertis_dataset::Progress),
) -> Result<Parts, TrainError> {
    let (tokenizer, (config, weights)) = tokenizer_and_base(recipe, surroundings, machine, resume)?;
    check_vocabulary(&tokenizer, &weights.spec)?;
    let (weights, adapter, trainable) = trained(recipe, surroundings, weights)?;
    let context = weights.spec.context.max(2);
    let max_length = match recipe.max_length {
        0 => context.min(MAX_LENGTH),
        given => given,
    };
    let settings = data_settings(recipe, surroundings, max_length)?;
    let data = apertis_dataset::open(&settings, &tokenizer, &surroundings.cache_folder, progress)?;
    Ok(Parts { config, weights, adapter, trainable, tokenizer, data, max_length })
}

/// Refuses a tokenizer with ids that the model has no row for.
///
/// # Errors
/// [`TrainError::Vocabulary`].
pub fn check_vocabulary(tokenizer: &Tokenizer, spec: &ModelSpec) -> Result<(), TrainError> {
    let (largest_id, entries) = (tokenizer.largest_id(), spec.vocabulary);
    if largest_id as usize >= entries { Err(TrainError::Vocabulary { largest_id, entries }) } else { Ok(()) }
}

/// Refuses a model whose weights alone are more than the memory, before any of it is filled. A
/// folder whose config cannot be read is left to the loading, which says what is wrong with it.
///
/// # Errors
/// [`TrainError::MemoryPlan`].
pub fn check_weights_fit(folder: &Path, dtype: Dtype, limit_bytes: u64) -> Result<(), TrainError> {
    match ModelConfig::from_folder(folder).and_then(|config| family::map(&config)) {
        Ok(spec) => check_spec_fits(&spec, dtype, limit_bytes),
        Err(_) => Ok(()),
    }
}

fn check_spec_fits(spec: &ModelSpec, dtype: Dtype, limit_bytes: u64) -> Result<(), TrainError> {
    let needed_bytes = (spec.parameter_count() * dtype.size_bytes()) as u64;
    match needed_bytes <= limit_bytes {
        true => Ok(()),
        false => Err(TrainError::MemoryPlan { needed_bytes, limit_bytes }),
    }
}

/// A vocabulary and a model's weights have nothing to wait for in each other; from scratch the
/// model is as large as the vocabulary.
fn tokenizer_and_base(
    recipe: &Recipe,
    surroundings: &Surroundings,
    machine: &Machine,
    resume: Option<&Path>,
) -> Result<(Arc<Tokenizer>, (ModelConfig, Arc<ModelWeights>)), TrainError> {
    let read = |folder: &Path| -> Result<Arc<Tokenizer>, TrainError> { Ok(Arc::new(Tokenizer::from_folder(folder)?)) };
    let options = LoadOptions { dtype: machine.dtype, checks_values: true };
    let (tokenizer_folder, weights_folder) = match (recipe.method, resume) {
        (Method::Scratch, None) => {
            let tokenizer = Arc::new(learn_tokenizer(recipe)?);
            let base = scratch(recipe, surroundings, machine, &tokenizer)?;
            return Ok((tokenizer, base));
        }
        (Method::Scratch, Some(checkpoint)) => (checkpoint, checkpoint),
        (Method::Lora, _) | (_, None) => (model_folder(surroundings)?, model_folder(surroundings)?),
        (_, Some(checkpoint)) => (model_folder(surroundings)?, checkpoint),
    };
    check_weights_fit(weights_folder, machine.dtype, surroundings.memory_limit_bytes)?;
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(tokenizer_folder));
        let base = load_model(weights_folder, &machine.backend, &options);
        let tokenizer = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((tokenizer, base?))
    })
}

fn model_folder(surroundings: &Surroundings) -> Result<&Path, TrainError> {
    surroundings
        .model_folder
        .as_deref()
        .ok_or_else(|| TrainError::Recipe("model: is missing; only method=scratch starts without one".to_string()))
}

fn scratch(
    recipe: &Recipe,
    surroundings: &Surroundings,
    machine: &Machine,
    tokenizer: &Tokenizer,
) -> Result<(ModelConfig, Arc<ModelWeights>), TrainError> {
    let shape = &recipe.shape;
    let config = config_for_scratch(&ScratchShape {
        family: shape.family.clone(),
        layers: shape.layers,
        heads: shape.heads,
        kv_heads: shape.kv_heads,
        width: shape.width,
        hidden: shape.hidden,
        context: shape.context,
        vocabulary: tokenizer.largest_id() as usize + 1,
        bos_id: tokenizer.bos_id(),
        eos_id: tokenizer.eos_ids().first().copied(),
        pad_id: tokenizer.pad_id(),
    })?;
    let spec = Arc::new(family::map(&config)?);
    check_spec_fits(&spec, machine.dtype, surroundings.memory_limit_bytes)?;
    let weights = initialize(&spec, &machine.backend, machine.dtype, recipe.seed)?;
    Ok((config, weights))
}

/// What is trained, and the weights that it needs: an adapter may give a tied model a head of its own.
fn trained(
    recipe: &Recipe,
    surroundings: &Surroundings,
    weights: Arc<ModelWeights>,
) -> Result<(Arc<ModelWeights>, Option<Adapter>, Trainable), TrainError> {
    Ok(match recipe.method {
        Method::Lora => {
            let (weights, adapter) = match &surroundings.adapter_folder {
                Some(folder) => {
                    let attached = adapter::attach(folder, &weights)?;
                    (attached.weights, attached.adapter)
                }
                None => {
                    let adapter = adapter::create(&weights, &adapter_settings(recipe), recipe.seed)?;
                    (weights, adapter)
                }
            };
            let trainable = Trainable::adapter(&adapter);
            (weights, Some(adapter), trainable)
        }
        Method::Freeze => {
            let trainable = Trainable::last_layers(&weights.spec, recipe.freeze_layers);
            (weights, None, trainable)
        }
        Method::Full | Method::Continue | Method::Scratch => {
            let trainable = Trainable::all(&weights.spec);
            (weights, None, trainable)
        }
    })
}

/// What a recipe says of its adapter.
pub fn adapter_settings(recipe: &Recipe) -> AdapterSettings {
    AdapterSettings {
        rank: recipe.lora.rank,
        alpha: recipe.lora.alpha as f32,
        dropout: recipe.lora.dropout as f32,
        targets: recipe.lora.targets.clone(),
        use_rslora: recipe.lora.rslora,
        use_dora: recipe.lora.dora,
        modules_to_save: recipe.lora.modules_to_save.clone(),
    }
}

/// What a recipe says of its data.
///
/// # Errors
/// When the chat template cannot be read.
pub fn data_settings(recipe: &Recipe, surroundings: &Surroundings, max_length: usize) -> Result<DataSettings, TrainError> {
    let paths = |text: &str| if text.is_empty() { Vec::new() } else { vec![PathBuf::from(text)] };
    if recipe.data.is_empty() {
        return Err(TrainError::Recipe("data: is missing".to_string()));
    }
    Ok(DataSettings {
        paths: paths(&recipe.data),
        eval_paths: paths(&recipe.eval_data),
        columns: columns(recipe),
        template: template(recipe)?,
        train_on: match recipe.train_on {
            RecipeTrainOn::Assistant => TrainOn::AllAssistantTurns,
            RecipeTrainOn::Last => TrainOn::LastTurn,
            RecipeTrainOn::All => TrainOn::Everything,
        },
        max_length,
        too_long: recipe.too_long,
        on_bad_row: recipe.on_bad_row,
        packing: recipe.packing,
        eval_fraction: recipe.eval_fraction,
        seed: recipe.seed,
        threads: if recipe.threads == 0 { surroundings.cores } else { recipe.threads },
        ..DataSettings::default()
    })
}

fn columns(recipe: &Recipe) -> Columns {
    let named = |name: &str| (!name.is_empty()).then(|| name.to_string());
    let columns = &recipe.columns;
    Columns {
        prompt: named(&columns.prompt),
        response: named(&columns.response),
        system: named(&columns.system),
        text: named(&columns.text),
        messages: None,
    }
}

fn template(recipe: &Recipe) -> Result<Option<ChatTemplate>, TrainError> {
    match recipe.chat_template.as_str() {
        "" => Ok(None),
        "chatml" => Ok(Some(ChatTemplate::chatml())),
        path => {
            let source = std::fs::read_to_string(path).map_err(|error| TrainError::Recipe(format!("chat_template: {path}: {error}")))?;
            Ok(Some(ChatTemplate::new(&source, None, None)?))
        }
    }
}

/// Learns a vocabulary from the training data.
fn learn_tokenizer(recipe: &Recipe) -> Result<Tokenizer, TrainError> {
    if recipe.data.is_empty() {
        return Err(TrainError::Recipe("data: is missing".to_string()));
    }
    let mut texts = Vec::new();
    let mut bytes = 0;
    let mut paths = vec![PathBuf::from(&recipe.data)];
    // Characters that only the held-out text has would have no id.
    if recipe.tokenizer == TokenizerKind::Char && !recipe.eval_data.is_empty() {
        paths.push(PathBuf::from(&recipe.eval_data));
    }
    for row in samples(&paths, &columns(recipe))? {
        let Ok(Converted { sample, .. }) = row?.content else { continue };
        let text = match sample {
            Sample::Document(text) => text,
            Sample::Conversation(conversation) => {
                conversation.messages.iter().filter_map(|message| message.content.as_text()).collect::<Vec<_>>().join("\n")
            }
        };
        bytes += text.len();
        texts.push(text);
        if bytes > VOCABULARY_TEXT_BYTES {
            break;
        }
    }
    if bytes == 0 {
        return Err(TrainError::Empty(format!("{}: no text to learn a vocabulary from", recipe.data)));
    }
    Ok(match recipe.tokenizer {
        TokenizerKind::Char => learn::characters(&texts.concat())?,
        TokenizerKind::Bpe => {
            let vocabulary = match recipe.vocab_size {
                0 => (bytes / 512).next_power_of_two().clamp(512, 32_768),
                given => given,
            };
            learn::byte_level_bpe(texts.iter(), vocabulary, &learn::SpecialTokens::default())?
        }
    })
}
