//! Memory of the processor backend: what is written comes back, whatever the types and gaps.

use std::sync::Arc;

use apertis_kernels::{Backend, BackendError, Context, CpuBackend, Dtype, InstructionSet, Owned};

fn backend(threads: usize) -> Arc<dyn Backend> {
    CpuBackend::new(Arc::new(Context::new(threads, InstructionSet::detect()).expect("a detected set")))
}

#[test]
fn numbers_come_back() {
    let backend = backend(2);
    let values: Vec<f32> = (0..6).map(|index| index as f32 - 2.5).collect();
    for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        let tensor = Owned::zeros(&backend, 2, 5, dtype).expect("ten numbers");
        backend.write_f32(tensor.column_range(1, 3), &values);
        assert_eq!(backend.read_f32(tensor.column_range(1, 3)), values);
        assert_eq!(backend.read_f32(*tensor), [0.0, -2.5, -1.5, -0.5, 0.0, 0.0, 0.5, 1.5, 2.5, 0.0]);
    }
    let ids = Owned::zeros(&backend, 3, 1, Dtype::U32).expect("three ids");
    backend.write_u32(*ids, &[7, 8, u32::MAX]);
    assert_eq!(backend.read_u32(*ids), [7, 8, u32::MAX]);
    assert_eq!(backend.read_bytes(ids.row_range(1, 1)), [8, 0, 0, 0]);
}

#[test]
fn weights_are_converted_once() {
    let backend = backend(2);
    let values: Vec<f32> = (0..3 * 700).map(|index| (index as f32 * 0.37).sin()).collect();
    let stored = |dtype: Dtype| -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| match dtype {
                Dtype::F32 => value.to_le_bytes().to_vec(),
                Dtype::Bf16 => half::bf16::from_f32(*value).to_le_bytes().to_vec(),
                _ => half::f16::from_f32(*value).to_le_bytes().to_vec(),
            })
            .collect()
    };
    for from in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
        for kept in [Dtype::F32, Dtype::Bf16] {
            // Files give no alignment: start at an odd address.
            let bytes = [&[0u8][..], &stored(from)].concat();
            let weight = backend.load_weight("w", from, kept, 3, 700, &bytes[1..]).expect("sizes fit");
            let read = backend.read_f32(weight);
            for (value, read) in values.iter().zip(read) {
                let expected = match from {
                    Dtype::F32 => *value,
                    Dtype::Bf16 => half::bf16::from_f32(*value).to_f32(),
                    _ => half::f16::from_f32(*value).to_f32(),
                };
                let expected = if kept == Dtype::Bf16 { half::bf16::from_f32(expected).to_f32() } else { expected };
                assert_eq!(read, expected, "{from:?} to {kept:?}");
            }
            if from == kept {
                assert_eq!(backend.store_weight(weight), &bytes[1..]);
            }
            backend.free(weight.buffer);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let backend = backend(1);
    let wrong = backend.load_weight("w", Dtype::F32, Dtype::F32, 2, 2, &[0; 15]);
    assert_eq!(wrong.expect_err("15 bytes").to_string(), "load_weight w: found 15 bytes, expected 16");
    let unsupported = backend.load_weight("w", Dtype::F32, Dtype::U8, 2, 2, &[0; 16]);
    assert!(matches!(unsupported, Err(BackendError::UnsupportedDtype { dtype: Dtype::U8, .. })));
    assert!(matches!(backend.allocate(1 << 40, 1 << 40, Dtype::F32), Err(BackendError::OutOfMemory { .. })));
    assert!(matches!(backend.allocate(1 << 30, 1 << 28, Dtype::F32), Err(BackendError::OutOfMemory { .. })));
}

#[test]
fn a_backend_says_what_it_runs_on() {
    let named = |threads: usize| CpuBackend::new(Arc::new(Context::new(threads, InstructionSet::Portable).expect("everywhere"))).name();
    assert_eq!(named(1), "cpu (portable, 1 thread)");
    assert_eq!(named(2), "cpu (portable, 2 threads)");
}

#[test]
fn callers_on_several_threads_take_turns() {
    let backend = backend(2);
    std::thread::scope(|scope| {
        for caller in 0..3 {
            let backend = &backend;
            scope.spawn(move || {
                for round in 0..50 {
                    let x = Owned::zeros(backend, 70, 700, Dtype::F32).expect("memory");
                    backend.fill(*x, (caller * 50 + round) as f32);
                    backend.copy(*x, *x, 2.0, false);
                    assert!(backend.read_f32(*x).iter().all(|value| *value == (2 * (caller * 50 + round)) as f32));
                }
            });
        }
    });
}

#[test]
#[should_panic(expected = "which was freed")]
fn a_view_of_freed_memory_is_noticed() {
    let backend = backend(1);
    let tensor = *Owned::zeros(&backend, 1, 4, Dtype::F32).expect("four numbers");
    backend.read_f32(tensor);
}

#[test]
#[should_panic(expected = "norm: an output overlaps")]
fn an_output_on_an_input_is_noticed() {
    let backend = backend(1);
    let x = Owned::zeros(&backend, 4, 8, Dtype::F32).expect("memory");
    let stats = Owned::zeros(&backend, 4, 2, Dtype::F32).expect("memory");
    let options =
        apertis_kernels::NormOptions { kind: apertis_kernels::NormKind::Rms, epsilon: 1e-6, weight_offset: 0.0, group_columns: 4 };
    backend.norm(x.column_range(1, 4), *stats, x.column_range(0, 4), None, None, &options);
}
