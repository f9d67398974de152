//! Every operation of the trait against its definition: the same suite on every instruction set,
//! on every number of threads, and on the backend that puts work off.

mod differences;
mod elementwise;
mod experts;
mod norm;
mod products;
mod support;

use std::sync::Arc;

use apertis_kernels::{Backend, Context, CpuBackend, DeferredBackend, InstructionSet, Owned};

use crate::support::Bench;

fn suite(backend: Arc<dyn Backend>) -> Vec<u8> {
    let bench = Bench::new(backend);
    elementwise::suite(&bench);
    norm::suite(&bench);
    experts::suite(&bench);
    products::suite(&bench);
    bench.record()
}

fn cpu(threads: usize, set: InstructionSet) -> Arc<dyn Backend> {
    CpuBackend::new(Arc::new(Context::new(threads, set).expect("an available set")))
}

#[test]
fn every_instruction_set_agrees_with_the_definitions() {
    for set in InstructionSet::available() {
        suite(cpu(2, set));
    }
}

#[test]
fn every_small_number_of_rows_and_columns_agrees_too() {
    for set in InstructionSet::available() {
        let bench = Bench::new(cpu(2, set));
        for size in 1..=40 {
            elementwise::tails(&bench, size);
            norm::tails(&bench, size);
            experts::tails(&bench, size);
            products::tails(&bench, size);
        }
    }
}

#[test]
fn a_backend_with_its_own_layout_that_puts_work_off_agrees() {
    let deferred = DeferredBackend::new();
    suite(deferred.clone());
    // What was freed last is still in the queue: nothing ran before it had to.
    assert!(deferred.queued() > 0);
}

#[test]
fn work_is_put_off_until_a_read() {
    let deferred = DeferredBackend::new();
    let backend: Arc<dyn Backend> = deferred.clone();
    let x = Owned::zeros(&backend, 1, 2, apertis_kernels::Dtype::F32).expect("two numbers");
    backend.fill(*x, 3.0);
    backend.copy(*x, *x, 2.0, false);
    assert_eq!(deferred.queued(), 2);
    assert_eq!(backend.read_f32(*x), [6.0, 6.0]);
    assert_eq!(deferred.queued(), 0);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let set = InstructionSet::detect();
    let one = suite(cpu(1, set));
    for threads in [2, 3] {
        assert!(suite(cpu(threads, set)) == one, "{set}: {threads} threads give other bits than one");
    }
}
