//! The operations of the engine, forward and backward, behind the [`Backend`] seam.
//!
//! `backend` lists the operations; `cpu` runs them on the processor, a slow reference beside
//! each fast version. Nothing here knows what a model, a file or a run is.

pub mod backend;
pub mod context;
pub mod cpu;
pub mod deferred;
pub mod dtype;
pub mod instruction_set;
pub mod tensor;

pub use backend::{
    Activation, AttentionShape, Backend, BackendError, ExpertRouting, GroupedProduct, HeadOptions, Heads, MatrixView, NormKind,
    NormOptions, OptimizerRule, ParameterUpdate, ProductOptions, ProductTerm, RotaryOptions, SequenceSpan, VisibleSpan,
};
pub use context::Context;
pub use cpu::CpuBackend;
pub use deferred::DeferredBackend;
pub use dtype::{Dtype, Element};
pub use instruction_set::InstructionSet;
pub use tensor::{BufferId, Owned, Tensor};
