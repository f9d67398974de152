//! What can be asked of a run: commands to its worker, going on, and making it again.

use std::time::{Duration, Instant};

use apertis_domain::{Action, EventKind, Recipe};
use apertis_protocol::error::ErrorCode;
use apertis_protocol::recipe::RecipeForm;
use apertis_protocol::run::{CloneRequest, CommandAnswer, Reproduction, ReproductionPart, Run, RunCommand};
use apertis_runs::lock::lock_facts;
use apertis_runs::log::events_after;
use apertis_runs::run_lock::RunLock;
use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::one::describe;
use crate::failure::{Answer, Failure};
use crate::mirror::KnownRun;
use crate::queue;
use crate::recipes;
use crate::request::{Body, Place, blocking};
use crate::routes::Router;
use crate::studio::{Shared, Studio};

/// A worker that answers within this is waited for.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// A worker that has written its run's end lets go within this.
const END_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(25);
/// An answer stands among the newest events.
const ANSWER_BYTES: u64 = 1 << 20;

pub(super) fn router() -> Router {
    OpenApiRouter::new().routes(routes!(command)).routes(routes!(resume)).routes(routes!(clone)).routes(routes!(reproduce))
}

/// Asks something of a living run; of an ended one, to train longer.
#[utoipa::path(
    post, path = "/runs/{id}/commands", tag = "runs", request_body = RunCommand,
    params(("id" = String, Path)), responses((status = 200, body = CommandAnswer))
)]
async fn command(State(studio): Shared, Place(id): Place<String>, Body(command): Body<RunCommand>) -> Answer<Json<CommandAnswer>> {
    let run = studio.run(&id).await?;
    blocking(move || {
        if !is_at_work(&run) {
            return match command {
                RunCommand::Extend { epochs, max_steps } => extend(&studio, &run, epochs, max_steps),
                _ => Err(Failure::new(ErrorCode::NotPossibleNow, "No worker is at work on this run.").hint("Resume it first.")),
            };
        }
        let action = action_of(&command)?;
        let before = apertis_runs::log::last_event(&run.folder.events())?.map(|event| event.seq);
        let asked = apertis_runs::control::ask(&run.folder, &action)?;
        let began = Instant::now();
        while began.elapsed() < ANSWER_WAIT {
            let events = events_after(&run.folder.events(), before, ANSWER_BYTES)?.unwrap_or_default();
            let answers = events.into_iter().filter_map(|event| match event.kind {
                EventKind::CommandAnswered(answer) => Some(answer),
                _ => None,
            });
            if let Some(answer) = answers.into_iter().find(|answer| answer.id == asked) {
                let outcome = if answer.accepted { "accepted" } else { "refused" };
                return Ok(CommandAnswer { id: asked, outcome: outcome.to_owned(), message: answer.message });
            }
            std::thread::sleep(POLL);
        }
        let message = "The worker answers after the step it is at.".to_owned();
        Ok(CommandAnswer { id: asked, outcome: "waiting".to_owned(), message })
    })
    .await
    .map(Json)
}

/// Whether a worker holds a run. One that has written the run's end is about to let go, and is waited
/// for.
pub(super) fn is_at_work(run: &KnownRun) -> bool {
    let has_ended = matches!(run.row.status.name.as_str(), "finished" | "stopped" | "failed");
    let began = Instant::now();
    while lock_facts(&run.folder).is_held {
        if !has_ended || began.elapsed() > END_WAIT {
            return true;
        }
        std::thread::sleep(POLL);
    }
    false
}

fn action_of(command: &RunCommand) -> Answer<Action> {
    Ok(match command {
        RunCommand::Pause => Action::Pause,
        RunCommand::Unpause => Action::Unpause,
        RunCommand::SaveNow => Action::SaveNow,
        RunCommand::Stop => Action::Stop { now: false },
        RunCommand::Abort => Action::Stop { now: true },
        RunCommand::SetLearningRate { learning_rate } if *learning_rate > 0.0 && *learning_rate <= 10.0 => {
            Action::SetLearningRate { learning_rate: *learning_rate }
        }
        RunCommand::SetLearningRate { .. } => return Err(Failure::bad("A learning rate is above 0 and at most 10.")),
        RunCommand::EvaluateNow => Action::EvaluateNow,
        RunCommand::SetEvalSteps { eval_steps: 0 } => return Err(Failure::bad("eval_steps is at least 1.")),
        RunCommand::SetEvalSteps { eval_steps } => Action::SetEvalSteps { eval_steps: *eval_steps },
        RunCommand::Extend { epochs, max_steps } => Action::Extend { epochs: *epochs, max_steps: *max_steps },
    })
}

