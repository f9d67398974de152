//! What changes a run while it goes: requests of a person, decisions of earlier attempts, the
//! time limit.

use std::time::{Duration, Instant};

use apertis_domain::event::*;
use apertis_domain::{Action, Command, Event};

use super::prepare::total_steps;
use super::{End, Run};
use crate::error::TrainError;
use crate::pace::{TimeLimit, eval_steps_of, is_moved};

/// A paused run looks for requests this often.
const PAUSE_POLL: Duration = Duration::from_millis(200);

impl Run<'_> {
    /// Carries out requests; waits while paused.
    pub(super) fn obey(&mut self) -> Result<Option<End>, TrainError> {
        let mut paused_since: Option<Instant> = None;
        loop {
            for command in self.seams.control.poll(self.progress.step) {
                match &command.action {
                    Action::Pause if paused_since.is_none() => {
                        paused_since = Some(Instant::now());
                        self.reply(&command, true, "paused after this step")?;
                        self.emit(RunPaused { reason: "asked".to_string() })?;
                    }
                    Action::Unpause if paused_since.is_some() => {
                        let paused_ms = paused_since.take().map_or(0, |since| since.elapsed().as_millis() as u64);
                        self.reply(&command, true, "goes on")?;
                        self.emit(RunUnpaused { paused_ms })?;
                    }
                    Action::Pause => self.reply(&command, false, "is paused already")?,
                    Action::Unpause => self.reply(&command, false, "is not paused")?,
                    Action::SaveNow => {
                        self.save(false)?;
                        self.stay_paused(paused_since)?;
                        self.reply(&command, true, &format!("saved step {}", self.progress.step))?;
                    }
                    Action::EvaluateNow | Action::SetEvalSteps { .. } if self.parts.eval.is_none() => {
                        self.reply(&command, false, "this run holds no rows out to evaluate on")?;
                    }
                    Action::EvaluateNow => {
                        self.emit(EvaluationAsked { reason: "asked".to_string() })?;
                        self.evaluate_asked()?;
                        self.stay_paused(paused_since)?;
                        let loss = self.progress.eval_loss.unwrap_or(f64::NAN);
                        self.reply(&command, true, &format!("held-out loss is {loss:.4}"))?;
                    }
                    Action::SetEvalSteps { eval_steps: 0 } => self.reply(&command, false, "expected at least 1 step")?,
                    Action::SetEvalSteps { eval_steps } => {
                        let from = std::mem::replace(&mut self.progress.eval_steps, *eval_steps);
                        self.progress.is_eval_asked = true;
                        self.emit(EvalStepsChanged { from, to: *eval_steps })?;
                        self.reply(&command, true, &format!("evaluates every {eval_steps} steps from here on"))?;
                    }
                    Action::Stop { now } => {
                        self.reply(&command, true, if *now { "stops without saving" } else { "saves and stops" })?;
                        let reason = if *now { "asked_now" } else { "asked" };
                        return Ok(Some(End::Stopped { reason: reason.to_string(), saves: !now }));
                    }
                    Action::SetLearningRate { learning_rate } if learning_rate.is_finite() && *learning_rate > 0.0 => {
                        let from = std::mem::replace(&mut self.progress.peak_learning_rate, *learning_rate);
                        self.emit(LearningRateChanged { from, to: *learning_rate })?;
                        self.reply(&command, true, &format!("learning_rate is {learning_rate} from here on"))?;
                    }
                    Action::SetLearningRate { .. } => self.reply(&command, false, "expected a learning rate above 0")?,
                    Action::Extend { epochs, max_steps } => {
                        let wanted = if *max_steps > 0 { *max_steps } else { (epochs * self.steps_per_epoch as f64).round() as u64 };
                        if wanted > self.progress.step {
                            // A nearer end has its evaluations before it.
                            let spread = eval_steps_of(wanted, self.progress.position()).min(self.progress.eval_steps);
                            self.replan(wanted, spread, "extended")?;
                            self.reply(&command, true, &format!("trains until step {wanted}"))?;
                        } else {
                            self.reply(&command, false, "that many steps are done already")?;
                        }
                    }
                }
            }
            if paused_since.is_none() {
                return Ok(None);
            }
            (self.request.heartbeat)();
            std::thread::sleep(PAUSE_POLL);
        }
    }

    /// Saving and evaluating enter a phase of their own; a run that was paused is paused after it.
    fn stay_paused(&mut self, paused_since: Option<Instant>) -> Result<(), TrainError> {
        match paused_since {
            Some(_) => self.emit(RunPaused { reason: "asked".to_string() }),
            None => Ok(()),
        }
    }

    /// Evaluates beside the plan, which goes on as if it had not been: so a resumed run may do it
    /// again, and it does not count against the run's patience.
    fn evaluate_asked(&mut self) -> Result<(), TrainError> {
        let before = (self.progress.evaluations, self.progress.evaluated_step);
        let without_better = self.progress.evaluations_without_better;
        let is_better = self.evaluate()?;
        (self.progress.evaluations, self.progress.evaluated_step) = before;
        let counted = &mut self.progress.evaluations_without_better;
        *counted = (*counted).min(without_better);
        self.emit(PhaseEntered { phase: "training".to_string() })?;
        if is_better { self.save(true) } else { Ok(()) }
    }

    fn reply(&mut self, command: &Command, accepted: bool, message: &str) -> Result<(), TrainError> {
        self.emit(CommandAnswered {
            id: command.id.clone(),
            command: command.action.name().to_string(),
            accepted,
            message: message.to_string(),
        })
    }

    pub(super) fn repeat_decisions(&mut self) -> Result<(), TrainError> {
        let step = self.progress.step;
        let due: Vec<Event> = self.decisions.iter().filter(|event| event.step == step).cloned().collect();
        for decision in due {
            self.progress.repeat(&decision);
            if matches!(decision.kind, EventKind::EvaluationAsked(_)) {
                self.evaluate_asked()?;
            }
        }
        Ok(())
    }

    /// Plans the rest of the run. Steps between evaluations that recipe or person chose go before `eval_steps`.
    pub(super) fn replan(&mut self, total_steps: u64, eval_steps: u64, reason: &str) -> Result<(), TrainError> {
        self.progress.total_steps = total_steps;
        let is_chosen = self.request.recipe.eval_steps > 0 || self.progress.is_eval_asked;
        if !is_chosen && self.progress.eval_steps > 0 {
            self.progress.eval_steps = eval_steps;
        }
        let eval_steps = self.progress.eval_steps;
        let epochs = total_steps as f64 / self.steps_per_epoch as f64;
        self.emit(ScheduleReplanned { reason: reason.to_string(), total_steps, epochs, eval_steps })
    }

    /// Why a run ends that has done all its steps.
    pub(super) fn reason_at_last_step(&self) -> &'static str {
        let has_limit = self.request.recipe.time_limit_minutes > 0.0;
        match has_limit && self.progress.total_steps < total_steps(self.request.recipe, self.steps_per_epoch) {
            true => "time_limit",
            false => "completed",
        }
    }

    /// Moves the end of the schedule to where the time limit will be reached.
    pub(super) fn replan_time(&mut self) -> Result<(), TrainError> {
        let limit_ms = self.request.recipe.time_limit_minutes * 60e3;
        if limit_ms <= 0.0 {
            return Ok(());
        }
        let limit = TimeLimit { limit_ms, left_ms: limit_ms - self.seams.clock.elapsed_ms() as f64 };
        let wanted = total_steps(self.request.recipe, self.steps_per_epoch);
        let Some(plan) = self.progress.pace.plan(limit, wanted, self.progress.position()) else { return Ok(()) };
        match is_moved(self.progress.total_steps, plan.total_steps, self.progress.step) {
            true => self.replan(plan.total_steps, plan.eval_steps, "time_limit"),
            false => Ok(()),
        }
    }

    /// Counts the time since the last call, or since the step before, as a step's.
    pub(super) fn note_step_time(&mut self) {
        let now = self.seams.clock.elapsed_ms();
        // The first step of a process makes what the others use, and takes longer.
        if let Some(before) = self.noted_ms.replace(now) {
            self.progress.pace.add_step(now.saturating_sub(before));
        }
    }

    /// Counts it as an evaluation's with its checkpoint, or as that of a checkpoint between two steps.
    pub(super) fn note_evaluation_time(&mut self, has_evaluated: bool) {
        let now = self.seams.clock.elapsed_ms();
        let Some(before) = self.noted_ms.replace(now) else { return };
        let took = now.saturating_sub(before);
        match has_evaluated {
            true => self.progress.pace.add_evaluation(took),
            false => self.progress.pace.add_pause(took),
        }
    }

    pub(super) fn is_out_of_time(&self) -> bool {
        let limit = self.request.recipe.time_limit_minutes;
        limit > 0.0 && self.seams.clock.elapsed_ms() as f64 >= limit * 60e3
    }
}
