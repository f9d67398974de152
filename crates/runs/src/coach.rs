//! What a person who has watched many runs would say about this one: rules over what stands of its
//! log, each with its numbers and with what to do. Pure functions.

use apertis_domain::event::{Evaluated, StepFinished};
use apertis_domain::{Action, EventKind, Recipe};

use crate::RunRecord;
use crate::record::Point;

/// Evaluations that have to rise one after the other before it is called memorising.
const RISES: usize = 3;
/// Steps whose mean stands for the loss at a place.
const WINDOW: usize = 20;
/// A rule about the course of the loss needs this many steps.
const STEPS_MIN: usize = 60;

/// How a note is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It goes well.
    Good,
    /// Worth knowing.
    Info,
    /// Worth doing something about.
    Warn,
    /// It goes wrong.
    Bad,
}

/// One thing to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// How it is meant.
    pub tone: Tone,
    /// What was seen, with its numbers.
    pub text: String,
    /// What to do.
    pub advice: String,
    /// A request to the run that does so, where it is at work.
    pub action: Option<Action>,
    /// The step that it speaks of.
    pub step: u64,
}

/// Everything there is to say, what matters most first. `is_at_work` says whether the run can take
/// requests now.
pub fn notes(record: &RunRecord, recipe: &Recipe, is_at_work: bool) -> Vec<Note> {
    let found = [
        diverging(record),
        memorising(record),
        flat(record),
        unfinished(record),
        clipped(record, recipe),
        mishaps(record),
        dropped(record),
        slower(record),
        better(record),
    ];
    let mut notes: Vec<Note> = found.into_iter().flatten().collect();
    notes.sort_by_key(|note| match note.tone {
        Tone::Bad => 0,
        Tone::Warn => 1,
        Tone::Good => 2,
        Tone::Info => 3,
    });
    // What an ended run takes is a later end; for anything else it is too late.
    for note in &mut notes {
        note.action = note.action.take().filter(|action| is_at_work || matches!(action, Action::Extend { .. }));
    }
    notes
}

/// Held-out loss that rises while training loss falls.
fn memorising(record: &RunRecord) -> Option<Note> {
    let evaluations: Vec<&Point<Evaluated>> = record.evaluations.iter().filter(|point| point.value.loss.is_finite()).collect();
    let rises = evaluations.windows(2).rev().take_while(|pair| pair[1].value.loss > pair[0].value.loss).count();
    let best = record.best()?;
    if rises < RISES {
        return None;
    }
    let since = evaluations[evaluations.len() - 1 - rises];
    let (then, now) = (loss_until(record, since.step)?, loss_until(record, u64::MAX)?);
    if now >= then {
        return None;
    }
    let last = evaluations[evaluations.len() - 1];
    Some(Note {
        tone: Tone::Warn,
        text: format!(
            "Held-out loss rose {rises} times while training loss fell ({then:.3} to {now:.3}): it is memorising since step {}; the best is step {} ({:.3}).",
            since.step, best.step, best.value.loss
        ),
        advice: "Stop it: the best checkpoint is kept. More data, fewer epochs or a smaller rank help the next run.".to_owned(),
        action: Some(Action::Stop { now: false }),
        step: last.step,
    })
}

/// A loss that runs away from its lowest.
fn diverging(record: &RunRecord) -> Option<Note> {
    let means = window_means(&record.steps);
    let (lowest_at, lowest) = means.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let (step, now) = *means.last()?;
    if record.steps.len() < STEPS_MIN || now < 1.5 * lowest || lowest <= 0.0 {
        return None;
    }
    let rate = record.steps.last()?.value.learning_rate;
    Some(Note {
        tone: Tone::Bad,
        text: format!(
            "Training loss is {now:.3}, {:.1} times its lowest ({lowest:.3} around step {lowest_at}): it is running away.",
            now / lowest
        ),
        advice: format!("Lower the learning rate to a third ({:.1e}), or stop and start again with it.", rate / 3.0),
        action: (rate > 0.0).then_some(Action::SetLearningRate { learning_rate: rate / 3.0 }),
        step,
    })
}

/// A loss that does not move although a fifth of the run is over.
fn flat(record: &RunRecord) -> Option<Note> {
    let (first, last) = (record.steps.first()?, record.steps.last()?);
    if record.steps.len() < STEPS_MIN || record.total_steps == 0 || last.step * 5 < record.total_steps {
        return None;
    }
    let means = window_means(&record.steps);
    let (began, now) = (means.first()?.1, means.last()?.1);
    if began <= 0.0 || (began - now).abs() > 0.01 * began {
        return None;
    }
    let highest = record.steps.iter().map(|point| point.value.learning_rate).fold(0.0, f64::max);
    Some(Note {
        tone: Tone::Warn,
        text: format!("Training loss was {began:.3} at step {} and is {now:.3} at step {}: it hardly learns.", first.step, last.step),
        advice: format!("Try three times the learning rate ({:.1e}); look whether the data has answers to learn.", 3.0 * highest),
        action: (highest > 0.0).then_some(Action::SetLearningRate { learning_rate: 3.0 * highest }),
        step: last.step,
    })
}

