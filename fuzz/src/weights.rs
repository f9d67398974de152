//! Reading whatever a weight file holds: all tensors of it, and the model that a config describes.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use apertis_kernels::{Backend, Context, CpuBackend, Dtype, InstructionSet};
use apertis_model::weights::{Checkpoint, LoadOptions, load_model};

/// Values are checked, as the program does it.
const OPTIONS: LoadOptions = LoadOptions { dtype: Dtype::F32, checks_values: true };

fn backend() -> &'static Arc<dyn Backend> {
    static BACKEND: OnceLock<Arc<dyn Backend>> = OnceLock::new();
    BACKEND.get_or_init(|| {
        let context = Context::new(1, InstructionSet::Scalar).expect("every machine has the scalar path");
        CpuBackend::new(Arc::new(context))
    })
}

/// Every tensor of a file is an error or as many numbers as its shape says.
pub fn read_tensors(path: &Path) {
    match Checkpoint::from_files(&[path.to_path_buf()]) {
        Err(error) => crate::check_sentence(error),
        Ok(checkpoint) => {
            for name in checkpoint.names() {
                if let Ok(tensor) = checkpoint.tensor(name) {
                    assert_eq!(tensor.to_f32().len(), tensor.shape.iter().product::<usize>(), "{name}");
                }
            }
        }
    }
}

/// A model file or folder loads, or is refused in a sentence.
pub fn read_model(path: &Path) {
    if let Err(error) = load_model(path, backend(), &OPTIONS) {
        crate::check_sentence(error);
    }
}
