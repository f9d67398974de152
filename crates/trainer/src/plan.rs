//! Memory of a run before its first step: what each component takes, and the largest
//! micro-batch that fits.

use apertis_domain::event::MemoryPart;
use apertis_domain::recipe::{Optimizer, Recipe, Recompute};
use apertis_kernels::Dtype;
use apertis_model::decoder::StepOptions;
use apertis_model::spec::ParameterId;
use apertis_model::{Adapter, Decoder, Trainable};

use crate::checkpoint::PIECE_BYTES;
use crate::error::TrainError;
use crate::evaluate::ARENA_SLACK_BYTES;
use crate::optimizer::OptimizerState;

/// Tokens computed at once when memory is plenty: more saves no time on a processor, and costs
/// memory. Measured in docs/experiments.md.
const MICRO_BATCH_TOKENS: usize = 1408;
/// Fewer tokens than this waste the products' tiles.
const MICRO_BATCH_TOKENS_MIN: usize = 128;
/// Program, tokenizer and data where the system does not say what they take.
const PROGRAM_BYTES: u64 = 32 << 20;
/// What a run adds to them after its plan: thread stacks, samples, curves, the report. Measured in
/// docs/experiments.md.
const LATER_BYTES: u64 = 5 << 20;

/// How steps are cut and what they take.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryPlan {
    /// Most tokens computed at once.
    pub micro_batch_tokens: usize,
    /// Whether activations are computed again.
    pub recompute: bool,
    /// Size of the arena.
    pub arena_bytes: usize,
    /// Multiplications and additions of a full micro-batch.
    pub operations: u64,
    /// Bytes by component.
    pub parts: Vec<MemoryPart>,
}

impl MemoryPlan {
    /// Sum over the components.
    pub fn total_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }
}

/// What a plan is made for.
pub struct PlanRequest<'a> {
    /// The model.
    pub decoder: &'a Decoder,
    /// The adapter, if one is trained.
    pub adapter: Option<&'a Adapter>,
    /// What is trained.
    pub trainable: &'a Trainable,
    /// Longest row or window, in tokens.
    pub longest_row: usize,
    /// Tokens that a full batch may have.
    pub batch_tokens: usize,
    /// What the process may use.
    pub limit_bytes: u64,
    /// What it has used so far, model and adapter included; 0 where the system does not say.
    pub resident_bytes: u64,
}

/// Chooses micro-batch and recomputation: what the recipe says, else the first of a few that
/// fits the limit, the quickest first.
///
/// # Errors
/// [`TrainError::MemoryPlan`] when even the smallest does not fit.
pub fn plan(request: &PlanRequest<'_>, recipe: &Recipe, fixed: Option<(usize, bool)>) -> Result<MemoryPlan, TrainError> {
    let longest = request.longest_row.max(1);
    let largest = match recipe.micro_batch_tokens {
        0 => MICRO_BATCH_TOKENS.min(request.batch_tokens.max(1)),
        given => given,
    };
    if let Some((tokens, recompute)) = fixed {
        return Ok(measure(request, recipe.optimizer, tokens, recompute));
    }
    let mut choices = Vec::new();
    let recomputes: &[bool] = match recipe.recompute {
        Recompute::Auto => &[false, true],
        Recompute::On => &[true],
        Recompute::Off => &[false],
    };
    for recompute in recomputes {
        let mut tokens = largest;
        loop {
            choices.push((tokens, *recompute));
            if recipe.micro_batch_tokens != 0 || tokens <= longest.max(MICRO_BATCH_TOKENS_MIN) {
                break;
            }
            tokens = (tokens / 2).max(longest);
        }
    }
    // Recomputing costs a third more work: half the micro-batch first, then that.
    let mut smallest = u64::MAX;
    for (tokens, recompute) in choices {
        let plan = measure(request, recipe.optimizer, tokens, recompute);
        smallest = smallest.min(plan.total_bytes());
        if plan.total_bytes() <= request.limit_bytes {
            return Ok(plan);
        }
    }
    Err(TrainError::MemoryPlan { needed_bytes: smallest, limit_bytes: request.limit_bytes })
}

fn measure(request: &PlanRequest<'_>, optimizer: Optimizer, micro_batch_tokens: usize, recompute: bool) -> MemoryPlan {
    let PlanRequest { decoder, adapter, trainable, longest_row, .. } = *request;
    let spec = decoder.spec();
    // A row longer than the micro-batch is one of its own.
    let tokens = micro_batch_tokens.max(longest_row);
    let options = StepOptions { recompute, first_layer: trainable.first_layer, ..StepOptions::default() };
    let cost = decoder.plan_training(&[tokens], tokens, adapter, &options);
    let arena_bytes = cost.arena_bytes + ARENA_SLACK_BYTES;
    let is_replaced = |id| adapter.is_some_and(|adapter| adapter.replaced.contains_key(id));
    let trained_base: usize = trainable.parameters.iter().filter(|id| !is_replaced(id)).map(|id| spec.parameter(*id).len()).sum();
    // Additions, and the modules that are trained in full beside them: F32, without split masters.
    let trained_adapter = adapter.filter(|_| trainable.has_adapter).map_or(0, Adapter::parameter_count);
    let splits_masters = decoder.weights().dtype == Dtype::Bf16;
    let part = |component: &str, bytes: u64| MemoryPart { component: component.to_string(), bytes };
    let optimizer_bytes = OptimizerState::planned_bytes(trained_base, splits_masters, optimizer)
        + OptimizerState::planned_bytes(trained_adapter, false, optimizer);
    let (weight_bytes, adapter_bytes) = (decoder.weights().size_bytes() as u64, 4 * trained_adapter as u64);
    let program_bytes = match request.resident_bytes {
        0 => PROGRAM_BYTES,
        resident => resident.saturating_sub(weight_bytes + adapter_bytes),
    };
    let scratch_bytes = decoder.weights().backend().scratch_bytes(tokens, spec.width, spec.vocabulary) as u64;
    let parts = vec![
        part("weights", weight_bytes),
        part("adapter", adapter_bytes),
        part("gradients", 4 * (trained_base + trained_adapter) as u64),
        part("optimizer", optimizer_bytes),
        part("activations", arena_bytes as u64),
        part("scratch", scratch_bytes),
        part("saving", saving_bytes(request)),
        part("program", program_bytes + LATER_BYTES),
    ];
    MemoryPlan {
        micro_batch_tokens,
        recompute,
        arena_bytes,
        operations: cost.operations,
        parts: parts.into_iter().filter(|part| part.bytes > 0).collect(),
    }
}

/// A checkpoint is written tensor by tensor: the largest of the model or adapter, or a piece of the
/// optimizer's state, is in memory twice.
fn saving_bytes(request: &PlanRequest<'_>) -> u64 {
    let PlanRequest { decoder, adapter, trainable, .. } = *request;
    let spec = decoder.spec();
    let of_base = |id: &ParameterId| spec.parameter(*id).len();
    let (weight, state) = match adapter.filter(|_| trainable.has_adapter) {
        Some(adapter) => {
            let additions = adapter.additions.iter().flat_map(|addition| [addition.a.len(), addition.b.len()]);
            let largest = additions.chain(adapter.replaced.keys().map(of_base)).max().unwrap_or(0);
            (4 * largest, 4 * largest)
        }
        None => {
            let largest = spec.parameters.iter().map(|parameter| parameter.len()).max().unwrap_or(0);
            (decoder.weights().dtype.size_bytes() * largest, 4 * trainable.parameters.iter().map(of_base).max().unwrap_or(0))
        }
    };
    weight.max(state.min(PIECE_BYTES)) as u64
}