/// A run that ended while it still got better.
fn unfinished(record: &RunRecord) -> Option<Note> {
    let finished = record.finished.as_ref()?;
    let (best, last) = (record.best()?, record.evaluations.last()?);
    let before = record.evaluations.iter().rev().nth(2)?;
    let gain = (before.value.loss - last.value.loss) / before.value.loss;
    if finished.reason != "completed" || best.step != last.step || gain < 0.01 {
        return None;
    }
    let epochs = record.steps.last().map_or(1.0, |point| point.value.epoch).ceil() + 1.0;
    Some(Note {
        tone: Tone::Info,
        text: format!("Held-out loss still fell when it ended, by {:.1}% over the last two evaluations.", gain * 100.0),
        advice: format!("Train it longer: to {epochs:.0} epochs."),
        action: Some(Action::Extend { epochs, max_steps: 0 }),
        step: last.step,
    })
}

/// Gradients that are cut at most steps.
fn clipped(record: &RunRecord, recipe: &Recipe) -> Option<Note> {
    let recent = &record.steps[record.steps.len().saturating_sub(100)..];
    let limit = recipe.max_grad_norm;
    if recent.len() < STEPS_MIN || limit <= 0.0 {
        return None;
    }
    let cut = recent.iter().filter(|point| point.value.grad_norm > limit).count();
    (cut * 2 > recent.len()).then(|| Note {
        tone: Tone::Info,
        text: format!("{cut} of the last {} steps had gradients longer than {limit}, and were shortened.", recent.len()),
        advice: "The learning rate acts smaller than it says. A larger batch_size makes gradients steadier.".to_owned(),
        action: None,
        step: recent[recent.len() - 1].step,
    })
}

/// Steps that were taken back, batches left out, memory that ran short.
fn mishaps(record: &RunRecord) -> Option<Note> {
    let skipped = record.decisions.iter().filter(|event| matches!(event.kind, EventKind::BatchSkipped(_))).count();
    let halved = record.decisions.iter().filter(|event| matches!(event.kind, EventKind::MicroBatchHalved(_))).count();
    let step = record.decisions.last()?.step;
    if skipped + halved == 0 {
        return None;
    }
    let mut parts = Vec::new();
    if skipped > 0 {
        parts.push(format!("{skipped} batches made the loss jump and were left out"));
    }
    if halved > 0 {
        parts.push(format!("memory ran out {halved} times, and less is computed at once since"));
    }
    Some(Note {
        tone: Tone::Warn,
        text: format!("{}.", parts.join("; ")),
        advice: "The events name the rows. Look at them, or lower learning_rate or micro_batch_tokens.".to_owned(),
        action: None,
        step,
    })
}

/// Rows that were left out.
fn dropped(record: &RunRecord) -> Option<Note> {
    let data = record.data.as_ref()?;
    let count: u64 = data.dropped.values().map(|reason| reason.count).sum();
    if data.rows == 0 || count * 20 < data.rows {
        return None;
    }
    let (code, worst) = data.dropped.iter().max_by_key(|(_, reason)| reason.count)?;
    Some(Note {
        tone: Tone::Warn,
        text: format!(
            "{count} of {} rows ({:.0}%) are not trained on, most of them for {}: {}",
            data.rows,
            100.0 * count as f64 / data.rows as f64,
            code.replace('_', " "),
            worst.example
        ),
        advice: "Look at these rows and mend the data; what is left out cannot be learned.".to_owned(),
        action: None,
        step: 0,
    })
}

/// A machine that has become slower.
fn slower(record: &RunRecord) -> Option<Note> {
    if record.steps.len() < STEPS_MIN {
        return None;
    }
    let mut speeds: Vec<f64> = record.steps.iter().map(|point| point.value.tokens_per_second).filter(|speed| *speed > 0.0).collect();
    let now = record.tokens_per_second();
    let middle = (speeds.len() / 2).min(speeds.len().checked_sub(1)?);
    let (_, usual, _) = speeds.select_nth_unstable_by(middle, f64::total_cmp);
    (now < 0.6 * *usual).then(|| Note {
        tone: Tone::Info,
        text: format!("It does {now:.0} tokens a second now, {usual:.0} usually."),
        advice: "Something else uses the machine, or it is hot: see System.".to_owned(),
        action: None,
        step: record.step(),
    })
}