/// Gives an ended run a later end, and starts it again.
fn extend(studio: &Studio, run: &KnownRun, epochs: f64, max_steps: u64) -> Answer<CommandAnswer> {
    if epochs <= 0.0 && max_steps == 0 {
        return Err(Failure::bad("Say until which epoch or step it shall train."));
    }
    let mut recipe = run.folder.recipe()?;
    if epochs > 0.0 {
        recipe.apply_argument(&format!("epochs={epochs}"))?;
    }
    recipe.apply_argument(&format!("max_steps={max_steps}"))?;
    run.folder.write_recipe(&recipe)?;
    studio.mirror.start(&run.folder, &["--extend"])?;
    studio.mirror.look(&[&run.folder]);
    let message = "The run goes on to its new end.".to_owned();
    Ok(CommandAnswer { id: String::new(), outcome: "accepted".to_owned(), message })
}

/// Starts a worker on a run that stopped, failed, was interrupted, or never began.
#[utoipa::path(post, path = "/runs/{id}/resume", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Run)))]
async fn resume(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Run>> {
    let run = studio.run(&id).await?;
    blocking(move || {
        if is_at_work(&run) {
            return Err(Failure::new(ErrorCode::NotPossibleNow, "A worker is at work on this run already."));
        }
        if run.row.status.name == "finished" {
            return Err(Failure::new(ErrorCode::NotPossibleNow, "This run has reached its end.").hint("Extend it to train longer."));
        }
        queue::leave(&studio.home, &run.folder)?;
        studio.mirror.start(&run.folder, &[])?;
        studio.mirror.look(&[&run.folder]);
        describe(&studio, &studio.run_now(&run.id)?)
    })
    .await
    .map(Json)
}

/// Gives the recipe of a run for a new one: as it was started, or as it became.
#[utoipa::path(
    post, path = "/runs/{id}/clone", tag = "runs", request_body = CloneRequest,
    params(("id" = String, Path)), responses((status = 200, body = RecipeForm))
)]
async fn clone(State(studio): Shared, Place(id): Place<String>, Body(request): Body<CloneRequest>) -> Answer<Json<RecipeForm>> {
    let run = studio.run(&id).await?;
    blocking(move || {
        let mut recipe = run.folder.recipe()?;
        match request.how.as_str() {
            "as_started" => {}
            "as_became" => {
                studio.records.with(&run, |record| record.decisions.iter().for_each(|event| take_over(&mut recipe, &event.kind)))?;
            }
            _ => return Err(Failure::bad("how is as_started or as_became.")),
        }
        Ok(recipes::form(&recipe))
    })
    .await
    .map(Json)
}

/// A decision made while a run went on, as its recipe would have said it.
fn take_over(recipe: &mut Recipe, kind: &EventKind) {
    match kind {
        EventKind::LearningRateChanged(changed) => recipe.learning_rate = changed.to,
        EventKind::EvalStepsChanged(changed) => recipe.eval_steps = changed.to,
        EventKind::ScheduleReplanned(replanned) if replanned.reason == "extended" => {
            recipe.epochs = replanned.epochs;
            recipe.max_steps = if recipe.max_steps == 0 { 0 } else { replanned.total_steps };
        }
        EventKind::MicroBatchHalved(halved) => recipe.micro_batch_tokens = halved.to_tokens as usize,
        _ => {}
    }
}

/// Says what differs between a run's record and this machine now.
#[utoipa::path(get, path = "/runs/{id}/reproduce", tag = "runs", params(("id" = String, Path)), responses((status = 200, body = Reproduction)))]
async fn reproduce(State(studio): Shared, Place(id): Place<String>) -> Answer<Json<Reproduction>> {
    let run = studio.run(&id).await?;
    blocking(move || {
        let then = RunLock::read(&run.folder)?
            .ok_or_else(|| Failure::new(ErrorCode::NotPossibleNow, "This run ended before its record was written."))?;
        let recipe = run.folder.recipe()?;
        let here = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
        let threads = match recipe.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let model_now = if recipe.model.is_empty() || studio.with_places(|places| apertis_library::find(places, &recipe.model)).is_ok() {
            "there"
        } else {
            "missing"
        };
        let data_now = match apertis_dataset::find_files(&[(&recipe.data).into()]) {
            Ok(_) => "there",
            Err(_) => "missing",
        };
        let part = |name: &str, then: &str, now: String| {
            let is_same = then == now;
            ReproductionPart { name: name.to_owned(), then: then.to_owned(), now, is_same }
        };
        let parts = vec![
            part("data files", "there", data_now.to_owned()),
            part("base model", "there", model_now.to_owned()),
            part("version", &then.version, studio.settings.workers.version.to_owned()),
            part("device", &then.platform, here),
            part("processor", &then.processor, processor()),
            // Results do not depend on the number of threads.
            ReproductionPart { is_same: true, ..part("threads", &then.threads.to_string(), threads.to_string()) },
        ];
        let is_same = parts.iter().all(|part| part.is_same);
        Ok(Reproduction { is_same, parts, command: recipe.to_command() })
    })
    .await
    .map(Json)
}

fn processor() -> String {
    // A processor without a name is no reason to stop.
    let Ok(mut system) = sysinfo::System::new() else { return String::new() };
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default()
}
