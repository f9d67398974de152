//! How long steps and evaluations take, and what of a run that leaves room for: where a time
//! limit ends it, and how far apart its evaluations stand.

use serde::{Deserialize, Serialize};

/// Evaluations of a run, after the one before its first step, where its steps allow.
const EVALUATIONS_MIN: u64 = 10;
/// Fewer steps say little about those to come.
const STEPS_MIN: f64 = 2.0;
/// Steps that the mean is taken over, roughly: enough for rows of all lengths, few enough to follow
/// a machine that becomes slower.
const STEPS_WINDOW: f64 = 200.0;
/// Of the whole limit, the share that evaluations may take.
const EVALUATION_SHARE: f64 = 0.5;
/// An evaluation that takes a larger share of the whole limit gets no room set aside: the last one
/// comes after the limit, instead of all the training before.
const LARGE_EVALUATION_SHARE: f64 = 0.25;
/// The end is moved when it is off by more than this share of all steps…
const MOVED_SHARE: f64 = 0.02;
/// …or of those to come.
const MOVED_SHARE_OF_LEFT: f64 = 0.1;

/// Working time by what it went into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    /// Measured steps, older ones counting less.
    pub steps: f64,
    /// Time that they took, weighted alike.
    pub steps_ms: f64,
    /// Measured evaluations.
    pub evaluations: u64,
    /// Time that they took, saving included.
    pub evaluations_ms: u64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Steps done.
    pub step: u64,
    /// Evaluations done, without the one before the first step.
    pub evaluations: u64,
    /// Step of the latest evaluation.
    pub evaluated_step: u64,
}

/// What a time limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimePlan {
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Steps from one evaluation to the next.
    pub eval_steps: u64,
}

/// A time limit and what of it is left.
///
/// # Units
/// Milliseconds of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeLimit {
    /// For the whole run.
    pub limit_ms: f64,
    /// From now on.
    pub left_ms: f64,
}

impl Pace {
    /// Counts a step.
    pub fn add_step(&mut self, took_ms: u64) {
        let kept = if self.steps >= STEPS_WINDOW { 1.0 - 1.0 / STEPS_WINDOW } else { 1.0 };
        self.steps = self.steps * kept + 1.0;
        self.steps_ms = self.steps_ms * kept + took_ms as f64;
    }

    /// Counts an evaluation.
    pub fn add_evaluation(&mut self, took_ms: u64) {
        self.evaluations += 1;
        self.evaluations_ms += took_ms;
    }

    /// Counts what was done between two steps as a part of them.
    pub fn add_pause(&mut self, took_ms: u64) {
        if self.steps > 0.0 {
            self.steps_ms += took_ms as f64;
        }
    }

    /// Where the limit will be reached, unless `wanted_steps` come first; `None` while too little
    /// was measured. Room for the evaluations to come is set aside.
    pub fn plan(&self, limit: TimeLimit, wanted_steps: u64, position: Position) -> Option<TimePlan> {
        if self.steps < STEPS_MIN {
            return None;
        }
        let step_ms = (self.steps_ms / self.steps).max(1e-3);
        let evaluation_ms = if self.evaluations == 0 { 0.0 } else { self.evaluations_ms as f64 / self.evaluations as f64 };
        let left_ms = limit.left_ms.max(0.0);
        let for_evaluations_ms = (limit.limit_ms * EVALUATION_SHARE - self.evaluations_ms as f64).min(left_ms);
        let affordable = match evaluation_ms > 0.0 {
            true => ((for_evaluations_ms / evaluation_ms) as u64).max(1),
            false => u64::MAX,
        };
        let evaluations = EVALUATIONS_MIN.saturating_sub(position.evaluations).clamp(1, affordable);
        let set_aside_ms = if evaluation_ms > LARGE_EVALUATION_SHARE * limit.limit_ms { 0.0 } else { evaluations as f64 * evaluation_ms };
        let steps_left = ((left_ms - set_aside_ms).max(0.0) / step_ms) as u64;
        let total_steps = position.step.saturating_add(steps_left).min(wanted_steps).max(position.step);
        let dense = eval_steps_of(total_steps, position);
        let sparse = (total_steps - position.evaluated_step).div_ceil(affordable);
        Some(TimePlan { total_steps, eval_steps: dense.max(sparse) })
    }
}

/// Steps between the evaluations to come, so that there are at least ten in the run, however many
/// there were until now, and no more than a tenth of all steps between two.
pub fn eval_steps_of(total_steps: u64, position: Position) -> u64 {
    let left = total_steps.saturating_sub(position.evaluated_step);
    let missing = EVALUATIONS_MIN.saturating_sub(position.evaluations);
    let by_share = (EVALUATIONS_MIN * left).div_ceil(total_steps.max(1));
    let wanted = missing.max(by_share).max(1);
    // The next one comes after the next step, even where it would have been due before.
    let after_next = total_steps.saturating_sub(position.step + 1).checked_div(wanted - 1).unwrap_or(u64::MAX);
    (left / wanted).min(after_next).max(1)
}

