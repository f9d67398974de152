//! A second backend, for tests: it keeps weights in a layout of its own and puts operations off
//! until somebody reads.
//!
//! It computes with the slow references. A model that gives the same numbers on it as on
//! [`crate::CpuBackend`] touches no bytes of a weight, reads only at the named points, and keeps
//! buffers alive as long as queued work needs them: the proof, without a second device, that the
//! seam holds.

mod backend;
mod stage;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{Backend, BackendError};
use crate::context::Context;
use crate::cpu::CpuBackend;
use crate::deferred::stage::{Stage, transpose};
use crate::dtype::Dtype;
use crate::instruction_set::InstructionSet;
use crate::tensor::{BufferId, Tensor};

/// A queued operation: it asks the stage for each tensor that it reads or changes.
type Operation = Box<dyn FnOnce(&mut Stage<'_>) + Send>;

/// Shape of a weight whose buffer holds its transpose.
#[derive(Clone, Copy)]
struct KeptWeight {
    rows: usize,
    columns: usize,
}

#[derive(Default)]
struct State {
    queue: Vec<Operation>,
    weights: HashMap<BufferId, KeptWeight>,
}

/// The backend that puts work off.
pub struct DeferredBackend {
    machine: Arc<CpuBackend>,
    state: Mutex<State>,
}

impl DeferredBackend {
    /// A backend without buffers.
    pub fn new() -> Arc<DeferredBackend> {
        let context = Context::new(1, InstructionSet::Scalar).expect("the scalar path runs everywhere, and one thread can start");
        Arc::new(DeferredBackend { machine: CpuBackend::new(Arc::new(context)), state: Mutex::default() })
    }

    /// Operations that wait.
    pub fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn defer(&self, operation: impl FnOnce(&mut Stage<'_>) + Send + 'static) {
        self.lock().queue.push(Box::new(operation));
    }

    /// Runs what waits, then `last`, and returns what it read.
    fn finish<R>(&self, last: impl FnOnce(&mut Stage<'_>) -> R) -> R {
        let mut state = self.lock();
        let State { queue, weights } = &mut *state;
        for operation in queue.drain(..) {
            let mut stage = Stage::new(&self.machine, weights);
            operation(&mut stage);
            stage.close();
        }
        let mut stage = Stage::new(&self.machine, weights);
        let result = last(&mut stage);
        stage.close();
        result
    }

    /// The same for an operation on one tensor.
    fn defer_at(&self, tensor: Tensor, operation: impl FnOnce(&CpuBackend, Tensor) + Send + 'static) {
        self.defer(move |stage| {
            let tensor = stage.at(tensor);
            operation(stage.machine, tensor);
        });
    }

    /// The same for an operation on several tensors.
    fn defer_all<const N: usize>(&self, tensors: [Tensor; N], operation: impl FnOnce(&CpuBackend, [Tensor; N]) + Send + 'static) {
        self.defer(move |stage| {
            let tensors = tensors.map(|tensor| stage.at(tensor));
            operation(stage.machine, tensors);
        });
    }

    fn finish_at<R>(&self, tensor: Tensor, read: impl FnOnce(&CpuBackend, Tensor) -> R) -> R {
        self.finish(|stage| {
            let tensor = stage.at(tensor);
            read(stage.machine, tensor)
        })
    }

    fn keep_weight(&self, plain: Tensor) -> Result<Tensor, BackendError> {
        let kept = self.machine.allocate(plain.columns, plain.rows, plain.dtype)?;
        self.machine.write_bytes(kept, &transpose(&self.machine.read_bytes(plain), plain.rows, plain.columns, plain.dtype));
        self.lock().weights.insert(kept.buffer, KeptWeight { rows: plain.rows, columns: plain.columns });
        Ok(Tensor::dense(kept.buffer, plain.dtype, 0, plain.rows, plain.columns))
    }

    fn load(&self, name: &str, [stored, kept]: [Dtype; 2], rows: usize, columns: usize, bytes: &[u8]) -> Result<Tensor, BackendError> {
        let plain = self.machine.load_weight(name, stored, kept, rows, columns, bytes)?;
        let weight = self.keep_weight(plain);
        self.machine.free(plain.buffer);
        weight
    }
}
