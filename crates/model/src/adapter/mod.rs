//! Adapters: low-rank additions to checkpoint modules, and parameters trained beside them.

mod attach;
mod config;
mod create;
mod merge;
mod names;
mod save;
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;

use apertis_kernels::{Backend, BackendError, Dtype, Owned, Tensor};

use crate::spec::{ModelSpec, ModuleId, ParameterId};

pub use attach::{Attached, attach, load};
pub use create::{AdapterSettings, create};
pub use merge::{merge, merge_to_folder};
pub use save::save;

/// Where one low-rank addition sits and how large it is.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRankSpec {
    /// The module it adds to.
    pub module: ModuleId,
    /// First output feature it adds to.
    pub output_start: usize,
    /// Output features it adds to.
    pub output_count: usize,
    /// Input features.
    pub input_width: usize,
    /// Inner width.
    pub rank: usize,
    /// Multiplies the product (alpha / rank, or alpha / √rank).
    pub scale: f32,
    /// Share of inputs that are zeroed while training.
    pub dropout: f32,
    /// Learns the length of each output row apart from its direction. Liu et al. 2024.
    pub has_magnitude: bool,
}

/// One low-rank addition: `y += scale · x · aᵀ · bᵀ`.
pub struct LowRank {
    /// Where it sits.
    pub spec: LowRankSpec,
    /// rank × input, F32.
    pub a: Owned,
    /// output × rank, F32.
    pub b: Owned,
    /// 1 × output, F32: the learned lengths (DoRA).
    pub magnitude: Option<Owned>,
}

/// Low-rank additions and replaced parameters of one model.
pub struct Adapter {
    /// All additions, ordered by module.
    pub additions: Vec<LowRank>,
    /// Parameters that stand in for the base's (`modules_to_save`).
    pub replaced: BTreeMap<ParameterId, Owned>,
    by_module: Vec<Vec<usize>>,
}

impl Adapter {
    /// Puts additions and replacements together.
    pub fn new(spec: &ModelSpec, additions: Vec<LowRank>, replaced: BTreeMap<ParameterId, Owned>) -> Adapter {
        let mut by_module = vec![Vec::new(); spec.modules.len()];
        for (index, addition) in additions.iter().enumerate() {
            by_module[addition.spec.module.0].push(index);
        }
        Adapter { additions, replaced, by_module }
    }

    /// Allocates additions with `a` and `b` given by a function of (spec, is_b, element count).
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn with_values(
        backend: &Arc<dyn Backend>,
        spec: &ModelSpec,
        specs: Vec<LowRankSpec>,
        mut values: impl FnMut(&LowRankSpec, bool) -> Vec<f32>,
    ) -> Result<Adapter, BackendError> {
        let mut additions = Vec::with_capacity(specs.len());
        for addition in specs {
            let a = Owned::zeros(backend, addition.rank, addition.input_width, Dtype::F32)?;
            let b = Owned::zeros(backend, addition.output_count, addition.rank, Dtype::F32)?;
            backend.write_f32(*a, &values(&addition, false));
            backend.write_f32(*b, &values(&addition, true));
            let magnitude = if addition.has_magnitude { Some(Owned::zeros(backend, 1, addition.output_count, Dtype::F32)?) } else { None };
            additions.push(LowRank { spec: addition, a, b, magnitude });
        }
        Ok(Adapter::new(spec, additions, BTreeMap::new()))
    }

    /// The additions on a module, with their numbers.
    pub fn on(&self, module: ModuleId) -> impl Iterator<Item = (usize, &LowRank)> {
        self.by_module[module.0].iter().map(|index| (*index, &self.additions[*index]))
    }

    /// The parameter that stands in for the base's.
    pub fn replacement(&self, parameter: ParameterId) -> Option<Tensor> {
        self.replaced.get(&parameter).map(|owned| **owned)
    }

    /// Numbers that an adapter trains.
    pub fn parameter_count(&self) -> usize {
        let additions: usize =
            self.additions.iter().map(|low| low.a.len() + low.b.len() + low.magnitude.as_ref().map_or(0, |m| m.len())).sum();
        additions + self.replaced.values().map(|owned| owned.len()).sum::<usize>()
    }
}
