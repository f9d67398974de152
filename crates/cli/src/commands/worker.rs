//! `apertis worker RUN_DIR`: the process that trains. It prints to `worker.log` only.

use std::process::ExitCode;

use apertis_domain::{CheckpointStore, EventKind, FailureCode};
use apertis_runs::run_lock::RunLock;
use apertis_runs::seen::{self, SeenRow, SeenToken};
use apertis_runs::worker::open;
use apertis_runs::{Home, OpenOptions, Opened, RunFolder, machine};
use apertis_trainer::{Seams, TrainRequest};

use crate::arguments::WorkerArguments;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings;

/// The version that stands in events.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(arguments: &WorkerArguments, home: &Home, printer: &Printer) -> Result<ExitCode, Failure> {
    crate::memory::give_large_back();
    let folder = RunFolder::open(&arguments.folder)?;
    let options = OpenOptions { version: VERSION.to_owned(), is_automatic: arguments.automatic, extend: arguments.extend };
    let mut session = match open(&folder, &options)? {
        Opened::Finished(_) => return Ok(ExitCode::SUCCESS),
        Opened::Session(session) => session,
    };
    if let Err(error) = session.wait_for_device(home, "cpu", arguments.now) {
        let step = session.record().step();
        let stopped = apertis_domain::event::RunStopped { reason: "asked".to_owned(), steps: step, saved_step: step };
        session.end(step, stopped)?;
        printer.note(error.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    match work(&mut session, home, arguments.extend) {
        Ok((step, ending)) => {
            session.end(step, ending)?;
            Ok(ExitCode::SUCCESS)
        }
        Err((code, message)) => {
            printer.note(format!("error: {message}"));
            session.fail(code, &message)?;
            Ok(ExitCode::from(1))
        }
    }
}

type Work = Result<(u64, EventKind), (FailureCode, String)>;

fn work(session: &mut apertis_runs::WorkerSession, home: &Home, extends: bool) -> Work {
    let failed = |failure: Failure| {
        let code = FailureCode::from_code(failure.code).unwrap_or(FailureCode::Internal);
        (code, failure.message)
    };
    let recipe = session.recipe().clone();
    let lock = RunLock::read(session.folder()).map_err(|error| failed(error.into()))?;
    let surroundings = settings::surroundings(&recipe, home).map_err(failed)?;
    let machine = apertis_trainer::machine(&recipe, surroundings.cores).map_err(|error| failed(error.into()))?;
    let fixed_plan =
        lock.as_ref().filter(|lock| lock.micro_batch_tokens > 0).map(|lock| (lock.micro_batch_tokens as usize, lock.recompute));
    if let Some(lock) = &lock
        && lock.instruction_set != machine.context.instruction_set().name()
    {
        let message = format!(
            "this run was begun with instruction_set={}, this machine takes {}",
            lock.instruction_set,
            machine.context.instruction_set()
        );
        return Err((FailureCode::RecipeInvalid, message));
    }
    let decisions = session.decisions().to_vec();
    let resume = session.checkpoints.last().map(|checkpoint| checkpoint.folder);
    let beat = session.heartbeat();
    let folder = session.folder().clone();
    let clock = session.clock.clone();
    let mut on_plan = |facts: &apertis_trainer::train::PlanFacts| {
        if lock.is_some() {
            return Ok(());
        }
        let record = RunLock {
            version: VERSION.to_owned(),
            created_at: apertis_runs::clock::now_text(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor_name(),
            device: "cpu".to_owned(),
            threads: machine.context.threads() as u64,
            instruction_set: machine.context.instruction_set().name().to_owned(),
            precision: if machine.dtype == apertis_kernels::Dtype::F32 { "f32" } else { "bf16" }.to_owned(),
            micro_batch_tokens: facts.micro_batch_tokens as u64,
            recompute: facts.recompute,
            model_hash: facts.model_hash.clone(),
            data_hash: facts.data_hash.clone(),
            eval_data_hash: String::new(),
            tokenizer_hash: facts.tokenizer_hash.clone(),
        };
        seen::write(&folder, &facts.first_batches.iter().map(seen_row).collect::<Vec<SeenRow>>()).map_err(|error| error.to_string())?;
        record.write(&folder).map_err(|error| error.to_string())
    };
    let request = TrainRequest {
        recipe: &recipe,
        surroundings: &surroundings,
        resume,
        decisions: &decisions,
        extends,
        fixed_plan,
        heartbeat: &mut || beat(),
        on_plan: &mut on_plan,
    };
    let seams = Seams {
        sink: &mut session.events,
        control: &mut session.control,
        checkpoints: &mut session.checkpoints,
        clock: &clock,
        peak_memory_bytes: &machine::peak_rss_bytes,
    };
    // The loop runs on a thread of the engine, so that operations need no handover.
    let outcome = apertis_trainer::train(request, &machine, seams);
    outcome.map(|outcome| (outcome.step, outcome.ending)).map_err(|error| (error.code(), error.to_string()))
}

fn seen_row(row: &apertis_trainer::seen::SeenRow) -> SeenRow {
    let kind = |is_trained: bool| if is_trained { "trained" } else { "masked" }.to_owned();
    let tokens = row.tokens.iter().map(|token| SeenToken { id: token.id, text: token.text.clone(), kind: kind(token.is_trained) });
    SeenRow { batch: row.batch, row: row.row, tokens: tokens.collect() }
}

fn processor_name() -> String {
    // A processor without a name is no reason to stop.
    let Ok(mut system) = sysinfo::System::new() else { return String::new() };
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default()
}
