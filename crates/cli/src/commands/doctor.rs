//! `apertis doctor`: what this machine has, and what it means for training.

use std::process::ExitCode;

use apertis_kernels::InstructionSet;
use apertis_runs::{Home, machine};
use serde_json::json;

use super::view::gigabytes;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings;

/// Below this, checkpoints of larger models will not fit.
const DISK_LOW_BYTES: u64 = 5_000_000_000;
/// Below this, models of a hundred million parameters are trained in small pieces.
const MEMORY_LOW_BYTES: u64 = 2_000_000_000;

pub(crate) fn run(home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut system = sysinfo::System::new().map_err(|error| Failure::new(format!("doctor: {error}")))?;
    system.refresh_memory();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let processor = system.cpus().first().map_or_else(String::new, |cpu| cpu.brand().trim().to_owned());
    let best = InstructionSet::detect();
    let available: Vec<&str> = InstructionSet::available().into_iter().map(InstructionSet::name).collect();
    let memory_free = settings::memory_limit_bytes();
    let disk_free = machine::disk_free_bytes(home.root());
    printer.line(format!("version       {}", env!("CARGO_PKG_VERSION")));
    printer.line(format!("processor     {processor}, {} cores may be used", settings::cores()));
    printer.line(format!("instructions  {best} is taken; available: {}", available.join(", ")));
    printer.line(format!("              {}", meaning(best)));
    printer.line(format!("memory        {} of {} may be used now", gigabytes(memory_free), gigabytes(system.total_memory())));
    if memory_free < MEMORY_LOW_BYTES {
        printer.line("              little: train small models, or close other programs");
    }
    printer.line(format!("disk          {} free where the home lies", gigabytes(disk_free)));
    if disk_free < DISK_LOW_BYTES {
        printer.line("              little: keep_checkpoints=2 and small models, or move the home with --home");
    }
    printer.line(format!("home          {}", home.root().display()));
    let gpus = gpus();
    match gpus.as_slice() {
        [] => printer.line("GPUs          none found; everything runs on the processor"),
        found => printer.line(format!("GPUs          {}; none used: this version computes on the processor", found.join(", "))),
    }
    printer.json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "processor": processor,
        "cores": settings::cores(),
        "instruction_set": best.name(),
        "instruction_sets": available,
        "memory_bytes": system.total_memory(),
        "memory_available_bytes": memory_free,
        "disk_free_bytes": disk_free,
        "home": home.root(),
        "gpus": gpus,
        "gpus_used": 0,
    }));
    Ok(ExitCode::SUCCESS)
}

/// What an instruction set is good for, in one sentence.
fn meaning(set: InstructionSet) -> &'static str {
    match set {
        InstructionSet::Avx512Bf16 => "multiplies bf16 in hardware: the fastest path, about half the memory of f32",
        InstructionSet::Avx512 => "wide f32 arithmetic: bf16 is unpacked first; about half as fast as with bf16 multiplication",
        InstructionSet::Avx2 => "f32 arithmetic eight at a time: bf16 is unpacked first; fine for small models",
        InstructionSet::Portable => "no vector instructions that this program has its own code for: right results, slower",
        InstructionSet::Scalar => "one number at a time: for tests only",
    }
}

/// Names of graphics cards that the system lists; Linux only, nothing is loaded for it.
fn gpus() -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path().join("information")).unwrap_or_default();
        let model = text.lines().find_map(|line| line.strip_prefix("Model:"));
        found.push(model.map_or_else(|| "NVIDIA graphics card".to_owned(), |name| name.trim().to_owned()));
    }
    let render_nodes = std::fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    let nodes = render_nodes.filter(|entry| entry.file_name().to_string_lossy().starts_with("renderD")).count();
    found.extend((found.len()..nodes).map(|_| "graphics card".to_owned()));
    found
}
