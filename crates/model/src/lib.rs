//! The decoder: a list of layers that every family maps to, weights on disk, adapters,
//! KV cache and sampling.

pub mod adapter;
pub mod config;
pub mod decoder;
pub mod error;
pub mod family;
pub mod generate;
pub mod rope;
pub mod spec;
pub mod weights;

pub use adapter::{Adapter, LowRank, LowRankSpec};
pub use config::ModelConfig;
pub use decoder::{Batch, Decoder, DeviceBatch, Gradients, HeadOutputs, KvCache, Mode, ModelWeights, StepOptions, Trainable};
pub use error::ModelError;
pub use spec::{ModelSpec, ModuleId, ParameterId};
