//! The weights of a model on a backend, what of them is trained, and their gradients.

use std::sync::Arc;

use apertis_kernels::{Backend, BackendError, Dtype, Owned, Tensor};

use crate::adapter::Adapter;
use crate::spec::{ModelSpec, ModuleId, ParameterId};

/// Base weights. Immutable while shared; a trainer that changes them owns them alone.
pub struct ModelWeights {
    /// What they are weights of.
    pub spec: Arc<ModelSpec>,
    /// One tensor a parameter; a variant of a model shares those that it does not change.
    pub tensors: Vec<Arc<Owned>>,
    /// The dtype they are kept and computed in.
    pub dtype: Dtype,
}

impl ModelWeights {
    /// The backend that keeps them.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        self.tensors[0].backend()
    }

    /// One parameter.
    pub fn tensor(&self, id: ParameterId) -> Tensor {
        **self.tensors[id.0]
    }

    /// Bytes of all weights.
    pub fn size_bytes(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.len() * tensor.dtype.size_bytes()).sum()
    }
}

/// What a run changes.
#[derive(Clone, Debug, Default)]
pub struct Trainable {
    /// Base parameters (or the adapter's replacements of them).
    pub parameters: Vec<ParameterId>,
    /// The adapter's additions.
    pub has_adapter: bool,
    /// Lowest layer that has anything to train: the backward stops below it.
    pub first_layer: usize,
}

impl Trainable {
    /// Every parameter of the base.
    pub fn all(spec: &ModelSpec) -> Trainable {
        Trainable { parameters: (0..spec.parameters.len()).map(ParameterId).collect(), has_adapter: false, first_layer: 0 }
    }

    /// An adapter, with the parameters it replaces.
    pub fn adapter(adapter: &Adapter) -> Trainable {
        Trainable { parameters: adapter.replaced.keys().copied().collect(), has_adapter: true, first_layer: 0 }
    }

    /// The last `count` layers, the final norm and an untied head.
    pub fn last_layers(spec: &ModelSpec, count: usize) -> Trainable {
        let first_layer = spec.layers.len().saturating_sub(count);
        let mut parameters: Vec<ParameterId> = spec.layers[first_layer..].iter().flat_map(|layer| spec.layer_parameters(layer)).collect();
        parameters.extend(spec.final_norm.iter().flat_map(|norm| norm.weight.into_iter().chain(norm.bias)));
        if !spec.is_tied() {
            parameters.push(spec.head);
        }
        parameters.sort();
        parameters.dedup();
        Trainable { parameters, has_adapter: false, first_layer }
    }
}

/// Gradients of one addition of an adapter.
#[derive(Clone, Copy, Debug)]
pub struct LowRankGradient {
    /// rank × input.
    pub a: Tensor,
    /// output × rank.
    pub b: Tensor,
    /// 1 × output.
    pub magnitude: Option<Tensor>,
}

/// Gradients: F32, in one contiguous buffer, in a fixed order.
pub struct Gradients {
    memory: Owned,
    /// One for each parameter that is trained.
    pub of_parameter: Vec<Option<Tensor>>,
    /// One for each addition.
    pub of_addition: Vec<LowRankGradient>,
}

impl Gradients {
    /// Zeros for everything that is trained.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    pub fn new(
        backend: &Arc<dyn Backend>,
        spec: &ModelSpec,
        adapter: Option<&Adapter>,
        trainable: &Trainable,
    ) -> Result<Gradients, BackendError> {
        let mut shapes: Vec<(usize, usize)> =
            trainable.parameters.iter().map(|id| (spec.parameter(*id).rows, spec.parameter(*id).columns)).collect();
        let additions = adapter.filter(|_| trainable.has_adapter).map_or(&[][..], |adapter| &adapter.additions);
        for addition in additions {
            shapes.push((addition.a.rows, addition.a.columns));
            shapes.push((addition.b.rows, addition.b.columns));
            shapes.extend(addition.magnitude.as_ref().map(|magnitude| (1, magnitude.columns)));
        }
        let total: usize = shapes.iter().map(|(rows, columns)| rows * columns).sum();
        let memory = Owned::zeros(backend, 1, total.max(1), Dtype::F32)?;
        let mut start = 0;
        let mut pieces = shapes.into_iter().map(|(rows, columns)| {
            let piece = memory.column_range(start, rows * columns).reshape(rows, columns);
            start += rows * columns;
            piece
        });
        let mut of_parameter = vec![None; spec.parameters.len()];
        for id in &trainable.parameters {
            of_parameter[id.0] = pieces.next();
        }
        let mut of_addition = Vec::with_capacity(additions.len());
        for addition in additions {
            let (Some(a), Some(b)) = (pieces.next(), pieces.next()) else { break };
            let magnitude = addition.magnitude.as_ref().and_then(|_| pieces.next());
            of_addition.push(LowRankGradient { a, b, magnitude });
        }
        drop(pieces);
        Ok(Gradients { memory, of_parameter, of_addition })
    }

    /// Everything as one row: for reductions over workers, the norm, and zeroing.
    pub fn all(&self) -> Tensor {
        *self.memory
    }

    /// Sets all gradients to zero.
    pub fn clear(&self) {
        self.memory.backend().fill(*self.memory, 0.0);
    }
}

impl ModelSpec {
    /// Parameters of one layer.
    pub fn layer_parameters(&self, layer: &crate::spec::LayerSpec) -> Vec<ParameterId> {
        use crate::spec::{ChannelSpec, MixerSpec};
        let mut norms = vec![&layer.mixer_norm, &layer.mixer_post_norm, &layer.channel_norm, &layer.channel_post_norm];
        let modules = layer.modules();
        if let MixerSpec::Attention(attention) = &layer.mixer {
            norms.extend([&attention.query_norm, &attention.key_norm]);
        }
        debug_assert!(!matches!(layer.channel, ChannelSpec::Experts(_)) || !modules.is_empty());
        let of_norms = norms.into_iter().flatten().flat_map(|norm| norm.weight.into_iter().chain(norm.bias));
        let of_modules = modules.into_iter().flat_map(|id: ModuleId| {
            let module = self.module(id);
            std::iter::once(module.weight).chain(module.bias)
        });
        of_norms.chain(of_modules).collect()
    }
}

impl crate::spec::LayerSpec {
    /// Linear modules of the layer, in the order of the forward pass.
    pub fn modules(&self) -> Vec<ModuleId> {
        use crate::spec::{ChannelSpec, DenseSpec, MixerSpec};
        let mut modules = Vec::new();
        if let MixerSpec::Attention(attention) = &self.mixer {
            modules.extend(&attention.inputs);
            modules.push(attention.output);
        }
        let dense = |dense: &DenseSpec, modules: &mut Vec<ModuleId>| {
            modules.extend(&dense.inputs);
            modules.push(dense.output);
        };
        match &self.channel {
            ChannelSpec::Dense(channel) => dense(channel, &mut modules),
            ChannelSpec::Experts(experts) => {
                modules.push(experts.router);
                modules.extend(experts.experts.iter().flat_map(|(input, output)| [*input, *output]));
                if let Some(shared) = &experts.shared {
                    dense(shared, &mut modules);
                }
                modules.extend(experts.shared_gate);
            }
            ChannelSpec::None => {}
        }
        modules
    }
}
