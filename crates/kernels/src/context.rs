//! What an operation may use beside its arguments: threads and an instruction set.
//!
//! Nothing is global: two contexts run side by side in one process.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rayon::ThreadPool;
use rayon::prelude::*;

use crate::instruction_set::InstructionSet;

/// Threads and instruction set of one user of the engine.
pub struct Context {
    pool: ThreadPool,
    instruction_set: InstructionSet,
    scratch: Mutex<HashMap<TypeId, Box<dyn Any + Send>>>,
}

impl Context {
    /// Makes a context with its own threads.
    ///
    /// # Errors
    /// A sentence, when the instruction set is missing on this processor or threads cannot start.
    pub fn new(threads: usize, instruction_set: InstructionSet) -> Result<Context, String> {
        if !instruction_set.is_available() {
            return Err(format!("instruction_set: this processor has no {instruction_set}"));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|index| format!("engine-{index}"))
            .build()
            .map_err(|error| format!("threads: cannot start {threads}: {error}"))?;
        Ok(Context { pool, instruction_set, scratch: Mutex::default() })
    }

    /// The code path of this context.
    pub fn instruction_set(&self) -> InstructionSet {
        self.instruction_set
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` with memory that this context keeps from call to call. A nested call, or one
    /// at the same time, finds it taken and brings its own.
    pub fn with_scratch<T: Any + Default + Send, R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let kept = self.kept_scratch().remove(&TypeId::of::<T>()).and_then(|kept| kept.downcast::<T>().ok());
        let mut scratch = kept.unwrap_or_default();
        let result = work(&mut scratch);
        self.kept_scratch().insert(TypeId::of::<T>(), scratch);
        result
    }

    fn kept_scratch(&self) -> std::sync::MutexGuard<'_, HashMap<TypeId, Box<dyn Any + Send>>> {
        // Scratch has no invariants that a panic elsewhere could break.
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a thread of this context, so that the operations inside need no handover.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    /// Runs `task(0) … task(count - 1)` on all threads, each exactly once, in no fixed order.
    ///
    /// Tasks must write disjoint places and be cut by shape alone, so that results do not
    /// depend on the number of threads.
    pub fn for_each(&self, count: usize, task: impl Fn(usize) + Send + Sync) {
        if count <= 1 || self.threads() == 1 {
            (0..count).for_each(task);
        } else if self.pool.current_thread_index().is_some() {
            (0..count).into_par_iter().with_max_len(1).for_each(task);
        } else {
            self.pool.install(|| (0..count).into_par_iter().with_max_len(1).for_each(task));
        }
    }
}