/// Whether a new end is far enough from the planned one to be worth an event.
pub fn is_moved(planned_steps: u64, wanted_steps: u64, step: u64) -> bool {
    let moved = wanted_steps.abs_diff(planned_steps) as f64;
    let left = planned_steps.saturating_sub(step) as f64;
    moved >= 1.0 && (moved > MOVED_SHARE * planned_steps as f64 || moved > MOVED_SHARE_OF_LEFT * left)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run under a limit: what each step and evaluation takes, in milliseconds. Gives steps,
    /// evaluated steps, and when it ended.
    fn simulate(limit_ms: f64, step_ms: impl Fn(u64) -> u64, evaluation_ms: u64) -> (u64, Vec<u64>, f64) {
        let wanted = 100_000;
        let mut pace = Pace { evaluations: 1, evaluations_ms: evaluation_ms, ..Pace::default() };
        let (mut now, mut position) = (evaluation_ms, Position::default());
        let mut plan = TimePlan { total_steps: wanted, eval_steps: eval_steps_of(wanted, position) };
        let mut evaluated = Vec::new();
        while position.step < plan.total_steps && (now as f64) < limit_ms {
            let took = step_ms(position.step);
            position.step += 1;
            now += took;
            // The first step of a process is not measured.
            if position.step > 1 {
                pace.add_step(took);
            }
            if position.step - position.evaluated_step >= plan.eval_steps || position.step == plan.total_steps {
                now += evaluation_ms;
                pace.add_evaluation(evaluation_ms);
                position = Position { evaluations: position.evaluations + 1, evaluated_step: position.step, ..position };
                evaluated.push(position.step);
            }
            let limit = TimeLimit { limit_ms, left_ms: limit_ms - now as f64 };
            if let Some(next) =
                pace.plan(limit, wanted, position).filter(|next| is_moved(plan.total_steps, next.total_steps, position.step))
            {
                plan = next;
            }
        }
        if position.evaluated_step != position.step {
            now += evaluation_ms;
            evaluated.push(position.step);
        }
        (position.step, evaluated, now as f64 / limit_ms)
    }

    fn check(limit_ms: f64, step_ms: impl Fn(u64) -> u64, evaluation_ms: u64, steps_min: u64) {
        let (steps, evaluated, used) = simulate(limit_ms, step_ms, evaluation_ms);
        let shown = format!("{steps} steps, evaluated at {evaluated:?}, {used:.3} of the limit");
        assert!(steps >= steps_min, "{shown}");
        assert!((10..=30).contains(&evaluated.len()), "{shown}");
        assert_eq!(evaluated.last(), Some(&steps), "{shown}");
        assert!((0.9..=1.02).contains(&used), "{shown}");
    }

    #[test]
    fn a_limit_keeps_ten_evaluations_and_one_at_the_end() {
        check(60_000.0, |_| 100, 0, 500);
        check(60_000.0, |_| 100, 500, 400);
        // It becomes slower, and quicker, on the way.
        check(60_000.0, |step| if step < 200 { 50 } else { 200 }, 200, 300);
        check(60_000.0, |step| if step < 100 { 200 } else { 50 }, 200, 500);
        // The first step takes as long as many.
        check(30_000.0, |step| if step == 0 { 4_000 } else { 100 }, 100, 200);
    }

    #[test]
    fn evaluations_leave_half_of_the_time_to_steps() {
        let (steps, evaluated, used) = simulate(60_000.0, |_| 100, 5_000);
        assert!(steps > 200 && (4..10).contains(&evaluated.len()) && used < 1.02, "{steps} {evaluated:?} {used}");
        // One that takes most of the limit comes on top of it.
        let (steps, evaluated, _) = simulate(60_000.0, |_| 100, 40_000);
        assert!(steps > 150 && evaluated == [steps], "{steps} {evaluated:?}");
    }

    #[test]
    fn evaluations_are_spread_over_what_is_left() {
        let check = |total, evaluations, evaluated_step, expected| {
            let position = Position { step: evaluated_step, evaluations, evaluated_step };
            assert_eq!(eval_steps_of(total, position), expected, "{total} steps, {evaluations} evaluations until {evaluated_step}");
        };
        check(109, 0, 0, 10);
        check(5, 0, 0, 1);
        check(1000, 0, 0, 100);
        // A run of 1,000 steps that is to end at 600: five more in 100 steps.
        check(600, 5, 500, 20);
        check(501, 5, 500, 1);
        check(500, 5, 500, 1);
        let between = Position { step: 55, evaluations: 5, evaluated_step: 50 };
        assert_eq!(eval_steps_of(65, between), 2, "56, 58, 60, 62, 64 and 65");
        // One that goes on: no gap of more than a tenth.
        check(2000, 9, 900, 183);
        check(60, 10, 40, 5);
    }
}