/// What was won.
fn better(record: &RunRecord) -> Option<Note> {
    let (before, best) = (record.before()?, record.best()?);
    let gain = (before.value.loss - best.value.loss) / before.value.loss;
    (best.step > 0 && gain > 0.0 && gain.is_finite()).then(|| Note {
        tone: Tone::Good,
        text: format!(
            "Held-out loss fell by {:.0}%, from {:.3} before training to {:.3} at step {}.",
            gain * 100.0,
            before.value.loss,
            best.value.loss,
            best.step
        ),
        advice: "Compare its sample answers with those from before.".to_owned(),
        action: None,
        step: best.step,
    })
}

/// Mean training loss of the last steps up to one.
fn loss_until(record: &RunRecord, step: u64) -> Option<f64> {
    let end = record.steps.partition_point(|point| point.step <= step);
    mean(&record.steps[end.saturating_sub(WINDOW)..end])
}

fn window_means(steps: &[Point<StepFinished>]) -> Vec<(u64, f64)> {
    steps.chunks(WINDOW).filter(|chunk| chunk.len() == WINDOW).filter_map(|chunk| Some((chunk.last()?.step, mean(chunk)?))).collect()
}

fn mean(steps: &[Point<StepFinished>]) -> Option<f64> {
    let losses: Vec<f64> = steps.iter().map(|point| point.value.loss).filter(|loss| loss.is_finite()).collect();
    (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use apertis_domain::event::{DataChecked, ReasonCount, RunFinished};

    fn record(losses: impl Iterator<Item = f64>, evaluations: &[(u64, f64)]) -> RunRecord {
        let step = |(step, loss): (usize, f64)| Point {
            step: step as u64 + 1,
            elapsed_ms: 0,
            tokens: 0,
            value: StepFinished {
                loss,
                learning_rate: 1e-4,
                tokens: 10,
                step_ms: 10.0,
                tokens_per_second: 1000.0,
                epoch: 2.0,
                ..StepFinished::default()
            },
        };
        let evaluated = |(step, loss): &(u64, f64)| Point {
            step: *step,
            elapsed_ms: 0,
            tokens: 0,
            value: Evaluated { loss: *loss, ..Evaluated::default() },
        };
        RunRecord {
            steps: losses.enumerate().map(step).collect(),
            evaluations: evaluations.iter().map(evaluated).collect(),
            total_steps: 200,
            ..RunRecord::default()
        }
    }

    fn texts(record: &RunRecord, is_at_work: bool) -> Vec<(Tone, String, bool)> {
        notes(record, &Recipe::default(), is_at_work).into_iter().map(|note| (note.tone, note.text, note.action.is_some())).collect()
    }

    #[test]
    fn a_run_that_memorises_is_told_since_when() {
        let falling = || (0..200).map(|step| 3.0 - f64::from(step) / 100.0);
        let found = record(falling(), &[(50, 2.5), (100, 2.0), (140, 2.1), (170, 2.2), (200, 2.3)]);
        let notes = texts(&found, true);
        assert!(notes[0].1.starts_with("Held-out loss rose 3 times") && notes[0].1.contains("since step 100"), "{notes:?}");
        assert_eq!((notes[0].0, notes[0].2), (Tone::Warn, true));
        // For a run that has ended it is too late to stop.
        assert!(!texts(&found, false)[0].2);
        assert!(texts(&record(falling(), &[(100, 2.0), (140, 2.1), (170, 2.2)]), true).is_empty());
    }

    #[test]
    fn a_loss_that_runs_away_or_stands_still_is_told() {
        let rising = record((0..200).map(|step| if step < 100 { 1.0 } else { 2.0 }), &[]);
        assert_eq!(texts(&rising, true)[0].0, Tone::Bad);
        let flat = record((0..200).map(|_| 3.0), &[]);
        assert!(texts(&flat, true)[0].1.contains("hardly learns"));
        assert!(texts(&record((0..200).map(|step| 3.0 - f64::from(step) / 100.0), &[]), true).is_empty());
    }

    #[test]
    fn what_was_won_and_what_more_time_would_bring() {
        let mut ended = record((0..200).map(|step| 3.0 - f64::from(step) / 100.0), &[(0, 4.0), (100, 3.0), (150, 2.5), (200, 2.0)]);
        ended.finished = Some(RunFinished { reason: "completed".to_owned(), ..RunFinished::default() });
        let notes = texts(&ended, false);
        assert!(notes[0].1.starts_with("Held-out loss fell by 50%"), "{notes:?}");
        assert!(notes[1].1.contains("still fell") && notes[1].2, "{notes:?}");
    }

    #[test]
    fn rows_that_are_left_out_are_told_with_their_reason() {
        let reason = ReasonCount { count: 10, rows: vec![1], example: "line 2: the answer is empty".to_owned() };
        let data = DataChecked { rows: 100, dropped: [("empty_answer".to_owned(), reason)].into(), ..DataChecked::default() };
        let found = RunRecord { data: Some(data), ..RunRecord::default() };
        assert!(texts(&found, true)[0].1.starts_with("10 of 100 rows (10%) are not trained on, most of them for empty answer"));
    }
}
